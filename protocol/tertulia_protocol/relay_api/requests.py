"""Requests: one struct around every operation, and the arguments of each (docs/protocol, "Requests")."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from enum import IntEnum, IntFlag
from typing import Self

from tertulia_protocol.codec import Reader, Struct, Writer, parse_padded, serialize
from tertulia_protocol.errors import DecodeError
from tertulia_protocol.relay_api.limits import REQUEST_SIZES, check_size, request_size
from tertulia_protocol.relay_api.records import NO_SEGMENT, Position, SegmentConfig
from tertulia_protocol.signing import Label, SigningSeed, verify

NO_SIGNATURE = bytes(64)


class Op(IntEnum):
    """What a request asks for."""

    INFO = 1
    TOKENS = 2
    CREATE = 3
    APPEND = 4
    SEAL = 5
    UNSEAL = 6
    FREEZE = 7
    READ = 8
    EXTEND = 9
    DROP = 10
    BLOB_PUT = 11
    BLOB_GET = 12
    BLOB_DEL = 13


class PaymentType(IntEnum):
    """How something is paid for."""

    ENROLMENT_CODE = 1
    BLIND_TOKEN = 2
    SEGMENT_QUOTA = 3


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment; ``value`` is the code, the token, or empty for the segment's own quota."""

    type: int
    value: bytes = b""

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        return cls(reader.u8(), reader.opaque())

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u8(self.type)
        writer.opaque(self.value)

    def __repr__(self) -> str:
        return f"Payment(type={self.type})"


