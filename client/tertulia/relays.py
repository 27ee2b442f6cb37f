"""Operations of relays as typed calls: requests are built and signed, answers checked, every head verified.

What a caller acts on comes back as a result (``AppendResult.status``: lost race, sealed, frozen, ...); what only says
"not now" or "never" is raised. A status proves nothing: "sent" and "sealed" are believed after read-back (E3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from tertulia.clock import Rng
from tertulia.errors import (
    BadAnswerError,
    PaymentError,
    RelayBusyError,
    RelayGoneError,
    RelayQuotaError,
    RelayRefusedError,
    RelayTooNewError,
    RelayTooOldError,
    RelayUnavailableError,
    SegmentSealedError,
    WrongRelayError,
)
from tertulia.transport.interface import Purpose, Transport, stream_name
from tertulia_protocol.codec import Struct, parse
from tertulia_protocol.errors import AuthenticityError, DecodeError, TransportError
from tertulia_protocol.relay_api import requests
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.relay_api.limits import ENTRY_SIZES, PROTOCOL_VERSION, READ_MAX_BYTES
from tertulia_protocol.relay_api.records import NO_SEGMENT, Position, SegmentConfig, SignedHead
from tertulia_protocol.relay_api.requests import Op, Payment, Request, build_request
from tertulia_protocol.relay_api.responses import (
    AppendedBody,
    BusyBody,
    EntriesBody,
    Entry,
    RelayInfo,
    Response,
    Status,
)
from tertulia_protocol.signing import SigningSeed

NONCE_LENGTH: Final = 16

S = TypeVar("S", bound=Struct)

APPENDED: Final = (Status.OK, Status.DUP)

APPEND_OUTCOMES: Final = (
    *APPENDED,
    Status.CONFLICT,
    Status.SEALED,
    Status.FROZEN,
    Status.BUSY,
    Status.QUOTA,
    Status.GONE,
)
"""What an APPEND, SEAL, UNSEAL or FREEZE can end with that its caller has to act on."""

REFUSALS: Final[dict[Status, type[TransportError]]] = {
    Status.SEALED: SegmentSealedError,
    Status.QUOTA: RelayQuotaError,
    Status.GONE: RelayGoneError,
    Status.PAY: PaymentError,
    Status.UNAVAILABLE: RelayUnavailableError,
}
"""What an answer is called that ends an operation; all others are refusals of the request as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentAddr:
    """A segment and the relay it is on."""

    relay: RelayAddr
    segment_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendResult:
    """How an APPEND or SEAL ended: ``seq`` when OK or DUP, ``retry_after`` (seconds) when BUSY."""

    status: Status
    head: SignedHead | None = None
    seq: int | None = None
    retry_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadResult:
    """Entries after the asked position, without gaps, and the newest head (which may be ahead of the last entry)."""

    head: SignedHead
    entries: tuple[Entry, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayClient:
    """Typed operations over a transport. It keeps nothing.

    Every operation can raise TransportError leaves: UnreachableError (whether it was done is unknown), BadAnswerError,
    RelayUnavailableError, RelayRefusedError, and RelayBusyError where BUSY is no result.
    """

    transport: Transport
    rng: Rng = field(repr=False)

    async def info(self, relay: RelayAddr) -> RelayInfo:
        """Ask a relay about itself; the answer is signed with the key we know.

        :raises WrongRelayError: it has another key. :raises RelayTooOldError, RelayTooNewError: no common protocol.
        """
        request = self._request(Op.INFO, requests.NoArgs())
        response = await self.transport.send(relay, request, stream=stream_name(Purpose.INFO))
        check_status(response, Status.OK)
        info = read_body(RelayInfo, response)
        verify_info(info, relay)
        check_protocol(info)
        return info

    # Segments

    async def create(
        self, relay: RelayAddr, config: SegmentConfig, payment: Payment, *, purpose: Purpose = Purpose.CREATE
    ) -> SignedHead:
        """Create a segment (free where it exists with this configuration) and return its head.

        :raises PaymentError: not paid.
        """
        segment = SegmentAddr(relay=relay, segment_id=config.segment_id(relay.relay_pk))
        request = self._request(Op.CREATE, requests.CreateArgs(config=config, payment=payment), segment.segment_id)
        response = await self._ask(segment, request, purpose)
        check_status(response, Status.OK)
        return required_head(response)

    async def append(  # noqa: PLR0913 - what an APPEND says
        self,
        segment: SegmentAddr,
        entry: bytes,
        *,
        key: SigningSeed,
        admin: bool = False,
        if_head: Position | None = None,
        purpose: Purpose = Purpose.APPEND,
    ) -> AppendResult:
        """Append an entry (one of ``ENTRY_SIZES``), signed with the append key, or with the admin key if ``admin``."""
        args = requests.AppendArgs(admin=admin, if_head=if_head)
        request = self._request(Op.APPEND, args, segment.segment_id, entry)
        return append_result(await self._ask(segment, request, purpose, key))

    async def seal(  # noqa: PLR0913 - what a SEAL says
        self,
        segment: SegmentAddr,
        entry: bytes,
        *,
        key: SigningSeed,
        if_head: Position,
        heir_vk: bytes,
        retire_days: int,
    ) -> AppendResult:
        """Append the last entry of a segment and close it; ``key`` is the admin key.

        :param heir_vk: who may open it again (32 bytes). :param retire_days: how long the sealed segment stays.
        """
        args = requests.SealArgs(if_head=if_head, heir_vk=heir_vk, retire_days=retire_days)
        request = self._request(Op.SEAL, args, segment.segment_id, entry)
        return append_result(await self._ask(segment, request, Purpose.APPEND, key))

    async def unseal(self, segment: SegmentAddr, *, key: SigningSeed, if_head: Position) -> AppendResult:
        """Open a sealed segment again with the heir's key."""
        request = self._request(Op.UNSEAL, requests.UnsealArgs(if_head=if_head), segment.segment_id)
        return bare_result(await self._ask(segment, request, Purpose.APPEND, key))

    async def freeze(self, segment: SegmentAddr, *, key: SigningSeed) -> AppendResult:
        """Keep members from appending for a moment, so that a commit gets through; ``key`` is the admin key."""
        request = self._request(Op.FREEZE, requests.NoArgs(), segment.segment_id)
        return bare_result(await self._ask(segment, request, Purpose.APPEND, key))

    async def drop(self, segment: SegmentAddr, *, key: SigningSeed) -> None:
        """Delete a segment that is still empty (an orphan of a lost race) with the admin key. Gone already: fine."""
        request = self._request(Op.DROP, requests.NoArgs(), segment.segment_id)
        check_status(await self._ask(segment, request, Purpose.APPEND, key), Status.OK, Status.GONE)

    async def read(  # noqa: PLR0913 - what a READ says
        self,
        segment: SegmentAddr,
        *,
        key: SigningSeed,
        after_seq: int,
        max_bytes: int = READ_MAX_BYTES,
        wait_s: int = 0,
        purpose: Purpose = Purpose.READ,
    ) -> ReadResult:
        """Read entries with seq > ``after_seq``, waiting up to ``wait_s`` seconds for the first.

        :param key: the read key. :param max_bytes: at most ``READ_MAX_BYTES``; one entry comes however long it is.
        :raises RelayGoneError: the relay has no such segment (any more).
        """
        args = requests.ReadArgs(after_seq=after_seq, max_bytes=min(max_bytes, READ_MAX_BYTES), wait_s=wait_s)
        response = await self._ask(segment, self._request(Op.READ, args, segment.segment_id), purpose, key)
        check_status(response, Status.OK)
        head, entries = required_head(response), read_body(EntriesBody, response).entries
        check_order(entries, after_seq)
        check_entry_sizes(entries)
        check_covered(entries, after_seq, head)
        check_progress(entries, after_seq, head)
        return ReadResult(head=head, entries=entries)

    # Blobs

    async def put_blob(  # noqa: PLR0913 - what a BLOB_PUT says
        self,
        relay: RelayAddr,
        data: bytes,
        *,
        payment: Payment,
        delete_hash: bytes,
        ttl_class: int,
        segment_id: bytes = NO_SEGMENT,
        key: SigningSeed | None = None,
        stream_key: bytes = b"",
    ) -> bytes:
        """Store a blob (one of ``BLOB_SIZES``) and return its id, SHA-256 of it. The same again is free.

        :param segment_id: and ``key`` (append key): the segment whose quota pays (payment type 3).
        :param stream_key: names the stream, at most one per transfer.
        :raises RelayQuotaError, PaymentError: not paid. :raises SegmentSealedError, RelayGoneError: it cannot.
        """
        args = requests.BlobPutArgs(payment=payment, delete_hash=delete_hash, ttl_class=ttl_class)
        request = self._request(Op.BLOB_PUT, args, segment_id, data)
        if key is not None:
            request = request.sign(key, relay_pk=relay.relay_pk)
        response = await self.transport.send(relay, request, stream=stream_name(Purpose.BLOB, stream_key))
        check_status(response, Status.OK)
        return hashlib.sha256(data).digest()

    async def get_blob(self, relay: RelayAddr, blob_id: bytes, *, stream_key: bytes = b"") -> bytes:
        """Fetch a blob and check it against its id. :raises RelayGoneError: the relay does not have it."""
        request = self._request(Op.BLOB_GET, requests.BlobGetArgs(blob_id=blob_id))
        response = await self.transport.send(relay, request, stream=stream_name(Purpose.BLOB, stream_key))
        check_status(response, Status.OK)
        check_blob(response.body, blob_id)
        return response.body

    async def delete_blob(
        self, relay: RelayAddr, blob_id: bytes, delete_secret: bytes, *, stream_key: bytes = b""
    ) -> None:
        """Delete a blob with the secret whose hash was given when it was put. Gone already: fine."""
        request = self._request(Op.BLOB_DEL, requests.BlobDelArgs(blob_id=blob_id, delete_secret=delete_secret))
        response = await self.transport.send(relay, request, stream=stream_name(Purpose.BLOB, stream_key))
        check_status(response, Status.OK, Status.GONE)

    # Inside

    def _request(self, op: Op, args: Struct, segment_id: bytes = NO_SEGMENT, payload: bytes = b"") -> Request:
        return build_request(op, args=args, nonce=self.rng(NONCE_LENGTH), segment_id=segment_id, payload=payload)

    async def _ask(
        self, segment: SegmentAddr, request: Request, purpose: Purpose, key: SigningSeed | None = None
    ) -> Response:
        if key is not None:
            request = request.sign(key, relay_pk=segment.relay.relay_pk)
        stream = stream_name(purpose, segment.segment_id)
        response = await self.transport.send(segment.relay, request, stream=stream)
        verify_head(response, segment)
        return response


# --- What answers say ----------------------------------------------------------------------------------------------


def append_result(response: Response) -> AppendResult:
    """Return how an APPEND or SEAL ended. :raises TransportError: neither in a result nor with a valid answer."""
    result = bare_result(response)
    if response.status not in APPENDED:
        return result
    seq, head = read_body(AppendedBody, response).seq, required_head(response)
    check_place(seq, head)
    return replace(result, seq=seq)


def bare_result(response: Response) -> AppendResult:
    """Return how an operation ended whose answer has no body but that of BUSY. :raises TransportError: as above."""
    check_status(response, *APPEND_OUTCOMES)
    retry_after = read_body(BusyBody, response).retry_after_s if response.status is Status.BUSY else None
    return AppendResult(status=response.status, head=response.head, retry_after=retry_after)


def read_body(kind: type[S], response: Response) -> S:
    """Return the body of an answer. :raises BadAnswerError: it is malformed."""
    try:
        return parse(kind, response.body)
    except DecodeError as error:
        raise BadAnswerError(f"a malformed {kind.__name__}") from error


def required_head(response: Response) -> SignedHead:
    """Return the head of an answer that must have one. :raises BadAnswerError: it has none."""
    if response.head is None:
        raise BadAnswerError("an answer without a head")
    return response.head


# --- Checks --------------------------------------------------------------------------------------------------------


def check_status(response: Response, *expected: Status) -> None:
    """Check that an operation ended in one of these ways. :raises TransportError: the leaf for another end."""
    if response.status in expected:
        return
    if response.status is Status.BUSY:
        raise RelayBusyError(retry_after=read_body(BusyBody, response).retry_after_s)
    kind = REFUSALS.get(response.status, RelayRefusedError)
    raise kind(response.status.name)


def verify_head(response: Response, segment: SegmentAddr) -> None:
    """Check that the relay signed the head of an answer and that it is about the segment asked for.

    :raises BadAnswerError: it did not, or it is about another.
    """
    if response.head is None:
        return
    try:
        response.head.verify(relay_pk=segment.relay.relay_pk, segment_id=segment.segment_id)
    except (AuthenticityError, DecodeError) as error:
        raise BadAnswerError("a head that does not hold") from error


def verify_info(info: RelayInfo, relay: RelayAddr) -> None:
    """Check that the relay we know made this statement (E26). :raises WrongRelayError: another did, or nobody."""
    try:
        info.verify(relay.relay_pk)
    except (AuthenticityError, DecodeError) as error:
        raise WrongRelayError(uri=relay.uri) from error


def check_protocol(info: RelayInfo) -> None:
    """Check that the relay speaks our protocol.

    :raises RelayTooNewError: only later ones. :raises RelayTooOldError: only earlier ones.
    """
    if info.protocol_min > PROTOCOL_VERSION:
        raise RelayTooNewError(f"protocol {info.protocol_min:#06x} and later")
    if info.protocol_max < PROTOCOL_VERSION:
        raise RelayTooOldError(f"protocol {info.protocol_max:#06x} and earlier")


def check_order(entries: Sequence[Entry], after_seq: int) -> None:
    """Check that entries follow ``after_seq`` one by one. :raises BadAnswerError: they do not."""
    if any(entry.seq != seq for seq, entry in enumerate(entries, start=after_seq + 1)):
        raise BadAnswerError("entries out of order")


def check_entry_sizes(entries: Sequence[Entry]) -> None:
    """Check that every entry has one of the fixed sizes. :raises BadAnswerError: one has another."""
    if any(len(entry.data) not in ENTRY_SIZES for entry in entries):
        raise BadAnswerError("an entry of another size")


def check_covered(entries: Sequence[Entry], after_seq: int, head: SignedHead) -> None:
    """Check that the head covers the entries. :raises BadAnswerError: it does not."""
    if entries and after_seq + len(entries) > head.position.seq:
        raise BadAnswerError("entries that the head does not cover")


def check_progress(entries: Sequence[Entry], after_seq: int, head: SignedHead) -> None:
    """Check that a head ahead of us comes with entries: else a relay could keep us reading for ever (E30).

    :raises BadAnswerError: it comes without.
    """
    if head.position.seq > after_seq and not entries:
        raise BadAnswerError("a head without the entries before it")


def check_place(seq: int, head: SignedHead) -> None:
    """Check that the head covers the entry that was appended. :raises BadAnswerError: it does not."""
    if not 1 <= seq <= head.position.seq:
        raise BadAnswerError("an entry that the head does not cover")


def check_blob(data: bytes, blob_id: bytes) -> None:
    """Check a blob against its id. :raises BadAnswerError: it is another."""
    if hashlib.sha256(data).digest() != blob_id:
        raise BadAnswerError("another blob")
