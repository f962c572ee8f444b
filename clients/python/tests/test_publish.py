from __future__ import annotations

import threading

import pytest

import tidings
from tidings import Message, RawJson

from .support.hub import Hub
from .support.mode import Mode
from .support.nginx import nginx
from .support.script import Script, hang_up, problem, raw, receipt


def test_what_is_published_is_told_and_a_key_that_is_known_appends_nothing(mode: Mode, hub: Hub) -> None:
    client = mode.client(hub.url)
    first = client.publish("a", {"price": 1}, type="tick", idempotency_key="k-1")
    assert first.id
    assert first.id.endswith("-1")
    assert (first.topic, first.repeated) == ("a", False)
    again = client.publish("a", {"price": 1}, type="tick", idempotency_key="k-1")
    assert (again.id, again.repeated) == (first.id, True)
    with pytest.raises(tidings.RefusedError) as refused:
        client.publish("a", {"price": 2}, type="tick", idempotency_key="k-1")
    assert refused.value.status == 422


def test_a_receipt_that_is_lost_is_asked_for_again_under_the_same_key(mode: Mode) -> None:
    with Script(hang_up, problem(503, "later"), receipt(200)) as server:
        client = mode.client(server.url)
        assert client.publish("t", "x").repeated
        keys = [request.headers["idempotency-key"] for request in server.requests]
        assert len(keys) == 3
        assert len(set(keys)) == 1
        client.publish("t", "x")
        assert server.requests[-1].headers["idempotency-key"] != keys[0]


def test_a_hub_that_is_away_is_waited_for_for_so_long(mode: Mode, hub: Hub) -> None:
    client = mode.client(hub.url)
    hub.kill()
    with pytest.raises(tidings.TidingsError, match="unreachable"):
        client.publish("a", "x", retry_for=0)
    starter = threading.Thread(target=hub.resume)
    starter.start()
    published = client.publish("a", "x")
    starter.join()
    assert published.id
    assert published.id.endswith("-1")


def test_batches_are_whole_and_keep_their_order(mode: Mode, hub: Hub) -> None:
    client = mode.client(hub.url)
    items = ["text", {"n": 1}, b"\x00\xff", Message("typed", "mine"), RawJson('{\n"m": 1.0}'), Message({"a": "\u00fc\n"})]
    one = client.publish_batch("a", items, type="all", idempotency_key="k")
    assert len(one.ids) == 6
    assert client.publish_batch("a", items, type="all", idempotency_key="k").repeated
    events = client.subscribe("a", since="earliest").take(6)
    assert [event.id for event in events] == list(one.ids)
    assert [event.data for event in events] == ["text", {"n": 1}, b"\x00\xff", "typed", {"m": 1.0}, {"a": "\u00fc\n"}]
    assert [event.type for event in events] == ["all", "all", "all", "mine", "all", "all"]
    each = client.publish_each([("stock/7", 41), ("orders/42", Message("placed", "order"))])
    assert (len(each.ids), each.topic) == (2, None)
    told = client.subscribe(["stock/*", "orders/*"], since="earliest").take(2)
    assert [(event.topic, event.data, event.type) for event in told] == [("stock/7", 41, None), ("orders/42", "placed", "order")]


def test_a_batch_of_which_one_is_refused_appends_nothing(mode: Mode, hub: Hub) -> None:
    client = mode.client(hub.url)
    with pytest.raises(tidings.RefusedError):
        client.publish_each([("a", 1), ("a/*", 2)])
    assert client.publish("a", 1).id
    assert client.subscribe("**", since="earliest").datas(1) == [1]


def test_a_topic_ends_with_an_event_an_empty_one_several_or_none(mode: Mode, hub: Hub) -> None:
    client = mode.client(hub.url)
    assert client.publish("a", "x", close=True).id
    assert client.publish("b", "", close=True).id
    assert len(client.publish_batch("c", [1, 2], close=True).ids) == 2
    assert client.close_topic("d").topic == "d"
    for topic, datas in [("a", ["x"]), ("b", [""]), ("c", [1, 2])]:
        assert [event.data for event in client.subscribe(topic, since="earliest").rest()] == datas
    for topic in "abcd":
        with pytest.raises(tidings.RefusedError) as refused:
            client.publish(topic, "y")
        assert refused.value.status == 409


def test_a_token_is_asked_for_again_where_it_is_refused(mode: Mode) -> None:
    asked = [0]

    def token() -> str:
        asked[0] += 1
        return f"{asked[0]}"

    with Script(problem(401, "expired"), receipt(201)) as server:
        mode.client(server.url, token=token).publish("t", "x")
        assert [request.headers["authorization"] for request in server.requests] == ["Bearer 1", "Bearer 2"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (raw(200, "text/html", "<h1>Welcome</h1>"), "unexpected"),
        (raw(204, None), "unexpected"),
        (raw(201, "application/json", "{"), "malformed"),
        (raw(201, "application/json", "[]"), "malformed"),
        (raw(201, "application/json", '{"time":"x"}'), "malformed"),
        (raw(201, "application/json", '{"ids":["a","b"],"time":"x"}'), "malformed"),
        (raw(201, "application/json", '{"id":7,"time":"x"}'), "malformed"),
    ],
)
def test_what_is_no_receipt_is_said_to_be_none(mode: Mode, answer: object, kind: str) -> None:
    with Script(answer) as server, pytest.raises(tidings.TidingsError) as told:  # type: ignore[arg-type]
        mode.client(server.url).publish("t", "x", retry_for=0)
    assert told.value.kind == kind


def test_a_topic_that_proxies_take_for_another_one_is_published_to_and_read_all_the_same(mode: Mode, hub: Hub) -> None:
    # As many proxies do: it takes steps, and leaves out empty segments, before it passes a request on.
    with nginx(hub, "rewrite ^ $uri break;") as origin:
        client = mode.client(origin)
        for topic in ("a/../b", "a/./b", "a//b", "..", "c/.."):
            events = client.subscribe(topic)
            events.open()
            published = client.publish(topic, "one\n", type="tick", idempotency_key=f"k{topic}")
            assert (published.topic, published.repeated) == (topic, False)
            assert client.publish(topic, "one\n", type="tick", idempotency_key=f"k{topic}").repeated
            client.publish(topic, b"\xff\x00")
            client.publish_batch(topic, [{"price": 1}, RawJson("12345678901234567890")])
            told = events.take(4)
            assert told[0].id == published.id
            assert [event.topic for event in told] == [topic] * 4
            assert [event.data for event in told] == ["one\n", b"\xff\x00", {"price": 1}, 12345678901234567890]
            events.close()
