"""Who may take up space: payments behind one interface (E3, E27; docs/protocol, "Admission")."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import replace

from tertulia_protocol.relay_api import limits
from tertulia_protocol.relay_api.addresses import CODE_LENGTH
from tertulia_protocol.relay_api.records import SegmentClass, SegmentConfig
from tertulia_protocol.relay_api.requests import Payment, PaymentType
from tertulia_protocol.relay_api.responses import Status
from tertulia_relay.delivery.access import is_expired
from tertulia_relay.delivery.ledger import Ledger
from tertulia_relay.delivery.outcomes import Refusal
from tertulia_relay.storage.interface import CodeRow, Wanted


def segment_cost(config: SegmentConfig) -> int:
    """Return the units that a new segment costs (E27)."""
    return limits.COST_MAILBOX if config.segment_class == SegmentClass.MAILBOX else limits.COST_LOG


def blob_cost(length: int) -> int:
    """Return the units that a blob of ``length`` bytes costs (E27)."""
    return -(-length // limits.COST_BLOB_STEP)


def extension_cost(config: SegmentConfig, *, more_days: int, more_units: int) -> int:
    """Return the units for a longer life and a larger quota: days at the price the segment was made for, rounded up."""
    return more_units + -(-segment_cost(config) * more_days // limits.TTL_DAYS[config.ttl_class])


def code_hash(code: bytes) -> bytes:
    """Return what is stored of an enrolment code: a code has 128 random bits, so a plain SHA-256 hides it."""
    return hashlib.sha256(code).digest()


class Admission(ABC):
    """One way to pay."""

    @abstractmethod
    def want(self, payment: Payment, wanted: Wanted) -> None:
        """Say which rows are needed."""

    @abstractmethod
    def check(self, payment: Payment, ledger: Ledger, *, cost: int) -> None:
        """Check that ``cost`` units can be paid. :raises Refusal: PAY."""

    @abstractmethod
    def take(self, payment: Payment, ledger: Ledger, *, cost: int) -> None:
        """Pay ``cost`` units, after :meth:`check`."""


class EnrolmentCodes(Admission):
    """Codes that the operator handed out; each holds a number of units and ends on a day."""

    def want(self, payment: Payment, wanted: Wanted) -> None:
        """Ask for the code's row."""
        wanted.codes.add(code_hash(payment.value))

    def check(self, payment: Payment, ledger: Ledger, *, cost: int) -> None:
        """Check code, day and budget. :raises Refusal: PAY, the same for all three."""
        row = check_code_known(ledger.code(code_hash(payment.value)))
        check_code_current(row, utc_day=ledger.utc_day)
        check_code_budget(row, cost=cost)

    def take(self, payment: Payment, ledger: Ledger, *, cost: int) -> None:
        """Take the units from the code."""
        row = check_code_known(ledger.code(code_hash(payment.value)))
        ledger.put_code(replace(row, left=row.left - cost))


def check_code_known(row: CodeRow | None) -> CodeRow:
    """Check that a code was handed out. :raises Refusal: PAY."""
    if row is None:
        raise Refusal(Status.PAY)
    return row


def check_code_current(row: CodeRow, *, utc_day: int) -> None:
    """Check that a code has not ended. :raises Refusal: PAY."""
    if is_expired(row.expires_day, utc_day=utc_day):
        raise Refusal(Status.PAY)


def check_code_budget(row: CodeRow, *, cost: int) -> None:
    """Check that a code holds ``cost`` units. :raises Refusal: PAY."""
    if row.left < cost:
        raise Refusal(Status.PAY)


ADMISSIONS: dict[int, Admission] = {PaymentType.ENROLMENT_CODE: EnrolmentCodes()}
"""The ways to pay that need no segment. Blind tokens come here."""


def check_payment_type(payment: Payment) -> None:
    """Check that a payment's form is one this relay takes here.

    :raises Refusal: UNAVAILABLE for blind tokens, which this version does not know yet; PAY for any other.
    """
    if payment.type == PaymentType.BLIND_TOKEN:
        raise Refusal(Status.UNAVAILABLE)
    if payment.type not in ADMISSIONS or len(payment.value) != CODE_LENGTH:
        raise Refusal(Status.PAY)


def admission_for(payment: Payment) -> Admission:
    """Return the way this payment goes. :raises Refusal: UNAVAILABLE or PAY: it goes none."""
    check_payment_type(payment)
    return ADMISSIONS[payment.type]
