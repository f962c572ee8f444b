"""WebSockets: what a hub does not do, but what stands between does. What a hub does is in the tests of every transport."""

from __future__ import annotations

import hashlib
import json
import struct
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from tidings._websocket import CLOSE, PING, TEXT, Frames

from .support.mode import Mode
from .support.script import Answer, Exchange, Script, event, page, problem, raw

SUBSCRIBED = {"subscribed": "", "next": "aaaaaa-0"}


def frame(opcode: int, payload: bytes, head: int = 0x80) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((head | opcode, size)) + payload
    if size < 1 << 16:
        return bytes((head | opcode, 126)) + struct.pack(">H", size) + payload
    return bytes((head | opcode, 127)) + struct.pack(">Q", size) + payload


def text(*messages: object) -> bytes:
    return b"".join(frame(TEXT, json.dumps(message).encode()) for message in messages)


def close(code: int, reason: str = "") -> bytes:
    return frame(CLOSE, struct.pack(">H", code) + reason.encode())


def socket(*pieces: bytes, then: Callable[[Exchange], None] = Exchange.stay, accept: str | None = None) -> Answer:
    """Opens a WebSocket, and sends these."""

    def answer(exchange: Exchange) -> None:
        key = exchange.request.headers["sec-websocket-key"].encode()
        proof = b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
        exchange.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        exchange.write(f"Sec-WebSocket-Accept: {accept or proof}\r\nSec-WebSocket-Protocol: tidings.v1\r\n\r\n")
        for piece in pieces:
            exchange.write(piece)
        exchange.handler.close_connection = True
        then(exchange)

    return answer


def leave(exchange: Exchange) -> None: ...


def subscribe(mode: Mode, server: Script, **options: Any) -> Any:
    return mode.subscribe(server.url, "t", **{"transports": ["websocket"], "since": "earliest", **options})


def test_it_asks_as_a_stream_does_and_takes_what_a_hub_says(mode: Mode) -> None:
    told = text(SUBSCRIBED, {"weather": "fine"}, event(1), {"next": "aaaaaa-4"}, event(5), {"end": {"id": "aaaaaa-5"}})
    # However it is cut on the way.
    with Script(socket(*(told[at : at + 7] for at in range(0, len(told), 7)))) as server:
        events = subscribe(mode, server, token="secret", types="tick", heartbeat=20)
        assert events.datas(2) == [1, 5]
        assert events.rest() == []
        assert events.state.status == "ended"
        [request] = server.requests
        assert (request.query["event"], request.query["since"], request.query["heartbeat"]) == ("tick", "earliest", "20")
        assert request.headers["authorization"] == "Bearer secret"
        assert request.headers["sec-websocket-protocol"] == "tidings.v1"
        assert events.cursor == "aaaaaa-5"


def test_messages_in_several_frames_with_pings_in_between_are_read_and_pings_are_answered(mode: Mode) -> None:
    heard: list[bytes] = []

    def listen(exchange: Exchange) -> None:
        heard.append(exchange.handler.connection.recv(1024))
        exchange.write(text(event(2)))
        exchange.stay()

    whole = json.dumps(event(1, "x" * 70_000)).encode()
    pieces = (frame(TEXT, whole[:10], 0), frame(PING, b"are you there?"), frame(0, whole[10:300], 0), frame(0, whole[300:]))
    with Script(socket(text(SUBSCRIBED), *pieces, then=listen)) as server:
        events = subscribe(mode, server)
        assert events.datas(2) == ["x" * 70_000, 2]
        [pong] = heard
        mask, masked = pong[2:6], pong[6:]
        assert (pong[0], pong[1] & 0x80) == (0x8A, 0x80)
        assert bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked)) == b"are you there?"


@pytest.mark.parametrize(
    "answer",
    [raw(400, "text/html", "<h1>Bad Request</h1>"), page(), socket(accept="another's")],
    ids=["refused", "answered as if it were none", "another's answer"],
)
def test_a_websocket_that_does_not_open_is_followed_at_once_by_the_next_transport(mode: Mode, answer: Answer) -> None:
    with Script(answer, page(events=[event(1)], next="aaaaaa-1")) as server:
        events = subscribe(mode, server, transports=["websocket", "poll"])
        state = events.waiting()
        assert (state.error.kind, state.retry_in) == ("stalled", 0)
        assert events.datas(1) == [1]
        assert events.state.transport == "poll"


