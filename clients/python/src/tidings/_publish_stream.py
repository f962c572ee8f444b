"""Publications that go on: what both clients do on an event loop."""

from __future__ import annotations

import json
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import anyio

from . import _defaults as defaults
from . import _http
from ._answer import check, refusal, whole
from ._backoff import Backoff
from ._commands import Answer, Flow, Open, Read
from ._duplex import Duplex, connect
from ._endpoint import Endpoint, is_plain
from ._errors import Problem, TidingsError
from ._message import checked_key
from ._outbox import Outbox
from ._publication import StreamProgress, StreamPublished
from ._settings import not_negative

if TYPE_CHECKING:
    from ._async import AsyncClient
    from ._sync import Client

AnyClient = TypeVar("AnyClient", bound="AsyncClient | Client")


class Hub(ABC, Generic[AnyClient]):
    """What a client knows of its hub."""

    endpoint: Endpoint
    headers: Mapping[str, str]
    #: Whether another token can be had.
    renewable: bool

    def __init__(self, client: AnyClient) -> None:
        self._client = client
        self.endpoint, self.headers, self.renewable = client._endpoint, client._headers, callable(client._token)

    def answered(self) -> bool:
        """Whether anything ever answered."""
        return self._client._answered

    def tls(self) -> ssl.SSLContext | None:
        """How to connect where the hub speaks TLS."""
        return _http.tls(self.endpoint, *self._client._certificates)

    def direct(self) -> bool:
        """Whether a connection of our own leads to the hub."""
        return self._client._owned and _http.is_direct(self.endpoint)

    @abstractmethod
    async def authorization(self) -> dict[str, str]: ...

    @abstractmethod
    async def ask(self, flow: Flow[Any]) -> Any:
        """Asks by way of httpx."""


@dataclass(frozen=True)
class Plan:
    """How a stream is published."""

    topic: str
    type: str | None
    close: bool
    grace: float
    key: str
    retry_for: float
    first_byte: float
    on_progress: Callable[[StreamProgress], None] | None

    def __post_init__(self) -> None:
        if not self.topic:
            raise ValueError("a topic has at least one character")
        if not is_plain(self.topic):
            raise ValueError(f"`{self.topic}` cannot be streamed to: proxies may take its URL for another topic's")
        checked_key(self.key, defaults.STREAM_KEY_SIZE)
        for name in ("grace", "retry_for", "first_byte"):
            not_negative(name, getattr(self, name))


