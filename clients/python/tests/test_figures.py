"""What the client promises of itself: how soon it is there, how much it takes, and how little it holds."""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator

import pytest

import tidings

from .support.hub import Hub
from .support.mode import Mode

IMPORT_TIME = 0.15
"""Seconds of processor time that `import tidings` may take more than an empty program."""
RATE = 20_000
"""Events that a process receives in a second of its processor's time."""


def processor_time(program: str) -> float:
    """The least of several: what else the machine does comes on top."""
    measure = f"import time\nbegan = time.process_time()\n{program}\nprint(time.process_time() - began)"
    command = [sys.executable, "-c", measure]
    return min(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(5))


def test_it_is_imported_soon() -> None:
    assert processor_time("import tidings") <= IMPORT_TIME


def test_what_takes_long_is_imported_once_it_is_needed() -> None:
    program = "import sys, tidings; print([name for name in ('httpx', 'anyio', 'asyncio', 'ssl') if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert told.strip() == "[]"


TOTAL = 60_000


@pytest.fixture(scope="module")
def full_hub() -> Iterator[Hub]:
    with Hub() as hub, tidings.Client(hub.url) as client:
        for first in range(0, TOTAL, 10_000):
            client.publish_batch("prices/x", [{"price": number, "currency": "EUR"} for number in range(first, first + 10_000)])
        yield hub


@pytest.mark.parametrize("transport", ["sse", "poll"])
def test_it_receives_many_events_in_a_second(mode: Mode, full_hub: Hub, transport: tidings.Transport) -> None:
    if mode.name == "sync":
        with tidings.subscribe_sync(full_hub.url, "prices/*", since="earliest", transports=[transport]) as subscription:
            began = time.process_time()
            for number, event in zip(range(TOTAL), subscription, strict=False):
                assert event.data["price"] == number
            took = time.process_time() - began
    else:
        import anyio

        async def receive() -> float:
            options = {"since": "earliest", "transports": [transport]}
            async with tidings.subscribe(full_hub.url, "prices/*", **options) as subscription:  # type: ignore[arg-type]
                number = 0
                began = time.process_time()
                async for event in subscription:
                    assert event.data["price"] == number
                    number += 1
                    if number == TOTAL:
                        break
                return time.process_time() - began

        took = anyio.run(receive, backend=mode.name)
    print(f"{mode.name}, {transport}: {TOTAL / took:,.0f} events a second of processor time")
    assert TOTAL / took >= RATE


def test_a_long_stream_takes_no_more_memory_than_a_short_one(full_hub: Hub) -> None:
    tracemalloc.start()
    try:
        with tidings.subscribe_sync(full_hub.url, "prices/*", since="earliest", transports=["sse"]) as subscription:
            for _ in zip(range(1_000), subscription, strict=False):
                pass
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            for _ in zip(range(20_000), subscription, strict=False):
                pass
            _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # One piece of a stream with all that is in it, and no more.
    assert peak - before <= 4 << 20
