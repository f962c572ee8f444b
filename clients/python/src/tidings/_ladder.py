from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Literal

from ._defaults import POLL_FAILURES, STREAM_FAILURES
from ._errors import TidingsError

Transport = Literal["websocket", "sse", "long-poll", "poll"]
"""How events are fetched: over a WebSocket, by Server-Sent Events, by polls that the hub holds, or by polls with a rest between
them."""


def is_stream(transport: Transport) -> bool:
    """Whether it brings events as they come, for as long as it is open."""
    return transport in ("websocket", "sse")


class Ladder:
    """Which transport to use now: down the list while they fail, and up again after a while.

    A fall is only believed where the lower rung works: a poll there is answered at once at first, and if that fails as well, or a
    stream in a way that blames no transport, the transport above was not to blame.
    """

    def __init__(self, rungs: Sequence[Transport], climb_after: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rungs = rungs
        self._climb_after = climb_after
        self._clock = clock
        self._at = 0
        self._failures = 0
        self._climb_at = math.inf
        #: Whether advice was followed, and no stream has worked since: it is not followed again before the time to climb.
        self._heeded = False
        #: Whether this rung has worked since it was stepped on, so that a poll may be held.
        self.proven = False

    def rung(self) -> Transport:
        """The transport for the next attempt."""
        if self._climb_at <= self._clock():
            self._heeded = self._climb_at == -math.inf
            self._step(0)
            # It has one chance.
            self._failures = STREAM_FAILURES - 1
        return self._rungs[self._at]

    def succeeded(self) -> None:
        self._failures = 0
        self.proven = True
        if is_stream(self._rungs[self._at]):
            self._heeded = False

    def advised(self) -> None:
        """The hub says that a stream would take less than these polls."""
        if self._climb_at < math.inf and not self._heeded:
            self._climb_at = -math.inf

    def failed(self, error: TidingsError) -> bool:
        """Counts a failure. `True` where the next attempt is by another transport, and follows at once."""
        stalled = error.kind == "stalled"
        # Where the hub or the way to it is down, or the hub itself said that it cannot answer, the transport is not to blame.
        # By a stream it says so without a status of its own.
        told = error.kind == "unavailable" and error.status in (None, 429, 503)
        blamed = error.kind not in ("unreachable", "token") and not told
        self._failures += blamed
        streams = is_stream(self._rungs[self._at])
        if stalled or self._failures >= (STREAM_FAILURES if streams else POLL_FAILURES):
            if self._at == 0:
                self._climb_at = self._clock() + self._climb_after
            self._step(self._at + 1)
            return stalled and self._at > 0
        if not self.proven and (not streams or (self._at > 0 and not blamed)):
            self._step(0)
        return False

    def _step(self, to: int) -> None:
        self._at = to % len(self._rungs)
        if self._at == 0:
            self._climb_at = math.inf
        self._failures = 0
        self.proven = False
