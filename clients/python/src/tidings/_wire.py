"""What a session or a publish asks of the network, done by a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, cast

from . import _defaults as defaults
from . import _http
from ._commands import Answer, Command, Hangup, Interrupted, Open, Read, Rest, Write
from ._errors import ErrorKind, TidingsError

if TYPE_CHECKING:
    import httpx

    from ._sync import Client


class Wire:
    """Does what a session or a publish asks of the network."""

    def __init__(self, client: Client) -> None:
        from ._deadline import Watch

        self._client = client
        self._response: httpx.Response | None = None
        self._pieces: Generator[bytes, None, None] | None = None
        self._watch = Watch()
        self._woken = threading.Event()

    def interrupt(self) -> None:
        """From any thread: gives up what is being done; if nothing is, what comes next."""
        self._watch.interrupt()
        self._woken.set()

    def perform(self, command: Command) -> Answer | bytes | None:
        if isinstance(command, Hangup):
            self.hang_up()
            return None
        if isinstance(command, Read):
            return self._within(command.patience, command.late, self._read)
        if isinstance(command, Write):
            return self._within(command.patience, "broken", lambda: self._write(command.data))
        if isinstance(command, Open):
            self._check()
            authorization = self._client._authorization()
            return self._within(command.patience, command.late, lambda: self._send(command, authorization))
        self._rest(command)
        return None

    def hang_up(self) -> None:
        response, pieces = self._response, self._pieces
        self._response = self._pieces = None
        if response is not None:
            if pieces is not None:
                pieces.close()
            response.close()

    def _rest(self, command: Rest) -> None:
        self._woken.wait(command.seconds)
        self._check()

    def _check(self) -> None:
        if self._watch.interrupted:
            self._woken.clear()
            self._watch.reset()
            raise Interrupted

    def _within(self, seconds: float, late: ErrorKind, work: Callable[[], Answer | bytes | None]) -> Answer | bytes | None:
        self._check()
        watch = self._watch
        with watch.until(time.monotonic() + seconds):
            try:
                return work()
            except TidingsError as error:
                self._check()
                if watch.is_late():
                    raise TidingsError(late, f"nothing came for {max(seconds, 0):.1f} s") from error
                raise

    def _send(self, command: Open, authorization: dict[str, str]) -> Answer:
        if self._response is not None:
            raise AssertionError("an answer was left open")
        client = self._client
        headers = {**client._headers, **command.headers, **authorization, "Accept-Encoding": "identity"}
        # The time-out is for an HTTP client that is not watched.
        request = client._http.build_request(
            command.method, command.url, headers=headers, content=command.body, timeout=command.patience
        )
        try:
            self._response = client._http.send(request, stream=True, follow_redirects=False)
        except Exception as error:
            if not _http.is_of_network(error):
                raise
            raise _http.failure(error, answered=client._answered) from error
        client._answered = True
        request.extensions["timeout"]["read"] = defaults.HEARTBEAT_CEILING * defaults.SILENT_HEARTBEATS
        return _http.head_of(self._response)

    def _write(self, data: bytes) -> None:
        if self._response is None:
            raise TidingsError("broken", "the connection was closed")
        try:
            self._response.extensions["network_stream"].write(data, defaults.WRITE_TIMEOUT)
        except Exception as error:
            if not _http.is_of_network(error):
                raise
            raise TidingsError("broken", error) from error

    def _read(self) -> bytes | None:
        response = self._response
        if response is None:
            raise TidingsError("broken", "the connection was closed")
        try:
            if response.status_code == 101:
                # What it is read with bounds the time, but for an HTTP client that is not watched.
                stream = response.extensions["network_stream"]
                return stream.read(defaults.PIECE_SIZE, defaults.HEARTBEAT_CEILING * defaults.SILENT_HEARTBEATS) or None
            if self._pieces is None:
                self._pieces = cast("Generator[bytes, None, None]", response.iter_raw())
            piece = next(self._pieces, None)
        except Exception as error:
            if not _http.is_of_network(error):
                raise
            raise TidingsError("broken", error) from error
        if piece is None:
            # It was read to its end: the connection can serve another request.
            self.hang_up()
        return piece
