"""From the root to a member's key, and what a credential binds."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tertulia_protocol.circle.identity import (
    MAX_CREDENTIAL_LIFE,
    MemberCredential,
    ban_hash,
    build_credential,
    check_not_after,
    member_key,
    person_key,
    person_seed,
    verify_credential,
)
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError, InvalidMessageError, RuleError, UnsupportedError
from tertulia_protocol.mls.credential import Credential, basic_credential
from tests.support.rfc5869 import expand, extract

ROOT = bytes(range(32))
LINEAGE = bytes(range(100, 132))
LEAF = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32).public_key().public_bytes_raw()


def ed25519(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def make(**fields) -> MemberCredential:
    member = member_key(person_seed(ROOT, 0), LINEAGE)
    whole = {"lineage_id": LINEAGE, "device_id": bytes(8), "leaf_signature_key": LEAF, "not_after": 1_800_000_000}
    return build_credential(member=member, **{**whole, **fields})


def verify(credential: MemberCredential, leaf: bytes = LEAF, lineage_id: bytes = LINEAGE) -> MemberCredential:
    return verify_credential(credential.credential(), leaf_signature_key=leaf, lineage_id=lineage_id)


def test_hkdf_of_the_tests_is_that_of_the_rfc():
    # RFC 5869 appendix A.1
    prk = extract(bytes(range(13)), bytes([0x0B]) * 22)
    assert prk.hex() == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    assert expand(prk, bytes(range(0xF0, 0xFA)), 42).hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )


def test_keys_follow_from_the_root():
    for persona in (0, 1):
        seed = expand(ROOT, b"tl1 person" + persona.to_bytes(4, "big"), 32)
        assert person_seed(ROOT, persona) == seed
        assert person_key(seed).public_key == ed25519(expand(seed, b"tl1 person sig", 32))
        assert member_key(seed, LINEAGE).public_key == ed25519(expand(seed, b"tl1 member" + LINEAGE, 32))


def test_known_answers():
    seed = person_seed(ROOT, 0)
    assert seed.hex() == PERSON_SEED
    assert person_key(seed).public_key.hex() == PERSON_PK
    assert member_key(seed, LINEAGE).public_key.hex() == MEMBER_PK
    assert ban_hash(member_key(seed, LINEAGE).public_key).hex() == BAN


def test_a_ban_names_a_member_by_half_a_hash():
    assert ban_hash(bytes(32)) == hashlib.sha256(b"tl1 ban" + bytes(32)).digest()[:16]


def test_members_of_two_circles_and_two_personas_share_nothing():
    keys = {
        member_key(person_seed(ROOT, persona), lineage).public_key
        for persona in (0, 1)
        for lineage in (LINEAGE, bytes(32))
    }
    assert len(keys) == 4
    with pytest.raises(ValueError, match="32 bytes"):
        member_key(person_seed(ROOT, 0), b"short")


def test_a_credential_has_146_bytes_and_is_signed_as_written():
    credential = make(device_id=bytes(range(8)))
    data = serialize(credential)
    assert len(data) == 146
    member = member_key(person_seed(ROOT, 0), LINEAGE).public_key
    not_after = (1_800_000_000).to_bytes(8, "big")
    assert data[:81] == b"\1" + LINEAGE + member + bytes(range(8)) + not_after
    assert data[145:] == b"\0"
    signed = b"tl1 device" + LINEAGE + LEAF + bytes(range(8)) + not_after
    Ed25519PublicKey.from_public_bytes(member).verify(data[81:145], signed)
    assert parse(MemberCredential, data) == credential
    assert verify(credential) == credential


@pytest.mark.parametrize("length", range(0, 146, 9))
def test_what_is_cut_off_is_refused(length):
    with pytest.raises(DecodeError):
        parse(MemberCredential, serialize(make())[:length])


def test_another_version_is_refused():
    with pytest.raises(UnsupportedError) as raised:
        parse(MemberCredential, b"\2" + serialize(make())[1:])
    assert raised.value.code == "message.unsupported"


def test_another_circle_is_refused():
    with pytest.raises(RuleError, match="another circle"):
        verify(make(), lineage_id=bytes(32))


def test_a_link_to_a_person_is_refused():
    with pytest.raises(RuleError, match="links a person"):
        verify(replace(make(), person_link=b"x"))


@pytest.mark.parametrize("key", [bytes(32), b"\1" + bytes(31), b"\xff" * 32])
def test_a_key_that_is_none_is_refused(key):
    with pytest.raises(AuthenticityError, match="of a credential"):
        verify(replace(make(), member_pk=key))
    with pytest.raises(AuthenticityError, match="of a credential"):
        verify(make(leaf_signature_key=key), leaf=key)


@pytest.mark.parametrize(
    "changed",
    [
        replace(make(), device_id=b"another!"),
        replace(make(), not_after=1),
        replace(make(), member_sig=bytes(64)),
        replace(make(), member_pk=member_key(person_seed(ROOT, 1), LINEAGE).public_key),
    ],
)
def test_a_signature_that_does_not_hold_is_refused(changed):
    with pytest.raises(AuthenticityError) as raised:
        verify(changed)
    assert raised.value.code == "message.authenticity"


def test_a_credential_is_for_one_leaf():
    with pytest.raises(AuthenticityError):
        verify(make(), leaf=member_key(person_seed(ROOT, 5), LINEAGE).public_key)


def test_other_kinds_of_credentials_are_refused():
    for credential in (Credential(2, b"\0"), basic_credential(b"Ada"), basic_credential(serialize(make()) + b"\0")):
        with pytest.raises(InvalidMessageError):
            verify_credential(credential, leaf_signature_key=LEAF, lineage_id=LINEAGE)


def test_whoever_adds_a_device_looks_at_the_life_of_its_credential():
    credential = make(not_after=10_000_000_000)
    for now in (10_000_000_001, 10_000_000_000 - MAX_CREDENTIAL_LIFE - 1):
        with pytest.raises(RuleError, match="outside its life"):
            check_not_after(credential, now)
    check_not_after(credential, 10_000_000_000)
    check_not_after(credential, 10_000_000_000 - MAX_CREDENTIAL_LIFE)


PERSON_SEED = "15a7d1e726ad96f317009219250cd777559623af49e8b52cc4327a0f9830e5df"
PERSON_PK = "7d85bcd550eeb66fe640b6363f67254edf1c7fc6b2835655254d1897f96b2d85"
MEMBER_PK = "d09172eafc108d11c11e47370d7227b45b4e368fe9c5aca152a5d583c56800aa"
BAN = "64bbceceba7403b0af237b40ac8027cc"
