"""What a session or a publish asks of the network, done by a task of asyncio or trio."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar, cast

import anyio

from . import _defaults as defaults
from . import _http
from ._commands import Answer, Command, Hangup, Interrupted, Open, Read, Rest, Write
from ._errors import ErrorKind, TidingsError

if TYPE_CHECKING:
    import httpx

    from ._async import AsyncClient

Result = TypeVar("Result")


class AsyncWire:
    """Does what a session or a publish asks of the network."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._response: httpx.Response | None = None
        self._pieces: AsyncGenerator[bytes, None] | None = None
        self._scope: anyio.CancelScope | None = None
        self._is_interrupted = False

    def interrupt(self) -> None:
        """Gives up what is being done; if nothing is, what comes next."""
        self._is_interrupted = True
        if self._scope is not None:
            self._scope.cancel()

    async def perform(self, command: Command) -> Answer | bytes | None:
        if isinstance(command, Hangup):
            await self.hang_up()
            return None
        if self._is_interrupted:
            self._is_interrupted = False
            raise Interrupted
        if isinstance(command, Read):
            return await self._within(command.patience, command.late, self._read)
        if isinstance(command, Write):
            return await self._within(command.patience, "broken", lambda: self._write(command.data))
        if isinstance(command, Open):
            authorization = await self._authorization()
            return await self._within(command.patience, command.late, lambda: self._send(command, authorization))
        await self._rest(command)
        return None

    async def hang_up(self) -> None:
        response, pieces = self._response, self._pieces
        self._response = self._pieces = None
        if response is not None:
            with anyio.move_on_after(defaults.HANGUP_TIMEOUT, shield=True):
                await response.aclose()
                if pieces is not None:
                    await _exhaust(pieces)

    async def _authorization(self) -> dict[str, str]:
        # It has a time-out of its own.
        return await self._within(math.inf, "token", self._client._authorization)

    async def _rest(self, command: Rest) -> None:
        seconds = math.inf if command.seconds is None else command.seconds
        await self._within(math.inf, "late", lambda: anyio.sleep(seconds))

    async def _within(self, seconds: float, late: ErrorKind, work: Callable[[], Awaitable[Result]]) -> Result:
        due = anyio.current_time() + seconds
        with anyio.CancelScope(deadline=due) as self._scope:
            try:
                return await work()
            finally:
                self._scope = None
        if self._is_interrupted:
            self._is_interrupted = False
            raise Interrupted
        raise TidingsError(late, f"nothing came for {max(seconds, 0):.1f} s")

    async def _send(self, command: Open, authorization: dict[str, str]) -> Answer:
        if self._response is not None:
            raise AssertionError("an answer was left open")
        client = self._client
        headers = {**client._headers, **command.headers, **authorization, "Accept-Encoding": "identity"}
        request = client._http.build_request(command.method, command.url, headers=headers, content=command.body, timeout=None)
        try:
            self._response = await client._http.send(request, stream=True, follow_redirects=False)
        except Exception as error:
            if not _http.is_of_network(error):
                raise
            raise _http.failure(error, answered=client._answered) from error
        client._answered = True
        return _http.head_of(self._response)

    async def _write(self, data: bytes) -> None:
        if self._response is None:
            raise TidingsError("broken", "the connection was closed")
        try:
            await self._response.extensions["network_stream"].write(data)
        except Exception as error:
            if not _http.is_of_network(error):
                raise
            raise TidingsError("broken", error) from error

    async def _read(self) -> bytes | None:
        response = self._response
        if response is None:
            raise TidingsError("broken", "the connection was closed")
        try:
            if response.status_code == 101:
                # What it is read with bounds the time, but for an HTTP client that is not watched.
                stream = response.extensions["network_stream"]
                return await stream.read(defaults.PIECE_SIZE) or None
            if self._pieces is None:
                self._pieces = cast("AsyncGenerator[bytes, None]", response.aiter_raw())
            return await self._pieces.__anext__()
        except StopAsyncIteration:
            # It was read to its end: the connection can serve another request.
            await self.hang_up()
            return None
        except Exception as error:
            if not _http.is_of_network(error):
                raise
            raise TidingsError("broken", error) from error


async def _exhaust(pieces: AsyncGenerator[bytes, None]) -> None:
    """Brings the generators that read from a closed connection to their end. httpx has several, one within the other, and closes
    none but the outermost: the event loop would be left to clear up the others."""
    with suppress(Exception):
        for _ in range(defaults.BUFFERED_PIECES):
            await pieces.__anext__()
    await pieces.aclose()
