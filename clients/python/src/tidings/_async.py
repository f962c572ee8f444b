from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import anyio.lowlevel

from . import _defaults as defaults
from . import _http
from ._async_wire import AsyncWire
from ._commands import Flow, Hangup, Interrupted
from ._endpoint import Endpoint
from ._errors import TidingsError
from ._events import Event, Gap
from ._ladder import Transport
from ._message import letter, random_key
from ._publication import Published, StreamProgress, StreamPublished, publication
from ._publish_stream import Hub, Plan, Sender
from ._session import Session
from ._settings import TRANSPORTS, Conflate, Since, bearer, headers_of, not_negative, settle
from ._state import State
from ._subscription import BaseSubscription

if TYPE_CHECKING:
    import ssl

    import httpx

AsyncToken = str | Callable[[], str | Awaitable[str | None] | None]
"""A bearer token, or what supplies one: it is asked again for each attempt."""


class AsyncCursorStore(Protocol):
    """Where a cursor is kept from one life of a program to the next. `FileStore` is one, too."""

    def load(self) -> Awaitable[str | None] | str | None:
        """The cursor that was kept; `None` where nothing was."""

    def save(self, cursor: str) -> Awaitable[None] | None:
        """Keeps a cursor. It is called once what lies before the cursor is dealt with."""


