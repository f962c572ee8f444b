"""What every client does alike: `clients/vectors`, whose README says what each field means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from tidings import ErrorKind, Event, State, TidingsError
from tidings._answer import check
from tidings._backoff import Backoff
from tidings._commands import Answer, Hangup, Open, Read, Rest
from tidings._defaults import CLIMB_AFTER
from tidings._endpoint import Endpoint
from tidings._ladder import Ladder
from tidings._parser import Parser
from tidings._retry_after import retry_after, seconds
from tidings._session import Session
from tidings._settings import settle

VECTORS = Path(__file__).parents[2] / "vectors"


def read(name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    assert told["cases"]
    return told


def cases(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", read(name)["cases"], ids=lambda case: case["name"])


def error_of(kind: str, status: int | None = None, retry_after: float | None = None) -> TidingsError:
    if kind == "postponed":
        return TidingsError("unavailable", "later")
    assert kind in get_args(ErrorKind)
    return TidingsError(kind, "told", status=status, retry_after=retry_after)  # type: ignore[arg-type]


def test_all_files_are_known() -> None:
    known = {"advice", "answers", "backoff", "ladder", "retry-after", "streams", "websocket"}
    assert {path.stem for path in VECTORS.glob("*.json")} == known


@cases("backoff")
def test_how_long_to_rest(case: dict[str, Any]) -> None:
    longest = [0.0] * len(case["steps"])
    for _ in range(500):
        backoff = Backoff()
        for at, step in enumerate(case["steps"]):
            if "retry" in step:
                parser = Parser(lambda digits, to=backoff: to.set_base(seconds(digits, 0.001)), lambda *block: None)  # type: ignore[misc]
                parser.feed(f"retry: {step['retry']}\n".encode())
            if step.get("good"):
                backoff.attempt = 0
            if step.get("fail"):
                named = step["retryAfter"] / 1000 if "retryAfter" in step else None
                delay = backoff.after(error_of("unavailable", 503, named), renewable=False) * 1000
                assert step["from"] - 1e-6 <= delay <= step["to"] + 1e-6, f"step {at}"
                longest[at] = max(longest[at], delay)
    for at, step in enumerate(case["steps"]):
        if step.get("fail"):
            assert longest[at] >= step["to"] - (step["to"] - step["from"]) / 10, f"step {at}"


@cases("retry-after")
def test_the_time_that_an_answer_names(case: dict[str, Any]) -> None:
    from datetime import datetime

    now = datetime.fromisoformat(read("retry-after")["now"].replace("Z", "+00:00")).timestamp()
    named = retry_after(case["value"], now)
    assert (None if named is None else round(named * 1000)) == case["milliseconds"]


@cases("answers")
def test_which_answers_are_final(case: dict[str, Any]) -> None:
    def ask(backoff: Backoff, renewable: bool) -> str:
        flow = check(Answer(case["status"], case["type"] or "", ""), case["wanted"])
        body = iter([case["body"].encode(), None])
        try:
            command = next(flow)
            while True:
                assert isinstance(command, Read)
                command = flow.send(next(body))
        except StopIteration:
            return "ended" if case["status"] == 204 else "taken"
        except TidingsError as error:
            rest = backoff.after(error, renewable=renewable)
            return "final" if rest == float("inf") else "token" if backoff.refused else "retry"

    outcome = case["outcome"]
    fixed, supplied = Backoff(), Backoff()
    assert ask(fixed, False) == ("final" if outcome == "token" else outcome)
    assert ask(supplied, True) == outcome
    assert ask(supplied, True) == ("final" if outcome == "token" else outcome)


@cases("streams")
def test_when_a_stream_is_open_and_good(case: dict[str, Any]) -> None:
    now = 0.0
    settings = settle(
        Endpoint("http://hub"),
        "t",
        since="latest",
        types=(),
        transports=["sse"],
        heartbeat=15,
        first_byte=5,
        climb_after=300,
        wait=25,
        interval=5,
        max_event_size=1 << 20,
        parse=None,
    )
    session = Session(settings, None, renewable=False, clock=lambda: now)
    flow = session.life()
    # After a failure, so that it shows whether the count begins anew.
    assert isinstance(next(flow), Open)
    assert isinstance(flow.throw(error_of("unavailable", 503)), Hangup)
    command = flow.send(None)
    if isinstance(command, Rest):
        command = flow.send(None)
    assert isinstance(command, Open)
    session.ready.clear()
    assert isinstance(flow.send(Answer(200, "text/event-stream", "")), Read)
    is_open = False
    for at, piece in enumerate(case["pieces"]):
        now = piece["at"] / 1000
        command = flow.send(piece["text"].encode())
        is_open |= any(isinstance(step, State) and step.status == "open" for step in session.ready)
        first = next((step for step in session.ready if isinstance(step, (State, Event))), None)
        assert not isinstance(first, Event) or at > 0, "an event came before it was open"
        session.ready.clear()
        assert (is_open, session.backoff.attempt == 0) == (piece["open"], piece["good"]), f"after piece {at}"
    if "outcome" in case:
        assert isinstance(flow.send(None), Hangup)
        flow.send(None)
        [state] = [step for step in session.ready if isinstance(step, State)]
        assert state.error
        assert state.error.kind == ("unavailable" if case["outcome"] == "postponed" else case["outcome"])
        assert (state.error.kind == "unavailable") == (case["outcome"] == "postponed")
    flow.close()


LADDERS = [case for name in ("ladder", "websocket", "advice") for case in read(name)["cases"]]


@pytest.mark.parametrize("case", LADDERS, ids=lambda case: case["name"])
def test_which_transport_to_use(case: dict[str, Any]) -> None:
    now = 0.0
    ladder = Ladder(case["transports"], CLIMB_AFTER, lambda: now)
    assert ladder.rung() == case["transports"][0]
    for at, step in enumerate(case["steps"]):
        if "pass" in step:
            now += step["pass"] / 1000
        elif step.get("advice"):
            ladder.advised()
        elif step["outcome"] == "good":
            ladder.succeeded()
        else:
            assert ladder.failed(error_of(step["outcome"], step.get("status"))) == step["atOnce"], f"step {at}"
        assert ladder.rung() == step["next"], f"step {at}"
