"""The servers, each started alone on one core, and always ended by its own process id."""

import resource
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager

from tools import NCHAN_MODULE

SERVER_CORE = "0"
LOAD_CORE = "1"
START_SECONDS = 60

NGINX = """
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile {files};
load_module {module};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections {files}; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  nchan_shared_memory_size 1024M;
  nchan_message_buffer_length {messages};
  nchan_message_timeout 1h;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /pub {{ nchan_publisher; nchan_channel_id $arg_id; }}
    location = /sub {{ nchan_subscriber; nchan_channel_id $arg_id; nchan_subscriber_first_message newest; }}
    location = /return {{ nchan_subscriber; nchan_channel_id $arg_id; nchan_subscriber_first_message oldest; }}
  }}
}}
"""
# As many as a subscriber that returns is behind.
NCHAN_MESSAGES = 1100


class Server:
    """A server that listens; `pid` is the process that does the work."""

    def __init__(self, url, pid, folder):
        self.url, self.pid, self.folder = url, pid, folder


@contextmanager
def running(binaries, target, pinned=True, flags=(), keep=None):
    """Starts a server and ends it. `keep` is a folder of data that outlives it."""
    port = free_port()
    folder = binaries.work / f"{target}-{port}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = arguments(binaries, target, port, folder, keep or folder / "data", list(flags))
    if pinned:
        command = ["taskset", "-c", SERVER_CORE, *command]
    with open(folder / "output", "w") as output:
        process = subprocess.Popen([str(part) for part in command], stdout=output, stderr=output, preexec_fn=many_files)
    try:
        wait_for(port, process, folder)
        pid = worker(process.pid) if target == "nchan" else process.pid
        yield Server(f"http://127.0.0.1:{port}", pid, folder)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def arguments(binaries, target, port, folder, data, flags):
    if target == "tidings":
        return [binaries.tidings, "serve", "--listen", f"127.0.0.1:{port}", "--log", "memory:", *flags]
    if target == "tidings-disk":
        return [binaries.tidings, "serve", "--listen", f"127.0.0.1:{port}", "--log", f"disk:{data}", *flags]
    if target == "floor":
        return [binaries.floor, f"127.0.0.1:{port}"]
    if target == "floor-disk":
        data.mkdir(parents=True)
        return [binaries.floor, f"127.0.0.1:{port}", data / "file"]
    if target == "durable-streams":
        return [binaries.durable_streams, "--port", str(port), "--data-dir", data]
    configuration = folder / "nginx.conf"
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    text = NGINX.format(files=files, module=NCHAN_MODULE, folder=folder, port=port, messages=NCHAN_MESSAGES)
    configuration.write_text(text)
    return [binaries.nginx, "-p", folder, "-c", configuration]


def many_files():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process, folder):
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError("the server ended at once: " + (folder / "output").read_text()[-500:])
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.005)
    raise RuntimeError("the server does not listen")


def worker(master):
    """nginx does its work in a child."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with open(f"/proc/{master}/task/{master}/children") as children:
            pids = children.read().split()
        if pids:
            return int(pids[0])
        time.sleep(0.01)
    raise RuntimeError("nginx has no worker")


def ready(url):
    """Whether a hub takes publications."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False
