"""What can only be a mistake of the caller is told at once, and what the caller gives never unsettles the client."""

from __future__ import annotations

import math
import pickle
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

import tidings
from tidings._endpoint import Endpoint
from tidings._settings import settle

from .support.hub import Hub
from .support.mode import Mode
from .support.script import Script, begin, block, event, events, page, receipt

URL = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://hub", "ftp:"),
        ("ws://hub", "ws:"),
        ("hub:8080", "http://"),
        ("", "http://"),
        ("http://", "host"),
        ("http://hub:port", "port"),
        ("http://hub/#x", "fragment"),
        ("http://hub/?x=1", "query"),
        ("http://user:secret@hub", "token"),
        ("http://hub/topics/orders", "argument"),
        ("http://hub/push/events", "argument"),
        ("http://hub/a b", "http://127"),
    ],
)
def test_a_url_that_is_none_of_a_hub_is_told_at_once(url: str, words: str) -> None:
    for kind in (tidings.Client, tidings.AsyncClient):
        with pytest.raises(ValueError, match=words) as told:
            kind(url)
        assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"transports": []}, "sse, long-poll, poll"),
        ({"transports": ["sse", "webrtc"]}, "sse, long-poll, poll"),
        ({"transports": "sse"}, "sse, long-poll, poll"),
        ({"interval": math.nan}, "interval"),
        ({"wait": -1}, "wait"),
        ({"heartbeat": "5"}, "heartbeat"),
        ({"max_event_size": True}, "max_event_size"),
        ({"parse": {}}, "parse"),
        ({"topics": []}, "topic"),
        ({"topics": ""}, "topic"),
        ({"topics": [7]}, "texts"),
        ({"types": [None]}, "texts"),
        ({"since": 10}, "-10"),
        ({"since": True}, "since"),
        ({"since": datetime(2026, 11, 30)}, "zone"),
        ({"since": timedelta(-1)}, "age"),
    ],
)
def test_options_that_can_only_be_a_mistake_are_told_at_once(options: dict[str, Any], words: str) -> None:
    options = {"topics": "t", **options}
    with tidings.Client(URL) as client, pytest.raises((TypeError, ValueError), match=words):
        client.subscribe(**options)
    with pytest.raises((TypeError, ValueError), match=words):
        tidings.AsyncClient(URL).subscribe(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"token": "two\nlines"},
        {"token": "\u00fc"},
        {"token": ""},
        {"token": 7},
        {"headers": {"a b": "c"}},
        {"headers": {"a": "b\r\nc: d"}},
        {"verify": False, "ca_file": "x"},
        {"http": httpx.Client(), "ca_file": "x"},
        {"ca_file": "there-is-no-such-file.pem"},
    ],
)
def test_a_client_that_could_never_send_is_not_made(options: dict[str, Any]) -> None:
    for kind in (tidings.Client, tidings.AsyncClient):
        with pytest.raises((TypeError, ValueError, OSError)):
            kind(URL, **options)


@pytest.mark.parametrize(
    ("since", "sent"),
    [
        ("latest", "latest"),
        (-10, "-10"),
        (timedelta(minutes=15), "900000ms"),
        (datetime(2026, 11, 30, 13, 0, 0, 5_000, timezone(timedelta(hours=1))), "2026-11-30T12:00:00.005Z"),
    ],
)
def test_where_to_begin_can_be_said_in_pythons_words(since: tidings.Since, sent: str, hub: Hub) -> None:
    with Script(events(begin())) as server, tidings.subscribe_sync(server.url, "t", since=since) as subscription:
        subscription.open()
        assert server.requests[0].query["since"] == sent
    with tidings.subscribe_sync(hub.url, "t", since=since) as subscription:
        subscription.open()


def test_a_heartbeat_is_within_what_hubs_keep_to() -> None:
    for given, kept in [(0.1, 1), (15, 15), (1_000, 60)]:
        times: Any = {"first_byte": 5, "climb_after": 300, "wait": 25, "interval": 5}
        options: Any = {"since": "latest", "types": (), "transports": ["sse"], **times}
        assert settle(Endpoint(URL), "t", heartbeat=given, max_event_size=1, parse=None, **options).heartbeat == kept


def test_times_that_no_clock_can_count_are_long_ones(mode: Mode) -> None:
    for forever in (1e12, math.inf):
        times = dict.fromkeys(["heartbeat", "first_byte", "climb_after", "wait", "interval", "max_event_size"], forever)
        with Script(events(begin(), block(1))) as server:
            assert mode.subscribe(server.url, **times).datas(1) == [1]
        with Script(page(events=[event(1)], next="aaaaaa-1", more=True), page(events=[event(2)], next="aaaaaa-2")) as server:
            subscription = mode.subscribe(server.url, transports=["long-poll"], **times)
            assert subscription.datas(2) == [1, 2]
            assert server.requests[1].query["wait"] == "1000000000ms"


