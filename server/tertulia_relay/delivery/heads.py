"""Signed heads. A signed head is a promise: it is only ever made from what is committed (3.5 step 7, E30)."""

from __future__ import annotations

from collections import OrderedDict

from tertulia_protocol.relay_api.records import HeadState, Position, SignedHead
from tertulia_protocol.signing import SigningSeed
from tertulia_relay.storage.interface import SegmentRow


def state_of(row: SegmentRow, *, utc_day: int, expiring_days: int) -> HeadState:
    """Return the state bits of a segment on ``utc_day``."""
    state = HeadState.OPEN
    if row.sealed:
        state |= HeadState.SEALED
    if row.frozen:
        state |= HeadState.FROZEN
    if row.expires_day - utc_day < expiring_days:
        state |= HeadState.EXPIRING
    return state


class Heads:
    """Signs one head per (segment, position, state, day) and gives it to everyone who may see it."""

    def __init__(self, key: SigningSeed, *, expiring_days: int, tracked: int) -> None:
        """:param tracked: the most signed heads kept in memory."""
        self._key = key
        self._expiring_days = expiring_days
        self._tracked = tracked
        self._newest: OrderedDict[bytes, SignedHead] = OrderedDict()
        self.signed = 0
        """How many signatures were made."""

    def head(self, row: SegmentRow, *, utc_day: int) -> SignedHead:
        """Return the signed head of a committed row."""
        state = state_of(row, utc_day=utc_day, expiring_days=self._expiring_days)
        position = Position(row.head, row.chain)
        known = self._newest.get(row.id)
        if known is None or (known.position, known.state, known.utc_day) != (position, state, utc_day):
            known = SignedHead.make(
                relay_key=self._key, segment_id=row.id, position=position, state=state, utc_day=utc_day
            )
            self.signed += 1
            self._newest[row.id] = known
        self._newest.move_to_end(row.id)
        while len(self._newest) > self._tracked:
            self._newest.popitem(last=False)
        return known
