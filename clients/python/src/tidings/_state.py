from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ._errors import TidingsError
from ._ladder import Transport

Status = Literal["connecting", "open", "waiting", "paused", "ended", "closed", "failed"]
"""- `connecting`: an attempt is under way, or will be once events are asked for.
- `open`: the hub answers. Where the subscription began at `latest`, all that is published from now on is delivered.
- `waiting`: an attempt came to nothing, or a connection to its end, by `error`. The next attempt follows in `retry_in` seconds.
- `paused`: by `pause()`.
- `ended`: the topic has ended, and everything in it is delivered; where that was no clean end, `reason` says why.
- `closed`: by its user.
- `failed`: by `error`; another attempt would do no better.
"""


@dataclass(frozen=True)
class State:
    """How a subscription stands."""

    status: Status
    transport: Transport | None = None
    error: TidingsError | None = None
    retry_in: float | None = None
    #: How many attempts have failed in a row.
    attempt: int | None = None
    #: Why the cursor store did not keep the last cursor. What follows is delivered all the same; whoever begins from the store
    #: gets some events once more.
    store_error: TidingsError | None = None
    #: Why the topic has ended, where that was no clean end: `aborted`, where whoever published broke off.
    reason: str | None = None

    @property
    def over(self) -> bool:
        """Whether nothing follows."""
        return self.status in ("ended", "closed", "failed")
