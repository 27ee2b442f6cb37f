"""The cipher suites (RFC 9420 section 5.1 and 17.1): which primitives a group uses, as data.

0x0001 and 0x0003 are the RFC's; 0x004F is the hybrid with ML-KEM-768, under a provisional number. All three use
SHA-256 and Ed25519, so every secret and every hash has 32 bytes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from tertulia_protocol.errors import AuthenticityError, DecodeError, UnsupportedError
from tertulia_protocol.mls.hpke import DHKEM_X25519, MLKEM768_X25519, Hpke, HpkeKeyPair, Kem
from tertulia_protocol.signing import is_valid_key

Rng = Callable[[int], bytes]
"""Returns that many bytes of cryptographic randomness."""

SEED_LENGTH = 32
SIGNATURE_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Aead:
    """An AEAD with its lengths in bytes; ``id`` is the code point of RFC 9180 section 7.3."""

    id: int
    cipher: type[AESGCM | ChaCha20Poly1305]
    key_length: int
    nonce_length: int = 12


AES_128_GCM = Aead(0x0001, AESGCM, 16)
CHACHA20_POLY1305 = Aead(0x0003, ChaCha20Poly1305, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class CipherSuite:
    """The primitives of a group. Lengths are in bytes and named as in the RFC."""

    id: int
    name: str
    kem: Kem = field(repr=False)
    aead: Aead = field(repr=False)
    hpke: Hpke = field(repr=False)
    hash_name: str = field(default="sha256", repr=False)
    Nh: int = field(default=32, repr=False)

    @property
    def Nk(self) -> int:  # noqa: N802 - the RFC's name
        """Return the length of an AEAD key."""
        return self.aead.key_length

    @property
    def Nn(self) -> int:  # noqa: N802 - the RFC's name
        """Return the length of an AEAD nonce."""
        return self.aead.nonce_length

    def hash(self, data: bytes) -> bytes:
        """Return the hash of ``data`` (Nh bytes)."""
        return hashlib.new(self.hash_name, data).digest()

    def mac(self, key: bytes, data: bytes) -> bytes:
        """Return the HMAC of ``data`` (Nh bytes)."""
        return hmac.digest(key, data, self.hash_name)

    def verify_mac(self, key: bytes, data: bytes, tag: bytes) -> None:
        """Check an HMAC in constant time. :raises AuthenticityError: it is another one."""
        if not hmac.compare_digest(self.mac(key, data), tag):
            raise AuthenticityError("a MAC does not hold")

    def extract(self, salt: bytes, ikm: bytes) -> bytes:
        """Return KDF.Extract(salt, ikm) (Nh bytes)."""
        return hmac.digest(salt, ikm, self.hash_name)

    def expand(self, prk: bytes, info: bytes, length: int) -> bytes:
        """Return KDF.Expand(prk, info, length). :raises ValueError: more than 255 times Nh bytes are asked for."""
        if length > 255 * self.Nh:
            raise ValueError(f"HKDF gives at most {255 * self.Nh} bytes, not {length}")
        block = hmac.digest(prk, info + b"\x01", self.hash_name)
        if length <= self.Nh:
            return block[:length]
        out = block
        for counter in range(2, -(-length // self.Nh) + 1):
            block = hmac.digest(prk, block + info + bytes([counter]), self.hash_name)
            out += block
        return out[:length]

    def aead_seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        """Encrypt with a key (Nk bytes) and a nonce (Nn bytes) never used with it before; 16 bytes longer."""
        return self.aead.cipher(key).encrypt(nonce, plaintext, aad)

    def aead_open(self, key: bytes, nonce: bytes, aad: bytes, ciphertext: bytes) -> bytes:
        """Decrypt. :raises AuthenticityError: key, nonce, ``aad`` or ciphertext are not those of the encryption."""
        try:
            return self.aead.cipher(key).decrypt(nonce, ciphertext, aad)
        except InvalidTag as error:
            raise AuthenticityError("a ciphertext does not open") from error

    def generate_key_pair(self, rng: Rng) -> HpkeKeyPair:
        """Return a fresh HPKE key pair."""
        return self.kem.key_pair(rng(32))

    def derive_key_pair(self, ikm: bytes) -> HpkeKeyPair:
        """Return the HPKE key pair of a secret (Nh bytes)."""
        return self.kem.derive_key_pair(ikm)

    def public_key(self, private: bytes) -> bytes:
        """Return the public key of an HPKE private key (32 bytes). :raises ValueError: another length."""
        return self.kem.public_of(private)

    def check_hpke_public_key(self, public: bytes) -> None:
        """Check that ``public`` can be encrypted to. :raises DecodeError: it is not a public key of the KEM."""
        self.kem.parse_public(public)

    def hpke_seal(self, public: bytes, info: bytes, plaintext: bytes) -> tuple[bytes, bytes]:
        """Encrypt to a public key: the KEM output and the ciphertext. :raises DecodeError: not a public key."""
        return self.hpke.seal(public, info, plaintext)

    def hpke_open(self, private: bytes, kem_output: bytes, info: bytes, ciphertext: bytes) -> bytes:
        """Decrypt with a private key (32 bytes).

        :raises DecodeError: ``kem_output`` has a wrong length.
        :raises AuthenticityError: not sealed to this key with this ``info``, or changed.
        """
        return self.hpke.open(private, kem_output, info, ciphertext)

    def sign(self, private: bytes, data: bytes) -> bytes:
        """Return the Ed25519 signature (64 bytes).

        :param private: a seed (32 bytes) or, which saves half of the time, what :func:`expand_seed` made of it.
        """
        return crypto_sign(data, private if len(private) == 2 * SEED_LENGTH else expand_seed(private))[
            :SIGNATURE_LENGTH
        ]

    def signature_public_key(self, seed: bytes) -> bytes:
        """Return the verification key (32 bytes) of a seed (32 bytes)."""
        return expand_seed(seed)[SEED_LENGTH:]

    def check_signature_public_key(self, public: bytes) -> None:
        """Check a verification key (32 bytes). :raises DecodeError: not a point of the prime-order group."""
        if not is_valid_key(public):
            raise DecodeError("not an Ed25519 verification key")

    def verify_signature(self, public: bytes, data: bytes, signature: bytes) -> None:
        """Check an Ed25519 signature. :raises AuthenticityError: the key is none, or the signature does not hold."""
        check_signature_length(signature)
        try:
            # libsodium refuses keys of small order and signatures in another than their one encoding.
            crypto_sign_open(signature + data, public)
        except (BadSignatureError, ValueError) as error:
            raise AuthenticityError("a signature does not hold") from error


def check_signature_length(signature: bytes) -> None:
    """Check that no byte of what is signed can be read as part of the signature, nor the other way round.

    :raises AuthenticityError: the signature has not 64 bytes.
    """
    if len(signature) != SIGNATURE_LENGTH:
        raise AuthenticityError(f"a signature has {SIGNATURE_LENGTH} bytes, this one {len(signature)}")


def expand_seed(seed: bytes) -> bytes:
    """Return an Ed25519 seed (32 bytes) followed by its verification key (32 bytes). :raises ValueError: length."""
    if len(seed) != SEED_LENGTH:
        raise ValueError(f"a seed has {SEED_LENGTH} bytes, this one {len(seed)}")
    expanded: bytes = crypto_sign_seed_keypair(seed)[1]
    return expanded


X25519_AES128 = CipherSuite(
    id=0x0001,
    name="MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519",
    kem=DHKEM_X25519,
    aead=AES_128_GCM,
    hpke=Hpke.of(DHKEM_X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM),
)
X25519_CHACHA20 = CipherSuite(
    id=0x0003,
    name="MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519",
    kem=DHKEM_X25519,
    aead=CHACHA20_POLY1305,
    hpke=Hpke.of(DHKEM_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305),
)
HYBRID = CipherSuite(
    id=0x004F,
    name="MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519",
    kem=MLKEM768_X25519,
    aead=AES_128_GCM,
    hpke=Hpke.of(MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM),
)

SUITES: dict[int, CipherSuite] = {suite.id: suite for suite in (X25519_AES128, X25519_CHACHA20, HYBRID)}


def get_suite(suite_id: int) -> CipherSuite:
    """Return the suite of a code point. :raises UnsupportedError: we have none."""
    suite = SUITES.get(suite_id)
    if suite is None:
        raise UnsupportedError(f"cipher suite {suite_id:#06x} is not known")
    return suite
