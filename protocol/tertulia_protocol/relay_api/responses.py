"""Responses: one struct around every answer, and the bodies of each (docs/protocol, "Answers")."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Self

from tertulia_protocol.codec import Reader, Writer, parse_padded, serialize
from tertulia_protocol.errors import DecodeError
from tertulia_protocol.relay_api import limits
from tertulia_protocol.relay_api.records import SignedHead
from tertulia_protocol.signing import Label, SigningSeed, verify


class Status(IntEnum):
    """How a request ended."""

    OK = 0
    DUP = 1
    CONFLICT = 2
    SEALED = 3
    FROZEN = 4
    BUSY = 5
    QUOTA = 6
    GONE = 7
    DENY = 8
    TOOBIG = 9
    PAY = 10
    MALFORMED = 11
    UNAVAILABLE = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer. ``nonce`` repeats the request's; ``head`` is there only for a requester who may read."""

    status: Status
    nonce: bytes
    head: SignedHead | None = None
    body: bytes = b""
    version: int = 1

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated, another version, or an unknown status."""
        version, status = reader.u8(), reader.u8()
        if version != 1:
            raise DecodeError(f"response version {version}")
        if status > Status.UNAVAILABLE:
            raise DecodeError(f"response status {status}")
        return cls(
            version=version,
            status=Status(status),
            nonce=reader.raw(16),
            head=reader.optional(SignedHead.decode),
            body=reader.opaque(),
        )

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: the nonce has not 16 bytes."""
        writer.u8(self.version)
        writer.u8(self.status)
        writer.fixed(self.nonce, 16)
        writer.optional(self.head)
        writer.opaque(self.body)

    def to_frame(self) -> bytes:
        """Return the HTTP body: the struct, padded with zeros."""
        data = serialize(self)
        return data.ljust(limits.response_size(len(data)), b"\0")

    @classmethod
    def from_frame(cls, frame: bytes) -> Self:
        """Read an HTTP body. :raises DecodeError: not an allowed size, malformed, or the padding is not zero."""
        limits.check_response_size(len(frame))
        return parse_padded(cls, frame)


@dataclass(frozen=True, slots=True)
class AppendedBody:
    """Body of APPEND and SEAL when OK or DUP: the entry's place."""

    seq: int

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        return cls(reader.u64())

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u64(self.seq)


@dataclass(frozen=True, slots=True)
class BusyBody:
    """Body of BUSY: seconds to wait before the next attempt."""

    retry_after_s: int

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        return cls(reader.u16())

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u16(self.retry_after_s)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a log: its place and its bytes (one of ``ENTRY_SIZES``)."""

    seq: int
    data: bytes

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        return cls(reader.u64(), reader.opaque())

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u64(self.seq)
        writer.opaque(self.data)


@dataclass(frozen=True, slots=True)
class EntriesBody:
    """Body of READ: whole entries in order."""

    entries: tuple[Entry, ...]

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: malformed."""
        return cls(reader.vector(Entry.decode))

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.vector(self.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLimits:
    """The numbers an operator may set, as INFO states them."""

    log_quota_bytes: int = limits.LOG_QUOTA_BYTES
    blob_quota_bytes: int = limits.BLOB_QUOTA_BYTES
    mailbox_entries: int = limits.MAILBOX_ENTRIES
    append_burst_units: int = limits.APPEND_BURST_UNITS
    append_units_per_second: int = limits.APPEND_UNITS_PER_SECOND
    read_max_bytes: int = limits.READ_MAX_BYTES
    wait_max_s: int = limits.WAIT_MAX_SECONDS

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        return cls(
            log_quota_bytes=reader.u64(),
            blob_quota_bytes=reader.u64(),
            mailbox_entries=reader.u16(),
            append_burst_units=reader.u32(),
            append_units_per_second=reader.u32(),
            read_max_bytes=reader.u32(),
            wait_max_s=reader.u8(),
        )

    def encode(self, writer: Writer) -> None:
        """:raises OverflowError: a number is out of range."""
        writer.u64(self.log_quota_bytes)
        writer.u64(self.blob_quota_bytes)
        writer.u16(self.mailbox_entries)
        writer.u32(self.append_burst_units)
        writer.u32(self.append_units_per_second)
        writer.u32(self.read_max_bytes)
        writer.u8(self.wait_max_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayInfo:
    """Body of INFO, signed by the relay: who it is, which protocol it speaks, the day, its limits, its issuers."""

    relay_pk: bytes
    protocol_min: int
    protocol_max: int
    utc_day: int
    limits: RelayLimits
    issuers: bytes = b""
    signature: bytes = bytes(64)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        return cls(
            relay_pk=reader.raw(32),
            protocol_min=reader.u16(),
            protocol_max=reader.u16(),
            utc_day=reader.u32(),
            limits=RelayLimits.decode(reader),
            issuers=reader.opaque(),
            signature=reader.raw(64),
        )

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: a field has another length."""
        writer.raw(self._signed())
        writer.fixed(self.signature, 64)

    def _signed(self) -> bytes:
        writer = Writer()
        writer.fixed(self.relay_pk, 32)
        writer.u16(self.protocol_min)
        writer.u16(self.protocol_max)
        writer.u32(self.utc_day)
        self.limits.encode(writer)
        writer.opaque(self.issuers)
        return writer.getvalue()

    def sign(self, relay_key: SigningSeed) -> Self:
        """Return this statement signed by the relay."""
        return replace(self, signature=relay_key.sign(Label.INFO, self._signed()))

    def verify(self, relay_pk: bytes) -> None:
        """Check that the relay with this key (32 bytes) made the statement about itself.

        :raises AuthenticityError: the signature does not hold. :raises DecodeError: it names another relay.
        """
        self.check_relay(relay_pk)
        verify(relay_pk, Label.INFO, self._signed(), self.signature)

    def check_relay(self, relay_pk: bytes) -> None:
        """Check that the statement is about the relay with this key. :raises DecodeError: it names another."""
        if self.relay_pk != relay_pk:
            raise DecodeError("the relay has another key")
