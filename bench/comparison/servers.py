"""The servers, each started alone on one core, and always ended by its own process id."""

import resource
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager

import tools

# A hub that believes what the proxy says of its clients.
TRUST_PROXY = ["--trusted-proxies", "127.0.0.1", "--auth-anonymous-publish", "**", "--auth-anonymous-subscribe", "**"]
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
    listen 127.0.0.1:{port} {listen} backlog=4096;
    {certificate}
    location = /pub {{ nchan_publisher; nchan_channel_id $arg_id; }}
    location = /sub {{ nchan_subscriber; nchan_channel_id $arg_id; nchan_subscriber_first_message newest; }}
    location = /return {{ nchan_subscriber; nchan_channel_id $arg_id; nchan_subscriber_first_message oldest; }}
  }}
}}
"""
# nginx as deploy/nginx/tidings.conf has it, which ends TLS and HTTP/2.
PROXY = """
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile {files};
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
  upstream hub {{ server 127.0.0.1:{hub_port}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} ssl http2 backlog=4096;
    {certificate}
    location / {{
      proxy_pass http://hub;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
    }}
  }}
}}
"""
# The version of TLS is left to clients, as the others do; this nginx leaves out 1.3 where it is not told to have it.
CERTIFICATE = "ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;"
# As many as a subscriber that returns is behind.
NCHAN_MESSAGES = 1100


class Server:
    """A server that listens; `pids` are the processes that do the work."""

    def __init__(self, url, pids, folder, ca_file=None, publish_url=None):
        self.url, self.pids, self.folder = url, pids, folder
        self.ca_file, self.publish_url = ca_file, publish_url


@contextmanager
def running(binaries, target, pinned=True, flags=(), keep=None):
    """Starts a server and ends it. `keep` is a folder of data that outlives it."""
    port = free_port()
    folder = binaries.work / f"{target}-{port}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        if target == "behind-nginx":
            hub = arguments(binaries, "tidings", hub_port := free_port(), folder, folder / "data", TRUST_PROXY)
            proxy = proxy_arguments(binaries, port, hub_port, folder)
            with started(hub, hub_port, folder, pinned) as hub_pid, started(proxy, port, folder, pinned) as master:
                yield Server(f"https://127.0.0.1:{port}", [hub_pid, worker(master)], folder, folder / "certificate.pem")
            return
        command = arguments(binaries, target, port, folder, keep or folder / "data", list(flags))
        with started(command, port, folder, pinned) as pid:
            pids = [worker(pid)] if target.startswith("nchan") else [pid]
            clear = f"http://127.0.0.1:{port}"
            if target.endswith("-tls"):
                # The floor takes publications in clear alone: it knows no more of TLS than it must.
                publish_url = clear if target == "floor-tls" else None
                yield Server(f"https://127.0.0.1:{port}", pids, folder, folder / "certificate.pem", publish_url)
            else:
                yield Server(clear, pids, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def started(command, port, folder, pinned):
    """Starts a process that listens, and ends it."""
    if pinned:
        command = ["taskset", "-c", SERVER_CORE, *command]
    with open(folder / "output", "a") as output:
        process = subprocess.Popen([str(part) for part in command], stdout=output, stderr=output, preexec_fn=many_files)
    try:
        wait_for(port, process, folder)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def arguments(binaries, target, port, folder, data, flags):
    tidings = [binaries.tidings, "serve", "--listen", f"127.0.0.1:{port}", *flags]
    if target == "tidings":
        return [*tidings, "--log", "memory:"]
    if target == "tidings-tls":
        certificate, key = tools.certificate(folder)
        return [*tidings, "--log", "memory:", "--tls-certificate", certificate, "--tls-key", key]
    if target == "tidings-disk":
        return [*tidings, "--log", f"disk:{data}"]
    if target == "floor":
        return [binaries.floor, f"127.0.0.1:{port}"]
    if target == "floor-tls":
        return [binaries.floor, f"127.0.0.1:{port}", "--tls", *tools.certificate(folder)]
    if target == "floor-disk":
        data.mkdir(parents=True)
        return [binaries.floor, f"127.0.0.1:{port}", "--file", data / "file"]
    if target == "durable-streams":
        return [binaries.durable_streams, "--port", str(port), "--data-dir", data]
    own = {"port": port, "messages": NCHAN_MESSAGES, "module": tools.NCHAN_MODULE, "listen": "", "certificate": ""}
    if target == "nchan-tls":
        own |= {"listen": "ssl http2", "certificate": nginx_certificate(folder)}
    return nginx(binaries, folder, NGINX, own)


def proxy_arguments(binaries, port, hub_port, folder):
    return nginx(binaries, folder, PROXY, {"port": port, "hub_port": hub_port, "certificate": nginx_certificate(folder)})


def nginx_certificate(folder):
    certificate, key = tools.certificate(folder)
    return CERTIFICATE.format(certificate=certificate, key=key)


def nginx(binaries, folder, text, own):
    configuration = folder / "nginx.conf"
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    configuration.write_text(text.format(files=files, folder=folder, **own))
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
