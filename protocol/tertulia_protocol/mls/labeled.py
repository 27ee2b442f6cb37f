"""Whatever MLS derives, signs, seals or hashes is bound to a label (RFC 9420 sections 5.1.2, 5.1.3, 5.2, 8)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tertulia_protocol.codec import Reader, Writer
from tertulia_protocol.mls.ciphersuite import CipherSuite


def _opaque(data: bytes) -> bytes:
    # These are on the path of every message: most values are shorter than 64 bytes.
    if len(data) < 64:
        return bytes((len(data),)) + data
    writer = Writer()
    writer.opaque(data)
    return writer.getvalue()


@lru_cache(maxsize=256)
def _mls_label(label: bytes | str) -> bytes:
    """Return ``opaque label<V> = "MLS 1.0 " + label``. Labels are public."""
    return _opaque(b"MLS 1.0 " + (label.encode() if isinstance(label, str) else label))


def expand_with_label(suite: CipherSuite, secret: bytes, label: bytes | str, context: bytes, length: int) -> bytes:
    """Return ExpandWithLabel (section 8): ``length`` bytes, at most 8160."""
    return suite.expand(secret, length.to_bytes(2, "big") + _mls_label(label) + _opaque(context), length)


def derive_secret(suite: CipherSuite, secret: bytes, label: bytes | str) -> bytes:
    """Return DeriveSecret (section 8): Nh bytes."""
    return expand_with_label(suite, secret, label, b"", suite.Nh)


def derive_tree_secret(suite: CipherSuite, secret: bytes, label: bytes | str, generation: int, length: int) -> bytes:
    """Return DeriveTreeSecret (section 9): ``length`` bytes."""
    return expand_with_label(suite, secret, label, generation.to_bytes(4, "big"), length)


def sign_with_label(suite: CipherSuite, private: bytes, label: bytes | str, content: bytes) -> bytes:
    """Return SignWithLabel (section 5.1.2): 64 bytes."""
    return suite.sign(private, _mls_label(label) + _opaque(content))


def verify_with_label(suite: CipherSuite, public: bytes, label: bytes | str, content: bytes, signature: bytes) -> None:
    """Check VerifyWithLabel (section 5.1.2). :raises AuthenticityError: the signature does not hold."""
    suite.verify_signature(public, _mls_label(label) + _opaque(content), signature)


@dataclass(frozen=True, slots=True)
class HPKECiphertext:
    """What EncryptWithLabel makes (section 7.6)."""

    kem_output: bytes
    ciphertext: bytes

    @classmethod
    def decode(cls, reader: Reader) -> HPKECiphertext:
        """Read one. :raises DecodeError: truncated."""
        return cls(reader.opaque(), reader.opaque())

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.opaque(self.kem_output)
        writer.opaque(self.ciphertext)


def encrypt_with_label(
    suite: CipherSuite, public: bytes, label: bytes | str, context: bytes, plaintext: bytes
) -> HPKECiphertext:
    """Return EncryptWithLabel (section 5.1.3). :raises DecodeError: ``public`` is not a public key of the suite."""
    return HPKECiphertext(*suite.hpke_seal(public, _mls_label(label) + _opaque(context), plaintext))


def decrypt_with_label(
    suite: CipherSuite, private: bytes, label: bytes | str, context: bytes, ciphertext: HPKECiphertext
) -> bytes:
    """Return DecryptWithLabel (section 5.1.3).

    :raises DecodeError: the KEM output has a wrong length.
    :raises AuthenticityError: not sealed to this key under this label and context, or changed.
    """
    info = _mls_label(label) + _opaque(context)
    return suite.hpke_open(private, ciphertext.kem_output, info, ciphertext.ciphertext)


def ref_hash(suite: CipherSuite, label: bytes, value: bytes) -> bytes:
    """Return RefHash (section 5.2): Nh bytes. The label is used whole, without ``"MLS 1.0 "`` before it."""
    return suite.hash(_opaque(label) + _opaque(value))
