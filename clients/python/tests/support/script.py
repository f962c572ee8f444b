"""A server that answers each request as a test says, for what a hub does not do."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class Exchange:
    """One request, and the way to answer it."""

    def __init__(self, handler: BaseHTTPRequestHandler, request: Request, over: threading.Event) -> None:
        self.request = request
        self.over = over
        self.handler = handler

    def head(self, status: int, kind: str | None, length: int | None = None, **headers: str) -> None:
        self.handler.send_response(status)
        if kind is not None:
            self.handler.send_header("content-type", kind)
        if length is not None:
            self.handler.send_header("content-length", str(length))
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        if length is None:
            self.handler.close_connection = True
        self.handler.end_headers()

    def write(self, piece: bytes | str) -> bool:
        """`False` once the client has left."""
        try:
            self.handler.wfile.write(piece.encode() if isinstance(piece, str) else piece)
        except OSError:
            return False
        return True

    def stay(self) -> None:
        """Says nothing more until the client leaves, or the test is over."""
        connection = self.handler.connection
        connection.settimeout(0.05)
        while not self.over.is_set():
            try:
                if not connection.recv(1024):
                    return
            except TimeoutError:
                continue
            except OSError:
                return


Answer = Callable[[Exchange], None]


class Script:
    """Answers the requests one after the other, and all further ones like the last. Use it as `with Script(…) as server:`."""

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[Request] = []
        self._answers = answers
        self._lock = threading.Lock()
        self._over = threading.Event()
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 0

            def log_message(self, format: str, *args: Any) -> None: ...

            def answer(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, parts.path, query, headers, body)
                with script._lock:
                    script.requests.append(request)
                    at = min(len(script.requests), len(script._answers)) - 1
                try:
                    exchange = Exchange(self, request, script._over)
                    script._answers[at](exchange)
                    if "transfer-encoding" in self.headers:
                        # A body that is still under way when its connection is closed resets it, and the answer is lost.
                        self.close_connection = True
                        self.connection.shutdown(socket.SHUT_WR)
                        exchange.stay()
                except OSError:
                    self.close_connection = True

            do_GET = do_POST = answer

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = True

            def handle_error(self, request: Any, client_address: Any) -> None: ...

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Script:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.socket.close()


def events(*pieces: str | bytes) -> Answer:
    """A stream that stays open."""

    def answer(exchange: Exchange) -> None:
        exchange.head(200, "text/event-stream")
        for piece in pieces:
            exchange.write(piece)
        exchange.stay()

    return answer


def ended(*pieces: str | bytes) -> Answer:
    """A stream that ends."""

    def answer(exchange: Exchange) -> None:
        exchange.head(200, "text/event-stream")
        for piece in pieces:
            exchange.write(piece)

    return answer


def raw(status: int, kind: str | None, body: str = "", **headers: str) -> Answer:
    def answer(exchange: Exchange) -> None:
        data = body.encode()
        exchange.head(status, kind, None if status == 204 else len(data), **headers)
        exchange.write(data)

    return answer


def page(**fields: Any) -> Answer:
    return raw(200, "application/json", json.dumps({"events": [], "next": "aaaaaa-0", "more": False, **fields}))


def problem(status: int, detail: str, **headers: str) -> Answer:
    said = {"type": "urn:tidings:x", "title": "x", "status": status, "detail": detail}
    return raw(status, "application/problem+json", json.dumps(said), **headers)


def receipt(status: int) -> Answer:
    return raw(status, "application/json", '{"id":"aaaaaa-1","topic":"t","time":"2026-11-24T00:00:00Z"}')


def hang_up(exchange: Exchange) -> None:
    """Breaks the connection without an answer."""
    exchange.handler.connection.shutdown(socket.SHUT_RDWR)
    exchange.handler.close_connection = True


def silence(exchange: Exchange) -> None:
    """Takes the request, and says nothing."""
    exchange.handler.close_connection = True
    exchange.stay()


def event(number: int, data: Any = None) -> dict[str, Any]:
    return {
        "id": f"aaaaaa-{number}",
        "topic": "t",
        "time": "2026-11-24T00:00:00Z",
        "data": number if data is None else data,
    }


def block(number: int, data: Any = None) -> str:
    """An event as it stands in a stream."""
    return f"id: aaaaaa-{number}\ndata: {json.dumps(event(number, data))}\n\n"


def begin(number: int = 0) -> str:
    """The first block of a stream."""
    return f"retry: 100\nid: aaaaaa-{number}\n\n"
