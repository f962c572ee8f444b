"""Streams that are published as they come, against a real hub, and through what is on the way to it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

import tidings
from tidings import Message

from .support.hub import Hub
from .support.keys import authority
from .support.mode import HubClient, Mode, Source
from .support.nginx import nginx
from .support.script import Exchange, Script, problem


@contextmanager
def streaming(client: HubClient, topic: str = "a", **options: Any) -> Iterator[tuple[Source, Future[tidings.StreamPublished]]]:
    source = Source()
    with ThreadPoolExecutor(1) as pool:
        published = pool.submit(client.publish_stream, topic, source, **options)
        try:
            yield source, published
        finally:
            source.end()


def test_each_item_is_an_event_as_it_comes_and_what_is_durable_is_told(mode: Mode, hub: Hub) -> None:
    client = mode.client(hub.url)
    events = client.subscribe("a", since="earliest")
    items = [
        "one",
        "",
        {"n": 1},
        "two\nlines \U0001f600",
        7,
        None,
        b"\xff\x00",
        Message("x", "own"),
        tidings.RawJson('{"m":\n1}'),
    ]
    progress: list[tidings.StreamProgress] = []
    told = []
    with streaming(client, type="token", close=True, on_progress=progress.append) as (source, published):
        for item in items:
            source.write(item)
            # The stream is still open: nothing waits for its end.
            told += events.take(1)
        source.end()
        done = published.result(60)
    datas = ["one", "", {"n": 1}, "two\nlines \U0001f600", 7, None, b"\xff\x00", "x", {"m": 1}]
    assert [event.data for event in told] == datas
    assert [event.type for event in told] == ["token"] * 7 + ["own", "token"]
    assert (done.topic, done.events, done.first, done.last, done.closed) == ("a", 9, told[0].id, told[-1].id, True)
    assert (progress[-1].events, progress[-1].last) == (9, done.last)
    assert events.rest() == []
    assert events.state.reason is None


def test_whatever_can_be_iterated_is_a_source_and_without_close_the_topic_goes_on(mode: Mode, hub: Hub) -> None:
    client = mode.client(hub.url)
    assert not client.publish_stream("a", iter(["a", "b"])).closed
    assert client.publish_stream("a", ["c"]).events == 1
    assert client.publish_stream("a", []).events == 0
    assert client.publish_stream("a", (n for n in range(3))).events == 3
    assert client.subscribe("a", since="earliest").datas(6) == ["a", "b", "c", 0, 1, 2]
    with pytest.raises(TypeError):
        client.publish_stream("a", 7)
    with pytest.raises(TypeError):
        client.publish_stream("a", [object()])
    for topic in ("a/../b", ""):
        with pytest.raises(ValueError, match=r"topic|proxies"):
            client.publish_stream(topic, ["x"])
    with pytest.raises(ValueError, match="key"):
        client.publish_stream("a", ["x"], idempotency_key="k" * 235)


def test_an_empty_stream_ends_its_topic(mode: Mode, hub: Hub) -> None:
    client = mode.client(hub.url)
    assert client.publish_stream("a", [], close=True).closed
    assert client.subscribe("a", since="earliest").rest() == []


def test_nothing_is_lost_or_repeated_while_the_hub_is_killed(mode: Mode, hub: Hub) -> None:
    client = mode.client(hub.url)
    events = client.subscribe("a", since="earliest")
    seen: list[Any] = []
    with streaming(client, close=True, grace=60) as (source, published):
        for n in range(300):
            if n in (100, 200):
                seen += events.datas(n - 50 - len(seen))
                hub.kill()
                source.write(n)
                hub.resume()
            else:
                source.write(n)
        source.end()
        assert published.result(60).events == 300
    assert seen + [event.data for event in events.rest()] == list(range(300))
    assert events.state.reason is None


def test_the_same_stream_under_the_same_key_is_published_once(mode: Mode, hub: Hub) -> None:
    client = mode.client(hub.url)
    for _ in range(2):
        assert client.publish_stream("a", ["x", "y"], idempotency_key="k").events == 2
    assert client.publish_stream("a", ["z"], close=True).events == 1
    assert [event.data for event in client.subscribe("a", since="earliest").rest()] == ["x", "y", "z"]


def test_a_source_that_fails_ends_the_topic_as_aborted_after_all_that_it_had(mode: Mode, hub: Hub) -> None:
    client = mode.client(hub.url)
    events = client.subscribe("a", since="earliest")
    with streaming(client, close=True, grace=600) as (source, published):
        source.write("one")
        events.take(1)
        source.write("two")
        source.fail(KeyError("the model is gone"))
        with pytest.raises(KeyError, match="the model is gone"):
            published.result(60)
    assert [event.data for event in events.rest()] == ["two"]
    assert events.state.reason == "aborted"


def test_a_stop_button_stops_a_producer_and_closes_its_source(mode: Mode, hub: Hub) -> None:
    client = mode.client(hub.url)
    events = client.subscribe("a", since="earliest")
    with streaming(client, close=True) as (source, published):
        source.write("one")
        events.take(1)
        with tidings.Client(hub.url) as reader:
            reader.close_topic("a", reason="stopped")
        if mode.name == "sync":
            # Nothing wakes an iterator of a thread that waits: it is stopped with one of its next items.
            while not source.closed.wait(0.05):
                source.write("more")
        with pytest.raises(tidings.RefusedError) as refused:
            published.result(60)
        assert source.closed.wait(60)
    assert refused.value.status == 409
    assert refused.value.problem
    assert refused.value.problem.reason == "stopped"
    assert [event.data for event in events.rest()] == []
    assert events.state.reason == "stopped"


@pytest.mark.parametrize("method", ["publish_stream", "publish_stream_sync"])
def test_a_producer_that_is_killed_ends_its_topic_as_aborted(hub: Hub, method: str) -> None:
    program = f"""
