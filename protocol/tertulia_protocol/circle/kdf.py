"""HKDF with SHA-256 (RFC 5869), the one key derivation of circles (docs/protocol, "Conventions").

Every ``HKDF-Expand(x, ...)`` of the protocol takes x as the pseudorandom key; labels are ASCII without a length or a
terminator; integers in labels and salts are big endian.
"""

from __future__ import annotations

from tertulia_protocol.mls.ciphersuite import HYBRID

KEY_LENGTH = 32


def extract(salt: bytes, ikm: bytes) -> bytes:
    """Return HKDF-Extract(salt, ikm), 32 bytes."""
    return HYBRID.extract(salt, ikm)


def expand(prk: bytes, info: bytes, length: int = KEY_LENGTH) -> bytes:
    """Return HKDF-Expand(prk, info, length)."""
    return HYBRID.expand(prk, info, length)


def u32(value: int) -> bytes:
    """Return a uint32, big endian. :raises OverflowError: out of range."""
    return value.to_bytes(4, "big")


def u64(value: int) -> bytes:
    """Return a uint64, big endian. :raises OverflowError: out of range."""
    return value.to_bytes(8, "big")
