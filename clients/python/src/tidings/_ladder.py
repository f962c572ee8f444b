from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Literal

from ._defaults import POLL_FAILURES, STREAM_FAILURES
from ._errors import TidingsError

Transport = Literal["sse", "long-poll", "poll"]
"""How events are fetched: by Server-Sent Events, by polls that the hub holds, or by polls with a rest between them."""


class Ladder:
    """Which transport to use now: down the list while they fail, and up again after a while.

    A fall is only believed where the lower rung works: it begins with a poll that is answered at once, and if that fails as
    well, the transport above was not to blame.
    """

    def __init__(self, rungs: Sequence[Transport], climb_after: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rungs = rungs
        self._climb_after = climb_after
        self._clock = clock
        self._at = 0
        self._failures = 0
        self._climb_at = math.inf
        #: Whether this rung has worked since it was stepped on, so that a poll may be held.
        self.proven = False

    def rung(self) -> Transport:
        """The transport for the next attempt."""
        if self._climb_at <= self._clock():
            self._step(0)
            # It has one chance.
            self._failures = STREAM_FAILURES - 1
        return self._rungs[self._at]

    def succeeded(self) -> None:
        self._failures = 0
        self.proven = True

    def failed(self, error: TidingsError) -> bool:
        """Counts a failure. `True` where the next attempt is by another transport, and follows at once."""
        stalled = error.kind == "stalled"
        # Where the hub or the way to it is down, or the hub itself said that it cannot answer, the transport is not to blame.
        # By a stream it says so without a status of its own.
        told = error.kind == "unavailable" and error.status in (None, 429, 503)
        if error.kind not in ("unreachable", "token") and not told:
            self._failures += 1
        streams = self._rungs[self._at] == "sse"
        if stalled or self._failures >= (STREAM_FAILURES if streams else POLL_FAILURES):
            if self._at == 0:
                self._climb_at = self._clock() + self._climb_after
            self._step(self._at + 1)
            return stalled and len(self._rungs) > 1
        if not streams and not self.proven:
            self._step(0)
        return False

    def _step(self, to: int) -> None:
        self._at = to % len(self._rungs)
        if self._at == 0:
            self._climb_at = math.inf
        self._failures = 0
        self.proven = False
