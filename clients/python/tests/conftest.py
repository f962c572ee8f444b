from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from .support.hub import Hub
from .support.mode import Mode


@pytest.fixture(autouse=True)
def brisk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rests are short, but where it is tested how long they are."""
    if request.path.stem != "test_vectors":
        monkeypatch.setattr("tidings._backoff.draw", lambda: random.random() / 10)


@pytest.fixture(params=["sync", "asyncio", "trio"])
def mode(request: pytest.FixtureRequest) -> Iterator[Mode]:
    """Both clients, the asynchronous one on both of its event loops."""
    with Mode(request.param) as mode:
        yield mode


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param
