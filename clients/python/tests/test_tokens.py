"""Tokens as a hub itself gives them meaning: they end, are refused, or do not cover what is asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import tidings

from .support.hub import Hub
from .support.keys import Keys
from .support.mode import Mode

KEYS = Keys()
ALL = KEYS.token(publish=["**"], subscribe=["**"])


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(*KEYS.flags(tmp_path)) as hub:
        yield hub


@pytest.mark.parametrize("transport", ["websocket", "sse", "long-poll", "poll"])
def test_tokens_that_end_are_followed_by_others_and_no_event_is_lost_or_repeated(
    mode: Mode, hub: Hub, transport: tidings.Transport
) -> None:
    given: list[tuple[float, str]] = []

    def token() -> str:
        # As applications do it: one token for as long as it is valid.
        if not given or given[-1][0] <= time.time():
            given.append((time.time() + 1, KEYS.token(subscribe=["a"], seconds=1)))
        return given[-1][1]

    publisher = mode.client(hub.url, token=ALL)
    events = mode.subscribe(hub.url, "a", token=token, transports=[transport], since="earliest", interval=0.05, wait=10)
    number = 0
    while len(given) < 3:
        publisher.publish("a", number)
        assert events.datas(1) == [number]
        number += 1
    assert not any(state.status == "failed" for state in events.told.states)
    reasons = {state.error.kind for state in events.told.states if state.error}
    # A socket is closed by a code that asks for another token.
    assert reasons <= {"sse": {"ended"}, "websocket": {"refused"}}.get(transport, set())


def test_a_token_that_has_expired_is_followed_by_one_that_has_not(mode: Mode, hub: Hub) -> None:
    asked = [0]

    def token() -> str:
        asked[0] += 1
        return KEYS.token(subscribe=["a"], publish=["a"], seconds=-60 if asked[0] % 2 else 60)

    events = mode.subscribe(hub.url, "a", token=token)
    state = events.waiting()
    assert state.error
    assert state.error.problem
    assert (state.error.kind, state.error.problem.type, state.retry_in) == ("refused", "urn:tidings:unauthorized", 0)
    events.open()
    assert asked == [2]
    assert mode.client(hub.url, token=token).publish("a", 1).topic == "a"
    assert asked == [4]


@pytest.mark.parametrize(
    ("token", "status"),
    [
        (Keys().token(subscribe=["**"], publish=["**"]), 401),
        ("opaque", 401),
        (KEYS.token(subscribe=["b"], publish=["b"]), 403),
    ],
)
def test_a_token_that_is_refused_twice_fails_and_says_why(mode: Mode, hub: Hub, token: str, status: int) -> None:
    asked = [0]

    def supplier() -> str:
        asked[0] += 1
        return token

    error = mode.subscribe(hub.url, "a", token=supplier).failed()
    assert isinstance(error, tidings.RefusedError)
    assert (error.status, asked) == (status, [2])
    with pytest.raises(tidings.RefusedError) as refused:
        mode.client(hub.url, token=supplier).publish("a", 1)
    assert (refused.value.status, asked) == (status, [4])
