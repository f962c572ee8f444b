"""The files for Docker Compose: each hub of theirs started with the settings that it has there."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import yaml
from support import DEPLOY, hub, program, read_from, status

SECRET = "0123456789abcdef0123456789abcdef"
DOCKERFILE = (DEPLOY / "docker/Dockerfile").read_text()


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def environment(service: Any) -> dict[str, str]:
    """That of the image, and the service's own. Whoever runs it has set the secret."""
    [image] = re.findall(r"^ENV ((?:.*\\\n)*.*)", DOCKERFILE, re.MULTILINE)
    given = dict(one.split("=", 1) for one in shlex.split(image.replace("\\\n", " ")))
    given.update(service["environment"])
    assert given["TIDINGS_AUTH_HS256_SECRET"].startswith("${TIDINGS_AUTH_HS256_SECRET:?"), "it has to be set"
    return given | {"TIDINGS_AUTH_HS256_SECRET": SECRET}


def token(claim: str) -> str:
    done = subprocess.run(
        [program(), "token", f"--{claim}", "**"],
        env={"TIDINGS_AUTH_HS256_SECRET": SECRET},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_one_hub(tmp_path: Path) -> None:
    service = read("compose.one.yaml")["services"]["hub"]
    given = environment(service)
    [volume] = service["volumes"]
    assert given["TIDINGS_LOG"] == f"disk:{volume.split(':')[1]}"
    assert service["ports"] == ["127.0.0.1:8080:8080"]
    assert given["TIDINGS_LISTEN"].endswith(":8080")
    given |= {"TIDINGS_LOG": f"disk:{tmp_path}/log", "TIDINGS_LISTEN": "127.0.0.1:0"}
    with hub(service["command"], given, tmp_path) as (url, _):
        assert status(f"{url}/readyz") == 200
        assert status(f"{url}/topics/a") == 401
        assert status(f"{url}/topics/a", token("subscribe")) == 200


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[str]:
    """One node in the place of three."""
    server = which("nats-server") or "/usr/sbin/nats-server"
    command = [server, "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", str(tmp_path / "nats")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            said = ""
            while "Server is ready" not in said:
                line = process.stderr.readline()
                assert line, said
                said += line
            found = re.search(r"Listening for client connections on (\S+)", said)
            assert found, said
            yield found[1]
        finally:
            process.kill()


def test_two_hubs_over_nats(tmp_path: Path, nats: str) -> None:
    services = read("compose.yaml")["services"]
    hubs = {name: one for name, one in services.items() if name.startswith("hub")}
    assert len(hubs) == 2
    # Each address that nginx knows is a hub's.
    upstream = (DEPLOY / "nginx/hubs.conf").read_text()
    running = []
    for name, service in hubs.items():
        address = service["networks"]["default"]["ipv4_address"]
        assert f"{name}:{address}" in services["nginx"]["extra_hosts"]
        assert f"server {name}:8080" in upstream
        folder = tmp_path / name
        folder.mkdir()
        log = f"--log=nats://{nats}/EVENTS"
        command = [log if one.startswith("--log=nats://nats1,nats2,nats3/EVENTS") else one for one in service["command"]]
        assert log in command
        command = ["--listen=127.0.0.1:0" if one.startswith("--listen=") else one for one in command]
        running.append(hub(command, environment(service), folder))
    with running[0] as (first, _), running[1] as (second, _):
        publish = subprocess.run(
            [program(), "publish", "--url", first, "--token", token("publish"), "orders/1", "paid"],
            capture_output=True,
            text=True,
        )
        assert publish.returncode == 0, publish.stderr
        assert b"paid" in read_from(f"{second}/topics/orders/*?since=earliest&wait=30", token("subscribe"))


def test_the_image_takes_what_is_built_or_released() -> None:
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", DOCKERFILE, re.MULTILINE)
    names = [name for _, name in stages]
    assert "ARG PROGRAM=built" in DOCKERFILE
    assert stages[2] == ("${PROGRAM}", "chosen")
    assert names[:2] == ["built", "released"]
    # Both have what the last stage takes.
    parts = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    for part in parts[:2]:
        assert "/usr/bin/tidings" in part
        assert "mkdir /empty" in part
    assert {path.split()[0] for path in re.findall(r"COPY --from=chosen (?:--chown=\S+ )?(/.*)", parts[3])} == {
        "/usr/bin/tidings",
        "/empty",
    }
