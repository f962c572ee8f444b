"""Somebody who follows a page: writes the files that it shows, runs its commands in their order, and sees what they print."""

import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 60
FENCE = re.compile(r"^```([\w,-]*)([^\n]*)$")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
EPOCH = re.compile(r'(?:"id":"|"first":"|"ids":\["|^id: )([a-z0-9]+)-')
# What goes on until somebody ends it.
ENDLESS = re.compile(r"curl -N|tidings subscribe|follow\.mjs|python -u|go run")


@dataclass
class Block:
    language: str
    rest: str
    line: int
    text: str
    meanwhile: str | None

    @property
    def title(self) -> str | None:
        found = re.search(r'title="([^"]+)"', self.rest)
        return found[1] if found else None


def blocks(page: str) -> Iterator[Block]:
    """The blocks of code of a page, in order."""
    meanwhile, opened, lines = None, None, []
    for number, line in enumerate(page.split("\n"), 1):
        if opened:
            if line == "```":
                yield Block(opened[1], opened[2].strip(), number - len(lines) - 1, "".join(lines), meanwhile)
                opened, meanwhile, lines = None, None, []
            else:
                lines.append(line + "\n")
        elif found := FENCE.match(line):
            opened = found
        elif line.strip():
            comment = re.match(r"<!-- meanwhile: (.*) -->$", line)
            meanwhile = comment[1] if comment else None
    assert not opened, "a block does not end"


def quiet_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Process:
    """A command, and its output line by line."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        self.child = subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.errors: list[str] = []
        for read in (self._out, self._err):
            threading.Thread(target=read, daemon=True).start()

    def _out(self) -> None:
        assert self.child.stdout
        for line in self.child.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def _err(self) -> None:
        assert self.child.stderr
        self.errors.extend(self.child.stderr)

    def line(self) -> str | None:
        try:
            return self.lines.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"nothing was printed: {''.join(self.errors)}") from None

    def end(self) -> None:
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()


class Session:
    def __init__(self, folder: Path, tools: dict[str, str]) -> None:
        self.folder = folder
        self.port = quiet_port()
        self.epochs: dict[str, str] = {}
        self.running: list[Process] = []
        programs = folder / ".programs"
        programs.mkdir()
        for name, path in {"curl": f"{shutil.which('curl')} -sS", **tools}.items():
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {path} "$@"\n')
            program.chmod(0o755)
        modules = folder / "node_modules"
        modules.mkdir()
        (modules / "tidings").symlink_to(REPOSITORY / "clients/typescript")
        self.environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(folder),
            "PYTHONPATH": str(REPOSITORY / "clients/python/src"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TIDINGS_LISTEN": f"127.0.0.1:{self.port}",
            "TIDINGS_URL": f"http://127.0.0.1:{self.port}",
            "GOCACHE": os.environ.get("GOCACHE", str(folder / "go")),
        }

    def write(self, block: Block) -> None:
        assert block.title
        (self.folder / block.title).write_text(self._here(block.text))

    def serve(self) -> None:
        """A hub, where the page takes for granted that there is one."""
        hub = self._start("tidings serve")
        assert (hub.line() or "").startswith("tidings listening on"), hub.errors
        self.running.append(hub)

    def run(self, block: Block, page: str) -> None:
        meanwhile = block.meanwhile
        for command, shown in steps(block):
            place = f"{page}, line {block.line}: {command}"
            process = self._start(command)
            self.running.append(process)
            if meanwhile:
                self._somebody_waits()
                other = self._start(meanwhile)
                assert other.child.wait(PATIENCE) == 0, f"{place}: {meanwhile}"
                meanwhile = None
            for line in shown:
                seen = process.line()
                assert seen is not None, f"{place}: it has ended: {''.join(process.errors)}"
                seen = self._there(seen, line)
                assert alike(seen, line), f"{place}:\nexpected {line}\ngot      {seen}"
            if command.startswith("tidings serve"):
                assert shown, f"{place}: nothing says that it is ready"
            elif not ENDLESS.search(command):
                more = process.line()
                assert more is None, f"{place}: it says more than the page shows: {more}"
                assert process.child.wait(PATIENCE) == 0, f"{place}: {''.join(process.errors)}"

    def close(self) -> None:
        for process in reversed(self.running):
            process.end()

    def _start(self, command: str) -> Process:
        return Process(self._here(command), self.folder, self.environment)

    def _here(self, text: str) -> str:
        for page, own in self.epochs.items():
            text = text.replace(f"{page}-", f"{own}-")
        return text.replace(":8080", f":{self.port}")

    def _there(self, seen: str, shown: str) -> str:
        """What was seen, with the page's epochs, port and times."""
        page, own = EPOCH.search(shown), EPOCH.search(seen)
        if page and own:
            self.epochs.setdefault(page[1], own[1])
        for one, other in self.epochs.items():
            seen = seen.replace(f"{other}-", f"{one}-")
        return seen.replace(f":{self.port}", ":8080")

    def _somebody_waits(self) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            text = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=PATIENCE).read().decode()
            if 'tidings_subscribers{transport="long-poll"} 1' in text:
                return
            time.sleep(0.01)
        raise AssertionError("no poll is held")


def steps(block: Block) -> list[tuple[str, list[str]]]:
    out: list[tuple[str, list[str]]] = []
    continued = False
    for line in block.text.rstrip("\n").split("\n"):
        if line.startswith("$ "):
            out.append((line[2:], []))
        elif continued:
            out[-1] = (f"{out[-1][0]}\n{line}", [])
        else:
            assert out, f"line {block.line}: a block begins with `$ `"
            out[-1][1].append(line)
            continue
        continued = line.endswith("\\")
    return [(command, "\n".join(shown).rstrip("\n").split("\n") if any(shown) else []) for command, shown in out]


def alike(seen: str, shown: str) -> bool:
    """The same but for times, and for what comes after `…`."""
    seen, shown = TIME.sub("TIME", seen), TIME.sub("TIME", shown)
    beginning, dots, _ = shown.partition("…")
    return seen.startswith(beginning) if dots else seen == shown
