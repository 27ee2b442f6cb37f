"""Entries of a circle's log: a header and a body, sealed so that the relay sees only one of five lengths.

docs/protocol, "Entries". The wrap is deterministic: the nonce is a keyed hash of what is inside, so that any member who
writes the same inner bytes again makes the same entry, and the relay knows it as a duplicate. Nothing a member writes
is protected by the wrap alone: inside is an MLS message, or something sealed to the epoch.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Protocol, Self

from tertulia_protocol.circle.primitives import NONCE_BYTES, TAG_BYTES, aead_open, aead_seal
from tertulia_protocol.codec import Reader, Writer, serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError, RuleError, UsageError, WrongEpochError
from tertulia_protocol.relay_api.limits import ENTRY_SIZES
from tertulia_protocol.relay_api.records import Position

HEADER_BYTES = 96
OVERHEAD = NONCE_BYTES + TAG_BYTES
"""What the wrap adds: nonce and tag, in bytes."""

MAX_BODY = ENTRY_SIZES[-1] - OVERHEAD - HEADER_BYTES
"""The longest body of an entry in bytes."""

REPAIR = 1
"""Flag: a coordinator's repair commit (E4); ``rsv`` names the commit that it stands in for."""

NO_RSV = bytes(12)
SEALED_ENTRY_BYTES = 4096
"""The one length of an entry of kind 2 (E12)."""
MAX_SEALED_BODY = SEALED_ENTRY_BYTES - OVERHEAD - HEADER_BYTES


class Kind(IntEnum):
    """What the body is."""

    MLS = 1
    SEALED = 2


class WrapKeys(Protocol):
    """The two keys of a relay's copy of a segment that wrapping takes (``RelayAccess``), 32 bytes each."""

    @property
    def wrap_key(self) -> bytes:
        """The key of the outer seal."""
        ...

    @property
    def siv_key(self) -> bytes:
        """The key of the nonce."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerHeader:
    """What every holder of the segment's keys reads of an entry, 96 bytes. Kind 1: also authenticated by its author."""

    kind: int
    segment_no: int
    epoch: int
    branch_tag: bytes
    parent: Position
    body_len: int
    log_id: bytes
    flags: int = 0
    rsv: bytes = NO_RSV
    version: int = 1

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        version, kind, flags = reader.u8(), reader.u8(), reader.u16()
        segment_no, epoch, branch_tag = reader.u32(), reader.u64(), reader.raw(16)
        parent = Position.decode(reader)
        return cls(
            version=version,
            kind=kind,
            flags=flags,
            segment_no=segment_no,
            epoch=epoch,
            branch_tag=branch_tag,
            parent=parent,
            body_len=reader.u32(),
            log_id=reader.raw(8),
            rsv=reader.raw(12),
        )

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: a field has another length."""
        writer.u8(self.version)
        writer.u8(self.kind)
        writer.u16(self.flags)
        writer.u32(self.segment_no)
        writer.u64(self.epoch)
        writer.fixed(self.branch_tag, 16)
        self.parent.encode(writer)
        writer.u32(self.body_len)
        writer.fixed(self.log_id, 8)
        writer.fixed(self.rsv, 12)

    def hash(self) -> bytes:
        """Return the 32-byte hash that binds the header to an MLS message (E7); the body's length is left out."""
        return hashlib.sha256(serialize(replace(self, body_len=0))).digest()


@dataclass(frozen=True, slots=True)
class Inner:
    """An entry without its wrap: the same bytes on every relay."""

    header: InnerHeader
    body: bytes = field(repr=False)
    data: bytes = field(repr=False)

    @property
    def hash(self) -> bytes:
        """Return SHA-256 of the inner bytes: how a client knows its own entries again (E24)."""
        return hashlib.sha256(self.data).digest()


def branch_tag(tag_key: bytes, *, epoch: int, epoch_authenticator: bytes) -> bytes:
    """Return the 16 bytes that differ between branches of a circle that has split."""
    message = b"tl1 branch" + epoch.to_bytes(8, "big") + epoch_authenticator
    return hmac.digest(tag_key, message, "sha256")[:16]


def log_id(primary_segment_id: bytes) -> bytes:
    """Return the 8 bytes that name the log an entry is for."""
    return primary_segment_id[:8]


def repair_of(entry: bytes) -> bytes:
    """Return the 12 bytes with which a repair commit names the entry it stands in for (E4)."""
    return hashlib.sha256(entry).digest()[:12]


def build_inner(header: InnerHeader, body: bytes) -> Inner:
    """Put header and body into the smallest entry that holds them; ``body_len`` is set here.

    :raises UsageError: the body is longer than ``MAX_BODY``, or ``MAX_SEALED_BODY`` where the kind is 2.
    """
    if len(body) > (MAX_SEALED_BODY if header.kind == Kind.SEALED else MAX_BODY):
        raise UsageError(f"an entry of {len(body)} bytes is too long")
    header = replace(header, body_len=len(body))
    smallest = SEALED_ENTRY_BYTES if header.kind == Kind.SEALED else 0
    size = next(size for size in ENTRY_SIZES if size >= max(smallest, HEADER_BYTES + len(body) + OVERHEAD))
    return Inner(header, body, (serialize(header) + body).ljust(size - OVERHEAD, b"\0"))


