from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Literal, get_args

from . import _defaults as defaults
from ._decoder import decode
from ._endpoint import Endpoint, Parameters
from ._ladder import Transport

Since = str | int | datetime | timedelta
"""Where to begin without a cursor: `"latest"`, `"earliest"`, `-10` (the last ten matching events), `"15m"` or a `timedelta` (no
older than this), a time in RFC 3339 or a `datetime` with a zone (at or after it)."""

Conflate = Literal["latest", "append"]

TRANSPORTS: tuple[Transport, ...] = ("sse", "long-poll", "poll")
"""Those that are used where nothing else is said."""
_KNOWN: tuple[Transport, ...] = get_args(Transport)

_OWN_HEADERS = {"accept", "accept-encoding", "content-type", "idempotency-key", "last-event-id"}


@dataclass(frozen=True)
class Settings:
    """What every attempt of a subscription has in common. Times are in seconds."""

    url: str
    parameters: Parameters
    since: str
    transports: tuple[Transport, ...]
    heartbeat: float
    first_byte: float
    climb_after: float
    wait: float
    interval: float
    max_event_size: int
    parse: Callable[[str], Any]


def settle(
    endpoint: Endpoint,
    topics: str | Iterable[str],
    *,
    since: Since,
    types: str | Iterable[str],
    conflate: Conflate | None = None,
    every: float | None = None,
    transports: Sequence[Transport],
    heartbeat: float,
    first_byte: float,
    climb_after: float,
    wait: float,
    interval: float,
    max_event_size: int,
    parse: Callable[[str], Any] | None,
) -> Settings:
    """The settings that these options make. Raises where an option could only make the client spin, or wait for ever."""
    selectors = _texts("topics", topics)
    if not selectors or not all(selectors):
        raise ValueError("a subscription has at least one topic, and none of them is empty")
    if isinstance(transports, str) or not transports or any(name not in _KNOWN for name in transports):
        raise ValueError(f"transports are one or more of {', '.join(_KNOWN)}")
    if conflate not in (None, "latest", "append"):
        raise ValueError("conflate is `latest` or `append`")
    if parse is not None and not callable(parse):
        raise TypeError("parse is a function")
    numbers = {
        "heartbeat": heartbeat,
        "first_byte": first_byte,
        "climb_after": climb_after,
        "wait": wait,
        "interval": interval,
        "max_event_size": max_event_size,
    }
    for name, value in numbers.items():
        not_negative(name, value)
    first_byte, climb_after, wait, interval = (
        min(time, defaults.LONGEST_WAIT) for time in (first_byte, climb_after, wait, interval)
    )
    folding: list[tuple[str, str]] = [("conflate", conflate)] if conflate else []
    if every is not None:
        not_negative("every", every)
        folding.append(("every", f"{round(min(every, defaults.LONGEST_EVERY) * 1000)}ms"))
    url, parameters = endpoint.selectors(selectors)
    # As the hub does.
    heartbeat = min(max(heartbeat, defaults.HEARTBEAT_FLOOR), defaults.HEARTBEAT_CEILING)
    return Settings(
        url=url,
        parameters=[*parameters, *(("event", name) for name in _texts("types", types)), *folding],
        since=_since(since),
        transports=tuple(transports),
        heartbeat=heartbeat,
        first_byte=first_byte,
        climb_after=climb_after,
        wait=wait,
        interval=interval,
        max_event_size=max_event_size,
        parse=parse or decode,
    )


def not_negative(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number, not {type(value).__name__}")
    if not value >= 0:
        raise ValueError(f"{name} is a number that is not negative")


def headers_of(given: Mapping[str, str] | None, token: object) -> dict[str, str]:
    """The fields for every request. The client's own take the place of those that are given."""
    import httpx

    headers = httpx.Headers(dict(given or {}))
    for name in list(headers):
        if name.lower() in _OWN_HEADERS or (name.lower() == "authorization" and token is not None):
            del headers[name]
    for name, value in headers.items():
        if not name or not all(
            character.isascii() and (character.isalnum() or character in "!#$%&'*+-.^_`|~") for character in name
        ):
            raise ValueError(f"`{name}` is no name of a header")
        if any(character in "\r\n\0" for character in value):
            raise ValueError(f"the header {name} holds a line break")
    if isinstance(token, str):
        bearer(token)
    elif token is not None and not callable(token):
        raise TypeError("a token is a text, or a function that supplies one")
    return dict(headers)


def bearer(token: str) -> str:
    # The message does not show it: it is a secret.
    if not token or not all("!" <= character <= "~" for character in token):
        raise ValueError("a token holds only visible ASCII characters")
    return f"Bearer {token}"


def _texts(name: str, given: str | Iterable[str]) -> list[str]:
    texts = [given] if isinstance(given, str) else list(given)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{name} are texts")
    return texts


def _since(since: Since) -> str:
    if isinstance(since, datetime):
        if since.tzinfo is None:
            raise ValueError("since is a time without a zone: use datetime.now(timezone.utc) and its like")
        return since.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    if isinstance(since, timedelta):
        if since < timedelta(0):
            raise ValueError("since is an age: it is not negative")
        return f"{since // timedelta(milliseconds=1)}ms"
    if isinstance(since, bool) or not isinstance(since, (str, int)):
        raise TypeError("since is a text, a number, a datetime or a timedelta")
    if isinstance(since, int) and since >= 0:
        raise ValueError("since is a negative number: -10 is the last ten events")
    return str(since)
