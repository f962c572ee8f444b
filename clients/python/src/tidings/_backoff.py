from __future__ import annotations

import math
import random
from collections.abc import Callable

from ._defaults import BACKOFF_BASE, BACKOFF_CAP, RETRY_CEILING, RETRY_FLOOR
from ._errors import TidingsError


def draw() -> float:
    return random.random()


class Backoff:
    """How long to rest before the next attempt: exponential, with full jitter, so that the clients of a hub that restarts do not
    all come back together."""

    def __init__(self) -> None:
        #: How many attempts have failed since the last success.
        self.attempt = 0
        #: Whether the last token was refused, and this is the attempt with another one.
        self.refused = False
        self._base = BACKOFF_BASE

    def set_base(self, base: float) -> None:
        """Takes the hub's `retry:` as the base."""
        self._base = min(max(base, RETRY_FLOOR), RETRY_CEILING)

    def after(self, error: TidingsError, *, renewable: bool, at_once: Callable[[TidingsError], bool] | None = None) -> float:
        """Counts a failure, and says how long to rest; where the hub named a time itself, at least that. For ever where another
        attempt would do no better. `renewable` says whether another token can be had."""
        # The exponent is bounded, as the number it makes would not be.
        ceiling = min(self._base * 2.0 ** min(self.attempt, 64), max(BACKOFF_CAP, self._base))
        self.attempt += 1
        jitter = draw() * ceiling
        if error.kind == "untrusted":
            return math.inf
        if error.kind == "refused":
            if error.status not in (401, 403) or self.refused or not renewable:
                return math.inf
            self.refused = True
            return 0.0
        if at_once and at_once(error):
            return 0.0
        if error.retry_after:
            return min(error.retry_after, RETRY_CEILING) + min(jitter, self._base)
        return jitter
