"""Welcomes: who can open them, and what they must agree on (RFC 9420 section 12.4.3.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError, InvalidMessageError, RuleError, UnsupportedError
from tertulia_protocol.mls.ciphersuite import SUITES, X25519_AES128, X25519_CHACHA20
from tertulia_protocol.mls.extensions import Extension
from tertulia_protocol.mls.group_context import GroupContext
from tertulia_protocol.mls.mls_message import MLSMessage
from tertulia_protocol.mls.tree_math import LeafIndex
from tertulia_protocol.mls.welcome import (
    GroupInfo,
    GroupSecrets,
    NewMember,
    Welcome,
    build_welcome,
    open_group_info,
    open_group_secrets,
    verify_group_info_signature,
)
from tests.support.mls import make_bundle, seeded_rng
from tests.support.rebuild import rebuild

SUITE = X25519_AES128
RNG = seeded_rng("welcome")
SEED, JOINER, PSK, PATH = RNG(32), RNG(32), bytes(32), RNG(32)
ADA, BO, EVE = (make_bundle(SUITE, name) for name in ("ada", "bo", "eve"))


def group_info(suite=SUITE, **changes) -> GroupInfo:
    context = GroupContext(
        cipher_suite=suite.id, group_id=b"g", epoch=5, tree_hash=bytes(32), confirmed_transcript_hash=bytes(32)
    )
    info = GroupInfo(group_context=context, confirmation_tag=bytes(32), signer=LeafIndex(1))
    return replace(info, **changes).sign(SUITE, SEED)


def welcome(*, info: GroupInfo | None = None, joiner: bytes = JOINER, path: bytes | None = PATH) -> Welcome:
    return build_welcome(
        SUITE,
        group_info=info or group_info(),
        joiner_secret=joiner,
        psk_secret=PSK,
        new_members=[NewMember(key_package=ADA.key_package, path_secret=path), NewMember(key_package=BO.key_package)],
    )


def opened_info(message: Welcome, *, joiner: bytes = JOINER, psk: bytes = PSK) -> GroupInfo:
    return open_group_info(SUITE, message, joiner_secret=joiner, psk_secret=psk)


def refuse_secrets(message: Welcome, bundle=ADA, error: type[InvalidMessageError] = RuleError, suite=SUITE):
    before = serialize(message), serialize(bundle)
    with pytest.raises(error) as caught:
        open_group_secrets(suite, message, bundle)
    assert (serialize(message), serialize(bundle)) == before
    return caught.value


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_everyone_it_is_for_opens_it(suite):
    people = [make_bundle(suite, name) for name in ("ada", "bo")]
    message = build_welcome(
        suite,
        group_info=group_info(suite),
        joiner_secret=JOINER,
        psk_secret=PSK,
        new_members=[
            NewMember(key_package=people[0].key_package, path_secret=PATH),
            NewMember(key_package=people[1].key_package),
        ],
    )
    data = serialize(MLSMessage(message))
    again = parse(MLSMessage, data).body
    assert serialize(MLSMessage(rebuild(again))) == data
    for person, path in zip(people, (PATH, None), strict=True):
        assert open_group_secrets(suite, again, person) == GroupSecrets(joiner_secret=JOINER, path_secret=path)
    info = open_group_info(suite, again, joiner_secret=JOINER, psk_secret=PSK)
    assert info == group_info(suite)
    verify_group_info_signature(suite, info, public_key=suite.signature_public_key(SEED))


def test_nobody_else_opens_it():
    assert refuse_secrets(welcome(), EVE).rule == "RFC9420-12.4.3.1"
    # Even with the entry in hand: the key package's private key is another one.
    refuse_secrets(welcome(), replace(ADA, init_private=EVE.init_private), AuthenticityError)


def test_another_suite_is_refused():
    assert refuse_secrets(replace(welcome(), cipher_suite=X25519_CHACHA20.id)).rule == "RFC9420-12.4.3.1"
    assert refuse_secrets(welcome(), suite=X25519_CHACHA20).rule == "RFC9420-12.4.3.1"


def test_a_group_of_another_suite_is_refused():
    with pytest.raises(RuleError) as caught:
        opened_info(welcome(info=group_info(X25519_CHACHA20)))
    assert caught.value.rule == "RFC9420-12.4.3.1"


def test_secrets_of_a_wrong_length_are_refused():
    refuse_secrets(welcome(joiner=bytes(31)), error=DecodeError)
    refuse_secrets(welcome(path=bytes(33)), error=DecodeError)
    refuse_secrets(welcome(path=b""), error=DecodeError)


def test_the_encrypted_group_info_belongs_to_the_secrets():
    """EncryptWithLabel binds each entry to the GroupInfo: parts of two Welcomes do not fit together."""
    other = welcome(info=group_info(confirmation_tag=bytes(31) + b"\1"))
    refuse_secrets(replace(welcome(), encrypted_group_info=other.encrypted_group_info), error=AuthenticityError)


@pytest.mark.parametrize(("joiner", "psk"), [(bytes(32), PSK), (JOINER, b"\1" * 32)])
def test_other_secrets_do_not_open_the_group_info(joiner, psk):
    with pytest.raises(AuthenticityError):
        opened_info(welcome(), joiner=joiner, psk=psk)


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": bytes(64)},
        {"signature": b""},
        {"signer": LeafIndex(2)},
        {"confirmation_tag": b""},
        {"extensions": (Extension(2, b""),)},
        {"group_context": replace(group_info().group_context, epoch=6)},
    ],
)
def test_a_changed_group_info_does_not_hold(changes):
    public_key = SUITE.signature_public_key(SEED)
    verify_group_info_signature(SUITE, group_info(), public_key=public_key)
    with pytest.raises(AuthenticityError) as caught:
        verify_group_info_signature(SUITE, replace(group_info(), **changes), public_key=public_key)
    assert caught.value.code == "message.authenticity"


def test_a_group_info_signed_by_another_does_not_hold():
    with pytest.raises(AuthenticityError):
        verify_group_info_signature(SUITE, group_info(), public_key=SUITE.signature_public_key(bytes(32)))


def test_an_extension_twice_can_neither_be_signed_nor_read():
    twice = (Extension(0xFA11, b""), Extension(0xFA11, b""))
    with pytest.raises(RuleError):
        group_info(extensions=twice)
    with pytest.raises(RuleError):
        parse(GroupInfo, serialize(replace(group_info(), extensions=twice)))


def test_group_secrets_are_read_as_they_were_written():
    for value in (GroupSecrets(joiner_secret=JOINER), GroupSecrets(joiner_secret=JOINER, path_secret=PATH)):
        data = serialize(value)
        assert parse(GroupSecrets, data) == value
        for end in range(len(data)):
            with pytest.raises(DecodeError):
                parse(GroupSecrets, data[:end])
    with pytest.raises(DecodeError):
        parse(GroupSecrets, b"\x01a\x02\x00")
    with pytest.raises(UnsupportedError):
        parse(GroupSecrets, b"\x01a\x00\x03\x03aa")


def test_a_repr_shows_no_secret():
    shown = repr(GroupSecrets(joiner_secret=JOINER, path_secret=PATH)) + repr(NewMember(key_package=ADA.key_package))
    for secret in (JOINER, PATH):
        assert repr(secret) not in shown
