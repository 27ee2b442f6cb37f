"""Hybrid public key encryption: the KEMs of our cipher suites and one-shot sealing (RFC 9180, draft-ietf-hpke-pq).

A private key is always its shortest form: X25519 its 32-byte scalar, ML-KEM-768 with X25519 (X-Wing) its 32-byte
seed. A KEM is data, so that another code point or key derivation is another value and not another class.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite

from tertulia_protocol.codec import Reader, Writer
from tertulia_protocol.errors import AuthenticityError, DecodeError

PrivateKey = X25519PrivateKey | MLKEM768X25519PrivateKey
PublicKey = X25519PublicKey | MLKEM768X25519PublicKey

X25519_LENGTH = 32
MLKEM768_LENGTH = 1184
PRIVATE_LENGTH = 32

_LOW_ORDER = frozenset(
    bytes.fromhex(point)
    for point in (
        "00" * 32,
        "01" + "00" * 31,
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)
"""The u-coordinates of small order and their unreduced forms; bit 255 does not count (RFC 7748 sections 5 and 6.1)."""


@dataclass(frozen=True, slots=True)
class HpkeKeyPair:
    """A key pair of one KEM."""

    private: bytes = field(repr=False)
    public: bytes

    @classmethod
    def decode(cls, reader: Reader) -> HpkeKeyPair:
        """Read two opaque vectors. :raises DecodeError: truncated."""
        return cls(reader.opaque(), reader.opaque())

    def encode(self, writer: Writer) -> None:
        """Append two opaque vectors."""
        writer.opaque(self.private)
        writer.opaque(self.public)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kem:
    """What HPKE needs to know about a KEM. ``id`` is the code point of the IANA registry of HPKE KEMs."""

    id: int
    name: str
    backend: KEM = field(repr=False)
    public_length: int
    enc_length: int
    derive_private: Callable[[int, bytes], bytes] = field(repr=False)
    """DeriveKeyPair: KEM id and key material to a private key of 32 bytes."""
    load_private: Callable[[bytes], PrivateKey] = field(repr=False)
    load_public: Callable[[bytes], PublicKey] = field(repr=False)
    """Raises ValueError for what is no public key."""
    public_of: Callable[[bytes], bytes] = field(repr=False)

    def key_pair(self, private: bytes) -> HpkeKeyPair:
        """Return the pair of a private key (32 bytes). :raises ValueError: another length."""
        return HpkeKeyPair(private, self.public_of(private))

    def derive_key_pair(self, ikm: bytes) -> HpkeKeyPair:
        """Return DeriveKeyPair(ikm); ``ikm`` is secret and has at least 32 bytes."""
        return self.key_pair(self.derive_private(self.id, ikm))

    def parse_public(self, public: bytes) -> PublicKey:
        """Return the loaded key. :raises DecodeError: not a public key of this KEM."""
        try:
            key = self.load_public(public)
        except ValueError as error:
            raise DecodeError(f"not a public key of {self.name}") from error
        check_x25519_order(public[-X25519_LENGTH:])
        return key


def check_x25519_order(point: bytes) -> None:
    """Check that an X25519 public key (32 bytes) can have a secret shared with it (RFC 9180 section 7.1.4).

    :raises DecodeError: it is of small order, so that the shared secret would be zero whatever the private key.
    """
    if point[:-1] + bytes([point[-1] & 0x7F]) in _LOW_ORDER:
        raise DecodeError("an X25519 public key is of small order")


def _derive_x25519(kem_id: int, ikm: bytes) -> bytes:
    """RFC 9180 section 7.1.3, with the KEM's own KDF, HKDF-SHA256."""
    suite_id = b"KEM" + kem_id.to_bytes(2, "big")
    prk = hmac.digest(b"", b"HPKE-v1" + suite_id + b"dkp_prk" + ikm, "sha256")
    info = PRIVATE_LENGTH.to_bytes(2, "big") + b"HPKE-v1" + suite_id + b"sk"
    return hmac.digest(prk, info + b"\x01", "sha256")


