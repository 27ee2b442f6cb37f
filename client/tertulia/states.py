"""The states of a circle on this device, and which one may follow which: all of it, as data.

docs/protocol, "States". Whoever moves a circle calls :func:`check_transition`; there is no other way.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType

from tertulia_protocol.errors import InternalError


class State(StrEnum):
    """Where a circle stands on this device."""

    NONE = "none"
    """Not there yet."""
    REQUESTED = "requested"
    """Asked to join; nobody has answered."""
    FOUNDING = "founding"
    """Made on this device; its segment does not stand on the relay yet."""
    SYNCING = "syncing"
    """Catching up with the log."""
    ACTIVE = "active"
    """At the head of the log when it was last read."""
    STUCK = "stuck"
    """Could not process a commit that the rules allow: read only, until somebody repairs it (3.12)."""
    FORK_ALARM = "fork_alarm"
    """The relay has shown two histories: read only, until a person decides."""
    DARK = "dark"
    """No relay for too long: read only, until one is reached."""
    GONE = "gone"
    """The relay no longer has the segment that comes next for this device."""
    COPIED = "copied"
    """Somebody sends with this device's keys: its state was copied or restored (E24). Read only."""
    OUTDATED = "outdated"
    """The circle asks for a newer version (E38). Read only."""
    REMOVED = "removed"
    """Removed from the circle. The end; what was read stays."""
    SUCCEEDED = "succeeded"
    """Reserved: another group of the same circle has taken its place."""
    WIPED = "wiped"
    """Reserved: everything was deleted on purpose."""


READING = frozenset({State.SYNCING, State.ACTIVE, State.STUCK, State.DARK, State.COPIED})
"""States in which the log is read."""

SENDING = frozenset({State.SYNCING, State.ACTIVE})
"""States in which something may be sent. Before it is sent the log is read to its head."""

WRITABLE = frozenset({State.FOUNDING, State.SYNCING, State.ACTIVE, State.DARK})
"""States in which a person may write; what is written waits until it can be sent."""

TRANSITIONS: MappingProxyType[State, frozenset[State]] = MappingProxyType(
    {
        State.NONE: frozenset({State.REQUESTED, State.FOUNDING, State.SYNCING}),
        State.REQUESTED: frozenset({State.SYNCING, State.NONE}),
        State.FOUNDING: frozenset({State.ACTIVE, State.NONE}),
        State.SYNCING: frozenset(
            {
                State.ACTIVE,
                State.STUCK,
                State.FORK_ALARM,
                State.DARK,
                State.GONE,
                State.COPIED,
                State.OUTDATED,
                State.REMOVED,
            }
        ),
        State.ACTIVE: frozenset(
            {
                State.SYNCING,
                State.STUCK,
                State.FORK_ALARM,
                State.DARK,
                State.GONE,
                State.COPIED,
                State.OUTDATED,
                State.REMOVED,
            }
        ),
        State.STUCK: frozenset({State.SYNCING, State.FORK_ALARM, State.GONE, State.COPIED, State.REMOVED}),
        State.FORK_ALARM: frozenset({State.SYNCING}),
        State.DARK: frozenset(
            {State.SYNCING, State.STUCK, State.FORK_ALARM, State.GONE, State.COPIED, State.OUTDATED, State.REMOVED}
        ),
        State.GONE: frozenset({State.SYNCING}),
        State.COPIED: frozenset({State.FORK_ALARM, State.GONE, State.REMOVED}),
        State.OUTDATED: frozenset({State.SYNCING}),
        State.REMOVED: frozenset(),
        State.SUCCEEDED: frozenset(),
        State.WIPED: frozenset(),
    }
)
"""What may follow what. Any state but the reserved ones may stay as it is."""


def may_follow(before: State, after: State) -> bool:
    """Answer whether a circle may go from one state to another, or stay in it."""
    return before is after or after in TRANSITIONS[before]


def check_transition(before: State, after: State) -> None:
    """Check that a circle may go from one state to another. :raises InternalError: our fault, it may not."""
    if not may_follow(before, after):
        raise InternalError(f"a circle cannot go from {before.value} to {after.value}")
