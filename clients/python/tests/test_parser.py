"""The format of event streams, by the letter of the HTML standard (9.2.6), however it is cut on the way."""

from __future__ import annotations

from typing import Any

import pytest

from tidings._parser import Parser


def parse(*pieces: bytes) -> list[Any]:
    """All that a stream says that comes in these pieces."""
    told: list[Any] = []

    def block(*fields: bytes | None) -> None:
        names = ("id", "event", "data", "comment")
        told.append({name: field.decode() for name, field in zip(names, fields, strict=True) if field is not None})

    parser = Parser(lambda digits: told.append(int(digits)), block)
    for piece in pieces:
        parser.feed(piece)
    return told


CASES: list[tuple[str, str, list[Any]]] = [
    ("an event", "event: tick\nid: 7\ndata: 1\n\n", [{"event": "tick", "id": "7", "data": "1"}]),
    ("lines of data", "data: a\ndata:b\ndata:  c\n\n", [{"data": "a\nb\n c"}]),
    ("data without a value", "data\n\ndata:\n\ndata\ndata\n\n", [{"data": ""}, {"data": ""}, {"data": "\n"}]),
    ("nothing", "\n\n", [{}, {}]),
    ("a field without a value", "event\nid\n\n", [{"event": "", "id": ""}]),
    ("a blank that is none of the value", "data:\tx\ndata : y\n data: z\n\n", [{"data": "\tx"}]),
    ("colons in a value", "data: a:b: c\n\n", [{"data": "a:b: c"}]),
    ("fields that there are none of", "Data: x\nfoo: bar\ndata_: y\n\n", [{}]),
    ("the last of several", "event: a\nevent: b\nid: 1\nid: 2\n\n", [{"event": "b", "id": "2"}]),
    ("an id with a NUL", "id: 1\nid: a\0b\n\n", [{"id": "1"}]),
    ("a comment", ": why\n:\n\n", [{"comment": ""}]),
    ("times", "retry: 10\nretry:007\nretry: 1x\nretry: -1\nretry: \nretry:  5\nretry: \u0661\n\n", [10, 7, {}]),
    ("what has no end", "data: x\n\ndata: y\n", [{"data": "x"}]),
    ("every end of a line", "data: a\rdata: b\r\ndata: c\n\r\ndata: d\r\r", [{"data": "a\nb\nc"}, {"data": "d"}]),
    ("what ends no line", "data: a\u2028b\u0085c\vd\fe\n\n", [{"data": "a\u2028b\u0085c\vd\fe"}]),
    ("a byte order mark", "\ufeffid: 1\n\n", [{"id": "1"}]),
    ("two byte order marks", "\ufeff\ufeffid: 1\n\n", [{}]),
    ("a mark in the middle", "id: 1\n\n\ufeffid: 2\n\n", [{"id": "1"}, {}]),
]


@pytest.mark.parametrize(("text", "told"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_it_reads_this_wherever_it_is_cut(text: str, told: list[Any]) -> None:
    data = text.encode()
    assert parse(data) == told
    assert parse(*(data[at : at + 1] for at in range(len(data)))) == told
    for first in range(len(data) + 1):
        for second in range(first, len(data) + 1):
            assert parse(data[:first], data[first:second], data[second:]) == told


def test_a_long_line_in_small_pieces_takes_no_longer_than_a_short_one_many_times() -> None:
    # Were each piece put together with all before it, this would be half a terabyte.
    pieces = [b"x" * 1_024] * 30_000
    [block] = parse(b"data: ", *pieces, b"\n\n")
    assert len(block["data"]) == 30_000 * 1_024