def test_a_rest_that_no_clock_can_count_is_no_busy_loop() -> None:
    with Script(page(next="aaaaaa-1")) as server:
        subscription = tidings.subscribe_sync(server.url, "t", transports=["poll"], interval=math.inf)
        subscription.open()
        thread = threading.Thread(target=lambda: list(subscription))
        thread.start()
        # Another one that polls often shows that time enough has passed.
        with tidings.subscribe_sync(server.url, "o", transports=["poll"], interval=0.001) as other:
            reader = threading.Thread(target=lambda: list(other))
            reader.start()
            while len(server.requests) < 30:
                time.sleep(0.01)
            other.close()
            reader.join()
        subscription.close()
        thread.join()
        assert [request.path for request in server.requests].count("/topics/t") == 1


def test_the_callers_headers_are_sent_and_the_clients_own_take_their_place(mode: Mode) -> None:
    given = {"X-App": "1", "ACCEPT": "text/html", "authorization": "Basic x", "LAST-Event-id": "z-9", "Accept-encoding": "br"}
    for token, authorization in [("t", "Bearer t"), (None, "Basic x")]:
        with Script(events(begin(), block(1))) as server:
            mode.subscribe(server.url, headers=given, token=token).take(1)
            sent = server.requests[0].headers
            assert sent["x-app"] == "1"
            assert sent["accept"] == "text/event-stream"
            assert sent["authorization"] == authorization
            # What is packed may be held back, or be larger than it seems.
            assert sent["accept-encoding"] == "identity"
            assert "last-event-id" not in sent


def test_the_headers_of_a_publish_are_the_clients_own_as_well(mode: Mode) -> None:
    given = {"X-App": "1", "Content-type": "text/html", "IDEMPOTENCY-key": "mine", "Accept": "text/html"}
    with Script(receipt(201)) as server:
        mode.client(server.url, headers=given).publish("t", "x", idempotency_key="k")
        sent = server.requests[0].headers
        assert (sent["x-app"], sent["content-type"], sent["idempotency-key"]) == ("1", "text/plain", "k")
        assert sent["accept"] == "application/json"


def test_what_cannot_be_published_is_told_at_once(mode: Mode) -> None:
    client = mode.client(URL)
    for data in (object(), math.nan, {"x": math.inf}, {1, 2}, "\ud800"):
        with pytest.raises((TypeError, ValueError)):
            client.publish("t", data)
    with pytest.raises(ValueError, match="Expecting"):
        tidings.RawJson("{")
    for key in ("", "two words", "ü", "x" * 256):
        with pytest.raises(ValueError, match="idempotency key"):
            client.publish("t", 1, idempotency_key=key)
    with pytest.raises(ValueError, match="retry_for"):
        client.publish("t", 1, retry_for=-1)
    with pytest.raises(ValueError, match="at least one"):
        client.publish_each([])
    with pytest.raises(ValueError, match="at least one"):
        client.publish("", 1)
    with pytest.raises(ValueError, match="proxies"):
        client.close_topic("a/../b")


def test_numbers_are_read_by_a_parser_of_ones_own_and_published_as_they_are(mode: Mode, hub: Hub) -> None:
    import json
    from decimal import Decimal

    text = '{"n":12345678901234567890,"m":1.10}'
    mode.client(hub.url).publish("a", tidings.RawJson(text), type="tick")
    for transport in ("websocket", "sse", "long-poll", "poll"):
        given: list[str] = []

        def parse(text: str, given: list[str] = given) -> Any:
            given.append(text)
            return json.loads(text, parse_float=Decimal)

        events = mode.subscribe(hub.url, "a", since="earliest", transports=[transport], parse=parse)
        [told] = events.take(1)
        assert (told.type, told.data) == ("tick", {"n": 12345678901234567890, "m": Decimal("1.10")})
        assert any(text in said for said in given)
        events.close()


def test_a_parser_that_raises_passes_nothing_over_and_ends_nothing(mode: Mode) -> None:
    import json

    asked: list[str] = []

    def parse(text: str) -> Any:
        asked.append(text)
        if len(asked) == 1:
            raise KeyError("not today")
        return json.loads(text)

    for answer, transport in [(events(begin(), block(1)), "sse"), (page(events=[event(1)], next="aaaaaa-1"), "poll")]:
        asked.clear()
        with Script(answer) as server:
            subscription = mode.subscribe(server.url, since="earliest", transports=[transport], parse=parse)
            error = subscription.waiting().error
            assert error
            assert (error.kind, error.words) == ("malformed", "'not today'")
            assert subscription.datas(1) == [1]
            subscription.close()


def test_errors_survive_a_process_and_say_what_they_are() -> None:
    told = tidings.Problem("urn:tidings:x", "t", 409, "d")
    for error in (
        tidings.TidingsError("unavailable", "later", status=503, retry_after=3.0),
        tidings.RefusedError("refused", "409, closed", status=409, problem=told),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert (str(again), vars(again)) == (str(error), vars(error))


def test_nothing_shows_a_token() -> None:
    client = tidings.Client(URL, token="s3cret")
    assert "s3cret" not in repr([client, client.subscribe("t"), tidings.AsyncClient(URL, token="s3cret")])
    client.close()


def test_a_client_that_is_closed_says_so(mode: Mode) -> None:
    client = mode.client(URL)
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.publish("t", 1)
    with pytest.raises(RuntimeError, match="closed"):
        client.subscribe("t").next()