def _derive_hybrid(kem_id: int, ikm: bytes) -> bytes:
    """draft-ietf-hpke-pq: LabeledDerive of the one-stage KDF SHAKE256, label ``DeriveKeyPair``, empty context."""
    label = b"DeriveKeyPair"
    suite_id = b"KEM" + kem_id.to_bytes(2, "big")
    labeled = ikm + b"HPKE-v1" + suite_id + len(label).to_bytes(2, "big") + label + PRIVATE_LENGTH.to_bytes(2, "big")
    return hashlib.shake_256(labeled).digest(PRIVATE_LENGTH)


def _x25519_public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def _expand_seed(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    """draft-connolly-cfrg-xwing-kem, expandDecapsulationKey."""
    if len(seed) != PRIVATE_LENGTH:
        raise ValueError(f"a seed has {PRIVATE_LENGTH} bytes, this one {len(seed)}")
    expanded = hashlib.shake_256(seed).digest(96)
    return MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(expanded[64:])


def _load_hybrid_private(seed: bytes) -> MLKEM768X25519PrivateKey:
    return MLKEM768X25519PrivateKey(*_expand_seed(seed))


def _load_hybrid_public(public: bytes) -> MLKEM768X25519PublicKey:
    # The first of the two refuses coefficients outside the field (FIPS 203 section 7.2).
    return MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(public[:MLKEM768_LENGTH]),
        X25519PublicKey.from_public_bytes(public[MLKEM768_LENGTH:]),
    )


def _hybrid_public(seed: bytes) -> bytes:
    mlkem, x25519 = _expand_seed(seed)
    return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


DHKEM_X25519 = Kem(
    id=0x0020,
    name="DHKEM(X25519, HKDF-SHA256)",
    backend=KEM.X25519,
    public_length=X25519_LENGTH,
    enc_length=X25519_LENGTH,
    derive_private=_derive_x25519,
    load_private=X25519PrivateKey.from_private_bytes,
    load_public=X25519PublicKey.from_public_bytes,
    public_of=_x25519_public,
)

MLKEM768_X25519 = Kem(
    id=0x647A,
    name="MLKEM768-X25519",
    backend=KEM.MLKEM768_X25519,
    public_length=MLKEM768_LENGTH + X25519_LENGTH,
    enc_length=1088 + X25519_LENGTH,
    derive_private=_derive_hybrid,
    load_private=_load_hybrid_private,
    load_public=_load_hybrid_public,
    public_of=_hybrid_public,
)


@dataclass(frozen=True, slots=True)
class Hpke:
    """HPKE in base mode, one message per encapsulation, no associated data (RFC 9180 section 6.1)."""

    kem: Kem
    suite: Suite = field(repr=False, compare=False)

    @classmethod
    def of(cls, kem: Kem, kdf: KDF, aead: AEAD) -> Hpke:
        """Return HPKE for one KEM, KDF and AEAD."""
        return cls(kem, Suite(kem.backend, kdf, aead))

    def seal(self, public: bytes, info: bytes, plaintext: bytes) -> tuple[bytes, bytes]:
        """Encrypt to a public key with fresh randomness of the library.

        :returns: the encapsulation (``enc_length`` bytes) and the ciphertext (16 bytes longer than the plaintext).
        :raises DecodeError: ``public`` is not a public key of the KEM.
        """
        sealed = self.suite.encrypt(plaintext, self.kem.parse_public(public), info)
        return sealed[: self.kem.enc_length], sealed[self.kem.enc_length :]

    def open(self, private: bytes, enc: bytes, info: bytes, ciphertext: bytes) -> bytes:
        """Decrypt with a private key (32 bytes).

        :raises DecodeError: ``enc`` has another length than the KEM's.
        :raises AuthenticityError: not sealed to this key with this ``info``, or changed.
        """
        check_enc_length(self.kem, enc)
        try:
            return self.suite.decrypt(enc + ciphertext, self.kem.load_private(private), info)
        except InvalidTag as error:
            raise AuthenticityError("an HPKE ciphertext does not open") from error


def check_enc_length(kem: Kem, enc: bytes) -> None:
    """Check the length of an encapsulation, so that no byte of the ciphertext is ever read as part of it.

    :raises DecodeError: another one.
    """
    if len(enc) != kem.enc_length:
        raise DecodeError(f"an encapsulation of {kem.name} has {kem.enc_length} bytes, this one {len(enc)}")
