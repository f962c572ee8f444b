"""What a subscription and a publish ask of the network.

Both are generators that yield these commands and are sent their results, or thrown the errors they ended with. So what a client
decides is written once, knows nothing of sockets, and is driven by threads, asyncio and trio alike.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from ._errors import ErrorKind

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Open:
    """Send a request. The result is an `Answer`."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    #: How many seconds the head of the answer may take, and what it is if it takes longer.
    patience: float
    late: ErrorKind


@dataclass(frozen=True, slots=True)
class Read:
    """Read the next piece of the answer's body, or of what follows where the protocol has changed. The result is its bytes, or
    `None` at the end."""

    #: How many seconds it may take, from when it is asked for, and what it is if it takes longer.
    patience: float
    late: ErrorKind


@dataclass(frozen=True, slots=True)
class Write:
    """Send bytes through a connection that has changed to another protocol."""

    data: bytes
    #: How many seconds it may take.
    patience: float


@dataclass(frozen=True, slots=True)
class Hangup:
    """Drop the answer, whose body may not have been read to its end."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Wait for so many seconds, or until the subscription is woken; without a number, only for that."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer."""

    status: int
    content_type: str
    retry_after: str
    #: `Sec-WebSocket-Accept`.
    accept: str = ""


class Interrupted(Exception):
    """A command was given up from outside: by a pause, or a task that was cancelled."""


Command = Open | Read | Write | Hangup | Rest
Flow = Generator[Command, Any, Result]
