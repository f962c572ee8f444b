"""Deadlines, and a way to give up, for threads that read from a socket.

httpx has time-outs for each read alone: an answer that comes a byte at a time would be waited for for ever. And nothing wakes a
thread that reads when another one closes its subscription. So the sockets of the synchronous client are watched here.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import httpcore

if TYPE_CHECKING:
    import httpx


class Watch:
    """What one subscription or publish of a thread waits for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stream: httpcore.NetworkStream | None = None
        self._is_interrupted = False
        self.due: float | None = None

    @property
    def interrupted(self) -> bool:
        return self._is_interrupted

    def interrupt(self) -> None:
        """From any thread: what is being read or written fails at once, and so does what comes before `reset`."""
        with self._lock:
            self._is_interrupted = True
            if self._stream is not None:
                shut_down(self._stream)

    def reset(self) -> None:
        with self._lock:
            self._is_interrupted = False

    def is_late(self) -> bool:
        return self.due is not None and time.monotonic() >= self.due

    @contextmanager
    def until(self, due: float) -> Iterator[None]:
        """What the thread does within this has to be done by then."""
        before = getattr(_current, "watch", None)
        self.due, _current.watch = due, self
        try:
            yield
        finally:
            self.due, _current.watch = None, before

    def begin(self, stream: httpcore.NetworkStream | None, timeout: float | None) -> float | None:
        """Something begins to be waited for; says how long at most."""
        with self._lock:
            if self._is_interrupted:
                raise httpcore.ReadError("given up")
            self._stream = stream
        left = timeout if self.due is None else self.due - time.monotonic()
        if left is not None and left <= 0:
            self.end()
            raise httpcore.ReadTimeout("too late")
        return left

    def end(self) -> None:
        with self._lock:
            self._stream = None


_current = threading.local()


def shut_down(stream: Any) -> None:
    """Ends a connection that a thread may be reading from. It is closed by who owns it."""
    found = stream.get_extra_info("socket")
    if isinstance(found, socket.socket):
        with suppress(OSError):
            # Not that of a TLS socket, which is for one thread.
            socket.socket.shutdown(found, socket.SHUT_RDWR)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _waiting(self._inner, timeout) as left:
            return self._inner.read(max_bytes, left)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _waiting(self._inner, timeout) as left:
            self._inner.write(buffer, left)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        with _waiting(self._inner, timeout) as left:
            return _Stream(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        with _waiting(None, timeout) as left:
            return _Stream(self._inner.connect_tcp(host, port, left, local_address, socket_options))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        with _waiting(None, timeout) as left:
            return _Stream(self._inner.connect_unix_socket(path, left, socket_options))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


@contextmanager
def _waiting(stream: httpcore.NetworkStream | None, timeout: float | None) -> Iterator[float | None]:
    watch: Watch | None = getattr(_current, "watch", None)
    if watch is None:
        yield timeout
        return
    left = watch.begin(stream, timeout)
    try:
        yield left
    finally:
        watch.end()


def watch_sockets(client: httpx.Client) -> None:
    """Has the sockets of a client watched. httpx has no option for this: where a later version keeps its connections elsewhere,
    its time-outs for each read are what is left."""
    for transport in (getattr(client, "_transport", None), *getattr(client, "_mounts", {}).values()):
        pool: Any = getattr(transport, "_pool", None)
        backend = getattr(pool, "_network_backend", None)
        if isinstance(backend, httpcore.NetworkBackend):
            pool._network_backend = _Backend(backend)
