"""What a hub does not do, but what stands between does: each ends in a state that a program can show."""

from __future__ import annotations

import socket
import time
from email.utils import formatdate
from typing import Any

import pytest

import tidings

from .support.mode import Mode
from .support.script import (
    Answer,
    Exchange,
    Script,
    begin,
    block,
    ended,
    event,
    events,
    hang_up,
    page,
    problem,
    raw,
    silence,
)

PORTAL = raw(200, "text/html", "<h1>Welcome to our free Wi-Fi</h1>")
TRANSPORTS: list[tidings.Transport] = ["sse", "long-poll", "poll"]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("what", ["portal", "redirect", "wrong form", "nothing"])
def test_what_is_no_answer_of_a_hub(mode: Mode, transport: tidings.Transport, what: str) -> None:
    answers: dict[str, tuple[Answer, str]] = {
        "portal": (PORTAL, "200, text/html"),
        "redirect": (raw(302, None, location="http://127.0.0.1:1/login"), "302"),
        "wrong form": (page() if transport == "sse" else ended(begin()), "200"),
        "nothing": (raw(200, None), "no type"),
    }
    answer, words = answers[what]
    with Script(answer) as server:
        state = mode.subscribe(server.url, transports=[transport]).waiting()
        assert state.error
        assert state.error.kind == "unexpected"
        assert words in str(state.error)


def test_a_captive_portal_that_lets_go_is_got_past(mode: Mode) -> None:
    with Script(PORTAL, PORTAL, events(begin(), block(1))) as server:
        assert mode.subscribe(server.url).datas(1) == [1]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_404_of_a_proxy_while_the_hub_is_deployed_is_got_past(mode: Mode, transport: tidings.Transport) -> None:
    answer = events(begin(), block(1)) if transport == "sse" else page(events=[event(1)], next="aaaaaa-1")
    with Script(raw(404, "text/html", "<h1>Not Found</h1>"), answer) as server:
        subscription = mode.subscribe(server.url, transports=[transport])
        error = subscription.waiting().error
        assert error
        assert (error.kind, error.status, str(error)) == ("unexpected", 404, "unexpected: 404, text/html")
        assert subscription.datas(1) == [1]


def test_a_hub_that_puts_off_every_stream_is_asked_for_one_again_and_nothing_else(mode: Mode) -> None:
    later = ended("retry: 100\n: the log is away\n\n")
    with Script(later, later, later, later, events(begin(), block(1))) as server:
        subscription = mode.subscribe(server.url)
        error = subscription.waiting().error
        assert str(error) == "unavailable: the log is away"
        assert subscription.datas(1) == [1]
        assert [request.headers["accept"] for request in server.requests] == ["text/event-stream"] * 5


def test_the_end_of_a_topic_without_a_place_leaves_the_cursor_where_it_was(mode: Mode) -> None:
    with Script(events(begin(), block(1), "event: tidings.end\ndata: {}\n\n", block(2))) as server:
        subscription = mode.subscribe(server.url)
        assert [told.data for told in subscription.rest()] == [1]
        assert (subscription.state.status, subscription.cursor) == ("ended", "aaaaaa-1")


@pytest.mark.parametrize(
    "piece",
    [
        "id: aaaaaa-2\ndata: {\n\n",
        "id: aaaaaa-2\ndata: 7\n\n",
        "id: aaaaaa-2\ndata: {}\n\n",
        'id: aaaaaa-2\ndata: {"id":2,"topic":"t","time":"x","data":1}\n\n',
        'id: aaaaaa-2\ndata: {"id":"aaaaaa-2","topic":"t","time":"x","data":"?","encoding":"base64"}\n\n',
        'id: aaaaaa-2\ndata: {"id":"aaaaaa-2","topic":"t","time":"x","data":7,"encoding":"base64"}\n\n',
        "id: aaaaaa-2\nevent: tidings.gap\ndata: null\n\n",
        'id: aaaaaa-2\nevent: tidings.gap\ndata: {"reason":"expired","since":"","resumed":7}\n\n',
    ],
)
def test_what_cannot_be_read_is_never_passed_over(mode: Mode, piece: str) -> None:
    with Script(events(begin() + block(1) + piece + block(3)), events(begin(1), block(2), block(3))) as server:
        subscription = mode.subscribe(server.url, since="earliest", transports=["sse"])
        assert subscription.datas(1) == [1]
        error = subscription.waiting().error
        assert error
        assert error.kind == "malformed"
        assert subscription.cursor == "aaaaaa-1"
        assert subscription.datas(2) == [2, 3]
        assert server.requests[1].query["lastEventId"] == "aaaaaa-1"


@pytest.mark.parametrize(
    "answer",
    [
        page(events="{"),
        page(events=[{"data": 1}]),
        page(events=[7]),
        page(next=None),
        page(next=7),
        page(events=[{**event(1), "id": {}}]),
        page(gap=7),
        raw(200, "application/json", "[]"),
        raw(200, "application/json", "{"),
    ],
)
def test_a_page_that_cannot_be_read_is_never_passed_over(mode: Mode, answer: Answer) -> None:
    with Script(answer, page(events=[event(1)], next="aaaaaa-1")) as server:
        subscription = mode.subscribe(server.url, transports=["poll"], interval=0.01)
        error = subscription.waiting().error
        assert error
        assert error.kind == "malformed"
        assert subscription.datas(1) == [1]


