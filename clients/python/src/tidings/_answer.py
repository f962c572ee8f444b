from __future__ import annotations

import time

from ._commands import Answer, Flow, Read
from ._decoder import decode
from ._defaults import ANSWER_SIZE, POLL_GRACE
from ._errors import Problem, RefusedError, TidingsError
from ._retry_after import retry_after


def check(answer: Answer, wanted: str) -> Flow[None]:
    """Lets an answer through where it is of this type, or 204."""
    status = answer.status
    form = _form(answer)
    if status == 204 or (status in (200, 201) and form == wanted):
        return
    problem = None
    if form == "application/problem+json":
        # What cannot be read says nothing.
        try:
            problem = Problem.of(decode((yield from whole(ANSWER_SIZE, POLL_GRACE)).decode(errors="replace")))
        except TidingsError as error:
            if error.kind == "late":
                raise
        except ValueError:
            pass
    hubs = problem is not None and status >= 400 and (problem.type or "").startswith("urn:tidings:")
    said = (problem and problem.detail) or answer.content_type or "no type"
    raise refusal(status, hubs, said, problem, retry_after(answer.retry_after, time.time()))


def refusal(status: int, hubs: bool, said: str, problem: Problem | None = None, retry_after: float | None = None) -> TidingsError:
    """What a status means, and the words beside it. Only the hub itself can say that something is final: anything else may be
    that of a proxy while the hub is away, or of a captive portal."""
    passes = status >= 500 or status in (408, 425, 429)
    refused = not passes and hubs
    kind = RefusedError if refused else TidingsError
    return kind(
        "unavailable" if passes else "refused" if refused else "unexpected",
        f"{status}, {said}",
        status=status,
        problem=problem,
        retry_after=retry_after,
    )


def whole(limit: int, in_all: float) -> Flow[bytes]:
    """The whole body, up to `limit` bytes; it may take `in_all` seconds."""
    due = time.monotonic() + in_all
    pieces: list[bytes] = []
    size = 0
    while True:
        piece = yield Read(min(POLL_GRACE, due - time.monotonic()), "late")
        if piece is None:
            return b"".join(pieces)
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise TidingsError("malformed", f"the answer is larger than {limit} bytes")


def _form(answer: Answer) -> str:
    return answer.content_type.partition(";")[0].strip().lower()
