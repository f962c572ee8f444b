from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from ._commands import Command, Flow
from ._errors import TidingsError
from ._events import Gap
from ._session import End, Moved, Session
from ._state import State

if TYPE_CHECKING:
    from ._session import Step

log = logging.getLogger("tidings")


class BaseSubscription:
    """What a subscription is, whoever waits for it."""

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self._name = name
        self._flow: Flow[None] | None = None
        #: What is to be asked of the network next.
        self._command: Command | None = None
        self._state = State("connecting", session.settings.transports[0])
        self._cursor = session.cursor
        self._saved: str | None = None
        self._pulling = False
        #: Whether a `with` closes it.
        self._entered = False
        #: Another thread may close it.
        self._entering = threading.Lock()

    @property
    def state(self) -> State:
        """How it stands."""
        return self._state

    @property
    def cursor(self) -> str | None:
        """After everything that was delivered: where another subscription can go on."""
        return self._cursor

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._name}: {self._state.status}, cursor {self._cursor}>"

    def _begin(self) -> None:
        if self._pulling:
            raise RuntimeError("a subscription has one reader at a time")
        self._pulling = True

    def _go_on(self, result: object = None, error: Exception | None = None) -> None:
        """Gives the session what came of its command, and takes the next one."""
        if self._flow is None:
            raise AssertionError("the session has not begun")
        try:
            self._command = self._flow.throw(error) if error else self._flow.send(result)
        except StopIteration:
            self._command = None

    def _enter(self, state: State) -> bool:
        """Takes a state, where it is news."""
        with self._entering:
            before = self._state
            # Nothing comes after the end.
            if before.over:
                return False
            self._state = replace(state, store_error=before.store_error)
        if state.status == "waiting":
            log.info("%s: %s; trying again in %.1f s", self._name, state.error, state.retry_in)
        return self._state != before

    def _store_told(self, error: TidingsError | None) -> bool:
        """Only the first failure is told, and that it is over."""
        with self._entering:
            before = self._state
            if (error is None) == (before.store_error is None):
                return False
            self._state = replace(before, store_error=error)
        if error:
            log.warning("%s: the cursor is not kept: %s", self._name, error)
        return True

    def _moved_to(self, step: Step) -> State | Gap | None:
        """Moves the cursor past what is no event; says what there is to tell."""
        if isinstance(step, State):
            return self._state if self._enter(step) else None
        if isinstance(step, Moved):
            self._cursor = step.cursor
            return None
        if isinstance(step, End):
            self._cursor = step.cursor
            ended = State("ended", reason=step.reason)
            return self._state if self._enter(ended) else None
        if isinstance(step, Gap):
            self._cursor = step.resumed
            return step
        raise AssertionError(step)

    def _missed(self, gap: Gap) -> None:
        log.warning("%s: events may be missing after %s (%s); going on after %s", self._name, gap.since, gap.reason, gap.resumed)
