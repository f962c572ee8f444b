from __future__ import annotations

import re
from collections.abc import Callable

_MARK = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n?|\n")


class Parser:
    """Parses a stream of events as the HTML standard says, in pieces as they come. What is incomplete in the end is dropped.

    It works on bytes, and decodes nothing: most of what a stream says is only passed on.
    """

    def __init__(
        self,
        on_retry: Callable[[bytes], None],
        on_block: Callable[[bytes | None, bytes | None, bytes | None, bytes | None], None],
    ) -> None:
        """`on_retry` is given the digits of a `retry:`, at once; `on_block` what stands between two empty lines, as
        `id`, `event`, `data` and the last comment."""
        self._on_retry = on_retry
        self._on_block = on_block
        #: The start of the stream, where it may become a byte order mark.
        self._start: bytes | None = b""
        #: A line that has no end yet.
        self._line: list[bytes] = []
        #: Whether the last piece ended with a carriage return: then a line feed at the start of this one ends nothing.
        self._returned = False
        self._id: bytes | None = None
        self._event: bytes | None = None
        self._comment: bytes | None = None
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> None:
        if self._start is not None:
            piece = self._start + piece
            if len(piece) < len(_MARK) and _MARK.startswith(piece):
                self._start = piece
                return
            self._start = None
            piece = piece.removeprefix(_MARK)
        if self._returned and piece.startswith(b"\n"):
            self._returned = False
            piece = piece[1:]
        if not piece:
            return
        self._returned = piece.endswith(b"\r")
        lines = _LINE_END.split(piece) if b"\r" in piece else piece.split(b"\n")
        if len(lines) == 1:
            self._line.append(piece)
            return
        if self._line:
            self._line.append(lines[0])
            lines[0] = b"".join(self._line)
            self._line.clear()
        if last := lines.pop():
            self._line.append(last)
        self._read(lines)

    def _read(self, lines: list[bytes]) -> None:
        id, event, comment, data = self._id, self._event, self._comment, self._data
        for line in lines:
            if not line:
                block = id, event, (b"\n".join(data) if data else None), comment
                id = event = comment = None
                data.clear()
                self._on_block(*block)
                continue
            field, colon, value = line.partition(b":")
            if value[:1] == b" ":
                value = value[1:]
            if field == b"data":
                data.append(value)
            elif field == b"id":
                if b"\0" not in value:
                    id = value
            elif field == b"event":
                event = value
            elif not field and colon:
                comment = value
            elif field == b"retry" and value.isdigit():
                self._on_retry(value)
        self._id, self._event, self._comment = id, event, comment
