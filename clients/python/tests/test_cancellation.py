"""Nothing is left behind: no thread, no task, no socket, whichever way a subscription ends."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

import tidings

from .support.hub import Hub
from .support.keys import authority
from .support.mode import Mode
from .support.script import Script, begin, block, events, silence


def sockets() -> int:
    """How many sockets this process has."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except OSError:
            # That of the listing itself.
            continue
    return found


@pytest.fixture
def no_more_sockets() -> Iterator[None]:
    gc.collect()
    before, threads = sockets(), threading.active_count()
    yield
    assert threading.active_count() == threads
    # What the event loop itself has is closed with it.
    assert sockets() <= before, "a socket was left behind"


@pytest.mark.usefixtures("no_more_sockets")
def test_leaving_a_loop_leaves_nothing(hub: Hub) -> None:
    tidings.publish_sync(hub.url, "a", 1)
    threads = threading.active_count()
    for event in tidings.subscribe_sync(hub.url, "a", since="earliest"):
        assert event.data == 1
        assert threading.active_count() == threads, "it started a thread"
        break
    with tidings.subscribe_sync(hub.url, "a", since="earliest") as subscription:
        next(subscription)
    with tidings.Client(hub.url) as client:
        client.publish("a", 2)
        with client.subscribe("a", since="earliest", transports=["long-poll"]) as subscription:
            next(subscription)


@pytest.mark.usefixtures("no_more_sockets")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_leaving_an_asynchronous_loop_leaves_nothing(hub: Hub, backend: str) -> None:
    async def main() -> None:
        await tidings.publish(hub.url, "a", 1)
        async with tidings.subscribe(hub.url, "a", since="earliest") as subscription:
            async for event in subscription:
                assert event.data == 1
                break
        if backend == "asyncio":
            # Without a `with`, the event loop closes it as soon as it has its turn. (trio would complain of it.)
            subscription = tidings.subscribe(hub.url, "a", since="earliest")
            async for _ in subscription:
                break
            while subscription.state.status != "closed" or len(asyncio.all_tasks()) > 1:
                await anyio.lowlevel.checkpoint()

    anyio.run(main, backend=backend)


@pytest.mark.usefixtures("no_more_sockets")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("transport", ["websocket", "sse", "long-poll"])
def test_a_task_that_is_cancelled_leaves_nothing_and_may_go_on(hub: Hub, backend: str, transport: tidings.Transport) -> None:
    async def main() -> None:
        told: list[str] = []
        options: dict[str, Any] = {"transports": [transport], "on_state": lambda state: told.append(state.status)}
        async with tidings.AsyncClient(hub.url) as client, client.subscribe("a", **options) as subscription:
            await subscription.open()
            for _ in range(2):
                with anyio.move_on_after(0.1) as scope:
                    await subscription.__anext__()
                assert scope.cancelled_caught
            # Nothing failed, and nothing is lost.
            await client.publish("a", 1)
            assert (await subscription.__anext__()).data == 1
            assert "waiting" not in told

            async def read() -> None:
                async for _ in subscription:
                    raise AssertionError

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()

    anyio.run(main, backend=backend)


@pytest.mark.usefixtures("no_more_sockets")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("by", ["close", "pause"])
def test_another_task_ends_what_waits(hub: Hub, backend: str, by: str) -> None:
    async def main() -> None:
        seen: list[object] = []
        async with tidings.subscribe(hub.url, "a") as subscription:
            await subscription.open()

            heard = anyio.Event()

            async def read() -> None:
                async for event in subscription:
                    seen.append(event.data)
                    heard.set()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                await anyio.wait_all_tasks_blocked()
                if by == "pause":
                    await subscription.pause()
                    await anyio.wait_all_tasks_blocked()
                    assert subscription.state.status == "paused"
                    await tidings.publish(hub.url, "a", 1)
                    assert seen == []
                    subscription.resume()
                    await heard.wait()
                await subscription.aclose()
            assert subscription.state.status == "closed"
            assert seen == ([1] if by == "pause" else [])

    anyio.run(main, backend=backend)


@pytest.mark.usefixtures("no_more_sockets")
@pytest.mark.parametrize("where", ["stream", "head", "rest", "paused"])
def test_another_thread_ends_what_waits(where: str) -> None:
    answers = {"stream": events(begin(), block(1)), "head": silence, "paused": events(begin(), block(1))}
    with Script(answers.get(where, silence)) as server:
        url = "http://127.0.0.1:1" if where == "rest" else server.url
        waits = threading.Event()

        def on_state(state: tidings.State) -> None:
            if state.status == "waiting":
                waits.set()

        subscription = tidings.subscribe_sync(url, "t", since="earliest", transports=["sse"], on_state=on_state)
        if where == "rest":
            # It rests for as long as anybody could wait here.
            subscription._session.backoff.set_base(1e9)
        if where in ("stream", "paused"):
            assert next(subscription).data == 1
        if where == "paused":
            subscription.pause()
        seen: list[object] = []
        thread = threading.Thread(target=lambda: seen.extend(subscription))
        thread.start()
        if where == "rest":
            assert waits.wait(60)
        elif where == "head":
            while not server.requests:
                time.sleep(0.01)
        # Wherever the thread is by now, it ends.
        subscription.close()
        thread.join(30)
        assert not thread.is_alive()
        assert (seen, subscription.state.status) == ([], "closed")
        subscription.close()