class AsyncClient:
    """A client of one hub, for asyncio and trio.

    Use it as `async with AsyncClient(url) as hub:`, or call `aclose()` in the end.
    """

    def __init__(
        self,
        url: str,
        *,
        token: AsyncToken | None = None,
        headers: Mapping[str, str] | None = None,
        verify: ssl.SSLContext | bool = True,
        ca_file: str | os.PathLike[str] | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """A client of the hub at `url`, which may have a path that comes before those of the hub. Nothing is sent yet.

        `ca_file` names a PEM file with the certificates to trust, instead of those of public authorities. `http` is an HTTP
        client of your own, which stays yours to close; it should follow no redirects.
        """
        import httpx

        self._endpoint = Endpoint(url)
        self._token = token
        self._headers = headers_of(headers, token)
        if http is not None and (ca_file is not None or verify is not True):
            raise ValueError("certificates are a matter of the HTTP client that is given")
        self._owned = http is None
        self._certificates = (verify, ca_file)
        self._http = http or httpx.AsyncClient(**_http.options(self._endpoint, verify, ca_file))
        self._answered = False

    def __repr__(self) -> str:
        return f"<AsyncClient of {self._endpoint}>"

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections that nobody uses. Close the subscriptions before."""
        if self._owned:
            with anyio.CancelScope(shield=True):
                await self._http.aclose()

    async def publish(
        self,
        topic: str,
        data: Any,
        *,
        type: str | None = None,
        close: bool = False,
        idempotency_key: str | None = None,
        retry_for: float = defaults.PUBLISH_RETRY,
    ) -> Published:
        """Publishes one event: `str` as text, `bytes` as they are, and any other value as JSON (`RawJson` as it is written).

        Once this returns, the event is as durable as the hub promises. Where the hub is away it is tried again for
        `retry_for` seconds, always under one idempotency key, so that it is published exactly once. With `close`, it is the
        topic's last event.
        """
        return await self._publish(topic, [(topic, data)], type, close, idempotency_key, retry_for, False)

    async def publish_batch(
        self,
        topic: str,
        items: Iterable[Any],
        *,
        type: str | None = None,
        close: bool = False,
        idempotency_key: str | None = None,
        retry_for: float = defaults.PUBLISH_RETRY,
    ) -> Published:
        """Publishes several events on one topic, whole or not at all, with nothing between them. An item is data, or a `Message`
        with a type of its own."""
        batch = [(topic, data) for data in items]
        return await self._publish(topic, batch, type, close, idempotency_key, retry_for, True)

    async def publish_each(
        self,
        items: Iterable[tuple[str, Any]],
        *,
        type: str | None = None,
        idempotency_key: str | None = None,
        retry_for: float = defaults.PUBLISH_RETRY,
    ) -> Published:
        """Publishes events on several topics, each item a topic and its data, whole or not at all, with nothing between them."""
        return await self._publish(None, list(items), type, False, idempotency_key, retry_for, True)

    async def publish_stream(
        self,
        topic: str,
        source: AsyncIterable[Any] | Iterable[Any],
        *,
        type: str | None = None,
        close: bool = False,
        grace: float = defaults.STREAM_GRACE,
        idempotency_key: str | None = None,
        retry_for: float = defaults.PUBLISH_RETRY,
        first_byte: float = defaults.FIRST_BYTE,
        on_progress: Callable[[StreamProgress], None] | None = None,
    ) -> StreamPublished:
        """Publishes each item of a source as an event, as it comes: items are data, or a `Message` with a type of its own.

        Returns once the source is at its end and everything is as durable as the hub promises. Where the connection breaks or
        the hub restarts, it goes on after what is acknowledged: each item is published exactly once. No more is taken from the
        source while a mebibyte waits.

        With `close` the topic ends with the source; where the source fails, or this is cancelled, it ends with the reason
        `aborted`, and a program that dies ends it so after `grace` seconds. Where somebody else ends the topic meanwhile, as a
        stop button does, `RefusedError` is raised with a status of 409 and `problem.reason`, and a source that waits is
        cancelled.

        Args:
            type: the event type of the items that have none of their own.
            close: ends the topic with the source.
            grace: with `close`: for how many seconds the hub waits for a producer whose connection broke.
            idempotency_key: item number n has the key `<key>/n`. Random without one.
            retry_for: for how many seconds without success it is tried again where the hub cannot be reached.
            first_byte: how many seconds the answer may take to begin before the items go in short requests, as something on
                the way holds bodies back.
            on_progress: is told whenever more has become durable.
        """
        key = random_key() if idempotency_key is None else idempotency_key
        plan = Plan(topic, type, close, grace, key, retry_for, first_byte, on_progress)
        return await _feed(self, plan, source)

    async def close_topic(
        self,
        topic: str,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        retry_for: float = defaults.PUBLISH_RETRY,
    ) -> Published:
        """Ends a topic without a further event. `reason` tells its readers, and whoever streams to it, why: `stopped` is that
        of a stop button."""
        return await self._publish(topic, [], None, True, idempotency_key, retry_for, False, reason)

    async def _publish(
        self,
        topic: str | None,
        items: list[tuple[str, Any]],
        type: str | None,
        close: bool,
        key: str | None,
        retry_for: float,
        batch: bool,
        reason: str | None = None,
    ) -> Published:
        not_negative("retry_for", retry_for)
        if not items and not close:
            raise ValueError("a batch has at least one event")
        written = letter(self._endpoint, topic, items, type=type, close=close, key=key, batch=batch, reason=reason)
        flow = publication(written, retry_for=retry_for, renewable=callable(self._token))
        published: Published = await self._perform(flow)
        return published

    async def _perform(self, flow: Flow[Any]) -> Any:
        wire = AsyncWire(self)
        try:
            command = next(flow)
            while True:
                try:
                    result = await wire.perform(command)
                except TidingsError as error:
                    command = flow.throw(error)
                else:
                    command = flow.send(result)
        except StopIteration as done:
            return done.value
        finally:
            await wire.hang_up()

    def subscribe(
        self,
        topics: str | Iterable[str],
        *,
        since: Since = "latest",
        cursor: str | None = None,
        types: str | Iterable[str] = (),
        conflate: Conflate | None = None,
        every: float | None = None,
        store: AsyncCursorStore | None = None,
        on_gap: Callable[[Gap], Awaitable[None] | None] | None = None,
        on_state: Callable[[State], Awaitable[None] | None] | None = None,
        transports: Sequence[Transport] = TRANSPORTS,
        heartbeat: float = defaults.HEARTBEAT,
        first_byte: float = defaults.FIRST_BYTE,
        climb_after: float = defaults.CLIMB_AFTER,
        wait: float = defaults.LONG_POLL_WAIT,
        interval: float = defaults.POLL_INTERVAL,
        max_event_size: int = defaults.EVENT_SIZE,
        parse: Callable[[str], Any] | None = None,
    ) -> AsyncSubscription:
        """Subscribes to a topic, a selector, or the union of several. See `Client.subscribe` for the options; here, a store and
        the callbacks may be asynchronous as well."""
        settings = settle(
            self._endpoint,
            topics,
            since=since,
            types=types,
            conflate=conflate,
            every=every,
            transports=transports,
            heartbeat=heartbeat,
            first_byte=first_byte,
            climb_after=climb_after,
            wait=wait,
            interval=interval,
            max_event_size=max_event_size,
            parse=parse,
        )
        session = Session(settings, cursor, renewable=callable(self._token))
        return AsyncSubscription(self, session, store, on_gap, on_state)

    async def _authorization(self) -> dict[str, str]:
        token = self._token
        if token is None:
            return {}
        try:
            if callable(token):
                with anyio.fail_after(defaults.TOKEN_TIMEOUT):
                    supplied = token()
                    token = await supplied if inspect.isawaitable(supplied) else supplied
            return {"Authorization": bearer(token)} if token else {}
        except TimeoutError:
            raise TidingsError("token", "the supplier of tokens took too long") from None
        except Exception as error:
            raise TidingsError("token", error) from error


class _AsyncHub(Hub["AsyncClient"]):
    async def authorization(self) -> dict[str, str]:
        return await self._client._authorization()

    async def ask(self, flow: Flow[Any]) -> Any:
        return await self._client._perform(flow)


async def _feed(client: AsyncClient, plan: Plan, source: AsyncIterable[Any] | Iterable[Any]) -> StreamPublished:
    """Gives the items of a source to a sender, which works in a task of its own for so long."""
    sender = Sender(_AsyncHub(client), plan)
    outbox = sender.outbox
    published: list[StreamPublished] = []
    failed: list[Exception] = []
    ends = anyio.Event()
    iterator: Any = aiter(source) if isinstance(source, AsyncIterable) else iter(source)

    async def send() -> None:
        try:
            published.append(await sender.run())
        except Exception as error:
            failed.append(error)
            # Whatever the source waits for, nobody wants it any more.
            feeding.cancel()
        finally:
            ends.set()

    async def end_aborted() -> None:
        if plan.close:
            # Where this fails, the hub ends the topic by itself after the grace.
            with suppress(TidingsError):
                await client.close_topic(plan.topic, reason="aborted", retry_for=0)

    try:
        async with anyio.create_task_group() as tasks:
            feeding = anyio.CancelScope()
            tasks.start_soon(send)
            try:
                with feeding:
                    if isinstance(source, AsyncIterable):
                        async for item in iterator:
                            await outbox.put(item)
                    else:
                        for item in iterator:
                            await outbox.put(item)
                            await anyio.lowlevel.checkpoint()
                    await outbox.end()
            except Exception as error:
                # What it had before is kept.
                failed.append(error)
                await outbox.end(failed=True)
            await ends.wait()
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(defaults.HANGUP_TIMEOUT, shield=True):
            await end_aborted()
        raise
    finally:
        await _close(iterator)
    if failed:
        if outbox.failed:
            await end_aborted()
        raise failed[0]
    return published[0]


async def _close(iterator: Any) -> None:
    """Nothing more is wanted of a source."""
    with anyio.move_on_after(defaults.HANGUP_TIMEOUT, shield=True):
        if (aclose := getattr(iterator, "aclose", None)) is not None:
            await aclose()
        elif (close := getattr(iterator, "close", None)) is not None:
            close()


class AsyncSubscription(BaseSubscription):
    """Events as they come: `async for event in subscription`.

    It works only while it is asked for the next event: it starts no task, and while you are slow the hub holds the events, not
    this program. Use it as `async with … as events:`, so that it is closed at once however the block ends. Without that, leaving
    the loop closes it, a little later.
    """

    def __init__(
        self,
        client: AsyncClient,
        session: Session,
        store: AsyncCursorStore | None,
        on_gap: Callable[[Gap], Awaitable[None] | None] | None,
        on_state: Callable[[State], Awaitable[None] | None] | None,
        owns_client: bool = False,
    ) -> None:
        super().__init__(session, session.settings.url)
        self._client = client
        self._wire = AsyncWire(client)
        self._store = store
        self._on_gap = on_gap
        self._on_state = on_state
        self._owns_client = owns_client

    async def __aenter__(self) -> AsyncSubscription:
        self._entered = True
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            await self._save()
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self if self._entered else self._alone()

    async def _alone(self) -> AsyncIterator[Event]:
        """A loop without a `with` closes what it leaves."""
        try:
            while (event := await self._pull()) is not None:
                yield event
        finally:
            await self.aclose()

    async def __anext__(self) -> Event:
        """The next event. Where the task is cancelled meanwhile, the next call goes on at the same place by a new connection."""
        event = await self._pull()
        if event is None:
            raise StopAsyncIteration
        return event

    async def open(self) -> None:
        """Returns once the subscription has its place in the log: whatever is published from now on is delivered. Raises where
        the hub refuses it; where the hub is away, waits for it."""
        self._begin()
        try:
            while not (self._state.over or self._state.status == "open"):
                await self._step()
            self._check()
        finally:
            await self._leave()

    async def pause(self) -> None:
        """Stops delivering and disconnects. Who asks for an event waits."""
        if self._state.over or self._session.paused:
            return
        self._session.paused = True
        self._wire.interrupt()
        if not self._pulling:
            await self._wire.hang_up()
        if self._enter(State("paused")):
            await self._tell(self._on_state, self._state)

    def resume(self) -> None:
        """Goes on where it was, once it is asked for an event."""
        if self._session.paused:
            self._session.paused = False
            self._wire.interrupt()

    async def aclose(self) -> None:
        """Ends the subscription: who waits for an event gets none."""
        told = self._enter(State("closed"))
        self._session.ready.clear()
        if self._pulling:
            self._wire.interrupt()
        else:
            await self._finish()
        if told:
            await self._tell(self._on_state, self._state)

    async def _pull(self) -> Event | None:
        self._begin()
        try:
            await self._save()
            while not self._state.over:
                ready = self._session.ready
                if ready and not self._session.paused and type(event := ready[0]) is Event:
                    ready.popleft()
                    self._cursor = event.id
                    return event
                await self._step()
            self._check()
            return None
        finally:
            await self._leave()

    def _check(self) -> None:
        if self._state.status == "failed" and self._state.error:
            raise self._state.error

    async def _step(self) -> None:
        """Takes one thing that is no event, or asks the network for more."""
        ready = self._session.ready
        if ready and not self._session.paused:
            await self._take(ready.popleft())
            return
        if self._flow is None:
            await self._load()
            self._flow = self._session.life()
            self._command = next(self._flow)
            return
        if self._command is None:
            raise AssertionError("the session is over")
        try:
            result = await self._wire.perform(self._command)
        except (TidingsError, Interrupted) as error:
            self._go_on(error=error)
        except BaseException:
            # The task was cancelled, and may come back.
            if not isinstance(self._command, Hangup):
                self._go_on(error=Interrupted())
            raise
        else:
            self._go_on(result)

    async def _take(self, step: Any) -> None:
        told = self._moved_to(step)
        if isinstance(told, State):
            await self._tell(self._on_state, told)
        elif isinstance(told, Gap):
            if self._on_gap is None:
                self._missed(told)
            await self._tell(self._on_gap, told)
        await self._save()

    async def _tell(self, callback: Callable[[Any], Awaitable[None] | None] | None, told: object) -> None:
        if callback is not None:
            result = callback(told)
            if inspect.isawaitable(result):
                await result

    async def _load(self) -> None:
        if self._store is None:
            return
        try:
            loaded = self._store.load()
            kept = await loaded if inspect.isawaitable(loaded) else loaded
        except Exception as error:
            # Another beginning would lose events.
            failed = TidingsError("store", error)
            self._session.ended = True
            self._session.ready.append(State("failed", error=failed))
            return
        if kept:
            self._session.cursor = self._cursor = self._saved = kept

    async def _save(self) -> None:
        cursor = self._cursor
        if self._store is None or cursor is None or cursor == self._saved:
            return
        failed = None
        try:
            saved = self._store.save(cursor)
            if inspect.isawaitable(saved):
                await saved
        except Exception as error:
            # A cursor that is not kept means events once more, and none lost.
            failed = TidingsError("store", error)
        self._saved = cursor
        if self._store_told(failed):
            await self._tell(self._on_state, self._state)

    async def _leave(self) -> None:
        self._pulling = False
        if self._state.over:
            await self._finish()

    async def _finish(self) -> None:
        if self._flow is not None:
            self._flow.close()
        await self._wire.hang_up()
        if self._owns_client:
            await self._client.aclose()
