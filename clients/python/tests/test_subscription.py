from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import pytest

import tidings

from .support.hub import Hub
from .support.mode import Events, Mode

TRANSPORTS = ["websocket", "sse", "long-poll", "poll"]
each_transport = pytest.mark.parametrize("transport", TRANSPORTS)


@each_transport
def test_every_kind_of_data_arrives_as_it_was_published(mode: Mode, hub: Hub, transport: str) -> None:
    client = mode.client(hub.url)
    events = client.subscribe("a/*", transports=[transport], interval=0.05)
    events.open()
    assert events.state.status == "open"
    client.publish("a/text", "one\ntwo\r\n\u00fc")
    client.publish("a/json", {"price": 1.5, "list": [None, True]}, type="tick")
    client.publish("a/bytes", b"\xff\x00")
    client.publish("a/empty", "")
    text, data, raw, empty = events.take(4)
    assert (text.topic, text.data, text.type) == ("a/text", "one\ntwo\r\n\u00fc", None)
    assert (data.type, data.data) == ("tick", {"price": 1.5, "list": [None, True]})
    assert raw.data == b"\xff\x00"
    assert empty.data == ""
    assert text.datetime.tzinfo is not None
    assert events.cursor == empty.id


@each_transport
def test_what_python_reads_with_trouble_is_an_event_like_others(mode: Mode, hub: Hub, transport: str) -> None:
    client = mode.client(hub.url)
    client.publish("a", tidings.RawJson("[" * 5_000 + "1" + "]" * 5_000))
    client.publish("a", tidings.RawJson("9" * 5_000))
    client.publish("a", "after")
    deep, long, after = client.subscribe("a", transports=[transport], since="earliest").datas(3)
    depth = 0
    while isinstance(deep, list):
        [deep] = deep
        depth += 1
    assert (depth, deep, str(long), after) == (5_000, 1, "9" * 5_000, "after")


@each_transport
def test_a_closed_topic_ends_and_ends_whoever_comes_later(mode: Mode, hub: Hub, transport: str) -> None:
    client = mode.client(hub.url)
    client.publish("job", "1")
    events = client.subscribe("job", transports=[transport], since="earliest", interval=0.05)
    assert events.datas(1) == ["1"]
    client.publish("job", "2", close=True)
    assert [event.data for event in events.rest()] == ["2"]
    assert events.state.status == "ended"
    assert events.rest() == []
    events.close()
    assert events.state.status == "ended", "nothing comes after the end"
    later = client.subscribe("job", transports=[transport], cursor=events.cursor)
    assert later.rest() == []
    assert (later.state.status, later.cursor) == ("ended", events.cursor)


@each_transport
def test_an_end_says_why(mode: Mode, hub: Hub, transport: str) -> None:
    request = urllib.request.Request(f"{hub.url}/topics/job?close=true&reason=stopped", b"last", method="POST")
    urllib.request.urlopen(request).close()
    events = mode.client(hub.url).subscribe("job", transports=[transport], since="earliest")
    assert [event.data for event in events.rest()] == ["last"]
    assert (events.state.status, events.state.reason) == ("ended", "stopped")


def test_leaving_a_loop_closes_and_the_next_goes_on(hub: Hub) -> None:
    with tidings.Client(hub.url) as client:
        client.publish_batch("a", [str(number) for number in range(5)])
        pulled = []
        events = client.subscribe("a", since="earliest")
        for event in events:
            pulled.append(event.data)
            assert events.cursor == event.id
            if event.data == "2":
                break
        assert pulled == ["0", "1", "2"]
        assert events.state.status == "closed"
        assert list(events) == []
        rest = client.subscribe("a", cursor=events.cursor)
        assert [next(rest).data, next(rest).data] == ["3", "4"]
        rest.close()