import asyncio, time, tidings

def source():
    yield "one"
    time.sleep(600)

async def each():
    yield "one"
    await asyncio.sleep(600)

options = {{"close": True, "grace": 0}}
if {method!r} == "publish_stream":
    asyncio.run(tidings.publish_stream({hub.url!r}, "a", each(), **options))
else:
    tidings.publish_stream_sync({hub.url!r}, "a", source(), **options)
"""
    with subprocess.Popen([sys.executable, "-c", program]) as producer:
        try:
            with tidings.subscribe_sync(hub.url, "a", since="earliest") as events:
                assert next(events).data == "one"
                producer.kill()
                assert next(events, None) is None
                assert events.state.reason == "aborted"
        finally:
            producer.kill()


@pytest.mark.anyio
async def test_a_task_that_is_cancelled_breaks_its_stream_off(hub: Hub, anyio_backend: str) -> None:
    closed = anyio.Event()

    async def source() -> Any:
        try:
            yield "one"
            await anyio.sleep_forever()
        finally:
            closed.set()

    async with tidings.AsyncClient(hub.url) as client, client.subscribe("a", since="earliest") as events:
        async with anyio.create_task_group() as tasks:

            async def publish() -> None:
                await client.publish_stream("a", source(), close=True, grace=600)

            tasks.start_soon(publish)
            assert (await anext(events)).data == "one"
            tasks.cancel_scope.cancel()
        assert closed.is_set()
        assert await anext(events, None) is None
        assert events.state.reason == "aborted"


def test_no_more_is_taken_from_a_source_than_waits_for_the_hub(mode: Mode) -> None:
    # It takes a body, and acknowledges nothing.
    def silent(exchange: Exchange) -> None:
        exchange.head(200, "application/x-ndjson")
        exchange.stay()

    taken = [0]

    def endless() -> Iterator[str]:
        while True:
            taken[0] += 1
            yield "x" * 10_000

    with Script(silent) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr("tidings._defaults.PUBLISH_TIMEOUT", 2.0)
        with pytest.raises(tidings.TidingsError) as late:
            mode.client(server.url).publish_stream("a", endless(), retry_for=0)
    assert late.value.kind == "late"
    assert 50 < taken[0] < 120


@pytest.mark.parametrize("direct", [True, False])
def test_through_a_proxy_that_holds_bodies_back_it_goes_in_short_requests(mode: Mode, hub: Hub, direct: bool) -> None:
    # nginx as it comes reads a body to its end before it passes it on.
    with nginx(hub) as origin:
        client = mode.client(origin)
        # What is given an HTTP client of its own, as one with a proxy, has no connections beside it.
        client.inner._owned = direct
        events = client.subscribe("a", since="earliest")
        with streaming(client, close=True, first_byte=0.5) as (source, published):
            for n in range(5):
                source.write(n)
                assert events.datas(1) == [n]
            for n in range(5, 2_000):
                source.write(n)
            source.end()
            done = published.result(60)
        client.inner._owned = True
        assert (done.events, done.closed) == (2_000, True)
        assert [event.data for event in events.rest()] == list(range(5, 2_000))
        assert events.state.reason is None


def test_a_hub_that_is_away_is_waited_for_for_so_long(mode: Mode, hub: Hub) -> None:
    hub.kill()
    client = mode.client(hub.url)
    with pytest.raises(tidings.TidingsError) as away:
        client.publish_stream("a", ["x"], retry_for=0)
    assert away.value.kind == "unreachable"
    with streaming(client) as (source, published):
        source.write("x")
        source.end()
        hub.resume()
        assert published.result(60).events == 1


def test_what_the_hub_says_in_the_middle_of_its_answer_is_told_as_what_it_is(mode: Mode) -> None:
    def refused(exchange: Exchange) -> None:
        exchange.head(200, "application/x-ndjson")
        exchange.write('{"events":1,"last":"aaaaaa-1"}\n')
        exchange.write('{"problem":{"type":"urn:tidings:event-too-large","status":413,"detail":"item 1 is too large"}}\n')

    with Script(refused) as server, pytest.raises(tidings.RefusedError) as told:
        mode.client(server.url).publish_stream("a", ["a", "b"])
    assert told.value.status == 413
    with Script(problem(401, "expired")) as server, pytest.raises(tidings.RefusedError) as told:
        mode.client(server.url, token="t").publish_stream("a", ["a"])
    assert told.value.status == 401


@pytest.mark.parametrize("line", ["[]", "{", '{"events":-1}', '{"events":"1"}'])
def test_what_is_no_acknowledgement_is_said_to_be_none(mode: Mode, line: str) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.head(200, "application/x-ndjson")
        exchange.write(f"{line}\n")

    with Script(answer) as server, pytest.raises(tidings.TidingsError) as told:
        mode.client(server.url).publish_stream("a", ["a"], retry_for=0)
    assert told.value.kind == "malformed"


def test_it_streams_over_tls(mode: Mode, tmp_path: Path) -> None:
    ca, flags = authority(tmp_path)
    with Hub(*flags) as hub:
        client = mode.client(hub.url, ca_file=ca)
        events = client.subscribe("a", since="earliest")
        with streaming(client, close=True) as (source, published):
            source.write("one")
            assert events.datas(1) == ["one"]
            source.end()
            assert published.result(60).closed
        events.close()
        with pytest.raises(tidings.TidingsError) as untrusted:
            mode.client(hub.url).publish_stream("b", ["x"])
        assert untrusted.value.kind == "untrusted"


def test_an_end_beside_an_acknowledgement_is_answered_whole(hub: Hub) -> None:
    """Lines of acknowledgement are 100 ms apart at least, and the end of a body may come just when one is due. The hub has to
    answer for all of it. Without a client that would notice, and with many streams, so that some meet that moment."""
    port = int(hub.listen.rpartition(":")[2])

    async def stream(number: int) -> dict[str, Any]:
        async with await anyio.connect_tcp("127.0.0.1", port) as connection:
            reader = BufferedByteReceiveStream(connection)

            async def send(*lines: bytes) -> None:
                await connection.send(b"".join(b"%x\r\n%s\r\n" % (len(line), line) for line in lines))

            fields = "Content-Type: application/x-ndjson\r\nAccept: application/x-ndjson\r\nTransfer-Encoding: chunked"
            target = f"/topics/t{number}?stream=lines&close=true"
            head = f"POST {target} HTTP/1.1\r\nHost: {hub.listen}\r\nIdempotency-Key: k\r\n{fields}\r\n\r\n"
            await connection.send(head.encode())
            item = b'{"data":1}\n'
            await send(item)
            while b'"events"' not in await reader.receive_until(b"\n", 10_000):
                pass
            await send(item)
            # Until about when the next line is due.
            await anyio.sleep(0.085 + number % 30 / 1_000)
            await send(item * 20)
            await connection.send(b"0\r\n\r\n")
            while b'"topic"' not in (line := await reader.receive_until(b"\n", 10_000)):
                pass
            told: dict[str, Any] = json.loads(line)
            return told

    async def all_streams() -> list[dict[str, Any]]:
        told = []

        async def one(number: int) -> None:
            told.append(await stream(number))

        async with anyio.create_task_group() as tasks:
            for number in range(300):
                tasks.start_soon(one, number)
        return told

    assert {(told["events"], told["closed"]) for told in anyio.run(all_streams)} == {(22, True)}
