"""What is published as a stream and not acknowledged yet."""

from __future__ import annotations

from collections import deque
from typing import Any

import anyio

from . import _defaults as defaults
from ._message import line


class Outbox:
    """The items of a source that are not acknowledged yet, in order, each as a line. It belongs to one event loop."""

    def __init__(self) -> None:
        #: The number of the first item that is not acknowledged.
        self.first = 0
        #: Whether nothing more comes.
        self.over = False
        #: Why, where the source failed or was broken off.
        self.failed = False
        #: Whether nobody sends any more.
        self.abandoned = False
        #: Since when something waits to be acknowledged, as a time of the event loop.
        self.since = 0.0
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._change = anyio.Event()

    @property
    def waits(self) -> int:
        """How many items wait."""
        return len(self._lines)

    async def put(self, item: Any) -> None:
        """Takes an item, once there is room for more."""
        written = line(item)
        while self._size >= defaults.STREAM_WINDOW and not self.abandoned:
            await self.change()
        if not self._lines:
            self.since = anyio.current_time()
        self._lines.append(written)
        self._size += len(written)
        self.changed()

    async def end(self, failed: bool = False) -> None:
        """Nothing more comes."""
        self.over, self.failed = True, failed
        self.since = anyio.current_time()
        self.changed()

    def after(self, number: int) -> list[bytes]:
        """The items from this number on, up to about as much as is sent at once."""
        taken: list[bytes] = []
        size = 0
        for at in range(number - self.first, len(self._lines)):
            if taken and size >= defaults.STREAM_PIECE:
                break
            taken.append(self._lines[at])
            size += len(self._lines[at])
        return taken

    def acknowledge(self, number: int) -> bool:
        """Everything before this number is durable. Says whether that is news."""
        count = min(max(number - self.first, 0), len(self._lines))
        for _ in range(count):
            self._size -= len(self._lines.popleft())
        self.first += count
        if count:
            self.since = anyio.current_time()
            self.changed()
        return count > 0

    def abandon(self) -> None:
        """Nobody sends any more: who waits for room is let go."""
        self.abandoned = True
        self.changed()

    async def change(self) -> None:
        """Waits until something is different."""
        await self._change.wait()

    def changed(self) -> None:
        self._change.set()
        self._change = anyio.Event()
