"""How pre-shared keys are named, and how epoch secrets are stored."""

from __future__ import annotations

import pytest

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError, RuleError, UnsupportedError
from tertulia_protocol.mls.ciphersuite import HYBRID
from tertulia_protocol.mls.group_context import GroupContext
from tertulia_protocol.mls.key_schedule import EpochSecrets, derive_epoch, verify_confirmation_tag
from tertulia_protocol.mls.psk import (
    ExternalPSK,
    PreSharedKeyID,
    ResumptionPSK,
    ResumptionPSKUsage,
    check_psk_nonce,
    psk_secret,
)

NONCE = bytes(range(32))
EXTERNAL = PreSharedKeyID(ExternalPSK(b"name"), NONCE)
RESUMPTION = PreSharedKeyID(
    ResumptionPSK(usage=ResumptionPSKUsage.APPLICATION, psk_group_id=b"group", psk_epoch=7), NONCE
)


@pytest.mark.parametrize(
    ("psk_id", "wire"),
    [
        (EXTERNAL, "01 04 6e616d65 20" + NONCE.hex()),
        (RESUMPTION, "02 01 05 67726f7570 0000000000000007 20" + NONCE.hex()),
    ],
)
def test_wire_forms(psk_id: PreSharedKeyID, wire: str):
    encoded = bytes.fromhex(wire)
    assert serialize(psk_id) == encoded
    assert parse(PreSharedKeyID, encoded) == psk_id
    for end in range(len(encoded)):
        with pytest.raises(DecodeError):
            parse(PreSharedKeyID, encoded[:end])


@pytest.mark.parametrize("kind", [0, 3, 255])
def test_another_type_is_not_supported(kind: int):
    with pytest.raises(UnsupportedError) as caught:
        parse(PreSharedKeyID, bytes([kind]) + serialize(EXTERNAL)[1:])
    assert caught.value.code == "message.unsupported"


@pytest.mark.parametrize("usage", [0, 4, 255])
def test_another_usage_is_not_supported(usage: int):
    encoded = serialize(RESUMPTION)
    with pytest.raises(UnsupportedError) as caught:
        parse(PreSharedKeyID, encoded[:1] + bytes([usage]) + encoded[2:])
    assert caught.value.code == "message.unsupported"


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_nonce_has_the_length_of_the_hash(length: int):
    check_psk_nonce(HYBRID, EXTERNAL)
    with pytest.raises(RuleError) as caught:
        check_psk_nonce(HYBRID, PreSharedKeyID(EXTERNAL.psk, bytes(length)))
    assert caught.value.code == "message.rule"


def test_the_secret_depends_on_every_key_its_name_and_their_order():
    one, other = (EXTERNAL, b"1" * 32), (RESUMPTION, b"2" * 32)
    renamed = (PreSharedKeyID(ExternalPSK(b"named"), NONCE), b"1" * 32)
    lists = [[], [one], [other], [one, other], [other, one], [one, one], [renamed, other]]
    secrets = [psk_secret(HYBRID, psks) for psks in lists]
    assert len(set(secrets)) == len(lists)
    assert secrets[0] == bytes(32)


def test_epoch_secrets_are_stored_whole_and_shown_never():
    context = GroupContext(
        cipher_suite=HYBRID.id,
        group_id=b"group",
        epoch=1,
        tree_hash=bytes(32),
        confirmed_transcript_hash=bytes(32),
        extensions=(),
    )
    derived = derive_epoch(HYBRID, joiner_secret=b"j" * 32, psk_secret=bytes(32), group_context=context)
    stored = serialize(derived.secrets)
    assert parse(EpochSecrets, stored) == derived.secrets
    assert len(stored) == 8 * 33
    for gone in (derived.joiner_secret, derived.welcome_secret, derived.encryption_secret):
        assert gone not in stored
    assert repr(derived.secrets) == "EpochSecrets()"
    assert repr(derived) == "DerivedEpoch(secrets=EpochSecrets())"


def test_more_psks_than_can_be_counted_are_refused():
    psk_id = PreSharedKeyID(ExternalPSK(b"id"), bytes(32))
    with pytest.raises(RuleError) as caught:
        psk_secret(HYBRID, [(psk_id, b"secret")] * 2**16)
    assert caught.value.rule == "RFC9420-8.4"


def test_a_confirmation_tag_of_another_epoch_does_not_hold():
    tag = HYBRID.mac(b"k" * 32, b"transcript")
    verify_confirmation_tag(HYBRID, b"k" * 32, b"transcript", tag)
    for key, transcript, wrong in [
        (b"l" * 32, b"transcript", tag),
        (b"k" * 32, b"another", tag),
        (b"k" * 32, b"transcript", tag[:-1]),
        (b"k" * 32, b"transcript", b""),
    ]:
        with pytest.raises(AuthenticityError) as caught:
            verify_confirmation_tag(HYBRID, key, transcript, wrong)
        assert caught.value.code == "message.authenticity"