class Sender:
    """Sends what is in its outbox, until everything is acknowledged or it has failed."""

    def __init__(self, hub: Hub[Any], plan: Plan) -> None:
        self.outbox = Outbox()
        self._hub = hub
        self._plan = plan
        self._backoff = Backoff()
        self._failing: float | None = None
        self._streaming = hub.direct()
        #: Whether an answer has ever come while the body was still sent.
        self._proven = False
        self._first: str | None = None
        self._last: str | None = None
        self._closed = False

    async def run(self) -> StreamPublished:
        try:
            return await self._run()
        finally:
            self.outbox.abandon()

    async def _run(self) -> StreamPublished:
        done = False
        while not done:
            try:
                done = await (self._stream() if self._streaming else self._batch())
            except TidingsError as error:
                now = anyio.current_time()
                rest = self._backoff.after(error, renewable=self._hub.renewable)
                if self._failing is None:
                    self._failing = now
                # Where another attempt would do no better, the rest is for ever.
                if not now - self._failing + rest < self._plan.retry_for:
                    raise
                # The hub may be away, or something on the way holds bodies back: the other way tells.
                if not self._proven:
                    self._streaming = not self._streaming and self._hub.direct()
                await anyio.sleep(rest)
        return StreamPublished(self.outbox.first, self._last, self._plan.topic, self._first, self._closed)

    def _url(self, start: int, closes: bool) -> str:
        parameters = [("stream", "lines")]
        if self._plan.type is not None:
            parameters.append(("event", self._plan.type))
        if start:
            parameters.append(("from", str(start)))
        if closes:
            parameters += [("close", "true"), ("grace", f"{round(self._plan.grace * 1000)}ms")]
        return self._hub.endpoint.topic(self._plan.topic, parameters)

    def _fields(self, accept: str) -> dict[str, str]:
        return {"Accept": accept, "Content-Type": _LINES, "Idempotency-Key": self._plan.key}

    def _acknowledge(self, start: int, told: dict[str, Any]) -> None:
        events, first, last = told.get("events", 0), told.get("first"), told.get("last")
        if not isinstance(events, int) or events < 0:
            raise TidingsError("malformed", "this is no acknowledgement")
        if not start and isinstance(first, str):
            self._first = first
        if isinstance(last, str):
            self._last = last
        self._closed = told.get("closed") is True
        if self.outbox.acknowledge(start + events):
            self._backoff = Backoff()
            self._failing = None
            if self._plan.on_progress is not None:
                self._plan.on_progress(StreamProgress(self.outbox.first, self._last))

    async def _stream(self) -> bool:
        """Sends what there is and what comes in one request, and hears meanwhile what is durable."""
        # Nothing is asked for before there is something to say.
        while not self.outbox.waits and not self.outbox.over:
            await self.outbox.change()
        if self.outbox.failed and not self.outbox.waits:
            return True
        start = self.outbox.first
        url = self._url(start, self._plan.close)
        headers = {**self._hub.headers, **self._fields(_LINES), **await self._hub.authorization()}
        async with connect(url, self._hub.tls(), answered=self._hub.answered()) as duplex:
            failures: list[TidingsError] = []
            done = False
            async with anyio.create_task_group() as tasks:

                async def send() -> None:
                    try:
                        await duplex.begin(url, headers)
                        await self._send(duplex, start)
                    except TidingsError:
                        # The answer says why, or that there is none.
                        pass

                async def receive() -> None:
                    nonlocal done
                    try:
                        done = await self._receive(duplex, start)
                    except TidingsError as error:
                        failures.append(error)
                    tasks.cancel_scope.cancel()

                tasks.start_soon(send)
                tasks.start_soon(receive)
            if failures:
                raise failures[0]
            return done

    async def _send(self, duplex: Duplex, start: int) -> None:
        following = start
        while True:
            if lines := self.outbox.after(following):
                following += len(lines)
                await duplex.send(b"".join(lines))
                continue
            if self.outbox.over:
                # A source that failed is not to look like an end: the receiver breaks it off once all is durable.
                if not (self.outbox.failed and self._plan.close):
                    await duplex.end()
                return
            with anyio.move_on_after(defaults.STREAM_SIGN) as silent:
                await self.outbox.change()
            if silent.cancelled_caught:
                await duplex.send(b"\n")

    async def _receive(self, duplex: Duplex, start: int) -> bool:
        with anyio.move_on_after(self._plan.first_byte) as late:
            answer = await duplex.head()
            if answer.status != 200 or not answer.content_type.startswith(_LINES):
                await _refused(duplex, answer)
        if late.cancelled_caught:
            raise TidingsError("stalled", f"no answer began for {self._plan.first_byte:.1f} s")
        self._proven = True
        if not self.outbox.waits:
            self._failing = None
        line = b""
        while True:
            if self.outbox.failed and self._plan.close and not self.outbox.waits:
                return True
            piece = await self._piece(duplex)
            if piece is None:
                raise TidingsError("broken", "the answer has no end")
            *lines, line = (line + piece).split(b"\n")
            if len(line) > defaults.ANSWER_SIZE:
                raise TidingsError("malformed", "a line of the answer has no end")
            for text in filter(None, lines):
                told = _object(text)
                self._acknowledge(start, told)
                if "problem" in told:
                    problem = Problem.of(told["problem"]) or Problem()
                    raise refusal(problem.status or 500, True, problem.detail or "no reason", problem)
                if "topic" in told:
                    if self.outbox.waits or not self.outbox.over or self._closed != self._plan.close:
                        raise TidingsError("ended", "the hub ended the stream before its time")
                    return True

    async def _piece(self, duplex: Duplex) -> bytes | None:
        """What comes next. While something waits for it, it has to come in time."""
        received: list[bytes | None] = []
        async with anyio.create_task_group() as tasks:
            error: list[TidingsError] = []

            async def receive() -> None:
                try:
                    received.append(await duplex.receive())
                except TidingsError as told:
                    error.append(told)
                tasks.cancel_scope.cancel()

            tasks.start_soon(receive)
            while True:
                if self.outbox.failed and self._plan.close and not self.outbox.waits:
                    received.append(b"")
                    tasks.cancel_scope.cancel()
                patience = defaults.STREAM_SIGN
                if self.outbox.waits or self.outbox.over:
                    patience = self.outbox.since + defaults.PUBLISH_TIMEOUT - anyio.current_time()
                    if patience <= 0:
                        error.append(TidingsError("late", f"nothing was acknowledged for {defaults.PUBLISH_TIMEOUT:.0f} s"))
                        tasks.cancel_scope.cancel()
                with anyio.move_on_after(max(patience, 0)):
                    await self.outbox.change()
        if error:
            raise error[0]
        return received[0]

    async def _batch(self) -> bool:
        """Sends what there is in a request of its own, and says whether it was the last."""
        outbox = self.outbox
        while not outbox.waits and not outbox.over:
            await outbox.change()
        start, lines = outbox.first, outbox.after(outbox.first)
        last = outbox.over and len(lines) == outbox.waits
        if last and outbox.failed and not lines:
            return True
        url = self._url(start, last and self._plan.close and not outbox.failed)
        told = await self._hub.ask(_short(url, self._fields("application/json"), b"".join(lines)))
        self._acknowledge(start, told)
        return last


_LINES = "application/x-ndjson"


def _short(url: str, headers: dict[str, str], body: bytes) -> Flow[dict[str, Any]]:
    answer = yield Open("POST", url, headers, body, defaults.PUBLISH_TIMEOUT, "late")
    yield from check(answer, "application/json")
    return _object((yield from whole(defaults.ANSWER_SIZE, defaults.PAGE_TIMEOUT)))


async def _refused(duplex: Duplex, answer: Answer) -> None:
    """Says why an answer is none that a stream has."""
    flow = check(answer, _LINES)
    try:
        command = next(flow)
        while True:
            if not isinstance(command, Read):
                raise AssertionError(command)
            command = flow.send(await duplex.receive())
    except StopIteration:
        raise TidingsError("unexpected", f"{answer.status}, an answer without a body", status=answer.status) from None


def _object(text: bytes) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except ValueError as error:
        raise TidingsError("malformed", error) from error
    if not isinstance(told, dict):
        raise TidingsError("malformed", "this is no acknowledgement")
    return told
