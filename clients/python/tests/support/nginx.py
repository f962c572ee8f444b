"""nginx in front of a hub, as it comes from the distribution: it buffers."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .hub import Hub


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def nginx(hub: Hub, location: str = "") -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="tidings-nginx-") as folder:
        port = free_port()
        temporary = " ".join(f"{kind}_temp_path {folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        proxy = f'proxy_pass http://{hub.listen}; proxy_http_version 1.1; proxy_set_header Connection "";'
        Path(folder, "nginx.conf").write_text(
            f"""daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
            events {{ worker_connections 512; }}
            http {{
              access_log off; {temporary}
              server {{ listen 127.0.0.1:{port}; location / {{ {proxy} {location} }} }}
            }}"""
        )
        found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/opt/homebrew/bin") or "nginx"
        process = subprocess.Popen(
            [found, "-p", folder, "-c", f"{folder}/nginx.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            while True:
                if process.poll() is not None:
                    raise RuntimeError("nginx did not start")
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()
