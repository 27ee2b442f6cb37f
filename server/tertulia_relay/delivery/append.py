"""APPEND and SEAL: the order of the checks is the protocol's (3.5 steps 3 to 6; E9, E10, E11)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from tertulia_protocol.relay_api import limits
from tertulia_protocol.relay_api.records import Position
from tertulia_protocol.relay_api.requests import AppendArgs, SealArgs
from tertulia_protocol.relay_api.responses import Status
from tertulia_protocol.signing import NOBODY, is_valid_key
from tertulia_relay.delivery.access import check_exists, check_not_expired
from tertulia_relay.delivery.ledger import Ledger
from tertulia_relay.delivery.outcomes import Outcome, Refusal, appended
from tertulia_relay.delivery.quotas import RateBuckets, check_quota, units
from tertulia_relay.delivery.writer import Write
from tertulia_relay.storage.interface import SegmentRow, Wanted

LONGEST_RETIREMENT = limits.TTL_DAYS[-1]


def find_duplicate(ledger: Ledger, segment_id: bytes, entry_hash: bytes) -> int | None:
    """Return where the same entry already stands: sending again is harmless."""
    return ledger.place(segment_id, entry_hash)


def check_not_sealed(row: SegmentRow) -> None:
    """Check that the segment is open. :raises Refusal: SEALED."""
    if row.sealed:
        raise Refusal(Status.SEALED, head_of=row.id)


def check_not_frozen(row: SegmentRow, *, admin: bool) -> None:
    """Check that no freeze stands, or that an admin signed. :raises Refusal: FROZEN."""
    if row.frozen and not admin:
        raise Refusal(Status.FROZEN, head_of=row.id)


def ends_freeze(*, admin: bool) -> bool:
    """Answer whether an append ends a freeze: the admin's, whose quiet moment it was (E10)."""
    return admin


def thawed(row: SegmentRow) -> SegmentRow:
    """Return the segment without its freeze."""
    return replace(row, frozen=0)


def check_rate(rates: RateBuckets, ledger: Ledger, row: SegmentRow, *, length: int, admin: bool) -> None:
    """Check that the segment's bucket holds the units, or that an admin signed. :raises Refusal: BUSY."""
    if not admin:
        rates.check(row.id, cost=units(length), charged=ledger.charged[row.id], now=ledger.now)


def check_head(row: SegmentRow, if_head: Position | None) -> None:
    """Check that the head is still the one the request was made for. :raises Refusal: CONFLICT with the head."""
    if if_head is not None and if_head != Position(row.head, row.chain):
        raise Refusal(Status.CONFLICT, head_of=row.id)


def check_heir(heir_vk: bytes) -> None:
    """Check that the heir is nobody or a valid key (E1). :raises Refusal: MALFORMED."""
    if heir_vk != NOBODY and not is_valid_key(heir_vk):
        raise Refusal(Status.MALFORMED)


def live_segment(ledger: Ledger, segment_id: bytes) -> SegmentRow:
    """Return a segment that exists and lives. :raises Refusal: GONE."""
    row = check_exists(ledger.segment(segment_id))
    check_not_expired(row, utc_day=ledger.utc_day)
    return row


@dataclass(slots=True, kw_only=True, repr=False)
class Append(Write):
    """An APPEND whose size and signature hold."""

    segment_id: bytes
    args: AppendArgs
    data: bytes
    rates: RateBuckets

    def __post_init__(self) -> None:
        self.hash = hashlib.sha256(self.data).digest()
        self.size = len(self.data)

    def want(self, wanted: Wanted) -> None:
        """Ask for the segment and for the same entry in it."""
        wanted.segments.add(self.segment_id)
        wanted.entries.add((self.segment_id, self.hash))

    def decide(self, ledger: Ledger) -> Outcome:
        """Append, or say why not."""
        row = live_segment(ledger, self.segment_id)
        seq = find_duplicate(ledger, row.id, self.hash)
        if seq is not None:
            return appended(Status.DUP, seq, row.id)
        admin = self.args.admin
        check_not_sealed(row)
        check_not_frozen(row, admin=admin)
        check_rate(self.rates, ledger, row, length=self.size, admin=admin)
        check_quota(row, length=self.size, admin=admin)
        check_head(row, self.args.if_head)
        if ends_freeze(admin=admin):
            row = thawed(row)
        if not admin:
            ledger.charged[row.id] += units(self.size)
        row = ledger.append(row, entry_hash=self.hash, data=self.data)
        return appended(Status.OK, row.head, row.id)


def retirement_day(row: SegmentRow, *, retire_days: int, utc_day: int) -> int:
    """Return the last day of a segment that is sealed now (E8).

    At least 30 and at most 400 days ahead; once a SEAL has fixed it, no later SEAL moves it earlier.
    """
    day = utc_day + at_most_retirement(at_least_retirement(retire_days))
    return max(row.expires_day, day) if was_sealed_before(row) else day


def at_least_retirement(days: int) -> int:
    """Return ``days``, but not so few that members who were offline miss the hop."""
    return max(limits.SEAL_MIN_DAYS, days)


def at_most_retirement(days: int) -> int:
    """Return ``days``, but no more than the longest life that anyone pays for."""
    return min(days, LONGEST_RETIREMENT)


def was_sealed_before(row: SegmentRow) -> bool:
    """Answer whether a SEAL has ever fixed this segment's expiry: only a SEAL names an heir."""
    return row.heir is not None


def is_seal_due(row: SegmentRow) -> bool:
    """Answer whether a SEAL whose entry is already there still seals: only an open segment (E9)."""
    return not row.sealed


@dataclass(slots=True, kw_only=True, repr=False)
class Seal(Write):
    """A SEAL whose size and signature hold. Its entry is the hop commit."""

    segment_id: bytes
    args: SealArgs
    data: bytes

    def __post_init__(self) -> None:
        self.hash = hashlib.sha256(self.data).digest()
        self.size = len(self.data)

    def want(self, wanted: Wanted) -> None:
        """Ask for the segment and for the same entry in it."""
        wanted.segments.add(self.segment_id)
        wanted.entries.add((self.segment_id, self.hash))

    def decide(self, ledger: Ledger) -> Outcome:
        """Append and seal, or say why not."""
        row = live_segment(ledger, self.segment_id)
        seq = find_duplicate(ledger, row.id, self.hash)
        if seq is not None:
            return self._seal_duplicate(ledger, row, seq)
        check_not_sealed(row)
        check_quota(row, length=self.size, admin=True)
        check_head(row, self.args.if_head)
        row = ledger.append(row, entry_hash=self.hash, data=self.data)
        ledger.put_segment(self._sealed(row, ledger.utc_day))
        return appended(Status.OK, row.head, row.id)

    def _seal_duplicate(self, ledger: Ledger, row: SegmentRow, seq: int) -> Outcome:
        # E9: whoever copied the hop commit into the log first must not be able to prevent the seal.
        if is_seal_due(row):
            ledger.put_segment(self._sealed(row, ledger.utc_day))
        return appended(Status.DUP, seq, row.id)

    def _sealed(self, row: SegmentRow, utc_day: int) -> SegmentRow:
        expires_day = retirement_day(row, retire_days=self.args.retire_days, utc_day=utc_day)
        return replace(thawed(row), sealed=True, heir=self.args.heir_vk, expires_day=expires_day)
