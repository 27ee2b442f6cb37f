"""CREATE, UNSEAL, FREEZE, DROP and EXTEND (E1, E8, E9, E10)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tertulia_protocol.codec import serialize
from tertulia_protocol.errors import DecodeError
from tertulia_protocol.relay_api import limits
from tertulia_protocol.relay_api.records import Position, SegmentConfig
from tertulia_protocol.relay_api.requests import CreateArgs, ExtendArgs, Request, UnsealArgs
from tertulia_protocol.relay_api.responses import RelayLimits, Status
from tertulia_protocol.signing import NOBODY
from tertulia_relay.delivery.access import check_somebody
from tertulia_relay.delivery.admission import admission_for, extension_cost, segment_cost
from tertulia_relay.delivery.append import check_head, check_not_sealed, live_segment
from tertulia_relay.delivery.freezing import FreezeCounter
from tertulia_relay.delivery.ledger import Ledger
from tertulia_relay.delivery.outcomes import Outcome, Refusal
from tertulia_relay.delivery.quotas import config_of, quota_of_new
from tertulia_relay.delivery.writer import Write
from tertulia_relay.storage.interface import CodeRow, SegmentRow, Wanted

LONGEST_LIFE = limits.TTL_DAYS[-1]
MIB = 1024 * 1024


def check_config(config: SegmentConfig) -> None:
    """Check version, class, life and keys (E1). :raises Refusal: MALFORMED."""
    try:
        config.check()
    except DecodeError as error:
        raise Refusal(Status.MALFORMED) from error


def check_self_certifying(request: Request, config: SegmentConfig, *, relay_pk: bytes) -> None:
    """Check that the id is the hash of the configuration and this relay's key. :raises Refusal: MALFORMED.

    So nobody can register a circle's id with other keys.
    """
    if request.segment_id != config.segment_id(relay_pk):
        raise Refusal(Status.MALFORMED)


@dataclass(slots=True, kw_only=True, repr=False)
class Create(Write):
    """A CREATE whose configuration and id hold. Creating what exists is OK and free."""

    segment_id: bytes
    args: CreateArgs
    relay_limits: RelayLimits

    def want(self, wanted: Wanted) -> None:
        """Ask for the segment and what pays."""
        wanted.segments.add(self.segment_id)
        admission_for(self.args.payment).want(self.args.payment, wanted)

    def decide(self, ledger: Ledger) -> Outcome:
        """Create, or say why not."""
        if ledger.segment(self.segment_id) is not None:
            row = live_segment(ledger, self.segment_id)
            return Outcome(head_of=row.id)
        config, payment = self.args.config, self.args.payment
        admission, cost = admission_for(payment), segment_cost(config)
        admission.check(payment, ledger, cost=cost)
        admission.take(payment, ledger, cost=cost)
        ledger.put_segment(self._new(ledger.utc_day))
        return Outcome(head_of=self.segment_id)

    def _new(self, utc_day: int) -> SegmentRow:
        config = self.args.config
        quota, blob_quota = quota_of_new(config, self.relay_limits)
        start = Position.start(self.segment_id)
        return SegmentRow(
            id=self.segment_id,
            config=serialize(config),
            head=start.seq,
            chain=start.chain,
            sealed=False,
            frozen=0,
            used=0,
            quota=quota,
            blob_used=0,
            blob_quota=blob_quota,
            expires_day=utc_day + limits.TTL_DAYS[config.ttl_class],
            heir=None,
        )


def check_same_heir(row: SegmentRow, heir_vk: bytes) -> None:
    """Check that the heir whose signature held is still the segment's heir. :raises Refusal: DENY."""
    check_somebody(row.heir or NOBODY)
    if row.heir != heir_vk:
        raise Refusal(Status.DENY)


@dataclass(slots=True, kw_only=True, repr=False)
class Unseal(Write):
    """An UNSEAL signed with the key ``heir_vk``. On an open segment it changes nothing."""

    segment_id: bytes
    args: UnsealArgs
    heir_vk: bytes

    def want(self, wanted: Wanted) -> None:
        """Ask for the segment."""
        wanted.segments.add(self.segment_id)

    def decide(self, ledger: Ledger) -> Outcome:
        """Open the segment again; its last day stays."""
        row = live_segment(ledger, self.segment_id)
        check_same_heir(row, self.heir_vk)
        check_head(row, self.args.if_head)
        if row.sealed:
            ledger.put_segment(replace(row, sealed=False))
        return Outcome(head_of=row.id)


