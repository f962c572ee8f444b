"""A real hub: a process of its own, on a port of its own, that can be killed and started again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[4]


def program() -> Path:
    """`TIDINGS`, or the newest that cargo has built."""
    if named := os.environ.get("TIDINGS"):
        return Path(named)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [path for kind in ("debug", "release") if (path := target / kind / "tidings").exists()]
    if not built:
        raise RuntimeError("no hub to test with: run `cargo build`, or name the program in TIDINGS")
    return max(built, key=lambda path: path.stat().st_mtime)


class Hub:
    """Use it as `with Hub() as hub:`."""

    def __init__(self, *flags: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tidings-")
        self._flags = flags
        self.listen = "127.0.0.1:0"
        self.url = ""

    def __enter__(self) -> Hub:
        try:
            self.resume()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        self._folder.cleanup()

    def resume(self) -> None:
        """Starts it, again on the same port and over the same log."""
        log = f"disk:{self._folder.name}/log"
        self._process = subprocess.Popen(
            [program(), "serve", "--listen", self.listen, "--log", log, *self._flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout
        said = []
        for line in self._process.stdout:
            said.append(line)
            if found := re.search(r"listening on (https?://(\S+))", line):
                self.url, self.listen = found.groups()
                break
        else:
            raise RuntimeError(f"the hub did not start: {said}")
        # What it says further must not fill the pipe.
        self._drain = threading.Thread(target=self._process.stdout.read, daemon=True)
        self._drain.start()

    def kill(self, by: signal.Signals = signal.SIGKILL) -> None:
        self._process.send_signal(by)
        self._process.wait()
        self._drain.join()
        assert self._process.stdout
        self._process.stdout.close()
