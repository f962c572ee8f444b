"""Events from a Tidings hub, and to it: resumed without loss or repetition, over whichever transport works.

    import tidings

    async for event in tidings.subscribe("http://127.0.0.1:8080", "orders/*", since="earliest"):
        print(event.topic, event.data)

`Client` and `AsyncClient` keep their connections for many requests. `publish`, `subscribe` and their `_sync` twins are for
programs that have one thing to say or to hear.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import _defaults as defaults
from ._errors import ErrorKind, Problem, RefusedError, TidingsError
from ._events import Event, Gap, GapReason
from ._http import VERSION as __version__
from ._ladder import Transport
from ._message import Message, RawJson
from ._publication import Published, StreamProgress, StreamPublished
from ._settings import TRANSPORTS as _TRANSPORTS
from ._settings import Conflate, Since
from ._state import State, Status
from ._store import FileStore
from ._sync import Client, CursorStore, Subscription, Token

if TYPE_CHECKING:
    import ssl

    from ._async import AsyncClient, AsyncCursorStore, AsyncSubscription, AsyncToken

__all__ = [
    "AsyncClient",
    "AsyncCursorStore",
    "AsyncSubscription",
    "AsyncToken",
    "Client",
    "Conflate",
    "CursorStore",
    "ErrorKind",
    "Event",
    "FileStore",
    "Gap",
    "GapReason",
    "Message",
    "Problem",
    "Published",
    "RawJson",
    "RefusedError",
    "Since",
    "State",
    "Status",
    "StreamProgress",
    "StreamPublished",
    "Subscription",
    "TidingsError",
    "Token",
    "Transport",
    "__version__",
    "publish",
    "publish_stream",
    "publish_stream_sync",
    "publish_sync",
    "subscribe",
    "subscribe_sync",
]


def __getattr__(name: str) -> Any:
    # anyio is needed for these alone.
    if name in ("AsyncClient", "AsyncCursorStore", "AsyncSubscription", "AsyncToken"):
        from . import _async

        return getattr(_async, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


def subscribe(
    url: str,
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
    transports: Sequence[Transport] = _TRANSPORTS,
    heartbeat: float = defaults.HEARTBEAT,
    first_byte: float = defaults.FIRST_BYTE,
    climb_after: float = defaults.CLIMB_AFTER,
    wait: float = defaults.LONG_POLL_WAIT,
    interval: float = defaults.POLL_INTERVAL,
    max_event_size: int = defaults.EVENT_SIZE,
    parse: Callable[[str], Any] | None = None,
    token: AsyncToken | None = None,
    headers: Mapping[str, str] | None = None,
    verify: ssl.SSLContext | bool = True,
    ca_file: str | os.PathLike[str] | None = None,
) -> AsyncSubscription:
    """Subscribes to what a hub has on some topics: `async for event in tidings.subscribe(…)`.

    The options are those of `AsyncClient` and of its `subscribe`. The connection is the subscription's own, and is closed
    with it.
    """
    from ._async import AsyncClient

    client = AsyncClient(url, token=token, headers=headers, verify=verify, ca_file=ca_file)
    subscription = client.subscribe(
        topics,
        since=since,
        cursor=cursor,
        types=types,
        conflate=conflate,
        every=every,
        store=store,
        on_gap=on_gap,
        on_state=on_state,
        transports=transports,
        heartbeat=heartbeat,
        first_byte=first_byte,
        climb_after=climb_after,
        wait=wait,
        interval=interval,
        max_event_size=max_event_size,
        parse=parse,
    )
    subscription._owns_client = True
    return subscription


def subscribe_sync(
    url: str,
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
    transports: Sequence[Transport] = _TRANSPORTS,
    heartbeat: float = defaults.HEARTBEAT,
    first_byte: float = defaults.FIRST_BYTE,
    climb_after: float = defaults.CLIMB_AFTER,
    wait: float = defaults.LONG_POLL_WAIT,
    interval: float = defaults.POLL_INTERVAL,
    max_event_size: int = defaults.EVENT_SIZE,
    parse: Callable[[str], Any] | None = None,
    token: Token | None = None,
    headers: Mapping[str, str] | None = None,
    verify: ssl.SSLContext | bool = True,
    ca_file: str | os.PathLike[str] | None = None,
) -> Subscription:
    """Subscribes to what a hub has on some topics: `for event in tidings.subscribe_sync(…)`.

    The options are those of `Client` and of its `subscribe`. The connection is the subscription's own, and is closed
    with it.
    """
    client = Client(url, token=token, headers=headers, verify=verify, ca_file=ca_file)
    subscription = client.subscribe(
        topics,
        since=since,
        cursor=cursor,
        types=types,
        conflate=conflate,
        every=every,
        store=store,
        on_gap=on_gap,
        on_state=on_state,
        transports=transports,
        heartbeat=heartbeat,
        first_byte=first_byte,
        climb_after=climb_after,
        wait=wait,
        interval=interval,
        max_event_size=max_event_size,
        parse=parse,
    )
    subscription._owns_client = True
    return subscription


async def publish(
    url: str,
    topic: str,
    data: Any,
    *,
    type: str | None = None,
    close: bool = False,
    idempotency_key: str | None = None,
    retry_for: float = defaults.PUBLISH_RETRY,
    token: AsyncToken | None = None,
    headers: Mapping[str, str] | None = None,
    verify: ssl.SSLContext | bool = True,
    ca_file: str | os.PathLike[str] | None = None,
) -> Published:
    """Publishes one event, by a connection of its own. See `AsyncClient.publish`."""
    from ._async import AsyncClient

    async with AsyncClient(url, token=token, headers=headers, verify=verify, ca_file=ca_file) as client:
        return await client.publish(topic, data, type=type, close=close, idempotency_key=idempotency_key, retry_for=retry_for)


def publish_sync(
    url: str,
    topic: str,
    data: Any,
    *,
    type: str | None = None,
    close: bool = False,
    idempotency_key: str | None = None,
    retry_for: float = defaults.PUBLISH_RETRY,
    token: Token | None = None,
    headers: Mapping[str, str] | None = None,
    verify: ssl.SSLContext | bool = True,
    ca_file: str | os.PathLike[str] | None = None,
) -> Published:
    """Publishes one event, by a connection of its own. See `Client.publish`."""
    with Client(url, token=token, headers=headers, verify=verify, ca_file=ca_file) as client:
        return client.publish(topic, data, type=type, close=close, idempotency_key=idempotency_key, retry_for=retry_for)


async def publish_stream(
    url: str,
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
    token: AsyncToken | None = None,
    headers: Mapping[str, str] | None = None,
    verify: ssl.SSLContext | bool = True,
    ca_file: str | os.PathLike[str] | None = None,
) -> StreamPublished:
    """Publishes each item of a source as an event, as it comes. See `AsyncClient.publish_stream`."""
    from ._async import AsyncClient

    async with AsyncClient(url, token=token, headers=headers, verify=verify, ca_file=ca_file) as client:
        return await client.publish_stream(
            topic,
            source,
            type=type,
            close=close,
            grace=grace,
            idempotency_key=idempotency_key,
            retry_for=retry_for,
            first_byte=first_byte,
            on_progress=on_progress,
        )


def publish_stream_sync(
    url: str,
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
    token: Token | None = None,
    headers: Mapping[str, str] | None = None,
    verify: ssl.SSLContext | bool = True,
    ca_file: str | os.PathLike[str] | None = None,
) -> StreamPublished:
    """Publishes each item of a source as an event, as it comes. See `Client.publish_stream`."""
    with Client(url, token=token, headers=headers, verify=verify, ca_file=ca_file) as client:
        return client.publish_stream(
            topic,
            source,
            type=type,
            close=close,
            grace=grace,
            idempotency_key=idempotency_key,
            retry_for=retry_for,
            first_byte=first_byte,
            on_progress=on_progress,
        )
