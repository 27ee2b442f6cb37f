"""The ciphers that a circle uses outside of MLS, all in one place (docs/protocol, "Conventions").

XChaCha20-Poly1305 for entries, cards and blobs; HPKE with X-Wing for letters; Argon2id for the four words. HKDF
is in ``circle.kdf``, Ed25519 in ``tertulia_protocol.signing``.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.hpke import AEAD, KDF
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id

from tertulia_protocol.errors import AuthenticityError
from tertulia_protocol.mls.hpke import MLKEM768_X25519, Hpke

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
TAG_BYTES: Final = 16

XWING: Final = Hpke.of(MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
"""HPKE of letters (E29). A public key has 1216 bytes, a private one is its 32-byte seed, an encapsulation 1120."""


def aead_seal(key: bytes, nonce: bytes, plaintext: bytes, *, aad: bytes = b"") -> bytes:
    """Encrypt under a key (32 bytes) and a nonce (24 bytes); the result is 16 bytes longer."""
    return crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, aad, nonce, key)


def aead_open(key: bytes, nonce: bytes, ciphertext: bytes, *, aad: bytes = b"") -> bytes:
    """Decrypt. :raises AuthenticityError: another key, nonce, ``aad`` or ciphertext than those of the encryption."""
    try:
        return crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, aad, nonce, key)
    except (CryptoError, ValueError) as error:
        raise AuthenticityError("a sealed message does not open") from error


def argon2id_hash(password: bytes, *, salt: bytes, length: int, passes: int, memory: int) -> bytes:
    """Return ``length`` bytes of Argon2id over a password. :param salt: 16 bytes. :param memory: in bytes."""
    return argon2id.kdf(length, password, salt, opslimit=passes, memlimit=memory)
