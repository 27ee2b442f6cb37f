"""Every open connection, how long it may stay in its present phase, and who gives way when there are too many."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Protocol

from tertulia_relay.http.limits import is_overdue


class Phase(Enum):
    """What a connection is doing."""

    IDLE = "waits for the next request"
    HEADER = "a request's header is arriving"
    BODY = "a request's body is arriving"
    REQUEST = "a request is being answered or its answer sent"


class Line(Protocol):
    """One connection, as the register sees it."""

    phase: Phase
    deadline: float

    def abort(self) -> None:
        """Drop the connection now, with whatever it still had to send."""
        ...


GIVE_WAY = (Phase.HEADER, Phase.IDLE, Phase.BODY)
"""Who gives way first: a client at work needs a moment only for its header, and an idle one loses nothing."""


def gives_way(phase: Phase) -> bool:
    """Answer whether a connection in this phase gives way to a new one: one that is being answered never does."""
    return phase in GIVE_WAY


SWEEP_SECONDS = 0.25


class Register:
    """The open connections of one process.

    Deadlines are kept by one sweep over all connections: a timer per phase and connection would cost more than the
    requests themselves, and a connection that is closing but never reads its answer is dropped just the same.
    """

    def __init__(self, limit: int) -> None:
        """:param limit: the most connections at once."""
        self.limit = limit
        self._lines: dict[Line, None] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def is_full(self) -> bool:
        """Answer whether one more connection is too many."""
        return len(self._lines) >= self.limit

    def add(self, line: Line) -> bool:
        """Admit a connection; answer False if there is no room and nobody gives way."""
        if self.is_full():
            weakest = self.weakest()
            if weakest is None:
                return False
            self.remove(weakest)
            weakest.abort()
        self._lines[line] = None
        return True

    def remove(self, line: Line) -> None:
        """Forget a connection that ended. Safe to call twice."""
        self._lines.pop(line, None)

    def weakest(self) -> Line | None:
        """Return who gives way: see :data:`GIVE_WAY`; among equals, who ends soonest.

        Without it, whoever opens connections and sends nothing, or announces bodies that never come, keeps everybody
        else out without so much as a key.
        """
        waiting = [line for line in self._lines if gives_way(line.phase)]
        return min(waiting, key=lambda line: (GIVE_WAY.index(line.phase), line.deadline), default=None)

    def sweep(self, now: float) -> None:
        """Drop every connection whose time is up."""
        for line in [line for line in self._lines if is_overdue(line.deadline, now)]:
            self.remove(line)
            line.abort()

    async def keep_sweeping(self) -> None:
        """Sweep until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep(loop.time())
