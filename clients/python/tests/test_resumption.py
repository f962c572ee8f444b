from __future__ import annotations

import signal
import threading

import pytest

import tidings

from .support.hub import Hub
from .support.mode import Mode


def test_a_cursor_works_on_every_transport(mode: Mode, hub: Hub) -> None:
    cursor = None
    client = mode.client(hub.url)
    for number, transport in enumerate(["sse", "websocket", "long-poll", "poll", "sse", "poll", "websocket", "long-poll"]):
        client.publish("a", number)
        events = client.subscribe("a", transports=[transport], since="earliest", cursor=cursor)
        assert events.datas(1) == [number]
        cursor = events.cursor
        events.close()


@pytest.mark.parametrize(
    "transports", [["websocket"], ["sse"], ["long-poll"], ["poll"], ["websocket", "sse", "long-poll", "poll"]], ids="-".join
)
def test_nothing_is_lost_or_repeated_while_the_hub_is_killed_again_and_again(
    mode: Mode, hub: Hub, transports: list[tidings.Transport]
) -> None:
    total = 200
    events = mode.subscribe(hub.url, "a", transports=transports, since="earliest", interval=0.02)

    def publish() -> None:
        with tidings.Client(hub.url) as publisher:
            for number in range(total):
                publisher.publish("a", number)

    thread = threading.Thread(target=publish)
    thread.start()
    seen: list[int] = []
    for before in (40, 80, 120):
        seen += events.datas(before - len(seen))
        hub.kill()
        hub.resume()
    seen += events.datas(total - len(seen))
    thread.join()
    assert seen == list(range(total))


@pytest.mark.parametrize("transport", ["websocket", "sse"])
def test_a_hub_that_shuts_down_is_come_back_to(mode: Mode, hub: Hub, transport: tidings.Transport) -> None:
    events = mode.subscribe(hub.url, "a", transports=[transport])
    events.open()
    hub.kill(signal.SIGTERM)
    error = events.waiting().error
    assert error
    assert error.kind == "ended"
    hub.resume()
    events.open()
    tidings.publish_sync(hub.url, "a", "1")
    assert events.datas(1) == ["1"]


def test_a_hub_that_is_away_is_said_to_be_unreachable_and_is_waited_for(mode: Mode, hub: Hub) -> None:
    hub.kill()
    events = mode.subscribe(hub.url, "a", since="earliest")
    state = events.waiting()
    assert state.error
    assert state.error.kind == "unreachable"
    assert state.retry_in is not None
    assert state.retry_in <= 1
    hub.resume()
    events.open()
    assert events.state.status == "open"


@pytest.mark.parametrize("transport", ["websocket", "sse", "long-poll", "poll"])
def test_a_gap_is_told_before_what_follows_it(mode: Mode, hub: Hub, transport: tidings.Transport) -> None:
    tidings.publish_sync(hub.url, "a", "1")
    events = mode.subscribe(hub.url, "a", transports=[transport], cursor="another1-7")
    events.open()
    assert events.told.gaps == []
    assert events.datas(1) == ["1"]
    [gap] = events.told.gaps
    assert (gap.reason, gap.since) == ("unknown", "another1-7")
    assert gap.resumed.endswith("-0")


def test_a_gap_that_nobody_asked_to_hear_of_is_a_warning(mode: Mode, hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    tidings.publish_sync(hub.url, "a", "1")
    mode.subscribe(hub.url, "a", cursor="another1-7", on_gap=None).take(1)
    assert [record.levelname for record in caplog.records if "another1-7 (unknown)" in record.message] == ["WARNING"]


def test_a_cursor_that_is_none_is_a_gap_as_well_and_no_dead_end(mode: Mode, hub: Hub) -> None:
    tidings.publish_sync(hub.url, "a", "1")
    for cursor in ("\U0001f4a5 &x=1", "x" * 100_000, "\ud800", "a\0b\r\nc: d"):
        events = mode.subscribe(hub.url, "a", cursor=cursor)
        assert events.datas(1) == ["1"]
        assert events.told.gaps[0].reason == "unknown"
        events.close()
