"""What a cipher suite opens and verifies, and what it refuses."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tertulia_protocol.errors import AuthenticityError, DecodeError, UnsupportedError
from tertulia_protocol.mls.ciphersuite import (
    HYBRID,
    SUITES,
    X25519_AES128,
    X25519_CHACHA20,
    CipherSuite,
    expand_seed,
    get_suite,
)
from tertulia_protocol.mls.labeled import sign_with_label, verify_with_label

ALL = pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
SEED = bytes(range(32))
IDENTITY = b"\x01" + bytes(31)


def flip(data: bytes, position: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1
    return bytes(changed)


def test_the_suites_and_no_other():
    assert {0x0001: X25519_AES128, 0x0003: X25519_CHACHA20, 0x004F: HYBRID} == SUITES
    assert get_suite(0x004F) is HYBRID


@pytest.mark.parametrize("number", [0, 2, 4, 5, 6, 7, 0x0A0A, 0xFFFF])
def test_another_suite_is_not_supported(number: int):
    with pytest.raises(UnsupportedError) as caught:
        get_suite(number)
    assert caught.value.code == "message.unsupported"


@ALL
def test_a_changed_ciphertext_does_not_open(suite: CipherSuite):
    key, nonce = bytes(suite.Nk), bytes(suite.Nn)
    sealed = suite.aead_seal(key, nonce, b"aad", b"plaintext")
    assert suite.aead_open(key, nonce, b"aad", sealed) == b"plaintext"
    for wrong in [
        (flip(key, 0), nonce, b"aad", sealed),
        (key, flip(nonce, 0), b"aad", sealed),
        (key, nonce, b"bad", sealed),
        (key, nonce, b"aad", flip(sealed, 0)),
        (key, nonce, b"aad", flip(sealed, -1)),
        (key, nonce, b"aad", sealed[:-1]),
        (key, nonce, b"aad", b""),
    ]:
        with pytest.raises(AuthenticityError) as caught:
            suite.aead_open(*wrong)
        assert caught.value.code == "message.authenticity"


@ALL
def test_a_changed_mac_does_not_hold(suite: CipherSuite):
    tag = suite.mac(SEED, b"data")
    suite.verify_mac(SEED, b"data", tag)
    for key, data, wrong in [
        (flip(SEED, 0), b"data", tag),
        (SEED, b"date", tag),
        (SEED, b"data", flip(tag, 31)),
        (SEED, b"data", tag[:-1]),
        (SEED, b"data", b""),
    ]:
        with pytest.raises(AuthenticityError) as caught:
            suite.verify_mac(key, data, wrong)
        assert caught.value.code == "message.authenticity"


def test_a_changed_signature_does_not_hold():
    public = X25519_AES128.signature_public_key(SEED)
    signature = X25519_AES128.sign(SEED, b"data")
    X25519_AES128.verify_signature(public, b"data", signature)
    for key, data, wrong in [
        (flip(public, 3), b"data", signature),
        (public[:-1], b"data", signature),
        (b"", b"data", signature),
        (public, b"date", signature),
        (public, b"data", flip(signature, 0)),
        (public, b"data", flip(signature, 63)),
        (public, b"data", bytes(64)),
    ]:
        with pytest.raises(AuthenticityError) as caught:
            X25519_AES128.verify_signature(key, data, wrong)
        assert caught.value.code == "message.authenticity"


@pytest.mark.parametrize("border", [0, 32, 63, 65, 68])
def test_a_signature_ends_where_it_must(border: int):
    public = X25519_AES128.signature_public_key(SEED)
    signed = X25519_AES128.sign(SEED, b"data") + b"data"
    with pytest.raises(AuthenticityError) as caught:
        X25519_AES128.verify_signature(public, signed[border:], signed[:border])
    assert caught.value.code == "message.authenticity"


def test_a_signature_holds_under_its_label_and_no_other():
    public = X25519_AES128.signature_public_key(SEED)
    signature = sign_with_label(X25519_AES128, SEED, "LeafNodeTBS", b"content")
    verify_with_label(X25519_AES128, public, "LeafNodeTBS", b"content", signature)
    for label, content in [("KeyPackageTBS", b"content"), ("LeafNodeTB", b"Scontent"), ("LeafNodeTBS", b"contend")]:
        with pytest.raises(AuthenticityError):
            verify_with_label(X25519_AES128, public, label, content, signature)


def test_an_expanded_seed_signs_the_same():
    assert X25519_AES128.sign(expand_seed(SEED), b"data") == X25519_AES128.sign(SEED, b"data")
    with pytest.raises(ValueError, match="32"):
        X25519_AES128.sign(SEED[:-1], b"data")


def test_keys_of_small_order_are_no_verification_keys():
    # Under the identity as its key, R = identity and S = 0 would be a signature over anything.
    forged = IDENTITY + bytes(32)
    with pytest.raises(AuthenticityError):
        X25519_AES128.verify_signature(IDENTITY, b"anything", forged)
    for wrong in (IDENTITY, bytes(32), b"\xff" * 32, SEED[:-1], b""):
        with pytest.raises(DecodeError) as caught:
            X25519_AES128.check_signature_public_key(wrong)
        assert caught.value.code == "message.malformed"
    X25519_AES128.check_signature_public_key(X25519_AES128.signature_public_key(SEED))


@pytest.mark.parametrize("length", [0, 1, 12, 16, 32, 33, 64, 100, 8160])
def test_expand_is_hkdf(length: int):
    expected = HKDFExpand(SHA256(), length, b"info").derive(SEED) if length else b""
    assert X25519_AES128.expand(SEED, b"info", length) == expected


def test_expand_gives_no_more_than_hkdf():
    with pytest.raises(ValueError, match="8160"):
        X25519_AES128.expand(SEED, b"info", 8161)