@pytest.mark.anyio
async def test_leaving_an_asynchronous_loop_closes(hub: Hub) -> None:
    async with tidings.AsyncClient(hub.url) as client:
        await client.publish_batch("a", ["0", "1"])
        async with client.subscribe("a", since="earliest") as events:
            async for event in events:
                assert event.data == "0"
                break
        assert events.state.status == "closed"
        with pytest.raises(StopAsyncIteration):
            await events.__anext__()


def test_a_loop_raises_where_the_subscription_fails(mode: Mode, hub: Hub) -> None:
    events = mode.subscribe(hub.url, "a", since="yesterday")
    error = events.failed()
    assert isinstance(error, tidings.RefusedError)
    assert (error.kind, error.status) == ("refused", 400)
    assert error.problem
    assert error.problem.type == "urn:tidings:invalid-query"
    assert "yesterday" in str(error)
    # It stays so.
    assert events.failed() is error
    with pytest.raises(tidings.RefusedError):
        events.open()


def test_the_parameters_of_a_subscription(mode: Mode, hub: Hub) -> None:
    client = mode.client(hub.url)
    client.publish("a", "1", type="x")
    client.publish("b", "2", type="y")
    client.publish("c", "3", type="y")
    client.publish("a", "4")
    assert client.subscribe(["a", "b"], types="y", since="earliest").datas(1) == ["2"]
    assert client.subscribe(["a", "b"], types=["y", "message"], since=-2).datas(2) == ["2", "4"]
    assert client.subscribe("**", since=-1).datas(1) == ["4"]


def test_a_pause_stops_the_delivery_and_the_connection(mode: Mode, hub: Hub) -> None:
    client = mode.client(hub.url)
    for transport in ("websocket", "sse", "long-poll"):
        events = client.subscribe(transport, transports=[transport])
        events.open()
        client.publish(transport, "1")
        assert events.datas(1) == ["1"]
        events.pause()
        assert events.state.status == "paused"
        assert events.inner._wire._response is None
        client.publish(transport, "2")
        events.resume()
        assert events.datas(1) == ["2"]


def test_one_reader_at_a_time(hub: Hub) -> None:
    events: tidings.Subscription

    def nested(state: tidings.State) -> None:
        told.append(state.status)
        if state.status == "open":
            with pytest.raises(RuntimeError, match="one reader"):
                next(events)

    told: list[str] = []
    with tidings.subscribe_sync(hub.url, "a", on_state=nested) as events:
        events.open()
    assert told == ["open", "closed"]


def test_a_callback_may_close(mode: Mode, hub: Hub) -> None:
    client = mode.client(hub.url)

    if mode.name == "sync":

        def close_at_once(state: tidings.State) -> None:
            if state.status == "open":
                events.close()

        events: Events = client.subscribe("a", on_state=close_at_once)
    else:

        async def close(state: tidings.State) -> None:
            if state.status == "open":
                await events.inner.aclose()

        events = client.subscribe("a", on_state=close)
    assert events.rest() == []
    assert events.state.status == "closed"
    assert events.inner._wire._response is None


def test_the_cursor_is_kept_and_begun_from(mode: Mode, hub: Hub, tmp_path: Path) -> None:
    client = mode.client(hub.url)
    store = tidings.FileStore(tmp_path / "cursor")
    assert store.load() is None
    client.publish_batch("a", ["1", "2", "3"])
    first = client.subscribe("a", since="earliest", store=store)
    one, two = first.take(2)
    # What is being dealt with is not done yet.
    assert store.load() == one.id
    first.close()
    second = client.subscribe("a", since="earliest", store=store)
    assert second.datas(2) == ["2", "3"]
    assert store.load() == two.id
    assert [path.name for path in tmp_path.iterdir()] == ["cursor"]


