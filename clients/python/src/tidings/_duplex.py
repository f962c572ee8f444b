"""One request of HTTP/1.1 whose answer is read while its body is still sent. httpx sends a body to its end first."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast
from urllib.parse import urlsplit

import anyio
import h11

from . import _defaults as defaults
from . import _http
from ._commands import Answer
from ._errors import TidingsError


class Duplex:
    """A request that has begun. `send` and `receive` may wait at the same time, in two tasks."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self._stream = stream
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=defaults.HEAD_SIZE)

    async def begin(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        fields = [("Host", parts.netloc), ("Transfer-Encoding", "chunked"), *headers.items()]
        await self._write(h11.Request(method="POST", target=target, headers=fields))

    async def send(self, data: bytes) -> None:
        await self._write(h11.Data(data=data))

    async def end(self) -> None:
        await self._write(h11.EndOfMessage())

    async def head(self) -> Answer:
        """The head of the answer."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                fields = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
                return Answer(event.status_code, fields.get("content-type", ""), fields.get("retry-after", ""))

    async def receive(self) -> bytes | None:
        """The next piece of the answer's body; `None` at the end."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Data):
                return bytes(event.data)
            if isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
                return None

    async def _next(self) -> h11.Event:
        try:
            while (event := self._protocol.next_event()) is h11.NEED_DATA:
                try:
                    piece = await self._stream.receive(defaults.PIECE_SIZE)
                except anyio.EndOfStream:
                    piece = b""
                self._protocol.receive_data(piece)
            return cast("h11.Event", event)
        except (h11.ProtocolError, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
            raise TidingsError("broken", error) from error

    async def _write(self, event: h11.Event) -> None:
        try:
            data = self._protocol.send(event)
            if data:
                await self._stream.send(data)
        except (h11.ProtocolError, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
            raise TidingsError("broken", error) from error


@asynccontextmanager
async def connect(url: str, tls: ssl.SSLContext | None, *, answered: bool) -> AsyncIterator[Duplex]:
    """A connection to the host of a URL. It is dropped in the end, whatever has been sent."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if tls else 80)
    try:
        with anyio.fail_after(defaults.CONNECT_TIMEOUT):
            if tls is None:
                stream: anyio.abc.ByteStream = await anyio.connect_tcp(host, port)
            else:
                stream = await anyio.connect_tcp(host, port, ssl_context=tls, tls_standard_compatible=False)
    except (OSError, ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
        failure = _http.failure(error, answered=answered)
        kind = failure.kind if failure.kind == "untrusted" else "unreachable"
        raise TidingsError(kind, failure.words) from error
    try:
        yield Duplex(stream)
    finally:
        # Not with the shutdown of TLS: what is not finished is to break off.
        await anyio.aclose_forcefully(stream)