def parse_inner(data: bytes) -> Inner:
    """Read inner bytes. :raises DecodeError: malformed, or the padding is not zero (E24)."""
    reader = Reader(data)
    header = InnerHeader.decode(reader)
    body = reader.raw(header.body_len)
    check_padding(reader)
    check_smallest(header, len(data))
    return Inner(header, body, data)


def check_padding(reader: Reader) -> None:
    """Check that only zeros follow the body. :raises DecodeError: another byte does."""
    reader.expect_zeros()


def check_smallest(header: InnerHeader, length: int) -> None:
    """Check that the entry is the smallest that holds its body: one content, one form.

    :raises DecodeError: it is not, or an entry of kind 2 has not 4096 bytes.
    """
    smallest = SEALED_ENTRY_BYTES if header.kind == Kind.SEALED else 0
    needed = max(smallest, HEADER_BYTES + header.body_len + OVERHEAD)
    if length + OVERHEAD != next((size for size in ENTRY_SIZES if size >= needed), 0):
        raise DecodeError("an entry is longer than its content needs")
    if header.kind == Kind.SEALED and length + OVERHEAD != SEALED_ENTRY_BYTES:
        raise DecodeError("an entry of kind 2 has another length")


def synthetic_nonce(keys: WrapKeys, data: bytes) -> bytes:
    """Return the 24-byte nonce of these inner bytes."""
    return hmac.digest(keys.siv_key, data, "sha256")[:NONCE_BYTES]


def wrap(inner: Inner, *, keys: WrapKeys, segment_id: bytes) -> bytes:
    """Return the entry for one relay's copy of the segment; its length is one of ``ENTRY_SIZES``."""
    nonce = synthetic_nonce(keys, inner.data)
    return nonce + aead_seal(keys.wrap_key, nonce, inner.data, aad=segment_id)


def unwrap(entry: bytes, *, keys: WrapKeys, segment_id: bytes) -> Inner:
    """Open an entry.

    :raises AuthenticityError: it was not made with this segment's keys, or with another nonce than its own.
    :raises DecodeError: what is inside is malformed.
    """
    nonce, sealed = entry[:NONCE_BYTES], entry[NONCE_BYTES:]
    data = aead_open(keys.wrap_key, nonce, sealed, aad=segment_id)
    check_nonce(keys, data, nonce)
    return parse_inner(data)


def check_nonce(keys: WrapKeys, data: bytes, nonce: bytes) -> None:
    """Check that the nonce is the content's own (E24). :raises AuthenticityError: it is another.

    With another nonce the same content would be another entry, and would stand in the log twice.
    """
    if not hmac.compare_digest(nonce, synthetic_nonce(keys, data)):
        raise AuthenticityError("an entry has another nonce than its own")


def check_version(header: InnerHeader) -> None:
    """Check version and kind (E22). :raises RuleError: unknown."""
    if header.version != 1 or header.kind not in (Kind.MLS, Kind.SEALED):
        raise RuleError("unknown version or kind", rule="E22.version")


def check_segment_no(header: InnerHeader, *, segment_no: int) -> None:
    """Check that the entry was made for this segment (E22). :raises RuleError: it was copied from another."""
    if header.segment_no != segment_no:
        raise RuleError("an entry of another segment", rule="E22.segment")


def check_log_id(header: InnerHeader, *, primary_segment_id: bytes) -> None:
    """Check that the entry was made for this log (E22). :raises RuleError: it was copied from another relay."""
    if header.log_id != log_id(primary_segment_id):
        raise RuleError("an entry of another log", rule="E22.log")


def check_epoch(header: InnerHeader, *, epoch: int) -> None:
    """Check that the entry belongs to the reader's epoch at this place of the log (E6).

    :raises WrongEpochError: it does not, so it counts for nobody; its author sends it again.
    """
    if header.epoch != epoch:
        raise WrongEpochError(f"an entry of epoch {header.epoch} where {epoch} stands")


def check_flags(header: InnerHeader) -> None:
    """Check that flags and the reserved field are used as E4 says: by repair commits. :raises RuleError: otherwise."""
    allowed = (0, REPAIR) if header.kind == Kind.MLS else (0,)
    if header.flags not in allowed or (header.flags == 0) != (header.rsv == NO_RSV):
        raise RuleError("unknown flags", rule="E4.flags")


def check_hidden_parent(header: InnerHeader, *, primary_segment_id: bytes) -> None:
    """Check that an entry of kind 2 names the same parent for everybody (E12). :raises RuleError: it does not.

    A parent of its own would tell which of the members wrote it.
    """
    if header.kind == Kind.SEALED and header.parent != Position.start(primary_segment_id):
        raise RuleError("an entry of kind 2 names a parent", rule="E12.parent")


def check_place(header: InnerHeader, *, segment_no: int, primary_segment_id: bytes) -> None:
    """Check all that does not depend on the epoch. :raises RuleError: the entry does not count here."""
    check_version(header)
    check_segment_no(header, segment_no=segment_no)
    check_log_id(header, primary_segment_id=primary_segment_id)
    check_flags(header)
    check_hidden_parent(header, primary_segment_id=primary_segment_id)
