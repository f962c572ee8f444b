from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ._decoder import decode
from ._endpoint import Endpoint, is_plain, with_parameters

_KEY_SIZE = 255
"""The longest idempotency key that a hub takes."""


@dataclass(frozen=True)
class RawJson:
    """JSON that is written already. The hub stores it byte for byte."""

    text: str

    def __post_init__(self) -> None:
        decode(self.text)


@dataclass(frozen=True)
class Message:
    """Data with an event type, as an item of a batch."""

    data: Any
    type: str | None = None


@dataclass(frozen=True)
class Letter:
    """What a publish sends, the same for every attempt."""

    url: str
    content_type: str
    body: bytes
    key: str
    #: How many ids the answer has; an end alone may have one.
    events: int
    #: The topic, where all events have the same.
    topic: str | None


def letter(
    endpoint: Endpoint,
    topic: str | None,
    items: Sequence[tuple[str, Any]],
    *,
    type: str | None,
    close: bool,
    key: str | None,
    batch: bool,
    reason: str | None = None,
) -> Letter:
    """Writes the events of `items`, each with its topic. `topic` is what all of them have, if they do."""
    key = checked_key(key) if key is not None else random_key()
    parameters = [("close", "true")] if close else []
    if reason is not None:
        parameters.append(("reason", reason))
    messages = [(topic, _message(data, type)) for topic, data in items]
    if topic is None:
        return Letter(endpoint.events(), "application/x-ndjson", _lines(messages, True), key, len(messages), None)
    if not topic:
        raise ValueError("a topic has at least one character")
    plain = is_plain(topic)
    if close and not plain:
        raise ValueError(f"`{topic}` cannot be closed: proxies may take its URL for another topic's")
    if not messages:
        return Letter(endpoint.topic(topic, parameters), "text/plain", b"", key, 0, topic)
    if not plain:
        return Letter(endpoint.events(), "application/x-ndjson", _lines(messages, True), key, len(messages), topic)
    [(_, message), *_] = messages
    content_type, body = _body(message.data) if not batch else ("", b"")
    # With `close`, an empty body means that there is no event: an empty event needs the form of a batch.
    if batch or (close and not body):
        url = endpoint.topic(topic, parameters)
        return Letter(url, "application/x-ndjson", _lines(messages, False), key, len(messages), topic)
    if message.type is not None:
        parameters.append(("event", message.type))
    return Letter(with_parameters(endpoint.topic(topic), parameters), content_type, body, key, 1, topic)


def line(data: Any) -> bytes:
    """An item of a stream: data, or a `Message` with a type of its own."""
    return _lines([("", _message(data, None))], False)


def _message(data: Any, type: str | None) -> Message:
    if isinstance(data, Message):
        return data if type is None or data.type is not None else Message(data.data, type)
    return Message(data, type)


def _body(data: Any) -> tuple[str, bytes]:
    if isinstance(data, str):
        return "text/plain", data.encode()
    if isinstance(data, (bytes, bytearray, memoryview)):
        return "application/octet-stream", bytes(data)
    return "application/json", _json(data).encode()


def _json(data: Any) -> str:
    if isinstance(data, RawJson):
        return data.text
    # NaN and the infinities have no form in JSON.
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _lines(messages: Iterable[tuple[str, Message]], with_topics: bool) -> bytes:
    lines: list[str] = []
    for topic, message in messages:
        item: dict[str, str] = {}
        if with_topics:
            item["topic"] = topic
        if message.type is not None:
            item["event"] = message.type
        data = message.data
        if isinstance(data, (bytes, bytearray, memoryview)):
            item["encoding"] = "base64"
            data = b64encode(data).decode()
        # Line breaks stand only between the tokens of JSON.
        text = _json(data).replace("\r", " ").replace("\n", " ")
        head = _json(item)[:-1]
        lines.append(f'{head}{"," if item else ""}"data":{text}}}\n')
    return "".join(lines).encode()


def checked_key(key: str, size: int = _KEY_SIZE) -> str:
    if not (0 < len(key) <= size and all("!" <= character <= "~" for character in key)):
        raise ValueError(f"an idempotency key has 1 to {size} visible ASCII characters")
    return key


def random_key() -> str:
    """128 random bits; two publishers that draw the same key would take each other's events for repetitions."""
    from secrets import token_hex

    return token_hex(16)