def test_what_comes_before_the_bad_event_of_a_page_is_delivered_once(mode: Mode) -> None:
    bad = page(events=[event(1), {"data": 2}], next="aaaaaa-2")
    with Script(bad, page(events=[event(2)], next="aaaaaa-2")) as server:
        assert mode.subscribe(server.url, transports=["poll"]).datas(2) == [1, 2]
        assert server.requests[1].query["lastEventId"] == "aaaaaa-1"


@pytest.mark.parametrize("start", ["data: ", "x", ": ", "data: x\ndata: "])
def test_a_line_without_an_end_is_given_up(mode: Mode, start: str) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.head(200, "text/event-stream")
        exchange.write(begin() + start)
        while exchange.write(b"x" * 65_536):
            pass

    with Script(answer) as server:
        subscription = mode.subscribe(server.url, transports=["sse"], max_event_size=1_000_000)
        error = subscription.waiting().error
        assert error
        assert (error.kind, "larger" in str(error)) == ("malformed", True)


def test_an_answer_to_a_poll_without_an_end_is_given_up(mode: Mode) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.head(200, "application/json")
        while exchange.write(b" " * 65_536):
            pass

    with Script(answer) as server:
        subscription = mode.subscribe(server.url, transports=["poll"], max_event_size=1_000_000)
        error = subscription.waiting().error
        assert error
        assert error.kind == "malformed"


