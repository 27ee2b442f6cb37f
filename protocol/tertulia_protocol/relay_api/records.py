"""What a relay keeps and signs: segment configurations, positions, heads (docs/protocol, "Segments", "The chain")."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Self

from tertulia_protocol.codec import Reader, Writer, serialize
from tertulia_protocol.errors import DecodeError
from tertulia_protocol.signing import NOBODY, Label, SigningSeed, is_valid_key, verify

NO_SEGMENT = bytes(32)
"""The ``segment_id`` of a request that concerns none."""


MAX_SEQ = (1 << 63) - 1
"""The greatest number of a place: far beyond any quota, and the greatest that databases can store."""


def check_seq(seq: int) -> None:
    """Check that a number can be one of a place. Bigger ones fit the wire and no database. :raises DecodeError: not."""
    if seq > MAX_SEQ:
        raise DecodeError("a number that no log reaches")


class SegmentClass(IntEnum):
    """What a segment is for; it sets the quota."""

    MAILBOX = 1
    LOG = 2


class HeadState(IntFlag):
    """The state bits of a signed head."""

    OPEN = 0
    SEALED = 1
    FROZEN = 2
    EXPIRING = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentConfig:
    """The fixed configuration of a segment, 99 bytes; its hash is the segment's id."""

    segment_class: int
    ttl_class: int
    append_vk: bytes
    read_vk: bytes
    admin_vk: bytes = NOBODY
    version: int = 1

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        version, segment_class, ttl_class = reader.u8(), reader.u8(), reader.u8()
        return cls(
            version=version,
            segment_class=segment_class,
            ttl_class=ttl_class,
            append_vk=reader.raw(32),
            read_vk=reader.raw(32),
            admin_vk=reader.raw(32),
        )

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: a key has not 32 bytes."""
        writer.u8(self.version)
        writer.u8(self.segment_class)
        writer.u8(self.ttl_class)
        for key in (self.append_vk, self.read_vk, self.admin_vk):
            writer.fixed(key, 32)

    def check(self) -> None:
        """Check version, class, life and keys. :raises DecodeError: one is not allowed."""
        if self.version != 1:
            raise DecodeError(f"segment configuration version {self.version}")
        if self.segment_class not in (SegmentClass.MAILBOX, SegmentClass.LOG):
            raise DecodeError(f"segment class {self.segment_class}")
        if self.ttl_class not in range(4):
            raise DecodeError(f"life class {self.ttl_class}")
        if not (is_valid_key(self.append_vk) and is_valid_key(self.read_vk)):
            raise DecodeError("a segment key is not valid")
        if self.admin_vk != NOBODY and not is_valid_key(self.admin_vk):
            raise DecodeError("the admin key is not valid")

    def segment_id(self, relay_pk: bytes) -> bytes:
        """Return the 32-byte id of this segment on the relay with key ``relay_pk`` (32 bytes)."""
        return hashlib.sha256(b"tl1 seg" + relay_pk + serialize(self)).digest()


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a segment's chain: ``seq`` entries and the 32-byte chain value after them."""

    seq: int
    chain: bytes

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated, or a number that no log reaches."""
        seq, chain = reader.u64(), reader.raw(32)
        check_seq(seq)
        return cls(seq, chain)

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: the chain value has not 32 bytes."""
        writer.u64(self.seq)
        writer.fixed(self.chain, 32)

    @classmethod
    def start(cls, segment_id: bytes) -> Self:
        """Return the position before the first entry of a segment."""
        return cls(0, hashlib.sha256(b"tl1 chain" + segment_id).digest())

    def after(self, entry_hash: bytes) -> Position:
        """Return the position after one more entry, whose SHA-256 is ``entry_hash`` (32 bytes)."""
        seq = self.seq + 1
        return Position(seq, hashlib.sha256(self.chain + seq.to_bytes(8, "big") + entry_hash).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHead:
    """A relay's promise about the newest position of a segment, 141 bytes and its signature."""

    segment_id: bytes
    position: Position
    state: HeadState
    utc_day: int
    signature: bytes

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated, or unknown state bits."""
        segment_id, position, state, utc_day = reader.raw(32), Position.decode(reader), reader.u8(), reader.u32()
        if state > 7:
            raise DecodeError(f"a head with state {state}")
        return cls(
            segment_id=segment_id,
            position=position,
            state=HeadState(state),
            utc_day=utc_day,
            signature=reader.raw(64),
        )

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: a field has another length."""
        writer.raw(self._signed())
        writer.fixed(self.signature, 64)

    def _signed(self) -> bytes:
        writer = Writer()
        writer.fixed(self.segment_id, 32)
        self.position.encode(writer)
        writer.u8(self.state)
        writer.u32(self.utc_day)
        return writer.getvalue()

    @classmethod
    def make(
        cls, *, relay_key: SigningSeed, segment_id: bytes, position: Position, state: HeadState, utc_day: int
    ) -> Self:
        """Sign a head."""
        unsigned = cls(segment_id=segment_id, position=position, state=state, utc_day=utc_day, signature=bytes(64))
        return cls(
            segment_id=segment_id,
            position=position,
            state=state,
            utc_day=utc_day,
            signature=relay_key.sign(Label.HEAD, unsigned._signed()),
        )

    def verify(self, *, relay_pk: bytes, segment_id: bytes) -> None:
        """Check that the relay signed this head and that it is about ``segment_id``.

        :raises AuthenticityError: the signature does not hold. :raises DecodeError: it is about another segment.
        """
        self.check_segment(segment_id)
        verify(relay_pk, Label.HEAD, self._signed(), self.signature)

    def check_segment(self, segment_id: bytes) -> None:
        """Check that the head is about ``segment_id`` (32 bytes). :raises DecodeError: it is about another."""
        if self.segment_id != segment_id:
            raise DecodeError("a head of another segment")
