"""The program that the files of this folder start, started as they say."""

import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEPLOY = Path(__file__).parent.parent
REPOSITORY = DEPLOY.parent


def program() -> str:
    """`TIDINGS`, or the newest that cargo has built."""
    if given := os.environ.get("TIDINGS"):
        return given
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    built = [path for kind in ("debug", "release") if (path := target / kind / "tidings").exists()]
    if not built:
        raise RuntimeError("no hub to test with: run `cargo build`, or name the program in TIDINGS")
    return str(max(built, key=lambda path: path.stat().st_mtime))


@contextmanager
def hub(arguments: list[str], environment: dict[str, str], folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A hub with nothing but these settings: its URL, and its process. Told to end, it has to end cleanly."""
    with (folder / "stderr").open("w") as said:
        process = subprocess.Popen(
            [program(), *arguments], env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=said, text=True
        )
    try:
        assert process.stdout
        line = process.stdout.readline()
        found = re.match(r"tidings listening on (https?)://\S+:(\d+)", line)
        assert found, f"{line!r}: {(folder / 'stderr').read_text()}"
        yield f"{found[1]}://127.0.0.1:{found[2]}", process
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def status(url: str, token: str | None = None) -> int:
    try:
        return _ask(url, token)[0]
    except urllib.error.HTTPError as error:
        return error.code


def read_from(url: str, token: str) -> bytes:
    return _ask(url, token)[1]


def _ask(url: str, token: str | None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.status, answer.read()