def drip(head: bytes) -> Answer:
    """An answer of which a byte at a time comes, from its body or from its very beginning on."""

    def answer(exchange: Exchange) -> None:
        exchange.handler.close_connection = True
        exchange.write(head)
        while not exchange.over.wait(0.1) and exchange.write(b" " if head else b"H"):
            pass

    return answer


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"HTTP/1.1 503 Later\r\ncontent-type: application/problem+json\r\n\r\n", "late"),
        # Not even a head: httpx alone would wait as long as a byte comes now and then.
        (b"HTTP/1.1 200 OK\r\nx: ", "stalled"),
    ],
)
def test_an_answer_that_comes_a_byte_at_a_time_is_not_waited_for_for_ever(
    mode: Mode, head: bytes, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidings._answer.POLL_GRACE", 1.0)
    with Script(drip(head)) as server:
        state = mode.subscribe(server.url, transports=["sse"], heartbeat=1).waiting()
        assert state.error
        assert state.error.kind == kind


def test_an_event_that_is_cut_off_is_not_taken_and_comes_again(mode: Mode) -> None:
    with Script(ended(begin(), block(1), block(2)[:40]), events(begin(1), block(2))) as server:
        assert mode.subscribe(server.url, since="earliest", transports=["sse"]).datas(2) == [1, 2]
        assert server.requests[1].query["lastEventId"] == "aaaaaa-1"


def test_a_server_that_accepts_and_says_nothing_is_not_waited_for_for_ever(mode: Mode) -> None:
    with Script(silence) as server:
        state = mode.subscribe(server.url, transports=["sse"], heartbeat=1).waiting()
        assert state.error
        assert state.error.kind == "stalled"


def test_a_connection_that_breaks_before_an_answer(mode: Mode) -> None:
    with Script(hang_up, events(begin(), block(1))) as server:
        subscription = mode.subscribe(server.url)
        error = subscription.waiting().error
        assert error
        assert error.kind == "broken"
        assert subscription.datas(1) == [1]


def test_a_port_where_nobody_listens(mode: Mode) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        state = mode.subscribe(f"http://127.0.0.1:{taken.getsockname()[1]}").waiting()
        assert state.error
        assert state.error.kind == "unreachable"


def test_a_stream_that_falls_silent_is_left_for_a_new_one(mode: Mode) -> None:
    with Script(events(begin(), block(1)), events(begin(1), block(2))) as server:
        subscription = mode.subscribe(server.url, since="earliest", transports=["sse"], heartbeat=1)
        assert subscription.datas(1) == [1]
        error = subscription.waiting().error
        assert error
        assert error.kind == "silent"
        assert subscription.datas(1) == [2]


def test_a_stream_that_does_not_begin_is_followed_by_polls_and_tried_again_later(mode: Mode) -> None:
    def answer(exchange: Exchange) -> None:
        request = exchange.request
        if request.headers["accept"] == "text/event-stream":
            (silence if len(server.requests) < 5 else events(begin(2), block(3)))(exchange)
        elif request.query.get("lastEventId") == "aaaaaa-2":
            page(next="aaaaaa-2")(exchange)
        else:
            page(events=[event(1), event(2)], next="aaaaaa-2")(exchange)

    with Script(answer) as server:
        subscription = mode.subscribe(server.url, since="earliest", first_byte=0.2, climb_after=0.5, wait=0.01)
        state = subscription.waiting()
        assert state.error
        assert (state.error.kind, state.retry_in) == ("stalled", 0)
        assert subscription.datas(3) == [1, 2, 3]
        told = [state.transport for state in subscription.told.states if state.status == "open"]
        assert (told[0], told[-1]) == ("long-poll", "sse")


def test_a_head_without_a_body_is_no_stream_that_began(mode: Mode) -> None:
    def answer(exchange: Exchange) -> None:
        if exchange.request.headers["accept"] == "text/event-stream":
            events()(exchange)
        else:
            page(events=[event(1)], next="aaaaaa-1")(exchange)

    with Script(answer) as server:
        subscription = mode.subscribe(server.url, first_byte=0.2, wait=0.01)
        assert subscription.datas(1) == [1]
        assert subscription.told.first("waiting").error


@pytest.mark.parametrize("status", [429, 503])
def test_a_time_that_the_hub_names_is_obeyed(mode: Mode, status: int) -> None:
    with Script(problem(status, "later", retry_after="1"), events(begin(), block(1))) as server:
        subscription = mode.subscribe(server.url)
        state = subscription.waiting()
        asked = time.monotonic()
        assert state.error
        assert state.error.problem
        assert (state.error.kind, state.error.status, state.error.problem.detail) == ("unavailable", status, "later")
        assert state.retry_in is not None
        assert state.retry_in >= 1
        assert subscription.datas(1) == [1]
        assert time.monotonic() - asked >= 0.99, "it was asked again too early"
        assert server.requests[1].headers["accept"] == "text/event-stream"


@pytest.mark.parametrize(
    ("field", "least", "most"),
    [("date", 90, 101), ("soon", 0, 1), ("-5", 0, 1), ("9" * 30, 3_600, 3_601), ("9" * 9_000, 3_600, 3_601)],
)
def test_what_is_no_time_is_as_if_it_were_not_there(mode: Mode, field: str, least: float, most: float) -> None:
    field = formatdate(time.time() + 100, usegmt=True) if field == "date" else field
    with Script(problem(503, "later", retry_after=field)) as server:
        rest = mode.subscribe(server.url).waiting().retry_in
        assert rest is not None
        assert least <= rest <= most


def test_a_retry_of_thousands_of_digits(mode: Mode) -> None:
    with Script(ended(f"retry: {'9' * 9_000}\nid: aaaaaa-1\n\n")) as server:
        rest = mode.subscribe(server.url).waiting().retry_in
        assert rest is not None
        assert rest <= 3_600


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_refused_is_followed_by_another_once(mode: Mode, status: int) -> None:
    asked = [0]

    def token() -> str:
        asked[0] += 1
        return f"token-{asked[0]}"

    answers = [problem(status, "expired"), ended(begin(), block(1)), problem(status, "expired"), events(begin(), block(2))]
    with Script(*answers) as server:
        subscription = mode.subscribe(server.url, token=token, transports=["sse"], since="earliest")
        assert subscription.datas(2) == [1, 2]
        sent = [request.headers["authorization"] for request in server.requests]
        assert sent == [f"Bearer token-{number}" for number in (1, 2, 3, 4)]
    for supplier, requests in [(token, 2), ("fixed", 1)]:
        with Script(problem(status, "not yours")) as server:
            error = mode.subscribe(server.url, token=supplier).failed()
            assert isinstance(error, tidings.RefusedError)
            assert error.problem
            assert (error.status, error.problem.detail, len(server.requests)) == (status, "not yours", requests)


def test_a_token_that_cannot_be_had_or_sent_is_a_state_like_others(mode: Mode) -> None:
    asked = [0]

    def token() -> Any:
        asked[0] += 1
        if asked[0] == 1:
            raise LookupError("no session")
        return ["two\nlines", 7, "good"][asked[0] - 2]

    with Script(events(begin(), block(1))) as server:
        subscription = mode.subscribe(server.url, token=token)
        assert str(subscription.waiting().error) == "token: no session"
        for _ in range(2):
            error = subscription.waiting().error
            assert error
            assert error.kind == "token"
        assert subscription.datas(1) == [1]
        assert server.requests[0].headers["authorization"] == "Bearer good"


@pytest.mark.anyio
async def test_a_supplier_of_tokens_that_never_answers_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    import anyio

    monkeypatch.setattr("tidings._defaults.TOKEN_TIMEOUT", 0.2)

    async def token() -> str:
        await anyio.sleep_forever()
        raise AssertionError

    async with tidings.AsyncClient("http://127.0.0.1:1", token=token) as client:
        with pytest.raises(tidings.TidingsError, match="too long"):
            await client.publish("t", 1, retry_for=0)


def test_a_hub_that_answers_long_polls_at_once_with_nothing_is_not_asked_in_a_spin(mode: Mode) -> None:
    times: list[float] = []

    def answer(exchange: Exchange) -> None:
        times.append(time.monotonic())
        following = "aaaaaa-2" if len(times) == 5 else "aaaaaa-1"
        page(next=following, more=True, events=[event(2)] if len(times) == 5 else [])(exchange)

    with Script(answer) as server:
        assert mode.subscribe(server.url, transports=["long-poll"]).datas(1) == [2]
        # The first ones find out where they are; then each waits for a second.
        assert times[4] - times[1] >= 1.9
