from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import _defaults as defaults
from ._answer import check, refusal, whole
from ._backoff import Backoff
from ._commands import Answer, Flow, Hangup, Interrupted, Open, Read, Rest, Write
from ._endpoint import with_parameters
from ._errors import ErrorKind, Problem, TidingsError
from ._events import Event, Gap, event, gap
from ._ladder import Ladder, Transport, is_stream
from ._parser import Parser
from ._retry_after import seconds
from ._settings import Settings
from ._state import State
from ._websocket import CLOSE, PING, PONG, TEXT, Frames, Opening, closed, control


@dataclass(frozen=True, slots=True)
class Moved:
    """The cursor has moved, with no event."""

    cursor: str


@dataclass(frozen=True, slots=True)
class End:
    """The topic has ended, at this cursor if one was told, and why, where that was no clean end."""

    cursor: str | None
    reason: str | None = None


Step = Event | Gap | Moved | End | State


class Session:
    """The life of a subscription, from attempt to attempt: one loop over one cursor, whichever the transport.

    It runs only while it is asked for more, so it never holds more than one piece of a stream, or one page.
    """

    def __init__(
        self, settings: Settings, cursor: str | None, *, renewable: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings = settings
        #: After everything that is in `ready`, or was.
        self.cursor = cursor
        #: What came, and is not delivered yet, in the order in which it counts.
        self.ready: deque[Step] = deque()
        self.paused = False
        self.ladder = Ladder(settings.transports, settings.climb_after, clock)
        self.backoff = Backoff()
        #: The transport that the consumer was last told is open.
        self.open: Transport | None = None
        self.ended = False
        self._renewable = renewable
        self._clock = clock

    def life(self) -> Flow[None]:
        while not self.ended:
            rest: float = 0
            transport = self.ladder.rung()
            try:
                if self.paused:
                    yield Rest(None)
                    continue
                rest = yield from self._attempt(transport)
            except Interrupted:
                # By a pause, or a task that was cancelled: nothing failed.
                yield Hangup()
                self.open = None
                continue
            except TidingsError as error:
                # The answer may not have been read to its end.
                yield Hangup()
                rest = self.backoff.after(error, renewable=self._renewable, at_once=self.ladder.failed)
                self.open = None
                if rest == math.inf:
                    self.ready.append(State("failed", transport, error))
                    return
                self.ready.append(State("waiting", transport, error, rest, self.backoff.attempt))
            if rest and not self.ended:
                try:
                    yield Rest(rest)
                except Interrupted:
                    self.open = None
        yield Hangup()

    def _attempt(self, transport: Transport) -> Flow[float]:
        settings = self.settings
        if not self.open:
            self.ready.append(State("connecting", transport))
        streams = is_stream(transport)
        # The first poll finds out where it is, and whether polls are answered at all. Were it held, and broke, nobody would
        # know from which cursor to go on.
        held = settings.wait if transport == "long-poll" and self.cursor and self.ladder.proven else 0.0
        began = self._clock()
        silence = settings.heartbeat * defaults.SILENT_HEARTBEATS
        accept, patience = "application/json", held + defaults.POLL_GRACE
        late: ErrorKind = "late"
        parameters = list(settings.parameters)
        if streams:
            # Where nothing else is tried, giving up on a stream early wins nothing.
            accept, late = "text/event-stream", "stalled"
            patience = settings.first_byte if len(settings.transports) > 1 else silence
            parameters += [("envelope", "true"), ("heartbeat", f"{settings.heartbeat:g}")]
        else:
            parameters.append(("wait", f"{math.ceil(held * 1000)}ms"))
        # Unlike `since`, which is for the first time, this is never the caller's mistake: a cursor from elsewhere is a gap.
        if self.cursor:
            parameters.append(("lastEventId", self.cursor[: defaults.CURSOR_SIZE]))
        else:
            parameters.append(("since", settings.since))
        due = began + patience
        url = with_parameters(settings.url, parameters)
        if transport == "websocket":
            opening = Opening()
            answer = yield Open("GET", url, {"Accept": accept, **opening.headers}, None, patience, late)
            yield from self._upgrade(answer, opening)
            if not self.ended:
                yield from self._socket(due, silence)
            return 0
        answer = yield Open("GET", url, {"Accept": accept}, None, patience, late)
        yield from check(answer, accept)
        if answer.status == 204:
            self.tell(End(self.cursor), transport)
            return 0
        if streams:
            yield from self._stream(due, silence)
            return 0
        before = self.cursor
        more = yield from self._poll(transport)
        # A hub that says that there is more and does not move is not asked without a rest.
        if more and self.cursor != before:
            return 0
        if transport == "poll":
            return settings.interval
        # A long poll that waited for as long as it was to needs no rest.
        return max(0.0, began + defaults.EMPTY_POLL_PAUSE - self._clock()) if held else 0

    def _stream(self, due: float, silence: float) -> Flow[None]:
        """Reads a stream until it ends, and so raises, but for the end of the topic."""
        stream = Stream(self)
        piece = yield Read(due - self._clock(), "stalled")
        while piece is not None:
            stream.feed(piece)
            if self.ended:
                return
            piece = yield Read(silence, "silent")
        raise stream.end()

    def _upgrade(self, answer: Answer, opening: Opening) -> Flow[None]:
        """Lets the answer to a handshake through. Where a WebSocket is not to be had, another transport may be."""
        if answer.status == 101:
            return opening.check(answer.accept)
        try:
            yield from check(answer, "")
        except TidingsError as error:
            if error.kind != "unexpected":
                raise
            raise TidingsError("stalled", f"the WebSocket did not open: {error.words}", status=answer.status) from error
        self.tell(End(self.cursor), "websocket")

    def _socket(self, due: float, silence: float) -> Flow[None]:
        """Reads a WebSocket until it ends, and so raises, but for the end of the topic."""
        frames = Frames(self.settings.max_event_size)
        goodness = Goodness(self)
        piece = yield Read(due - self._clock(), "stalled")
        while piece is not None:
            for opcode, payload in frames.feed(piece):
                if opcode == PING:
                    yield Write(control(PONG, payload), defaults.WRITE_TIMEOUT)
                elif opcode == CLOSE:
                    raise closed(payload)
                elif opcode == TEXT:
                    goodness.heard(self._message(payload))
                if self.ended:
                    yield Write(control(CLOSE), defaults.WRITE_TIMEOUT)
                    return
            piece = yield Read(silence, "silent")
        raise TidingsError("broken", "the WebSocket ended without a word")

    def _message(self, text: bytes) -> bool:
        """Takes a message of a WebSocket, and says whether it is an event."""
        told = self.parse(text)
        if not isinstance(told, dict):
            raise TidingsError("malformed", "this is no message of a hub")
        try:
            if (problem := Problem.of(told.get("problem"))) is not None:
                raise refusal(problem.status or 0, True, problem.detail or "", problem)
            if "gap" in told:
                self.tell(gap(told["gap"]), "websocket")
            elif "topic" in told:
                self.tell(event(told), "websocket")
                return True
            elif "end" in told:
                reason = told["end"].get("reason")
                self.tell(End(told["end"].get("id"), reason if isinstance(reason, str) else None), "websocket")
            elif "next" in told:
                if not (told["next"] and isinstance(told["next"], str)):
                    raise TidingsError("malformed", "this is no cursor")
                self.tell(Moved(told["next"]), "websocket")
            # Anything else is of a later version.
        except (ValueError, AttributeError) as error:
            raise TidingsError("malformed", error) from error
        return False

    def _poll(self, transport: Transport) -> Flow[bool]:
        """Reads the page that a poll is answered with, and says whether more may be ready now."""
        # A page ends at about a mebibyte, or after one larger event.
        body = yield from whole(self.settings.max_event_size * 2, defaults.PAGE_TIMEOUT)
        page = self.parse(body)
        try:
            events, following, missing = page["events"], page["next"], page.get("gap")
            if not (isinstance(events, list) and following and isinstance(following, str)):
                raise TypeError
            if missing is not None:
                self.tell(gap(missing), transport)
            for told in events:
                self.tell(event(told), transport)
        except (KeyError, TypeError, AttributeError):
            raise TidingsError("malformed", "this is no page of events") from None
        except ValueError as error:
            raise TidingsError("malformed", error) from error
        self.succeeded()
        advice = page.get("advice")
        if isinstance(advice, dict) and advice.get("transport") == "stream":
            self.ladder.advised()
        reason = page.get("reason")
        ends = End(following, reason if isinstance(reason, str) else None)
        self.tell(ends if page.get("closed") is True else Moved(following), transport)
        return page.get("more") is True or bool(events) or missing is not None

    def parse(self, data: bytes) -> Any:
        # What throws here ends the attempt: nothing after what cannot be read counts, and the cursor does not move past it.
        try:
            return self.settings.parse(data.decode(errors="replace"))
        except Exception as error:
            raise TidingsError("malformed", error) from error

    def succeeded(self) -> None:
        self.backoff.attempt = 0
        self.backoff.refused = False
        self.ladder.succeeded()

    def tell(self, step: Event | Gap | Moved | End, transport: Transport) -> None:
        """Moves the cursor. Who hears that it is open has a cursor: nothing that is published from now on can be missed."""
        if type(step) is Event:
            self.cursor = step.id
            self._opened(transport)
            self.ready.append(step)
        elif type(step) is Gap:
            self.cursor = step.resumed
            self._opened(transport)
            self.ready.append(step)
        elif isinstance(step, Moved):
            self.cursor = step.cursor
            # Of steps that only move the cursor, the last one is enough.
            if self.ready and isinstance(self.ready[-1], Moved):
                self.ready.pop()
            self.ready.append(step)
            self._opened(transport)
        elif isinstance(step, End):
            self.cursor = step.cursor or self.cursor
            self.ready.append(End(self.cursor, step.reason))
            self.ended = True

    def _opened(self, transport: Transport) -> None:
        if self.open != transport:
            self.open = transport
            self.ready.append(State("open", transport))


class Goodness:
    """Whether a stream counts as good: so that the count of failures begins anew."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._began: float | None = None
        self._is_good = False

    def heard(self, has_event: bool) -> None:
        session = self._session
        now = session._clock()
        if self._began is None:
            self._began = now
        session.backoff.refused = False
        # That it began shows little: a proxy may cut it off right then.
        if not self._is_good and (has_event or now - self._began >= defaults.SETTLED):
            self._is_good = True
            session.succeeded()


class Stream:
    """What one stream has told so far."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._parser = Parser(self._retry, self._block)
        self._goodness = Goodness(session)
        self._unread = 0
        self._has_event = False
        #: Whether the hub named a time to come back, and nothing else so far.
        self._postponed: bool | None = None
        #: The last comment, which says why.
        self._why: bytes | None = None

    def feed(self, piece: bytes) -> None:
        session = self._session
        self._unread += len(piece)
        self._has_event = False
        try:
            self._parser.feed(piece)
        finally:
            self._goodness.heard(self._has_event)
        # This bounds what the parser keeps, and tells of a line without an end that it passes over.
        if self._unread > session.settings.max_event_size:
            raise TidingsError("malformed", f"an event is larger than {session.settings.max_event_size} bytes")

    def end(self) -> TidingsError:
        """What it means that the stream has come to its end here."""
        # So a hub says that it cannot serve a stream now: an error would end an `EventSource` for good.
        if self._postponed:
            return TidingsError("unavailable", (self._why or b"the hub asks to come back later").decode(errors="replace"))
        return TidingsError("ended", "by the hub")

    def _retry(self, digits: bytes) -> None:
        if self._postponed is None:
            self._postponed = True
        self._session.backoff.set_base(seconds(digits, 0.001))

    def _block(self, id: bytes | None, name: bytes | None, data: bytes | None, comment: bytes | None) -> None:
        session = self._session
        self._why = comment or self._why
        self._unread = 0
        if session.ended:
            return
        if data is None or (name is not None and name.startswith(b"tidings.") and name != b"tidings.gap"):
            # Of the hub's own, one that is not known is of a later version; no published one has such a type.
            ends = data is not None and name == b"tidings.end"
            place = id.decode(errors="replace") if id else None
            if ends:
                session.tell(End(place, _reason(data or b"")), "sse")
            elif place:
                session.tell(Moved(place), "sse")
            else:
                return
        else:
            told = session.parse(data)
            try:
                step = gap(told) if name == b"tidings.gap" else event(told)
            except ValueError as error:
                raise TidingsError("malformed", error) from error
            self._has_event |= type(step) is Event
            session.tell(step, "sse")
        self._postponed = False


def _reason(data: bytes) -> str | None:
    """The reason of an end. Whatever else its data may say one day, the topic has ended."""
    try:
        reason = json.loads(data)["reason"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return reason if isinstance(reason, str) else None
