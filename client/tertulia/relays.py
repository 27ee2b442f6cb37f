"""Operations of relays as typed calls: requests are built and signed, answers checked, every head verified.

What a caller acts on comes back as a result (``AppendResult.status``: lost race, sealed, frozen, ...); what only says
"not now" or "never" is raised. A status proves nothing: "sent" and "sealed" are believed after read-back (E3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field

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
    WrongRelayError,
)
from tertulia.transport.interface import Purpose, Transport, stream_name
from tertulia_protocol.codec import Struct, parse
from tertulia_protocol.errors import AuthenticityError, DecodeError, TertuliaError
from tertulia_protocol.relay_api import requests
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.relay_api.limits import BLOB_SIZES, ENTRY_SIZES, PROTOCOL_VERSION, READ_MAX_BYTES
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

NONCE_LENGTH = 16

APPEND_OUTCOMES = frozenset(
    {
        Status.OK,
        Status.DUP,
        Status.CONFLICT,
        Status.SEALED,
        Status.FROZEN,
        Status.BUSY,
        Status.QUOTA,
        Status.GONE,
    }
)
"""What an APPEND or a SEAL can end with that its caller has to act on."""


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
    """Typed operations over a transport. It keeps nothing."""

    transport: Transport
    rng: Rng = field(repr=False)

    async def info(self, relay: RelayAddr) -> RelayInfo:
        """Ask a relay about itself; the answer is signed with the key we know.

        :raises WrongRelayError: it has another key. :raises RelayTooOldError, RelayTooNewError: no common protocol.
        """
        raise NotImplementedError

    async def create(self, relay: RelayAddr, config: SegmentConfig, payment: Payment) -> SignedHead:
        """Create a segment (free where it exists with this configuration). :raises PaymentError: not paid."""
        raise NotImplementedError

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
        raise NotImplementedError

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
        """Append the last entry of a segment and close it."""
        raise NotImplementedError

    async def unseal(self, segment: SegmentAddr, *, key: SigningSeed, if_head: Position) -> AppendResult:
        """Open a sealed segment again with the heir's key."""
        raise NotImplementedError

    async def freeze(self, segment: SegmentAddr, *, key: SigningSeed) -> AppendResult:
        """Keep members from appending for a moment, so that a commit gets through."""
        raise NotImplementedError

    async def drop(self, segment: SegmentAddr, *, key: SigningSeed) -> None:
        """Delete a segment that is still empty (an orphan of a lost race). Gone already: fine."""
        raise NotImplementedError

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

        :raises RelayGoneError: the relay has no such segment (any more).
        """
        raise NotImplementedError

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
        :raises RelayQuotaError, PaymentError: not paid.
        """
        raise NotImplementedError

    async def get_blob(self, relay: RelayAddr, blob_id: bytes, *, stream_key: bytes = b"") -> bytes:
        """Fetch a blob and check it against its id. :raises RelayGoneError: the relay does not have it."""
        raise NotImplementedError

    async def delete_blob(
        self, relay: RelayAddr, blob_id: bytes, delete_secret: bytes, *, stream_key: bytes = b""
    ) -> None:
        """Delete a blob with the secret whose hash was given when it was put. Gone already: fine."""
        raise NotImplementedError
