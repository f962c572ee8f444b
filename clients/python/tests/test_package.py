"""What a user gets: a package that installs by one command, holds what it should, and has types."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import tidings

from .support.hub import Hub

PACKAGE = Path(__file__).parents[1]

USER = """
import asyncio
import sys

import tidings


async def main(url: str) -> None:
    published = await tidings.publish(url, "a", {"n": 1})
    async with tidings.subscribe(url, "a", since="earliest") as events:
        async for event in events:
            assert event.id == published.id
            break
    with tidings.Client(url) as hub:
        hub.close_topic("a")
    for event in tidings.subscribe_sync(url, "a", since="earliest"):
        print(event.topic, event.data)


asyncio.run(main(sys.argv[1]))
"""

WRONG = """
import tidings

tidings.subscribe("http://hub", "a", sinse="earliest")
tidings.publish_sync("http://hub", 7, "x")
tidings.subscribe_sync("http://hub", "a", transports=["webrtc"])
"""


def test_it_installs_into_a_fresh_environment_and_is_used_and_checked_there(hub: Hub, tmp_path: Path) -> None:
    # Of its own, so that nothing that a build leaves behind stays.
    source = tmp_path / "source"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns(".*", "__pycache__", "tests"))
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*command: str | Path, check: bool = True) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == check, done.stdout + done.stderr
        return done.stdout

    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", source)
    assert run(python, "-W", "error", "-c", USER, hub.url) == "a {'n': 1}\n"
    version = "import tidings, importlib.metadata as m; print(m.version('tidings') == tidings.__version__)"
    assert run(python, "-c", version) == "True\n"
    # Its types are seen from outside.
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "wrong.py").write_text(WRONG)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python)]
    run(*mypy, "user.py")
    told = run(*mypy, "wrong.py", check=False)
    assert told.count("error:") == 3, told


def test_it_holds_what_it_should_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=PACKAGE, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    assert wheel.name == f"tidings-{tidings.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    source = {f"tidings/{path.name}" for path in (PACKAGE / "src/tidings").iterdir() if path.suffix == ".py"}
    metadata = {name for name in names if ".dist-info/" in name}
    assert names - metadata == source | {"tidings/py.typed"}
    assert {Path(name).name for name in metadata} == {"METADATA", "WHEEL", "RECORD", "LICENSE-APACHE", "LICENSE-MIT"}
