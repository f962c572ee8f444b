"""JSON of any depth and with numbers of any length, as a hub keeps it.

Python's own decoder gives up at about a thousand levels, and at integers of more than 4,300 digits. A hub takes such events,
and a client that could not read one would never get past it.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, NoReturn

_TOKEN = re.compile(
    r'[ \t\n\r]*(?:([\[\]{}:,])|("(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null))',
)
_BLANK = re.compile(r"[ \t\n\r]*")


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _integer(digits: str) -> int | Decimal:
    try:
        return int(digits)
    except ValueError:
        return Decimal(digits)


_usual = json.JSONDecoder(parse_constant=_constant)
_long = json.JSONDecoder(parse_constant=_constant, parse_int=_integer)


def decode(text: str) -> Any:
    """Reads JSON. Raises `ValueError` where it is none."""
    try:
        return _usual.decode(text)
    except RecursionError:
        return _decode_deep(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # An integer that is too long for Python to convert is a `Decimal`.
        try:
            return _long.decode(text)
        except RecursionError:
            return _decode_deep(text)


def _decode_deep(text: str) -> Any:
    """The same with a stack of its own: slow, and without a limit."""
    root: list[Any] = []
    stack: list[list[Any] | dict[str, Any]] = [root]
    keys: list[str] = []
    # What may come: a value, a key, the colon after a key, or what follows a value.
    due, may_close = "value", False
    at = 0
    while len(stack) > 1 or due != "next":
        found = _TOKEN.match(text, at)
        if not found:
            raise ValueError(f"not JSON at character {at}")
        at = found.end()
        mark, plain = found.groups()
        container = stack[-1]
        opened: list[Any] | dict[str, Any] | None = None
        if mark is None or mark in "[{":
            if due == "key" and mark is None and plain.startswith('"'):
                keys.append(_long.decode(plain))
                due = "colon"
                continue
            if due != "value":
                raise ValueError(f"not JSON before character {at}")
            value = _long.decode(plain) if mark is None else [] if mark == "[" else {}
            if isinstance(container, list):
                container.append(value)
            else:
                container[keys.pop()] = value
            due, may_close = "next", True
            if mark is not None:
                opened = value
        elif mark == ":" and due == "colon":
            due, may_close = "value", False
        elif mark == "," and due == "next":
            due, may_close = ("value" if isinstance(container, list) else "key"), False
        elif mark in "]}" and len(stack) > 1 and may_close and due != "colon" and isinstance(container, list) == (mark == "]"):
            stack.pop()
            due, may_close = "next", True
        else:
            raise ValueError(f"not JSON before character {at}")
        if opened is not None:
            stack.append(opened)
            due, may_close = ("value" if mark == "[" else "key"), True
    if _BLANK.fullmatch(text, at) is None:
        raise ValueError(f"extra data at character {at}")
    return root[0]
