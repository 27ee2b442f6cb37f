"""Who may ask at all: shape, existence and signature, checked before a write reaches the writer (E1, E34)."""

from __future__ import annotations

from typing import TypeVar

from tertulia_protocol.codec import Struct, parse
from tertulia_protocol.errors import AuthenticityError, DecodeError
from tertulia_protocol.relay_api.limits import BLOB_SIZES, ENTRY_SIZES, MAILBOX_ENTRY_BYTES, check_size
from tertulia_protocol.relay_api.records import NO_SEGMENT, SegmentClass, SegmentConfig
from tertulia_protocol.relay_api.requests import NO_SIGNATURE, Request
from tertulia_protocol.relay_api.responses import Status
from tertulia_protocol.signing import NOBODY
from tertulia_relay.delivery.outcomes import Refusal
from tertulia_relay.storage.interface import SegmentRow

A = TypeVar("A", bound=Struct)


def parse_args(kind: type[A], request: Request) -> A:
    """Read the arguments of an operation. :raises Refusal: MALFORMED."""
    try:
        return parse(kind, request.args)
    except DecodeError as error:
        raise Refusal(Status.MALFORMED) from error


def check_entry_size(payload: bytes) -> None:
    """Check that an entry has one of the sizes, before anything is parsed. :raises Refusal: TOOBIG."""
    try:
        check_size(len(payload), ENTRY_SIZES)
    except DecodeError as error:
        raise Refusal(Status.TOOBIG) from error


def check_blob_size(payload: bytes) -> None:
    """Check that a blob has one of the sizes, before anything is parsed. :raises Refusal: TOOBIG."""
    try:
        check_size(len(payload), BLOB_SIZES)
    except DecodeError as error:
        raise Refusal(Status.TOOBIG) from error


def check_mailbox_entry(config: SegmentConfig, payload: bytes) -> None:
    """Check that a letter is not too long for a mailbox (E27). :raises Refusal: TOOBIG."""
    if config.segment_class == SegmentClass.MAILBOX and len(payload) > MAILBOX_ENTRY_BYTES:
        raise Refusal(Status.TOOBIG)


def check_no_payload(request: Request) -> None:
    """Check that an operation which takes no payload carries none. :raises Refusal: MALFORMED."""
    if request.payload:
        raise Refusal(Status.MALFORMED)


def check_no_segment(request: Request) -> None:
    """Check that an operation about no segment names none. :raises Refusal: MALFORMED."""
    if request.segment_id != NO_SEGMENT:
        raise Refusal(Status.MALFORMED)


def check_no_signature(request: Request) -> None:
    """Check that an operation which no key signs carries zeros for a signature. :raises Refusal: MALFORMED."""
    if request.signature != NO_SIGNATURE:
        raise Refusal(Status.MALFORMED)


def check_somebody(key: bytes) -> None:
    """Check that a key (32 bytes) is not "nobody", before any verifier sees it (E1). :raises Refusal: DENY.

    Zero bytes are a valid point of small order: some verifiers accept forged signatures under it.
    """
    if key == NOBODY:
        raise Refusal(Status.DENY)


def check_signature(request: Request, key: bytes, *, relay_pk: bytes) -> None:
    """Check the request's signature under ``key`` (32 bytes), bound to this relay. :raises Refusal: DENY."""
    try:
        request.verify(key, relay_pk=relay_pk)
    except AuthenticityError as error:
        raise Refusal(Status.DENY) from error


def check_exists(row: SegmentRow | None) -> SegmentRow:
    """Check that a segment is known. :raises Refusal: GONE."""
    if row is None:
        raise Refusal(Status.GONE)
    return row


def is_expired(expires_day: int, *, utc_day: int) -> bool:
    """Answer whether something that lives through ``expires_day`` is past it."""
    return utc_day > expires_day


def check_not_expired(row: SegmentRow, *, utc_day: int) -> None:
    """Check that a segment's life is not over, deleted already or not. :raises Refusal: GONE."""
    if is_expired(row.expires_day, utc_day=utc_day):
        raise Refusal(Status.GONE)
