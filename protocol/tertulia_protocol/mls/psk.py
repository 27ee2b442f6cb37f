"""Pre-shared keys that a commit or a Welcome mixes into the key schedule (RFC 9420 section 8.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from tertulia_protocol.codec import Reader, Writer, serialize
from tertulia_protocol.errors import UnsupportedError
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.labeled import expand_with_label


class PskType(IntEnum):
    """Where a pre-shared key comes from."""

    EXTERNAL = 1
    RESUMPTION = 2


class ResumptionUsage(IntEnum):
    """What an earlier epoch's key is used for."""

    APPLICATION = 1
    REINIT = 2
    BRANCH = 3


@dataclass(frozen=True, slots=True)
class ExternalPsk:
    """A key that the application provides under ``psk_id``."""

    psk_id: bytes

    @classmethod
    def decode(cls, reader: Reader) -> ExternalPsk:
        """Read one. :raises DecodeError: truncated."""
        return cls(reader.opaque())

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.opaque(self.psk_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumptionPsk:
    """The resumption secret of an epoch of a group."""

    usage: ResumptionUsage
    psk_group_id: bytes
    psk_epoch: int

    @classmethod
    def decode(cls, reader: Reader) -> ResumptionPsk:
        """Read one. :raises DecodeError: truncated. :raises UnsupportedError: an unknown usage."""
        usage = _decode_usage(reader.u8())
        return cls(usage=usage, psk_group_id=reader.opaque(), psk_epoch=reader.u64())

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u8(self.usage)
        writer.opaque(self.psk_group_id)
        writer.u64(self.psk_epoch)


def _decode_usage(value: int) -> ResumptionUsage:
    try:
        return ResumptionUsage(value)
    except ValueError as error:
        raise UnsupportedError(f"resumption PSK usage {value} is not known") from error


@dataclass(frozen=True, slots=True)
class PreSharedKeyID:
    """Names a pre-shared key and one use of it: ``psk_nonce`` is fresh for each use and has Nh bytes."""

    psk: ExternalPsk | ResumptionPsk
    psk_nonce: bytes

    @classmethod
    def decode(cls, reader: Reader) -> PreSharedKeyID:
        """Read one. :raises DecodeError: truncated. :raises UnsupportedError: an unknown type or usage."""
        kind = reader.u8()
        psk: ExternalPsk | ResumptionPsk
        if kind == PskType.EXTERNAL:
            psk = ExternalPsk.decode(reader)
        elif kind == PskType.RESUMPTION:
            psk = ResumptionPsk.decode(reader)
        else:
            raise UnsupportedError(f"PSK type {kind} is not known")
        return cls(psk, reader.opaque())

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u8(PskType.EXTERNAL if isinstance(self.psk, ExternalPsk) else PskType.RESUMPTION)
        self.psk.encode(writer)
        writer.opaque(self.psk_nonce)


def psk_secret(suite: CipherSuite, psks: Sequence[tuple[PreSharedKeyID, bytes]]) -> bytes:
    """Return psk_secret (Nh bytes) of keys in the order in which the commit or the Welcome lists them."""
    zero = bytes(suite.Nh)
    secret = zero
    for index, (psk_id, psk) in enumerate(psks):
        label = serialize(psk_id) + index.to_bytes(2, "big") + len(psks).to_bytes(2, "big")
        psk_input = expand_with_label(suite, suite.extract(zero, psk), "derived psk", label, suite.Nh)
        secret = suite.extract(psk_input, secret)
    return secret
