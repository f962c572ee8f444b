from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

ErrorKind = Literal[
    "unreachable",
    "untrusted",
    "broken",
    "ended",
    "late",
    "stalled",
    "silent",
    "unavailable",
    "refused",
    "token",
    "unexpected",
    "malformed",
    "store",
]
"""What an error is about:

- `unreachable`: no connection could be made.
- `untrusted`: the hub's certificate is not trusted.
- `broken`: the connection broke before the answer was complete.
- `ended`: the hub ended the stream, as it does when it shuts down.
- `late`: no answer came in time.
- `stalled`: a stream did not begin in time, or a WebSocket did not open; something on the way may hold it back.
- `silent`: an open stream was silent for so long that it counts as dead.
- `unavailable`: the hub, or a proxy before it, says that it cannot answer now.
- `refused`: the hub itself refuses the request or the token.
- `token`: no token could be had.
- `unexpected`: the answer is not one that a hub gives: a captive portal, a proxy during a deployment, or a wrong address.
- `malformed`: the answer is that of a hub, but cannot be read.
- `store`: the cursor store failed.
"""


@dataclass(frozen=True)
class Problem:
    """What a hub says of an error (RFC 9457)."""

    type: str | None = None
    title: str | None = None
    status: int | None = None
    detail: str | None = None
    reason: str | None = None
    """Why a topic has ended, where that was no clean end: `stopped`, `aborted`."""

    @classmethod
    def of(cls, value: Any) -> Problem | None:
        if not isinstance(value, dict):
            return None
        kinds = {"type": str, "title": str, "status": int, "detail": str, "reason": str}
        return cls(**{name: value[name] for name, kind in kinds.items() if isinstance(value.get(name), kind)})


class TidingsError(Exception):
    """Why something came to nothing. `str()` of it is for people; `kind` tells programs."""

    def __init__(
        self,
        kind: ErrorKind,
        words: object,
        *,
        status: int | None = None,
        problem: Problem | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.kind: ErrorKind = kind
        self.words = _describe(words)
        #: The HTTP status, where there was an answer.
        self.status = status
        #: What the hub said of it.
        self.problem = problem
        #: How many seconds the hub asked to wait.
        self.retry_after = retry_after
        super().__init__(f"{kind}: {self.words}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.kind, self.words, self.status, self.problem, self.retry_after)


class RefusedError(TidingsError):
    """The hub itself refuses the request or the token: another attempt would do no better. `problem` says why."""


def _describe(words: object) -> str:
    """Not everything that can be raised can be written."""
    try:
        text = str(words)
        return text or type(words).__name__
    except Exception:
        return type(words).__name__


def _restore(
    kind_of: type[TidingsError],
    kind: ErrorKind,
    words: str,
    status: int | None,
    problem: Problem | None,
    retry_after: float | None,
) -> TidingsError:
    return kind_of(kind, words, status=status, problem=problem, retry_after=retry_after)
