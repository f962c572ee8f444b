from __future__ import annotations

import time
from dataclasses import dataclass

from . import _defaults as defaults
from ._answer import check, whole
from ._backoff import Backoff
from ._commands import Flow, Hangup, Open, Rest
from ._decoder import decode
from ._errors import TidingsError
from ._message import Letter


@dataclass(frozen=True)
class Published:
    """What was published."""

    ids: tuple[str, ...]
    """The ids of the events, in their order."""
    topic: str | None
    """The topic; `None` for a batch over several."""
    time: str
    """When the hub took it (RFC 3339)."""
    repeated: bool
    """Whether the hub knew the idempotency key, and so appended nothing this time."""

    @property
    def id(self) -> str | None:
        """The id of the first event; `None` where a topic was only ended."""
        return self.ids[0] if self.ids else None


@dataclass(frozen=True)
class StreamProgress:
    """How far a stream is."""

    events: int
    """How many items are as durable as the hub promises."""
    last: str | None
    """The id of the last one."""


@dataclass(frozen=True)
class StreamPublished(StreamProgress):
    """What was published as a stream."""

    topic: str
    first: str | None
    """The id of the first event; `None` where the first items were acknowledged before the connection broke."""
    closed: bool
    """Whether the topic has ended with the stream."""


def publication(letter: Letter, *, retry_for: float, renewable: bool) -> Flow[Published]:
    """Publishes, and tries again for `retry_for` seconds, always under one idempotency key."""
    began = time.monotonic()
    backoff = Backoff()
    patience = defaults.PUBLISH_TIMEOUT + len(letter.body) / defaults.SLOWEST_UPLOAD
    headers = {
        "Accept": "application/json",
        "Content-Type": letter.content_type,
        "Idempotency-Key": letter.key,
    }
    while True:
        try:
            answer = yield Open("POST", letter.url, headers, letter.body, patience, "late")
            yield from check(answer, "application/json")
            if answer.status == 204:
                raise TidingsError("unexpected", "an answer without a body", status=204)
            body = yield from whole(defaults.RECEIPT_SIZE, defaults.PAGE_TIMEOUT)
            return _receipt(body, letter, answer.status == 200)
        except TidingsError as error:
            # The answer may not have been read to its end.
            yield Hangup()
            rest = backoff.after(error, renewable=renewable)
            # Where another attempt would do no better, the rest is for ever.
            if not time.monotonic() - began + rest < retry_for:
                raise
        if rest:
            yield Rest(rest)


def _receipt(body: bytes, letter: Letter, repeated: bool) -> Published:
    try:
        told = decode(body.decode())
        id, ids, topic, time = told.get("id"), told.get("ids"), told.get("topic"), told["time"]
        found = tuple(ids) if ids is not None else () if id is None else (id,)
        if not isinstance(time, str) or not all(isinstance(id, str) for id in found):
            raise TypeError
        if letter.events and len(found) != letter.events:
            raise ValueError(f"it has {len(found)} ids, and {letter.events} events were published")
    except (KeyError, TypeError, AttributeError):
        raise TidingsError("malformed", "this is no receipt") from None
    except ValueError as error:
        raise TidingsError("malformed", error) from error
    return Published(found, topic if isinstance(topic, str) else letter.topic, time, repeated)
