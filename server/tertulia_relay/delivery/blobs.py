"""BLOB_PUT and BLOB_DEL: opaque chunks under the hash of themselves (E17)."""

from __future__ import annotations

import hashlib
import hmac
from abc import abstractmethod
from dataclasses import dataclass, field, replace

from tertulia_protocol.relay_api import limits
from tertulia_protocol.relay_api.requests import BlobDelArgs, BlobPutArgs, PaymentType
from tertulia_protocol.relay_api.responses import Status
from tertulia_relay.delivery.access import is_expired
from tertulia_relay.delivery.admission import admission_for, blob_cost
from tertulia_relay.delivery.append import check_not_sealed, live_segment
from tertulia_relay.delivery.ledger import Ledger
from tertulia_relay.delivery.outcomes import Outcome, Refusal
from tertulia_relay.delivery.quotas import check_blob_quota
from tertulia_relay.delivery.writer import Write
from tertulia_relay.storage.interface import BlobRow, Wanted


def check_ttl_class(ttl_class: int) -> None:
    """Check that a life class exists. :raises Refusal: MALFORMED."""
    if ttl_class >= len(limits.TTL_DAYS):
        raise Refusal(Status.MALFORMED)


def pays_with_segment(args: BlobPutArgs) -> bool:
    """Answer whether a segment's own quota pays, so that its append key must sign."""
    return args.payment.type == PaymentType.SEGMENT_QUOTA


def check_no_value(args: BlobPutArgs) -> None:
    """Check that a payment by the segment carries no value. :raises Refusal: MALFORMED."""
    if args.payment.value:
        raise Refusal(Status.MALFORMED)


def find_live_blob(ledger: Ledger, blob_id: bytes) -> BlobRow | None:
    """Return a blob that is there and has not expired."""
    row = ledger.blob(blob_id)
    return None if row is None or is_expired(row.expires_day, utc_day=ledger.utc_day) else row


def later_day(known: BlobRow, *, last_day: int) -> int:
    """Return the last day of a blob that is put again: never an earlier one."""
    return max(known.expires_day, last_day)


@dataclass(slots=True, kw_only=True, repr=False)
class PutBlob(Write):
    """A BLOB_PUT whose size and payment's form hold. Putting what is there is OK, free, and prolongs it.

    Whoever has the chunk may prolong it; the secret that deletes it stays the first one's.
    """

    args: BlobPutArgs
    data: bytes
    blob_id: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.blob_id = hashlib.sha256(self.data).digest()
        self.size = len(self.data)

    def want(self, wanted: Wanted) -> None:
        """Ask for the blob and what pays."""
        wanted.blobs.add(self.blob_id)
        self.want_payment(wanted)

    def decide(self, ledger: Ledger) -> Outcome:
        """Store or prolong."""
        self.check_payer(ledger)
        last_day = ledger.utc_day + limits.TTL_DAYS[self.args.ttl_class]
        known = find_live_blob(ledger, self.blob_id)
        if known is not None:
            ledger.put_blob(replace(known, expires_day=later_day(known, last_day=last_day)))
            return Outcome()
        self.pay(ledger)
        row = BlobRow(id=self.blob_id, delete_hash=self.args.delete_hash, expires_day=last_day)
        ledger.put_blob(row, self.data)
        return Outcome()

    @abstractmethod
    def want_payment(self, wanted: Wanted) -> None:
        """Say which rows the payment needs."""

    @abstractmethod
    def check_payer(self, ledger: Ledger) -> None:
        """Check that whoever pays is still there. :raises Refusal: GONE or SEALED."""

    @abstractmethod
    def pay(self, ledger: Ledger) -> None:
        """Pay for the blob. :raises Refusal: PAY or QUOTA."""


@dataclass(slots=True, kw_only=True, repr=False)
class PutBlobForCode(PutBlob):
    """A blob that a payment without a segment pays for."""

    def want_payment(self, wanted: Wanted) -> None:
        """Ask for the payment's rows."""
        admission_for(self.args.payment).want(self.args.payment, wanted)

    def check_payer(self, ledger: Ledger) -> None:
        """Nobody but the payment pays."""

    def pay(self, ledger: Ledger) -> None:
        """Take the units."""
        payment = self.args.payment
        admission, cost = admission_for(payment), blob_cost(self.size)
        admission.check(payment, ledger, cost=cost)
        admission.take(payment, ledger, cost=cost)


@dataclass(slots=True, kw_only=True, repr=False)
class PutBlobForSegment(PutBlob):
    """A blob that a segment's own quota pays for; its append key signed."""

    segment_id: bytes

    def want_payment(self, wanted: Wanted) -> None:
        """Ask for the segment."""
        wanted.segments.add(self.segment_id)

    def check_payer(self, ledger: Ledger) -> None:
        """Check that the segment lives and is open: who was removed cannot use up the old one's quota."""
        check_not_sealed(live_segment(ledger, self.segment_id))

    def pay(self, ledger: Ledger) -> None:
        """Charge the segment."""
        row = live_segment(ledger, self.segment_id)
        check_blob_quota(row, length=self.size)
        ledger.put_segment(replace(row, blob_used=row.blob_used + self.size))


def check_delete_secret(row: BlobRow, delete_secret: bytes) -> None:
    """Check the secret against its hash, in constant time. :raises Refusal: DENY."""
    if not hmac.compare_digest(hashlib.sha256(delete_secret).digest(), row.delete_hash):
        raise Refusal(Status.DENY)


@dataclass(slots=True, kw_only=True, repr=False)
class DeleteBlob(Write):
    """A BLOB_DEL."""

    args: BlobDelArgs

    def want(self, wanted: Wanted) -> None:
        """Ask for the blob."""
        wanted.blobs.add(self.args.blob_id)

    def decide(self, ledger: Ledger) -> Outcome:
        """Delete the blob, or say why not."""
        row = find_live_blob(ledger, self.args.blob_id)
        if row is None:
            raise Refusal(Status.GONE)
        check_delete_secret(row, self.args.delete_secret)
        ledger.drop_blob(row.id)
        return Outcome()
