"""Signatures outside MLS: labels that cannot be confused and keys that cannot be abused (E1, E19)."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia_protocol.errors import AuthenticityError
from tertulia_protocol.signing import NOBODY, Label, SigningSeed, is_valid_key, verify

SEED = SigningSeed(bytes(range(32)))
SMALL_ORDER = [
    bytes.fromhex(text)
    for text in (
        "00" * 32,
        "01" + "00" * 31,
        "ec" + "ff" * 30 + "7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    )
]


def test_no_label_is_the_beginning_of_another():
    assert len(Label) == 17
    for one, other in permutations(Label, 2):
        assert not other.value.startswith(one.value)
    assert all(label.value.startswith(b"tl1 ") and label.value.isascii() for label in Label)


def test_a_signature_holds_under_its_label_and_no_other():
    signature = SEED.sign(Label.CARD, b"body")
    verify(SEED.public_key, Label.CARD, b"body", signature)
    for label in set(Label) - {Label.CARD}:
        with pytest.raises(AuthenticityError) as caught:
            verify(SEED.public_key, label, b"body", signature)
        assert caught.value.code == "message.authenticity"


def test_the_known_answer_of_rfc_8032_shows_that_the_label_is_signed_first():
    # RFC 8032 section 7.1 test 1 fixes the key of this seed.
    key = SigningSeed(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert key.public_key.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    signature = key.sign(Label.HEAD, b"body")
    assert signature == bytes(key._key.sign(b"tl1 headbody").signature)


@given(st.binary(max_size=64), st.integers(0, 64 * 8 - 1))
def test_a_changed_signature_does_not_hold(body, bit):
    signature = bytearray(SEED.sign(Label.HEAD, body))
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(AuthenticityError):
        verify(SEED.public_key, Label.HEAD, body, bytes(signature))


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_does_not_hold(length):
    signature = SEED.sign(Label.HEAD, b"").ljust(65, b"\0")[:length]
    with pytest.raises(AuthenticityError):
        verify(SEED.public_key, Label.HEAD, b"", signature)


def test_another_body_or_key_does_not_hold():
    signature = SEED.sign(Label.HEAD, b"body")
    with pytest.raises(AuthenticityError):
        verify(SEED.public_key, Label.HEAD, b"Body", signature)
    with pytest.raises(AuthenticityError):
        verify(SigningSeed(bytes(32)).public_key, Label.HEAD, b"body", signature)


@pytest.mark.parametrize("key", SMALL_ORDER, ids=lambda key: key.hex()[:8])
def test_keys_of_small_order_are_not_valid_and_never_reach_a_verifier(key, monkeypatch):
    def never(*_):
        raise AssertionError("a verifier was called")

    monkeypatch.setattr("tertulia_protocol.signing.VerifyKey", never)
    assert not is_valid_key(key)
    with pytest.raises(AuthenticityError):
        verify(key, Label.REQUEST, b"x", bytes(64))


@pytest.mark.parametrize(
    "key",
    [
        b"",
        bytes(31),
        SEED.public_key[:31],
        SEED.public_key + b"\0",
        b"\2" + bytes(31),  # not on the curve
        b"\xed" + b"\xff" * 30 + b"\x7f",  # p itself: 0 in a second encoding
    ],
)
def test_what_is_no_key_is_not_valid(key):
    assert not is_valid_key(key)
    with pytest.raises(AuthenticityError):
        verify(key, Label.REQUEST, b"", bytes(64))


def test_nobody_signs_nothing():
    assert bytes(32) == NOBODY
    with pytest.raises(AuthenticityError):
        # S = 0 and R = the neutral element satisfy the equation of this point without any private key.
        verify(NOBODY, Label.REQUEST, b"", b"\1" + bytes(63))


def test_a_good_key_is_valid():
    assert is_valid_key(SEED.public_key)


def test_a_seed_has_32_bytes_and_is_not_shown():
    for length in (0, 31, 33, 64):
        with pytest.raises(ValueError, match="32 bytes"):
            SigningSeed(bytes(length))
    assert SEED.seed.hex() not in repr(SEED)
    assert repr(SEED.seed) not in repr(SEED)
    assert repr(SEED) == f"SigningSeed(public_key={SEED.public_key.hex()})"
