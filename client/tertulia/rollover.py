"""Rollovers: a circle moves to a new segment before the old one is full or old (docs/protocol, "Segments").

It renews the committer's path and takes the members' Updates along, so that a key that was stolen heals (3.3).
"""

from __future__ import annotations

from functools import partial

from tertulia.circle import Circle
from tertulia.commits import CommitPlan, commit
from tertulia.runtime import Runtime
from tertulia.states import SENDING
from tertulia.store import log
from tertulia.store.tx import Tx
from tertulia_protocol.circle.entries import OVERHEAD
from tertulia_protocol.codec import parse
from tertulia_protocol.relay_api.addresses import Enrolment
from tertulia_protocol.relay_api.limits import ENTRY_SIZES, LOG_QUOTA_BYTES

MAX_AGE_SECONDS = 30 * 24 * 3600
FULL_PERCENT = 80


async def roll_over(runtime: Runtime, circle_id: bytes) -> bool:
    """Hop where it is time, if this device can; answer whether it did. Part of every sync.

    :raises TransportError: see ``commits.commit``.
    """
    now = runtime.clock.now()
    if not await runtime.store.read(lambda tx: is_due(Circle.load(tx, circle_id), now=now)):
        return False
    return (await commit(runtime, circle_id, partial(_plan, now=now))).done


def _plan(_tx: Tx, circle: Circle, *, now: int) -> CommitPlan | None:
    return CommitPlan(hop=True) if is_due(circle, now=now) else None


def is_due(circle: Circle, *, now: int) -> bool:
    """Answer whether the current segment is old or almost full, and this device has keys and a code to go on."""
    return (
        circle.state in SENDING
        and circle.is_coordinator()
        and can_pay(circle)
        and (is_old(circle, now=now) or is_almost_full(circle))
    )


def can_pay(circle: Circle) -> bool:
    """Answer whether this device has an enrolment code for the circle's first relay."""
    stored = circle.row.enrolment
    return stored is not None and parse(Enrolment, stored).relay.relay_pk == circle.relay().relay_pk


def is_old(circle: Circle, *, now: int) -> bool:
    """Answer whether this coordinator's device entered the segment 30 days ago or earlier."""
    entered = circle.entered_at
    return entered is not None and now - entered >= MAX_AGE_SECONDS


def is_almost_full(circle: Circle) -> bool:
    """Answer whether what was read of the segment takes 80 % of what a relay keeps of one, or more."""
    used = log.segment_bytes(circle.tx, circle.id, circle.segment_no, overhead=OVERHEAD, sizes=ENTRY_SIZES)
    return used * 100 >= LOG_QUOTA_BYTES * FULL_PERCENT
