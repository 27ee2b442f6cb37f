"""Pre-shared keys that a commit or a Welcome mixes into the key schedule (RFC 9420 section 8.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from tertulia_protocol.codec import Reader, Writer, serialize
from tertulia_protocol.errors import RuleError, UnsupportedError
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.labeled import expand_with_label

MAX_PSKS = 2**16 - 1


class PSKType(IntEnum):
    """Where a pre-shared key comes from."""

    EXTERNAL = 1
    RESUMPTION = 2


class ResumptionPSKUsage(IntEnum):
    """What an earlier epoch's key is used for."""

    APPLICATION = 1
    REINIT = 2
    BRANCH = 3


@dataclass(frozen=True, slots=True)
class ExternalPSK:
    """A key that the application provides under ``psk_id``."""

    psk_id: bytes

    @classmethod
    def decode(cls, reader: Reader) -> ExternalPSK:
        """Read one. :raises DecodeError: truncated."""
        return cls(reader.opaque())

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.opaque(self.psk_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumptionPSK:
    """The resumption secret of an epoch of a group."""

    usage: ResumptionPSKUsage
    psk_group_id: bytes
    psk_epoch: int

    @classmethod
    def decode(cls, reader: Reader) -> ResumptionPSK:
        """Read one. :raises DecodeError: truncated. :raises UnsupportedError: an unknown usage."""
        usage = _decode_usage(reader.u8())
        return cls(usage=usage, psk_group_id=reader.opaque(), psk_epoch=reader.u64())

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u8(self.usage)
        writer.opaque(self.psk_group_id)
        writer.u64(self.psk_epoch)


def _decode_usage(value: int) -> ResumptionPSKUsage:
    try:
        return ResumptionPSKUsage(value)
    except ValueError as error:
        raise UnsupportedError(f"resumption PSK usage {value} is not known") from error


def _decode_type(value: int) -> PSKType:
    try:
        return PSKType(value)
    except ValueError as error:
        raise UnsupportedError(f"PSK type {value} is not known") from error


@dataclass(frozen=True, slots=True)
class PreSharedKeyID:
    """Names a pre-shared key and one use of it: ``psk_nonce`` is fresh for each use and has Nh bytes."""

    psk: ExternalPSK | ResumptionPSK
    psk_nonce: bytes

    @classmethod
    def decode(cls, reader: Reader) -> PreSharedKeyID:
        """Read one. :raises DecodeError: truncated. :raises UnsupportedError: an unknown type or usage."""
        kind = _decode_type(reader.u8())
        psk = ExternalPSK.decode(reader) if kind is PSKType.EXTERNAL else ResumptionPSK.decode(reader)
        return cls(psk, reader.opaque())

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u8(PSKType.EXTERNAL if isinstance(self.psk, ExternalPSK) else PSKType.RESUMPTION)
        self.psk.encode(writer)
        writer.opaque(self.psk_nonce)


def check_psk_nonce(suite: CipherSuite, psk_id: PreSharedKeyID) -> None:
    """Check that the nonce has Nh bytes. :raises RuleError: it has not (section 12.1.4)."""
    if len(psk_id.psk_nonce) != suite.Nh:
        raise RuleError(f"a psk_nonce has {len(psk_id.psk_nonce)} bytes, not {suite.Nh}", rule="RFC9420-12.1.4")


def check_psk_count(count: int) -> None:
    """Check that so many PSKs can be counted in a uint16 (section 8.4). :raises RuleError: they cannot."""
    if count > MAX_PSKS:
        raise RuleError(f"{count} pre-shared keys", rule="RFC9420-8.4")


def psk_secret(suite: CipherSuite, psks: Sequence[tuple[PreSharedKeyID, bytes]]) -> bytes:
    """Return psk_secret (Nh bytes) of keys in the order in which the commit or the Welcome lists them.

    :raises RuleError: there are more than can be counted.
    """
    check_psk_count(len(psks))
    zero = bytes(suite.Nh)
    secret = zero
    for index, (psk_id, psk) in enumerate(psks):
        label = serialize(psk_id) + index.to_bytes(2, "big") + len(psks).to_bytes(2, "big")
        psk_input = expand_with_label(suite, suite.extract(zero, psk), "derived psk", label, suite.Nh)
        secret = suite.extract(psk_input, secret)
    return secret
