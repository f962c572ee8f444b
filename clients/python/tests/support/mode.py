"""One way to write a test for both clients: the asynchronous one, on asyncio and on trio, is driven from a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Any

import pytest
from anyio import to_thread
from anyio.from_thread import BlockingPortal, start_blocking_portal

import tidings
from tidings import Event, Published, State


class Told:
    """All that a subscription has told of itself, and a way to wait for more."""

    def __init__(self) -> None:
        self.states: list[State] = []
        self.gaps: list[tidings.Gap] = []
        self._changed = threading.Condition()

    def on_state(self, state: State) -> None:
        with self._changed:
            self.states.append(state)
            self._changed.notify_all()

    def on_gap(self, gap: tidings.Gap) -> None:
        with self._changed:
            self.gaps.append(gap)
            self._changed.notify_all()

    def until(self, holds: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(holds, 60), self.states

    def first(self, status: str) -> State:
        return next(state for state in self.states if state.status == status)


class Events:
    """A subscription of either kind."""

    def __init__(self, inner: Any, told: Told, portal: BlockingPortal | None) -> None:
        self.inner = inner
        self.told = told
        self._portal = portal

    @property
    def cursor(self) -> str | None:
        cursor: str | None = self.inner.cursor
        return cursor

    @property
    def state(self) -> State:
        state: State = self.inner.state
        return state

    def next(self) -> Event | None:
        """The next event, or `None` at the end."""
        event: Event | None = self._portal.call(self.inner._pull) if self._portal else self.inner._pull()
        return event

    def take(self, count: int) -> list[Event]:
        taken: list[Event] = []
        while len(taken) < count:
            event = self.next()
            assert event is not None, f"it ended after {taken}: {self.state}"
            taken.append(event)
        return taken

    def datas(self, count: int) -> list[Any]:
        return [event.data for event in self.take(count)]

    def rest(self) -> list[Event]:
        return list(iter(self.next, None))

    def open(self) -> None:
        self._portal.call(self.inner.open) if self._portal else self.inner.open()

    def pause(self) -> None:
        self._portal.call(self.inner.pause) if self._portal else self.inner.pause()

    def resume(self) -> None:
        self._portal.call(self.inner.resume) if self._portal else self.inner.resume()

    def close(self) -> None:
        self._portal.call(self.inner.aclose) if self._portal else self.inner.close()

    def waiting(self) -> State:
        """Goes on until an attempt has come to nothing; says why."""
        return self.reach("waiting")

    def failed(self) -> tidings.TidingsError:
        with pytest.raises(tidings.TidingsError) as told:
            self.next()
        assert self.state.status == "failed"
        assert self.state.error is told.value
        return told.value

    def reach(self, *statuses: str) -> State:
        """Goes on until a state is reached that was not told before, past no event."""
        seen = len(self.told.states)
        step = self.inner._step
        while True:
            for state in self.told.states[seen:]:
                if state.status in statuses:
                    return state
            seen = len(self.told.states)
            ready = self.inner._session.ready
            assert not (ready and isinstance(ready[0], Event)), f"an event came before {statuses}: {ready[0]}"
            assert not self.state.over, self.state
            self._portal.call(step) if self._portal else step()


class Mode:
    """Either client, by name: `sync`, `asyncio`, `trio`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def __enter__(self) -> Mode:
        if self.name != "sync":
            self._portal = self._stack.enter_context(start_blocking_portal(self.name))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def client(self, url: str, **options: Any) -> HubClient:
        kind: Any = tidings.AsyncClient if self._portal else tidings.Client
        client = HubClient(kind(url, **options), self._portal)
        self._stack.callback(client.close)
        return client

    def subscribe(self, url: str, topics: Any = "t", **options: Any) -> Events:
        """A subscription by a client of its own."""
        of_client = {
            name: options.pop(name) for name in list(options) if name in {"token", "headers", "ca_file", "verify", "http"}
        }
        return self.client(url, **of_client).subscribe(topics, **options)


class Source:
    """A source of items that a test gives one by one."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        #: Set once nobody wants any more of it.
        self.closed = threading.Event()

    def write(self, item: Any) -> None:
        self._items.put(("item", item))

    def end(self) -> None:
        self._items.put(("end", None))

    def fail(self, error: Exception) -> None:
        self._items.put(("fail", error))

    def __iter__(self) -> Iterator[Any]:
        try:
            while (told := self._items.get())[0] == "item":
                yield told[1]
            if told[0] == "fail":
                raise told[1]
        finally:
            self.closed.set()

    async def each(self) -> AsyncIterator[Any]:
        try:
            while (told := await to_thread.run_sync(self._items.get, abandon_on_cancel=True))[0] == "item":
                yield told[1]
            if told[0] == "fail":
                raise told[1]
        finally:
            self.closed.set()
            # A thread that still waits for it.
            self.end()


class HubClient:
    def __init__(self, inner: Any, portal: BlockingPortal | None) -> None:
        self.inner = inner
        self._portal = portal
        self._open: list[Events] = []

    def subscribe(self, topics: Any = "t", **options: Any) -> Events:
        told = Told()
        options = {"on_state": told.on_state, "on_gap": told.on_gap, **options}
        events = Events(self.inner.subscribe(topics, **options), told, self._portal)
        self._open.append(events)
        return events

    def publish(self, *arguments: Any, **options: Any) -> Published:
        return self._call("publish", *arguments, **options)

    def publish_batch(self, *arguments: Any, **options: Any) -> Published:
        return self._call("publish_batch", *arguments, **options)

    def publish_each(self, *arguments: Any, **options: Any) -> Published:
        return self._call("publish_each", *arguments, **options)

    def close_topic(self, *arguments: Any, **options: Any) -> Published:
        return self._call("close_topic", *arguments, **options)

    def publish_stream(self, topic: str, source: Any, **options: Any) -> tidings.StreamPublished:
        """`source` is what the synchronous client takes. The asynchronous one takes a `Source` as one of its own kind."""
        given: Any = source.each() if self._portal and isinstance(source, Source) else source
        published: Any = self._call("publish_stream", topic, given, **options)
        assert isinstance(published, tidings.StreamPublished)
        return published

    def close(self) -> None:
        for events in self._open:
            events.close()
        self._portal.call(self.inner.aclose) if self._portal else self.inner.close()

    def _call(self, name: str, *arguments: Any, **options: Any) -> Published:
        method = getattr(self.inner, name)
        result: Published
        if self._portal:

            async def call() -> Published:
                published: Published = await method(*arguments, **options)
                return published

            result = self._portal.call(call)
        else:
            result = method(*arguments, **options)
        return result


def each(manager: AbstractContextManager[Any]) -> Iterator[Any]:
    """A fixture of a context manager."""
    with manager as entered:
        yield entered