def test_a_refusal_of_the_hub_is_one_at_once(mode: Mode) -> None:
    with Script(problem(403, "not yours")) as server:
        assert subscribe(mode, server).failed().status == 403


@pytest.mark.parametrize("mode", ["sync"], indirect=True)
@pytest.mark.parametrize(
    ("bytes_", "kind", "status", "retry_after"),
    [
        (close(1001, "come back in 300 ms"), "ended", None, 0.3),
        (close(1000), "ended", None, None),
        (close(1013, "later"), "unavailable", None, None),
        (close(1011), "broken", None, None),
        (b"", "broken", None, None),
        (frame(CLOSE, b""), "broken", None, None),
        (close(4429, "too many"), "unavailable", 429, None),
        (text({"problem": {"type": "urn:tidings:busy", "status": 503, "detail": "later"}}), "unavailable", 503, None),
        (bytes((0x81, 0x82)) + b"mask{}", "malformed", None, None),
        (frame(TEXT, b"{"), "malformed", None, None),
        (frame(TEXT, b"null"), "malformed", None, None),
        (frame(2, b"{}"), "malformed", None, None),
        (frame(0, b"{}"), "malformed", None, None),
        (frame(TEXT, b"{}", 0xC0), "malformed", None, None),
        (frame(3, b"{}"), "malformed", None, None),
        (frame(PING, b"x" * 126), "malformed", None, None),
        (frame(PING, b"x", 0), "malformed", None, None),
        (frame(TEXT, b"x", 0) + frame(TEXT, b"x"), "malformed", None, None),
        (bytes((0x81, 127)) + struct.pack(">Q", 1 << 40), "malformed", None, None),
        (frame(TEXT, b"x" * 700, 0) + frame(0, b"x" * 700, 0), "malformed", None, None),
        (text({"topic": "t", "data": 2}), "malformed", None, None),
        (text({"next": 7}), "malformed", None, None),
        (text({"gap": True}), "malformed", None, None),
        (text({"end": None}), "malformed", None, None),
    ],
)
def test_what_ends_a_socket_is_told_and_passed_over_by_nobody(
    mode: Mode, bytes_: bytes, kind: str, status: int | None, retry_after: float | None
) -> None:
    with Script(socket(text(SUBSCRIBED, event(1)), bytes_, then=leave), socket(text(SUBSCRIBED, event(2)))) as server:
        events = subscribe(mode, server, max_event_size=1_000)
        assert events.datas(1) == [1]
        error = events.waiting().error
        assert (error.kind, error.status, error.retry_after) == (kind, status, retry_after)
        assert events.datas(1) == [2]
        assert server.requests[1].query["lastEventId"] == "aaaaaa-1"


@pytest.mark.parametrize("bytes_", [close(4401, "expired"), text({"problem": {"status": 401, "detail": "expired"}})])
def test_a_token_that_is_refused_is_followed_by_another_once(mode: Mode, bytes_: bytes) -> None:
    asked: list[str] = []

    def token() -> str:
        asked.append(f"token-{len(asked)}")
        return asked[-1]

    with Script(socket(bytes_), socket(text(SUBSCRIBED, event(1)))) as server:
        assert subscribe(mode, server, token=token).datas(1) == [1]
    with Script(socket(bytes_)) as server:
        assert subscribe(mode, server, token=token).failed().status == 401
        assert len(server.requests) == 2


def test_a_socket_that_says_nothing_is_not_waited_for_for_ever(mode: Mode) -> None:
    with Script(socket(), page()) as server:
        events = subscribe(mode, server, transports=["websocket", "poll"], first_byte=0.05)
        assert events.waiting().error.kind == "stalled"
        events.open()
        assert events.state.transport == "poll"
    with Script(socket(text(SUBSCRIBED, event(1)))) as server:
        events = subscribe(mode, server, heartbeat=0.1)
        assert events.datas(1) == [1]
        assert events.waiting().error.kind == "silent"


def test_what_comes_byte_by_byte_is_what_comes_at_once() -> None:
    told = text(event(1)) + frame(PING, b"") + text(event(2, "y" * 300)) + close(1000)
    whole = list(Frames(1 << 20).feed(told))
    frames = Frames(1 << 20)
    assert [frame for at in range(len(told)) for frame in frames.feed(told[at : at + 1])] == whole
    assert [opcode for opcode, _ in whole] == [TEXT, PING, TEXT, CLOSE]