class AppendFlag(IntFlag):
    """Flags of APPEND."""

    NONE = 0
    ADMIN = 1
    IF_HEAD = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class NoArgs:
    """INFO, FREEZE and DROP take nothing."""

    @classmethod
    def decode(cls, reader: Reader) -> Self:  # noqa: ARG003 - every struct is read this way
        """Read nothing."""
        return cls()

    def encode(self, writer: Writer) -> None:
        """Append nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateArgs:
    """CREATE: the configuration of the new segment and what pays for it."""

    config: SegmentConfig
    payment: Payment

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        return cls(config=SegmentConfig.decode(reader), payment=Payment.decode(reader))

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        self.config.encode(writer)
        self.payment.encode(writer)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendArgs:
    """APPEND: whether the admin key signs, and the head that must still stand (None: any)."""

    admin: bool = False
    if_head: Position | None = None

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated, or unknown flags."""
        flags = reader.u8()
        if flags > 3:
            raise DecodeError(f"append flags {flags}")
        return cls(
            admin=bool(flags & AppendFlag.ADMIN),
            if_head=Position.decode(reader) if flags & AppendFlag.IF_HEAD else None,
        )

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u8((AppendFlag.ADMIN if self.admin else 0) | (AppendFlag.IF_HEAD if self.if_head is not None else 0))
        if self.if_head is not None:
            self.if_head.encode(writer)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealArgs:
    """SEAL: the head that must still stand, who may unseal, and how many days the sealed segment stays."""

    if_head: Position
    heir_vk: bytes
    retire_days: int

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        return cls(if_head=Position.decode(reader), heir_vk=reader.raw(32), retire_days=reader.u16())

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: the heir key has not 32 bytes."""
        self.if_head.encode(writer)
        writer.fixed(self.heir_vk, 32)
        writer.u16(self.retire_days)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsealArgs:
    """UNSEAL: the head that must still stand."""

    if_head: Position

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        return cls(if_head=Position.decode(reader))

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        self.if_head.encode(writer)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadArgs:
    """READ: entries after ``after_seq``, up to ``max_bytes``, waiting up to ``wait_s`` seconds for the first."""

    after_seq: int
    max_bytes: int
    wait_s: int = 0

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        return cls(after_seq=reader.u64(), max_bytes=reader.u32(), wait_s=reader.u8())

    def encode(self, writer: Writer) -> None:
        """:raises OverflowError: a number is out of range."""
        writer.u64(self.after_seq)
        writer.u32(self.max_bytes)
        writer.u8(self.wait_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendArgs:
    """EXTEND: what pays, the days from today and the units of quota that the segment shall at least have."""

    payment: Payment
    days: int
    units: int

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        return cls(payment=Payment.decode(reader), days=reader.u16(), units=reader.u32())

    def encode(self, writer: Writer) -> None:
        """:raises OverflowError: a number is out of range."""
        self.payment.encode(writer)
        writer.u16(self.days)
        writer.u32(self.units)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobPutArgs:
    """BLOB_PUT: what pays, the hash of the secret that deletes it, and its life class. The payload is the chunk."""

    payment: Payment
    delete_hash: bytes
    ttl_class: int

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        return cls(payment=Payment.decode(reader), delete_hash=reader.raw(32), ttl_class=reader.u8())

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: the hash has not 32 bytes."""
        self.payment.encode(writer)
        writer.fixed(self.delete_hash, 32)
        writer.u8(self.ttl_class)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobGetArgs:
    """BLOB_GET: the id, which is the SHA-256 of the chunk."""

    blob_id: bytes

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        return cls(blob_id=reader.raw(32))

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: the id has not 32 bytes."""
        writer.fixed(self.blob_id, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobDelArgs:
    """BLOB_DEL: the id and the 32-byte secret whose hash was given when the blob was put."""

    blob_id: bytes
    delete_secret: bytes

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        return cls(blob_id=reader.raw(32), delete_secret=reader.raw(32))

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: a field has not 32 bytes."""
        writer.fixed(self.blob_id, 32)
        writer.fixed(self.delete_secret, 32)

    def __repr__(self) -> str:
        return f"BlobDelArgs(blob_id={self.blob_id.hex()})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. ``signature`` is 64 zero bytes where no key applies. ``args`` may hold a code or a secret."""

    op: int
    segment_id: bytes = NO_SEGMENT
    nonce: bytes
    args: bytes = field(default=b"", repr=False)
    payload: bytes = field(default=b"", repr=False)
    signature: bytes = NO_SIGNATURE
    version: int = 1

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated, or another version."""
        version, op = reader.u8(), reader.u8()
        if version != 1:
            raise DecodeError(f"request version {version}")
        return cls(
            version=version,
            op=op,
            segment_id=reader.raw(32),
            nonce=reader.raw(16),
            args=reader.opaque(),
            payload=reader.opaque(),
            signature=reader.raw(64),
        )

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: a field has another length."""
        writer.u8(self.version)
        writer.u8(self.op)
        writer.fixed(self.segment_id, 32)
        writer.fixed(self.nonce, 16)
        writer.opaque(self.args)
        writer.opaque(self.payload)
        writer.fixed(self.signature, 64)

    def _signed(self, relay_pk: bytes) -> bytes:
        return b"".join(
            (
                relay_pk,
                bytes((self.version, self.op)),
                self.segment_id,
                self.nonce,
                hashlib.sha256(self.args).digest(),
                hashlib.sha256(self.payload).digest(),
            )
        )

    def sign(self, key: SigningSeed, *, relay_pk: bytes) -> Self:
        """Return this request signed with a segment key for the relay ``relay_pk`` (32 bytes)."""
        return replace(self, signature=key.sign(Label.REQUEST, self._signed(relay_pk)))

    def verify(self, key: bytes, *, relay_pk: bytes) -> None:
        """Check the signature under ``key`` (32 bytes). :raises AuthenticityError: it does not hold."""
        verify(key, Label.REQUEST, self._signed(relay_pk), self.signature)

    def to_frame(self) -> bytes:
        """Return the HTTP body: the struct, padded with zeros. :raises ValueError: too long."""
        data = serialize(self)
        return data.ljust(request_size(len(data)), b"\0")

    @classmethod
    def from_frame(cls, frame: bytes) -> Self:
        """Read an HTTP body. :raises DecodeError: not one of the sizes, malformed, or the padding is not zero."""
        check_size(len(frame), REQUEST_SIZES)
        return parse_padded(cls, frame)


def build_request(
    op: Op, *, args: Struct, nonce: bytes, segment_id: bytes = NO_SEGMENT, payload: bytes = b""
) -> Request:
    """Put an operation's arguments into an unsigned request. ``nonce`` is 16 random bytes."""
    return Request(op=op, segment_id=segment_id, nonce=nonce, args=serialize(args), payload=payload)


ARGS: dict[Op, type[Struct]] = {
    Op.INFO: NoArgs,
    Op.CREATE: CreateArgs,
    Op.APPEND: AppendArgs,
    Op.SEAL: SealArgs,
    Op.UNSEAL: UnsealArgs,
    Op.FREEZE: NoArgs,
    Op.READ: ReadArgs,
    Op.EXTEND: ExtendArgs,
    Op.DROP: NoArgs,
    Op.BLOB_PUT: BlobPutArgs,
    Op.BLOB_GET: BlobGetArgs,
    Op.BLOB_DEL: BlobDelArgs,
}
"""The struct that ``args`` holds, by operation; :func:`tertulia_protocol.codec.parse` reads it."""
