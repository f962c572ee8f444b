from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from . import _defaults as defaults
from . import _http
from ._commands import Flow, Hangup, Interrupted
from ._endpoint import Endpoint
from ._errors import TidingsError
from ._events import Event, Gap
from ._ladder import Transport
from ._message import letter
from ._publication import Published, StreamProgress, StreamPublished, publication
from ._session import Session
from ._settings import TRANSPORTS, Conflate, Since, bearer, headers_of, not_negative, settle
from ._state import State
from ._subscription import BaseSubscription
from ._wire import Wire

if TYPE_CHECKING:
    import ssl

    import httpx

Token = str | Callable[[], str | None]
"""A bearer token, or what supplies one: it is asked again for each attempt."""


class CursorStore(Protocol):
    """Where a cursor is kept from one life of a program to the next. `FileStore` is one."""

    def load(self) -> str | None:
        """The cursor that was kept; `None` where nothing was."""

    def save(self, cursor: str) -> None:
        """Keeps a cursor. It is called once what lies before the cursor is dealt with."""


class Client:
    """A client of one hub. Threads may share it; a subscription is for one thread at a time.

    Use it as `with Client(url) as hub:`, or call `close()` in the end.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token | None = None,
        headers: Mapping[str, str] | None = None,
        verify: ssl.SSLContext | bool = True,
        ca_file: str | os.PathLike[str] | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        """A client of the hub at `url`, which may have a path that comes before those of the hub. Nothing is sent yet.

        `ca_file` names a PEM file with the certificates to trust, instead of those of public authorities. `http` is an HTTP
        client of your own, which stays yours to close; it should follow no redirects.
        """
        import httpx

        from ._deadline import watch_sockets

        self._endpoint = Endpoint(url)
        self._token = token
        self._headers = headers_of(headers, token)
        if http is not None and (ca_file is not None or verify is not True):
            raise ValueError("certificates are a matter of the HTTP client that is given")
        self._owned = http is None
        self._certificates = (verify, ca_file)
        self._http = http or httpx.Client(**_http.options(self._endpoint, verify, ca_file))
        if self._owned:
            watch_sockets(self._http)
        self._answered = False

    def __repr__(self) -> str:
        return f"<Client of {self._endpoint}>"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections that nobody uses. Close the subscriptions before."""
        if self._owned:
            self._http.close()

    def publish(
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
        return self._publish(topic, [(topic, data)], type, close, idempotency_key, retry_for, False)

    def publish_batch(
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
        return self._publish(topic, batch, type, close, idempotency_key, retry_for, True)

    def publish_each(
        self,
        items: Iterable[tuple[str, Any]],
        *,
        type: str | None = None,
        idempotency_key: str | None = None,
        retry_for: float = defaults.PUBLISH_RETRY,
    ) -> Published:
        """Publishes events on several topics, each item a topic and its data, whole or not at all, with nothing between them."""
        return self._publish(None, list(items), type, False, idempotency_key, retry_for, True)

    def publish_stream(
        self,
        topic: str,
        source: Iterable[Any],
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

        With `close` the topic ends with the source; where the source fails, it ends with the reason
        `aborted`, and a program that dies ends it so after `grace` seconds. Where somebody else ends the topic meanwhile, as a
        stop button does, `RefusedError` is raised with a status of 409 and `problem.reason`: with the next item, as nothing
        wakes a source that waits.

        Args:
            type: the event type of the items that have none of their own.
            close: ends the topic with the source.
            grace: with `close`: for how many seconds the hub waits for a producer whose connection broke.
            idempotency_key: item number n has the key `<key>/n`. Random without one.
            retry_for: for how many seconds without success it is tried again where the hub cannot be reached.
            first_byte: how many seconds the answer may take to begin before the items go in short requests, as something on
                the way holds bodies back.
            on_progress: is told whenever more has become durable, from another thread.
        """
        # It needs an event loop, which needs anyio.
        from ._sync_stream import publish_stream

        return publish_stream(self, source, topic, type, close, grace, idempotency_key, retry_for, first_byte, on_progress)

    def close_topic(
        self,
        topic: str,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        retry_for: float = defaults.PUBLISH_RETRY,
    ) -> Published:
        """Ends a topic without a further event. `reason` tells its readers, and whoever streams to it, why: `stopped` is that
        of a stop button."""
        return self._publish(topic, [], None, True, idempotency_key, retry_for, False, reason)

    def _publish(
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
        published: Published = self._perform(flow)
        return published

    def _perform(self, flow: Flow[Any]) -> Any:
        wire = Wire(self)
        try:
            command = next(flow)
            while True:
                try:
                    result = wire.perform(command)
                except TidingsError as error:
                    command = flow.throw(error)
                else:
                    command = flow.send(result)
        except StopIteration as done:
            return done.value
        finally:
            wire.hang_up()

    def subscribe(
        self,
        topics: str | Iterable[str],
        *,
        since: Since = "latest",
        cursor: str | None = None,
        types: str | Iterable[str] = (),
        conflate: Conflate | None = None,
        every: float | None = None,
        store: CursorStore | None = None,
        on_gap: Callable[[Gap], None] | None = None,
        on_state: Callable[[State], None] | None = None,
        transports: Sequence[Transport] = TRANSPORTS,
        heartbeat: float = defaults.HEARTBEAT,
        first_byte: float = defaults.FIRST_BYTE,
        climb_after: float = defaults.CLIMB_AFTER,
        wait: float = defaults.LONG_POLL_WAIT,
        interval: float = defaults.POLL_INTERVAL,
        max_event_size: int = defaults.EVENT_SIZE,
        parse: Callable[[str], Any] | None = None,
    ) -> Subscription:
        """Subscribes to a topic, a selector, or the union of several.

        Args:
            since: where to begin without a cursor: `latest`, `earliest`, `-10`, `15m`, a time.
            cursor: go on after this; one that the store keeps comes before it.
            types: only events of these types; one without a type has the type `message`.
            conflate: what the hub makes of pending events: of each topic the `latest`, or texts joined (`append`).
            every: the shortest time between two deliveries, in seconds, at most 60.
            store: keeps the cursor from one life of the program to the next.
            on_gap: is told where events may be missing, before what follows. Without it, a warning is logged.
            on_state: is told how the subscription stands, and why.
            transports: those to use, in this order.
            heartbeat: the interval of heartbeats to ask for, 1 to 60 s; 2.5 of them in silence count as dead.
            first_byte: how long a stream may take to begin before the next transport is tried.
            climb_after: how long after it was given up the first transport is tried again.
            wait: how long a long poll asks the hub to wait.
            interval: how long to rest between two short polls.
            max_event_size: the largest event that is taken, in bytes. A larger one makes the client try again and again, for
                it must not be passed over.
            parse: reads JSON, instead of Python's own: it is given each event, or each page of them, as the hub sent it.
        """
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
        return Subscription(self, session, store, on_gap, on_state)

    def _authorization(self) -> dict[str, str]:
        token = self._token
        if token is None:
            return {}
        try:
            token = token() if callable(token) else token
            return {"Authorization": bearer(token)} if token else {}
        except Exception as error:
            raise TidingsError("token", error) from error


class Subscription(BaseSubscription):
    """Events as they come: `for event in subscription`.

    It works only while it is asked for the next event: it starts no thread, and while you are slow the hub holds the events, not
    this program. Use it as `with … as events:`, so that it is closed however the block ends. Without that, leaving the loop
    closes it.
    """

    def __init__(
        self,
        client: Client,
        session: Session,
        store: CursorStore | None,
        on_gap: Callable[[Gap], None] | None,
        on_state: Callable[[State], None] | None,
        owns_client: bool = False,
    ) -> None:
        super().__init__(session, session.settings.url)
        self._client = client
        self._wire = Wire(client)
        self._store = store
        self._on_gap = on_gap
        self._on_state = on_state
        self._owns_client = owns_client
        #: Held while a thread pulls, and while one closes what nobody pulls.
        self._lock = threading.RLock()
        self._swept = False

    def __enter__(self) -> Subscription:
        self._entered = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._save()
        self.close()

    def __iter__(self) -> Iterator[Event]:
        return self if self._entered else self._alone()

    def _alone(self) -> Iterator[Event]:
        """A loop without a `with` closes what it leaves."""
        try:
            while (event := self._pull()) is not None:
                yield event
        finally:
            self.close()

    def __next__(self) -> Event:
        """The next event."""
        event = self._pull()
        if event is None:
            raise StopIteration
        return event

    def open(self) -> None:
        """Returns once the subscription has its place in the log: whatever is published from now on is delivered. Raises where
        the hub refuses it; where the hub is away, waits for it."""
        self._enter_thread()
        try:
            while not (self._state.over or self._state.status == "open"):
                self._step()
            self._check()
        finally:
            self._leave()

    def pause(self) -> None:
        """Stops delivering and disconnects. A thread that asks for an event waits."""
        if self._state.over or self._session.paused:
            return
        self._session.paused = True
        self._wire.interrupt()
        if self._lock.acquire(blocking=False):
            try:
                if not self._pulling:
                    self._wire.hang_up()
            finally:
                self._lock.release()
        if self._enter(State("paused")):
            self._tell(self._on_state, self._state)

    def resume(self) -> None:
        """Goes on where it was, once it is asked for an event."""
        if self._session.paused:
            self._session.paused = False
            self._wire.interrupt()

    def close(self) -> None:
        """Ends the subscription. From any thread: one that waits for an event gets none."""
        told = self._enter(State("closed"))
        self._wire.interrupt()
        self._sweep()
        if told:
            self._tell(self._on_state, self._state)

    def _pull(self) -> Event | None:
        self._enter_thread()
        try:
            self._save()
            while not self._state.over:
                ready = self._session.ready
                if ready and not self._session.paused and type(event := ready[0]) is Event:
                    ready.popleft()
                    self._cursor = event.id
                    return event
                self._step()
            self._check()
            return None
        finally:
            self._leave()

    def _enter_thread(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError("a subscription has one reader at a time")
        try:
            self._begin()
        except BaseException:
            self._lock.release()
            raise

    def _leave(self) -> None:
        self._pulling = False
        self._lock.release()
        self._sweep()

    def _sweep(self) -> None:
        """Leaves nothing behind what is over. Where another thread has the lock, it does so once it has released it."""
        while self._state.over and not self._swept and self._lock.acquire(blocking=False):
            try:
                if self._pulling:
                    return
                self._swept = True
                self._finish()
            finally:
                self._lock.release()

    def _check(self) -> None:
        if self._state.status == "failed" and self._state.error:
            raise self._state.error

    def _step(self) -> None:
        """Takes one thing that is no event, or asks the network for more."""
        ready = self._session.ready
        if ready and not self._session.paused:
            self._take(ready.popleft())
            return
        if self._flow is None:
            self._load()
            self._flow = self._session.life()
            self._command = next(self._flow)
            return
        if self._command is None:
            raise AssertionError("the session is over")
        try:
            result = self._wire.perform(self._command)
        except (TidingsError, Interrupted) as error:
            self._go_on(error=error)
        except BaseException:
            # By a signal, such as Ctrl-C. The program may go on.
            if not isinstance(self._command, Hangup):
                self._go_on(error=Interrupted())
            raise
        else:
            self._go_on(result)

    def _take(self, step: Any) -> None:
        told = self._moved_to(step)
        if isinstance(told, State):
            self._tell(self._on_state, told)
        elif isinstance(told, Gap):
            if self._on_gap is None:
                self._missed(told)
            self._tell(self._on_gap, told)
        self._save()

    def _tell(self, callback: Callable[[Any], None] | None, told: object) -> None:
        if callback is not None:
            callback(told)

    def _load(self) -> None:
        if self._store is None:
            return
        try:
            kept = self._store.load()
        except Exception as error:
            # Another beginning would lose events.
            failed = TidingsError("store", error)
            self._session.ended = True
            self._session.ready.append(State("failed", error=failed))
            return
        if kept:
            self._session.cursor = self._cursor = self._saved = kept

    def _save(self) -> None:
        cursor = self._cursor
        if self._store is None or cursor is None or cursor == self._saved:
            return
        failed = None
        try:
            self._store.save(cursor)
        except Exception as error:
            # A cursor that is not kept means events once more, and none lost.
            failed = TidingsError("store", error)
        self._saved = cursor
        if self._store_told(failed):
            self._tell(self._on_state, self._state)

    def _finish(self) -> None:
        if self._flow is not None:
            self._flow.close()
        self._session.ready.clear()
        self._wire.hang_up()
        if self._owns_client:
            self._client.close()
