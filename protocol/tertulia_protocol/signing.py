"""Ed25519 outside MLS: one label per use (docs/protocol, "Signatures"), keys checked, verification by libsodium.

A signature is always over ``label || body``. No label is a prefix of another and every body has one fixed encoding,
so a signature made for one use can never be shown for another.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache

from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from tertulia_protocol.errors import AuthenticityError

KEY_LENGTH = 32
SIGNATURE_LENGTH = 64
NOBODY = bytes(KEY_LENGTH)
"""In the place of a verification key: nobody. It is never given to a verifier."""


class Label(Enum):
    """What a signature is for. The value is the exact ASCII prefix of what is signed."""

    DEVICE = b"tl1 device"
    MEMBER_OF = b"tl1 member-of"
    CARD = b"tl1 card"
    JOIN_REQUEST = b"tl1 join request"
    REPLY = b"tl1 reply"
    NACK = b"tl1 nack"
    REJOIN = b"tl1 rejoin"
    ADD_DEVICE = b"tl1 add device"
    ROSTER = b"tl1 roster"
    SUCCESSION = b"tl1 succession"
    FAILOVER = b"tl1 failover"
    DIGEST = b"tl1 digest"
    DISTRESS = b"tl1 distress"
    RELAY_CARD = b"tl1 relay card"
    HEAD = b"tl1 head"
    INFO = b"tl1 info"
    REQUEST = b"tl1 req"


def is_valid_key(key: bytes) -> bool:
    """Answer whether ``key`` (32 bytes) is a point of the prime-order group in its one encoding."""
    return len(key) == KEY_LENGTH and _is_valid_point(key)


@lru_cache(maxsize=4096)
def _is_valid_point(key: bytes) -> bool:
    # Nearly as dear as a verification, and the same few keys come again and again; they are public.
    return bool(crypto_core_ed25519_is_valid_point(key))


class SigningSeed:
    """An Ed25519 private key made from its 32-byte seed. ``repr`` shows the public half only."""

    __slots__ = ("_key", "public_key", "seed")

    def __init__(self, seed: bytes) -> None:
        """:param seed: 32 bytes, secret. :raises ValueError: another length."""
        if len(seed) != KEY_LENGTH:
            raise ValueError(f"a seed has {KEY_LENGTH} bytes, this one {len(seed)}")
        self.seed = seed
        self._key = SigningKey(seed)
        self.public_key = bytes(self._key.verify_key)

    def __repr__(self) -> str:
        return f"SigningSeed(public_key={self.public_key.hex()})"

    def sign(self, label: Label, body: bytes) -> bytes:
        """Return the 64-byte signature over ``label || body``."""
        return bytes(self._key.sign(label.value + body).signature)


def verify(key: bytes, label: Label, body: bytes, signature: bytes) -> None:
    """Check a signature (64 bytes) over ``label || body`` under ``key`` (32 bytes).

    :raises AuthenticityError: the key is "nobody" or no valid point, or the signature does not hold.
    """
    if key == NOBODY or not is_valid_key(key):
        raise AuthenticityError("a verification key is not valid")
    try:
        VerifyKey(key).verify(label.value + body, signature)
    except (BadSignatureError, ValueError) as error:
        raise AuthenticityError(f"a signature for {label.value.decode()!r} does not hold") from error