def test_a_with_block_that_ends_well_keeps_the_last_cursor(hub: Hub, tmp_path: Path) -> None:
    store = tidings.FileStore(tmp_path / "cursor")
    tidings.publish_sync(hub.url, "a", "1")

    def deal(fails: bool) -> str:
        with tidings.subscribe_sync(hub.url, "a", since="earliest", store=store) as events:
            event = next(events)
            if fails:
                raise KeyError
        return event.id

    with pytest.raises(KeyError):
        deal(fails=True)
    before = store.load()
    last = deal(fails=False)
    assert store.load() == last != before


@pytest.mark.anyio
async def test_an_asynchronous_with_block_that_ends_well_keeps_the_last_cursor(hub: Hub, tmp_path: Path) -> None:
    store = tidings.FileStore(tmp_path / "cursor")
    await tidings.publish(hub.url, "a", "1")
    async with tidings.subscribe(hub.url, "a", since="earliest", store=store) as events:
        event = await anext(events)
        assert store.load() != event.id
    assert store.load() == event.id


def test_a_store_that_cannot_be_read_fails_as_another_beginning_would_lose_events(mode: Mode, hub: Hub) -> None:
    class Store:
        def load(self) -> str:
            raise OSError("no disk")

        def save(self, cursor: str) -> None: ...

    error = mode.subscribe(hub.url, "a", store=Store()).failed()
    assert error.kind == "store"
    assert "no disk" in str(error)


def test_a_store_that_does_not_keep_is_told_and_loses_nothing(mode: Mode, hub: Hub) -> None:
    client = mode.client(hub.url)
    client.publish_batch("a", ["1", "2", "3", "4"])
    kept: list[str] = []
    works = [False]

    class Store:
        def load(self) -> str | None:
            return None

        def save(self, cursor: str) -> Any:
            if not works[0]:
                raise OSError("full")
            kept.append(cursor)
            if mode.name != "sync":
                import anyio

                return anyio.lowlevel.checkpoint()
            return None

    events = client.subscribe("a", since="earliest", store=Store())
    assert events.datas(2) == ["1", "2"]
    assert events.state.store_error
    assert events.state.store_error.kind == "store"
    works[0] = True
    [three] = events.take(1)
    assert three.data == "3"
    assert events.state.store_error is None
    events.take(1)
    assert kept[-1] == three.id
    # Only the first failure is told, and that it is over.
    told = [(state.status, state.store_error is None) for state in events.told.states]
    assert told == [("connecting", False), ("open", False), ("open", True)]


def test_the_largest_event_is_the_size_of_one_and_not_of_all(mode: Mode, hub: Hub) -> None:
    client = mode.client(hub.url)
    client.publish_batch("a", ["x" * 1_000] * 400)
    events = client.subscribe("a", since="earliest", transports=["sse"], max_event_size=80_000)
    assert events.datas(400) == ["x" * 1_000] * 400
    assert [state.status for state in events.told.states] == ["open"]


def test_topics_that_are_written_in_strange_ways(mode: Mode, hub: Hub) -> None:
    client = mode.client(hub.url)
    for topic in ("a b/\u00fc", "a?#%2e", "...", "topics/x", ".a/b.", "a+b&c=d", "a\\b", "~x", "a;b,c:@!$'()"):
        published = client.publish(topic, "x")
        assert published.topic == topic
        [event] = client.subscribe(topic, since="earliest").take(1)
        assert (event.topic, event.id) == (topic, published.id)


@each_transport
def test_what_is_pending_is_folded_as_asked_for(mode: Mode, hub: Hub, transport: str) -> None:
    client = mode.client(hub.url)
    tokens = [f"{number} " for number in range(50)]
    for token in tokens:
        client.publish("a", token)
    for conflate, expected in (("append", "".join(tokens)), ("latest", tokens[-1])):
        events = client.subscribe("a", since="earliest", conflate=conflate, every=0.05, transports=[transport])
        assert events.datas(1) == [expected]
        events.close()
    with pytest.raises(ValueError, match="conflate"):
        client.subscribe("a", conflate="newest")
    with pytest.raises(ValueError, match="every"):
        client.subscribe("a", every=-1)
