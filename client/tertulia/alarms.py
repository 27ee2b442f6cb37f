"""What a person is told about a circle that cannot go on as it stands: one error for each such state, as a table."""

from __future__ import annotations

from types import MappingProxyType

from tertulia.errors import (
    CopiedError,
    CutOffError,
    ForkError,
    OutdatedError,
    RemovedFromCircleError,
    StuckError,
)
from tertulia.states import State
from tertulia_protocol.errors import TertuliaError

ALARMS: MappingProxyType[State, type[TertuliaError]] = MappingProxyType(
    {
        State.STUCK: StuckError,
        State.FORK_ALARM: ForkError,
        State.GONE: CutOffError,
        State.COPIED: CopiedError,
        State.OUTDATED: OutdatedError,
        State.REMOVED: RemovedFromCircleError,
    }
)


def alarm_of(state: State) -> TertuliaError | None:
    """Return what a person must be told about a state, if it needs telling."""
    kind = ALARMS.get(state)
    return None if kind is None else kind()


def check_no_alarm(state: State) -> None:
    """Check that a circle can go on. :raises TrustError, NotAllowedError: what keeps it from that."""
    alarm = alarm_of(state)
    if alarm is not None:
        raise alarm
