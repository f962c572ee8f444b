"""WebSockets (RFC 6455) from a client's side: the opening handshake, and frames. No extension is offered."""

from __future__ import annotations

import hashlib
import os
import re
from base64 import b64encode
from collections.abc import Iterator

from ._answer import refusal
from ._errors import ErrorKind, TidingsError

TEXT = 1
CLOSE = 8
PING = 9
PONG = 10

_CONTINUATION = 0
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LARGEST_CONTROL = 125
_GOING_AWAY = 1001
_TRY_AGAIN = 1013
#: From this close code on, what is above 4000 is an HTTP status.
_STATUSES = 4400


class Opening:
    """What is asked with, and what proves that whoever answers speaks the protocol."""

    def __init__(self) -> None:
        key = b64encode(os.urandom(16))
        self.headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key.decode(),
            "Sec-WebSocket-Protocol": "tidings.v1",
        }
        self._accept = b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest()).decode()

    def check(self, accept: str) -> None:
        if accept != self._accept:
            raise TidingsError("stalled", "the answer to the handshake of a WebSocket is not one to this request")


class Frames:
    """Reads frames that have come piece by piece. What is incomplete in the end is dropped."""

    def __init__(self, limit: int) -> None:
        #: The largest message, in bytes.
        self._limit = limit
        self._buffer = bytearray()
        #: What has come of a message in several frames.
        self._message: bytearray | None = None

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """Gives each message that is complete, and each control frame, with its opcode."""
        self._buffer += piece
        while (frame := self._next()) is not None:
            final, opcode, payload = frame
            if opcode >= CLOSE:
                yield opcode, payload
                continue
            if opcode == TEXT and self._message is None:
                self._message = bytearray()
            elif opcode != _CONTINUATION or self._message is None:
                raise TidingsError("malformed", f"a frame with the opcode {opcode} is not to come here")
            self._message += payload
            if len(self._message) > self._limit:
                raise TidingsError("malformed", f"a message is larger than {self._limit} bytes")
            if final:
                message, self._message = bytes(self._message), None
                yield TEXT, message

    def _next(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        final, opcode = bool(buffer[0] & 0x80), buffer[0] & 0x0F
        size, start = buffer[1], 2
        if buffer[0] & 0x70 or size & 0x80 or opcode not in (_CONTINUATION, TEXT, 2, CLOSE, PING, PONG):
            raise TidingsError("malformed", "this is no frame of a server")
        if opcode >= CLOSE and (size > _LARGEST_CONTROL or not final):
            raise TidingsError("malformed", "a control frame is too large, or in several")
        if size > _LARGEST_CONTROL:
            start = 4 if size == _LARGEST_CONTROL + 1 else 10
            if len(buffer) < start:
                return None
            size = int.from_bytes(buffer[2:start], "big")
        if size > self._limit:
            raise TidingsError("malformed", f"a message is larger than {self._limit} bytes")
        if len(buffer) < start + size:
            return None
        payload = bytes(buffer[start : start + size])
        del buffer[: start + size]
        return final, opcode, payload


def control(opcode: int, payload: bytes = b"") -> bytes:
    """A control frame, masked as those of clients are."""
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload[:_LARGEST_CONTROL]))
    return bytes((0x80 | opcode, 0x80 | len(masked))) + mask + masked


def closed(payload: bytes) -> TidingsError:
    """What it means that the server closes with this."""
    code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else 1005
    reason = payload[2:].decode(errors="replace")
    if code >= _STATUSES:
        return refusal(code - 4000, True, reason)
    kind: ErrorKind = "ended" if code <= _GOING_AWAY else "unavailable" if code == _TRY_AGAIN else "broken"
    # A hub that shuts down says so in words, with a time for each client to come back.
    found = re.search(r"(\d+) ms", reason)
    return TidingsError(kind, reason or code, retry_after=int(found[1]) / 1000 if found else None)