@dataclass(slots=True, kw_only=True, repr=False)
class Freeze(Write):
    """A FREEZE whose signature holds."""

    segment_id: bytes
    counter: FreezeCounter
    rng: Callable[[int], bytes]

    def want(self, wanted: Wanted) -> None:
        """Ask for the segment."""
        wanted.segments.add(self.segment_id)

    def decide(self, ledger: Ledger) -> Outcome:
        """Mark the segment with a fresh number."""
        row = live_segment(ledger, self.segment_id)
        check_not_sealed(row)
        self.counter.check(row.id, counted=ledger.freezes[row.id], now=ledger.now)
        ledger.freezes[row.id] += 1
        ledger.put_segment(replace(row, frozen=self._number()))
        return Outcome(head_of=row.id)

    def _number(self) -> int:
        return (int.from_bytes(self.rng(8), "big") >> 1) or 1


def is_this_freeze(row: SegmentRow, number: int) -> bool:
    """Answer whether a segment is still frozen by the freeze with this number, not by a later one (E10)."""
    return row.frozen == number


@dataclass(slots=True, kw_only=True, repr=False)
class Unfreeze(Write):
    """The end of a freeze: takes the mark away if it is still this one."""

    segment_id: bytes
    number: int

    def want(self, wanted: Wanted) -> None:
        """Ask for the segment."""
        wanted.segments.add(self.segment_id)

    def decide(self, ledger: Ledger) -> Outcome:
        """Clear the mark."""
        row = ledger.segment(self.segment_id)
        if row is not None and is_this_freeze(row, self.number):
            ledger.put_segment(replace(row, frozen=0))
        return Outcome()


def check_empty(row: SegmentRow) -> None:
    """Check that nothing was ever written: only an orphan of a lost race may go (E8). :raises Refusal: CONFLICT."""
    if row.head != 0:
        raise Refusal(Status.CONFLICT, head_of=row.id)


@dataclass(slots=True, kw_only=True, repr=False)
class Drop(Write):
    """A DROP whose signature holds."""

    segment_id: bytes

    def want(self, wanted: Wanted) -> None:
        """Ask for the segment."""
        wanted.segments.add(self.segment_id)

    def decide(self, ledger: Ledger) -> Outcome:
        """Delete the segment if it is empty."""
        row = live_segment(ledger, self.segment_id)
        check_empty(row)
        ledger.drop_segment(row.id)
        return Outcome()


def check_asks_something(args: ExtendArgs) -> None:
    """Check that an EXTEND asks for days or units. :raises Refusal: MALFORMED."""
    if not args.days and not args.units:
        raise Refusal(Status.MALFORMED)


@dataclass(slots=True, kw_only=True, repr=False)
class Extend(Write):
    """EXTEND: the segment shall live at least ``days`` more days from today and hold at least ``units`` MiB.

    Both are aims, not additions, so a request that is sent again costs nothing. ``days`` above 400 count as 400. What
    is missing is paid for: a unit per MiB (in a mailbox: per 64 entries), and days at the price of the segment,
    rounded up. Nothing is ever shortened. The payment suffices; no key signs, so no head is returned.
    """

    segment_id: bytes
    args: ExtendArgs

    def want(self, wanted: Wanted) -> None:
        """Ask for the segment and what pays."""
        wanted.segments.add(self.segment_id)
        admission_for(self.args.payment).want(self.args.payment, wanted)

    def decide(self, ledger: Ledger) -> Outcome:
        """Prolong and enlarge."""
        row = live_segment(ledger, self.segment_id)
        config = config_of(row)
        longer = max(row.expires_day, ledger.utc_day + at_most_life(self.args.days))
        unit = unit_of(config)
        larger = max(row.quota, self.args.units * unit)
        cost = extension_cost(config, more_days=longer - row.expires_day, more_units=-(-(larger - row.quota) // unit))
        payment = self.args.payment
        admission = admission_for(payment)
        admission.check(payment, ledger, cost=cost)
        admission.take(payment, ledger, cost=cost)
        ledger.put_segment(replace(row, expires_day=longer, quota=larger))
        return Outcome()


def at_most_life(days: int) -> int:
    """Return ``days``, but no more than the longest life of a segment."""
    return min(days, LONGEST_LIFE)


def unit_of(config: SegmentConfig) -> int:
    """Return what one unit of quota is: a MiB of entries in a log, 64 entries in a mailbox."""
    return limits.MAILBOX_ENTRIES if segment_cost(config) == limits.COST_MAILBOX else MIB


@dataclass(slots=True, kw_only=True, repr=False)
class AddCode(Write):
    """A new enrolment code, from the operator."""

    row: CodeRow

    def want(self, wanted: Wanted) -> None:
        """Need nothing."""

    def decide(self, ledger: Ledger) -> Outcome:
        """Store it."""
        ledger.put_code(self.row)
        return Outcome()
