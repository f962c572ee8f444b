"""What is released, made from the program that is there: installed where nothing else is, and used."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import DEPLOY, program

# A hub as its user starts it, and nothing of the tests' own.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}


def run(*command: str | Path, **more: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT, **more)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    told: str = done.stdout
    return told


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    run(sys.executable, DEPLOY / "release", program(), folder)
    return folder


def one(folder: Path, pattern: str) -> Path:
    [found] = folder.glob(pattern)
    return found


@contextmanager
def serving(*command: str | Path, folder: Path) -> Iterator[str]:
    """A hub by this command, told to end as a service manager does."""
    process = subprocess.Popen(
        [*command, "serve", "--listen", "127.0.0.1:0", "--log", f"disk:{folder}/log"],
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        found = re.match(r"tidings listening on (\S+)", line)
        assert found, line
        yield found[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def first_event(*command: str | Path, folder: Path) -> None:
    """Starts a hub, publishes, subscribes."""
    with serving(*command, folder=folder) as url:
        run(*command, "health", "--url", url)
        identity = run(*command, "publish", "first", "hello", "--close", "--url", url).strip()
        assert identity
        assert run(*command, "subscribe", "first", "--since", "earliest", "--url", url) == "hello\n"


def test_the_wheel_brings_the_program_and_the_client(released: Path, tmp_path: Path) -> None:
    wheel = one(released, "*.whl")
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    # By the pip that is there already; what the client stands on is there too, and so is not fetched.
    run(sys.executable, "-m", "pip", "--python", venv / "bin/python", "install", "--no-deps", "--no-index", "--quiet", wheel)
    first_event(venv / "bin/tidings", folder=tmp_path)
    with serving(venv / "bin/tidings", folder=tmp_path) as url:
        paths = [path for path in sys.path if path.endswith("site-packages")]
        code = f"import sys; sys.path += {paths!r}\nimport tidings\nassert 'venv' in tidings.__file__, tidings.__file__\n"
        code += f"with tidings.Client({url!r}) as hub:\n  print(hub.publish_stream('s', ['a', 'b'], close=True).events)\n"
        code += f"print(*[event.data for event in tidings.subscribe_sync({url!r}, 's', since='earliest')])"
        assert run(venv / "bin/python", "-c", code) == "2\na b\n"


def test_the_wheel_says_what_it_is(released: Path) -> None:
    with zipfile.ZipFile(one(released, "*.whl")) as archive:
        [record] = [name for name in archive.namelist() if name.endswith("/RECORD")]
        listed = {line.split(",")[0] for line in archive.read(record).decode().splitlines()}
        assert listed == set(archive.namelist())
        metadata = archive.read(record.replace("RECORD", "METADATA")).decode()
    assert "Name: tidings\n" in metadata
    assert "Requires-Dist: httpx" in metadata


@pytest.mark.skipif(not shutil.which("npm"), reason="npm is missing")
def test_npm_installs_the_program_of_the_platform_without_a_download(released: Path, tmp_path: Path) -> None:
    packages = sorted(released.glob("tidings-hub*.tgz"))
    assert len(packages) == 2
    cache = f"--cache={tmp_path}/cache"
    run("npm", "install", "--offline", "--no-audit", "--no-fund", "--ignore-scripts", cache, *packages, cwd=tmp_path)
    first_event(tmp_path / "node_modules/.bin/tidings-hub", folder=tmp_path)


@pytest.mark.skipif(not shutil.which("node"), reason="Node.js is missing")
def test_npm_says_which_platforms_there_are(released: Path, tmp_path: Path) -> None:
    with tarfile.open(one(released, "tidings-hub-[0-9]*.tgz")) as archive:
        archive.extractall(tmp_path, filter="data")
    done = subprocess.run(["node", tmp_path / "package/tidings-hub.js"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    for word in ("linux-arm64-musl", "darwin-arm64", "--include=optional", "cargo build --release"):
        assert word in done.stderr, done.stderr


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb is missing")
def test_the_deb_holds_a_service_with_completions_and_manual_pages(released: Path, tmp_path: Path) -> None:
    package = one(released, "*.deb")
    run("dpkg-deb", "-x", package, tmp_path)
    first_event(tmp_path / "usr/bin/tidings", folder=tmp_path)
    for name in (
        "usr/lib/systemd/system/tidings.socket",
        "usr/share/man/man1/tidings-serve.1.gz",
        "usr/share/bash-completion/completions/tidings",
    ):
        assert (tmp_path / name).stat().st_size, name
    assert run("dpkg-deb", "-I", package, "conffiles") == "/etc/tidings/tidings.toml\n"
    fields = run("dpkg-deb", "-f", package)
    assert "Package: tidings\n" in fields
    assert "libc6 (>= 2." in fields or "Multi-Arch" in fields


def test_the_tarball_runs_and_the_sums_and_the_bill_of_materials_are_right(released: Path, tmp_path: Path) -> None:
    with tarfile.open(one(released, "*.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    first_event(one(tmp_path, "tidings-*/tidings"), folder=tmp_path)
    sums = dict(reversed(line.split("  ")) for line in (released / "SHA256SUMS").read_text().splitlines())
    digest: Callable[[Path], str] = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()  # noqa: E731
    assert sums == {path.name: digest(path) for path in released.iterdir() if path.name != "SHA256SUMS"}
    told = json.loads(one(released, "*.cdx.json").read_text())
    assert {"tidings-log", "tokio"} <= {component["name"] for component in told["components"]}


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("x" * 100)
    for name in ("text", "nothing"):
        command = [sys.executable, DEPLOY / "release", tmp_path / name, tmp_path / "out"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "deploy/release: " in done.stderr
