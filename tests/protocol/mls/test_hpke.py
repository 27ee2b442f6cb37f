"""HPKE keys and ciphertexts that come from outside are checked before they are used."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError
from tertulia_protocol.mls.ciphersuite import HYBRID, SUITES, X25519_AES128, CipherSuite
from tertulia_protocol.mls.hpke import _LOW_ORDER, HpkeKeyPair

ALL = pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)

SMALL_ORDER = [point[:31] + bytes([point[31] | high]) for point in sorted(_LOW_ORDER) for high in (0, 0x80)]


def rng(length: int) -> bytes:
    return bytes(range(7, 7 + length))


@ALL
def test_what_is_sealed_to_a_key_is_opened_with_it_alone(suite: CipherSuite):
    pair, other = suite.generate_key_pair(rng), suite.derive_key_pair(bytes(32))
    assert suite.public_key(pair.private) == pair.public
    enc, ciphertext = suite.hpke_seal(pair.public, b"info", b"secret")
    assert len(enc) == suite.kem.enc_length
    assert len(ciphertext) == 6 + 16
    assert suite.hpke_open(pair.private, enc, b"info", ciphertext) == b"secret"
    assert suite.hpke_seal(pair.public, b"info", b"secret") != (enc, ciphertext)
    for private, encapsulation, info, sealed in [
        (other.private, enc, b"info", ciphertext),
        (pair.private, enc, b"inf0", ciphertext),
        (pair.private, enc, b"info", ciphertext[:-1]),
        (pair.private, enc, b"info", b""),
        (pair.private, enc, b"info", bytes([ciphertext[0] ^ 1]) + ciphertext[1:]),
        (pair.private, bytes([enc[0] ^ 1]) + enc[1:], b"info", ciphertext),
        (pair.private, enc[:-32] + bytes(32), b"info", ciphertext),
    ]:
        with pytest.raises(AuthenticityError):
            suite.hpke_open(private, encapsulation, info, sealed)


@ALL
@pytest.mark.parametrize("move", [-1, 1])
def test_an_encapsulation_ends_where_it_must(suite: CipherSuite, move: int):
    pair = suite.generate_key_pair(rng)
    enc, ciphertext = suite.hpke_seal(pair.public, b"info", b"secret")
    border = len(enc) + move
    with pytest.raises(DecodeError) as caught:
        suite.hpke_open(pair.private, (enc + ciphertext)[:border], b"info", (enc + ciphertext)[border:])
    assert caught.value.code == "message.malformed"


@ALL
def test_a_public_key_has_its_length(suite: CipherSuite):
    public = suite.generate_key_pair(rng).public
    suite.check_hpke_public_key(public)
    for wrong in (b"", public[:-1], public + b"\0", public[1:]):
        with pytest.raises(DecodeError) as caught:
            suite.check_hpke_public_key(wrong)
        assert caught.value.code == "message.malformed"
        with pytest.raises(DecodeError):
            suite.hpke_seal(wrong, b"", b"")


def test_coefficients_outside_of_the_field_are_refused():
    public = HYBRID.generate_key_pair(rng).public
    with pytest.raises(DecodeError):
        HYBRID.check_hpke_public_key(b"\xff\xff\xff" + public[3:])


@pytest.mark.parametrize("point", SMALL_ORDER, ids=bytes.hex)
def test_keys_of_small_order_are_refused(point: bytes):
    with pytest.raises(ValueError, match="shared key"):  # what is refused is what no secret can be shared with
        X25519PrivateKey.from_private_bytes(rng(32)).exchange(X25519PublicKey.from_public_bytes(point))
    for suite in (X25519_AES128, HYBRID):
        public = suite.generate_key_pair(rng).public[:-32] + point
        with pytest.raises(DecodeError) as caught:
            suite.check_hpke_public_key(public)
        assert caught.value.code == "message.malformed"
        with pytest.raises(DecodeError):
            suite.hpke_seal(public, b"", b"secret")


@ALL
def test_a_private_key_has_32_bytes(suite: CipherSuite):
    for length in (0, 31, 33, 64):
        with pytest.raises(ValueError, match="32"):
            suite.public_key(bytes(length))


def test_a_key_pair_is_stored_and_hides_its_private_half():
    pair = X25519_AES128.generate_key_pair(rng)
    assert parse(HpkeKeyPair, serialize(pair)) == pair
    assert pair.private.hex() not in repr(pair)
    assert repr(pair.private) not in repr(pair)
