"""The blocks of a page of documentation, to be run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from .hub import Hub

DEFAULT_URL = "http://127.0.0.1:8080"


def blocks(page: Path, language: str = "python") -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found
    return found


def run(program: str, hub: Hub, folder: Path) -> str:
    """Runs a program in a folder of its own, and gives what it printed."""
    text = program.replace(DEFAULT_URL, hub.url)
    command = [sys.executable, "-W", "error", "-c", text]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout


def first_line(program: str, hub: Hub, folder: Path) -> str:
    """Runs a program that does not end, and gives the first line that it prints."""
    command = [sys.executable, "-u", "-W", "error", "-c", program.replace(DEFAULT_URL, hub.url)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            return process.stdout.readline()
        finally:
            process.kill()