@pytest.mark.usefixtures("no_more_sockets")
def test_another_thread_ends_what_waits_over_tls(tmp_path: Path) -> None:
    ca, flags = authority(tmp_path)
    with Hub(*flags) as hub:
        subscription = tidings.subscribe_sync(hub.url, "a", ca_file=ca)
        subscription.open()
        thread = threading.Thread(target=lambda: list(subscription))
        thread.start()
        subscription.close()
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.usefixtures("no_more_sockets")
def test_a_thread_is_paused_and_goes_on_by_another(hub: Hub) -> None:
    subscription = tidings.subscribe_sync(hub.url, "a")
    subscription.open()
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.extend(event.data for event in subscription))
    thread.start()
    for number in range(5):
        subscription.pause()
        tidings.publish_sync(hub.url, "a", number)
        subscription.resume()
    tidings.publish_sync(hub.url, "a", "end", close=True)
    thread.join(60)
    assert seen == [0, 1, 2, 3, 4, "end"]


@pytest.mark.usefixtures("no_more_sockets")
def test_closing_races_with_reading(hub: Hub) -> None:
    for _ in range(30):
        subscription = tidings.subscribe_sync(hub.url, "a")
        thread = threading.Thread(target=lambda subscription=subscription: list(subscription))
        thread.start()
        subscription.close()
        thread.join(30)
        assert not thread.is_alive()
        assert subscription._wire._response is None


def test_a_signal_leaves_a_subscription_that_goes_on(hub: Hub) -> None:
    import signal

    class Alarm(Exception): ...

    def ring(*_: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    try:
        with tidings.subscribe_sync(hub.url, "a") as subscription:
            subscription.open()
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(Alarm):
                next(subscription)
            tidings.publish_sync(hub.url, "a", 1)
            assert next(subscription).data == 1
    finally:
        signal.signal(signal.SIGALRM, before)


def test_publishing_may_be_cancelled(hub: Hub) -> None:
    async def main() -> None:
        with Script(silence) as server:
            async with tidings.AsyncClient(server.url) as client:
                with anyio.move_on_after(0.1) as scope:
                    await client.publish("a", 1)
                assert scope.cancelled_caught

    for backend in ("asyncio", "trio"):
        anyio.run(main, backend=backend)


@pytest.mark.parametrize("transports", [["websocket"], ["sse"], ["long-poll"]])
def test_a_slow_reader_is_held_by_the_hub_and_not_by_memory(mode: Mode, hub: Hub, transports: list[tidings.Transport]) -> None:
    total = 2_000
    client = mode.client(hub.url)
    for first in range(0, total, 500):
        client.publish_batch("a", [f"{number}".ljust(4_000) for number in range(first, first + 500)])
    events = client.subscribe("a", since="earliest", transports=transports)
    most = 0
    for number in range(total):
        [event] = events.take(1)
        assert int(event.data) == number
        ready = events.inner._session.ready
        most = max(most, sum(len(step.data) for step in ready if isinstance(step, tidings.Event)))
    # A piece of a stream, or a page, of eight megabytes.
    assert most <= (1_100_000 if transports == ["long-poll"] else 100_000)


def test_a_reader_that_is_slower_than_the_hub_has_patience_loses_nothing(mode: Mode) -> None:
    total = 3_000
    with Hub("--write-timeout", "1s") as hub:
        client = mode.client(hub.url)
        for first in range(0, total, 500):
            client.publish_batch("a", [f"{number}".ljust(4_000) for number in range(first, first + 500)])
        events = client.subscribe("a", since="earliest", transports=["sse"])
        assert int(events.take(1)[0].data) == 0
        # What is on the way has filled all buffers, and the hub closes the connection: when, only the hub knows.
        with httpx.Client(base_url=hub.url, trust_env=False) as metrics:
            while 'tidings_subscribers{transport="sse"} 0\n' not in metrics.get("/metrics").text:
                time.sleep(0.1)
        assert [int(event.data) for event in events.take(total - 1)] == list(range(1, total))
        assert any(state.status == "waiting" for state in events.told.states)
