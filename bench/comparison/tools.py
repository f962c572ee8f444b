"""What the comparison needs on the machine: the programs, built or installed, and a place to work."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
DURABLE_STREAMS = "0.1.5"
NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")


@dataclass
class Binaries:
    tidings: Path
    floor: Path
    durable_streams: Path
    nginx: Path
    work: Path

    def has(self, target):
        if target in ("nchan", "nchan-tls"):
            return self.nginx.exists() and NCHAN_MODULE.exists()
        if target == "behind-nginx":
            return self.nginx.exists()
        return target != "durable-streams" or self.durable_streams.exists()


def prepare(skip_install):
    build = ["cargo", "build", "--release", "-p", "tidings", "-p", "tidings-floor"]
    subprocess.run(build, cwd=ROOT, check=True)
    work = TARGET / "bench-work"
    work.mkdir(parents=True, exist_ok=True)
    binaries = Binaries(
        tidings=TARGET / "release/tidings",
        floor=TARGET / "release/tidings-floor",
        durable_streams=TARGET / "bench-tools/bin/durable-streams-server",
        nginx=Path(shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") or "/usr/sbin/nginx"),
        work=work,
    )
    if not skip_install:
        install(binaries)
    for target in ("nchan", "durable-streams"):
        if not binaries.has(target):
            print(f"bench/run: {target} is not installed, and is left out", file=sys.stderr)
    return binaries


def certificate(folder):
    """The files of a certificate for this machine, and of its key, that every server over TLS has: ECDSA on P-256, the most usual."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "7"]
    command += ["-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-addext", names]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def install(binaries):
    if not binaries.has("nchan"):
        # It is only ever started by hand, with a configuration of its own.
        subprocess.run(["apt-get", "update"], check=False)
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", "nginx", "libnginx-mod-nchan"], check=False)
    if not binaries.has("durable-streams"):
        root = TARGET / "bench-tools"
        command = ["cargo", "install", "durable-streams", "--version", DURABLE_STREAMS, "--locked", "--root", str(root)]
        # Under this workspace's own target directory it would be built with this workspace's lock.
        subprocess.run(command, check=False, env=os.environ | {"CARGO_TARGET_DIR": str(root / "build")})


def machine(binaries):
    """What the numbers were measured with, for the page."""
    return {
        "processor": first_line("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "tidings": output([binaries.tidings, "--version"]) + ", commit " + output(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"]),
        "nchan": "nginx " + output([binaries.nginx, "-v"]).rpartition("/")[2] + ", nchan " + package("libnginx-mod-nchan"),
        "durable-streams": f"durable-streams {DURABLE_STREAMS}",
        "rustc": output(["rustc", "--version"]),
    }


def first_line(path, name):
    lines = Path(path).read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "unknown")


def package(name):
    return output(["dpkg-query", "-W", "-f", "${Version}", name])


def output(command):
    try:
        result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return (result.stdout or result.stderr).strip() or "unknown"
