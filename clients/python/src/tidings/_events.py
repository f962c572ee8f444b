from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args


@dataclass(slots=True)
class Event:
    """An event, as the hub has it."""

    id: str
    """The cursor just after this event: give it to another subscription to go on there."""
    topic: str
    """What it was published under."""
    time: str
    """When the hub took it (RFC 3339)."""
    data: Any
    """A value for JSON, `str` for text, `bytes` for bytes."""
    type: str | None = None
    """The event type; `None` where it has none, which counts as `message`."""

    @property
    def datetime(self) -> datetime:
        """When the hub took it."""
        return datetime.fromisoformat(self.time.replace("Z", "+00:00"))


GapReason = Literal["expired", "unknown", "ahead"]
"""`expired`: discarded by retention. `unknown`: the cursor is of another log. `ahead`: it is beyond this one's end."""

_REASONS = get_args(GapReason)


@dataclass(frozen=True, slots=True)
class Gap:
    """Events may be missing: what follows begins at the earliest event that the hub still holds."""

    reason: str
    """One of `GapReason`, or what a later hub says."""
    since: str
    """The cursor that was asked with."""
    resumed: str
    """The cursor before the first event that follows."""


def event(told: Any) -> Event:
    """The event that an object of the protocol is; `ValueError` where it is none."""
    try:
        id, data = told["id"], told["data"]
        type = told.get("event")
        encoding = told.get("encoding")
        topic, time = told["topic"], told["time"]
    except (KeyError, TypeError, AttributeError):
        raise ValueError("this is no event") from None
    if not (id and isinstance(id, str) and isinstance(topic, str) and isinstance(time, str)):
        raise ValueError("this is no event")
    if not (type is None or isinstance(type, str)):
        raise ValueError("this is no event")
    if encoding == "base64":
        if not isinstance(data, str):
            raise ValueError("this is no event")
        data = b64decode(data, validate=True)
    return Event(id, topic, time, data, type)


def gap(told: Any) -> Gap:
    """The gap that an object of the protocol is; `ValueError` where it is none."""
    try:
        fields = told["reason"], told["since"], told["resumed"]
    except (KeyError, TypeError):
        raise ValueError("this is no gap") from None
    if not all(isinstance(field, str) for field in fields) or not fields[2]:
        raise ValueError("this is no gap")
    return Gap(*fields)
