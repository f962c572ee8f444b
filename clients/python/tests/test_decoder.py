from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tidings._decoder import _decode_deep, decode


def test_what_python_cannot_read_is_read() -> None:
    deep = "[" * 50_000 + '{"a": [1, {"b": "c"}]}' + "]" * 50_000
    value = decode(deep)
    depth = 0
    while isinstance(value, list):
        [value] = value
        depth += 1
    assert (depth, value) == (50_000, {"a": [1, {"b": "c"}]})
    digits = "9" * 5_000
    assert decode(f'{{"n": {digits}}}') == {"n": Decimal(digits)}
    assert decode("12345678901234567890") == 12345678901234567890


VALUES = [
    "{}",
    "[]",
    " [ ] ",
    '{"a":{},"b":[],"a":1}',
    '[1,-2.5e3,"x\\"\\u00e4\\n",true,false,null]',
    '"[{"',
    "7",
    '{"a":[{"b":{}},2]}',
]


@pytest.mark.parametrize("text", VALUES)
def test_the_deep_way_reads_what_the_usual_one_does(text: str) -> None:
    assert _decode_deep(text) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    ["", "[", "[1,]", "[,1]", "{", '{"a"}', '{"a":}', '{"a":1,}', "{1:2}", "]", "[1}", '{"a":1]', "[1]]", "[1 2]", "01", "-",
     "nul", "[NaN]", "NaN", "[Infinity]", '["a]', "1 2", "[1],", "{,}", '{"a",1}', "[:1]", '["\x01"]', "{[]:1}", "1e", "+1"],
)  # fmt: skip
def test_what_is_no_json_is_refused_by_both_ways(text: str) -> None:
    for way in (decode, _decode_deep):
        with pytest.raises(ValueError):  # noqa: PT011
            way(text)
