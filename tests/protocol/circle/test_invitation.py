from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

from tertulia_protocol.circle.invitation import (
    CARD_BYTES,
    DAY,
    Card,
    Invitation,
    InviteLink,
    InvitePreamble,
    Language,
    build_card,
    build_invitation,
    invite_keys,
    open_card,
)
from tertulia_protocol.codec import Writer, parse, serialize
from tertulia_protocol.errors import (
    AuthenticityError,
    DecodeError,
    InvalidMessageError,
    RuleError,
    UnsupportedError,
    UsageError,
)
from tertulia_protocol.relay_api.addresses import RelayAddr, to_base64url
from tertulia_protocol.relay_api.records import SegmentClass
from tertulia_protocol.signing import SigningSeed
from tests.support.mls import NOW, seeded_rng
from tests.support.rebuild import rebuild

TODAY = NOW // DAY
INVITER, OTHER = SigningSeed(b"i" * 32), SigningSeed(b"o" * 32)
RELAYS = tuple(
    RelayAddr(relay_pk=SigningSeed(bytes([number]) * 32).public_key, uri=f"https://relay{number}.example")
    for number in (1, 2)
)


def invite(**changes) -> tuple[Invitation, Card]:
    values = {
        "inviter": INVITER,
        "lineage_id": b"l" * 32,
        "approvers": [OTHER.public_key, INVITER.public_key],
        "relays": RELAYS,
        "expires_day": TODAY + 7,
        "language": Language.FRENCH,
        "rng": seeded_rng("an invitation"),
    }
    return build_invitation(**(values | changes))


INVITATION, CARD = invite()
LINK, PREAMBLE = INVITATION.link, INVITATION.preamble


def forge(preamble: InvitePreamble, *, sign_as: SigningSeed = INVITER) -> tuple[InviteLink, bytes]:
    """Return link and card with any preamble, signed."""
    card = build_card(preamble.sign(sign_as), LINK.invite_secret)
    return replace(LINK, anchor=card.anchor), card.blob


def refuse(
    error: type[InvalidMessageError], link: InviteLink, blob: bytes, *, rule: str | None = None, now: int = NOW
) -> None:
    before = serialize(rebuild(link))
    with pytest.raises(error) as raised:
        open_card(link, blob, now=now)
    assert type(raised.value) is error
    assert raised.value.code == error.code
    if rule is not None:
        assert isinstance(raised.value, RuleError)
        assert raised.value.rule == rule
    assert serialize(rebuild(link)) == before


def test_a_link_survives_being_a_line_of_text():
    text = LINK.to_string()
    assert text.startswith("tertulia:")
    assert InviteLink.from_string(f" {text}\n") == LINK
    assert len(text) < 130


def test_a_link_and_what_the_inviter_keeps_hide_their_secrets():
    for value in (LINK, LINK.keys, INVITATION, CARD):
        assert LINK.invite_secret.hex() not in repr(value)
        assert repr(LINK.invite_secret) not in repr(value)
    assert repr(INVITATION.read_seed) not in repr(INVITATION)
    assert parse(Invitation, serialize(INVITATION)) == INVITATION
    assert INVITATION.read_key.public_key == PREAMBLE.request_box.read_vk


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tertulia:",
        "https://x",
        "tertulia:AAAA=",
        "tertulia: AAAA",
        "tertulia:" + "A" * 800,
        LINK.to_string() + "AAAA",
    ],
)
def test_what_is_no_link_is_refused(text: str):
    with pytest.raises(InvalidMessageError):
        InviteLink.from_string(text)


@pytest.mark.parametrize("changes", [{"version": 2}, {"version": 0}, {"flags": 1}])
def test_a_link_for_newer_programs_is_refused(changes):
    with pytest.raises(UnsupportedError) as raised:
        InviteLink.from_string(replace(LINK, **changes).to_string())
    assert raised.value.code == "message.unsupported"


def test_a_link_to_a_place_that_is_not_protected_is_refused():
    for uri in ("http://relay.example", "https://relay.example?x", "ftp://relay.example"):
        with pytest.raises(DecodeError):
            InviteLink.from_string(replace(LINK, relay_uri=uri).to_string())
    data = serialize(LINK).replace(b"relay1", b"relay\xff")
    with pytest.raises(DecodeError):
        InviteLink.from_string("tertulia:" + to_base64url(data))


def test_the_card_leads_to_the_preamble():
    assert len(CARD.blob) == CARD_BYTES
    assert hashlib.sha256(CARD.blob).digest() == CARD.anchor == LINK.anchor
    preamble = open_card(LINK, CARD.blob, now=NOW)
    assert preamble == PREAMBLE
    assert preamble.language == Language.FRENCH
    assert preamble.request_box.append_vk == LINK.keys.append.public_key
    assert (preamble.request_box.segment_class, preamble.request_box.ttl_class) == (SegmentClass.MAILBOX, 1)
    assert preamble.request_box_id == preamble.request_box.segment_id(RELAYS[0].relay_pk)


def test_the_keys_of_a_link_are_those_of_the_protocol():
    base = hmac.digest(b"tl1 invite", LINK.invite_secret, "sha256")
    assert invite_keys(LINK.invite_secret).card_key == hmac.digest(base, b"card\x01", "sha256")
    assert invite_keys(LINK.invite_secret).append.seed == hmac.digest(base, b"append\x01", "sha256")


def test_a_card_that_holds_too_much_is_not_made():
    keys = [SigningSeed(bytes([number]) * 32).public_key for number in range(1, 80)]
    with pytest.raises(UsageError):
        invite(approvers=[INVITER.public_key, *keys])


# --- what is refused -----------------------------------------------------------------------------------------------


def test_another_card_than_the_links_is_refused():
    _, other = invite(rng=seeded_rng("another"))
    refuse(AuthenticityError, LINK, other.blob)


def test_a_card_changed_under_the_links_secret_is_refused():
    """Whoever knows the secret can make a card; the anchor in the link names one."""
    _, blob = forge(replace(PREAMBLE, inviter_member_pk=OTHER.public_key), sign_as=OTHER)
    refuse(AuthenticityError, LINK, blob)


def test_a_card_under_another_secret_does_not_open():
    blob = build_card(PREAMBLE, b"s" * 16).blob
    refuse(AuthenticityError, replace(LINK, anchor=hashlib.sha256(blob).digest()), blob)


def test_a_card_with_something_behind_it_is_refused():
    writer = Writer()
    writer.opaque(serialize(PREAMBLE))
    plaintext = writer.getvalue().ljust(CARD_BYTES - 17, b"\0") + b"\1"
    blob = crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, b"tl1 card", bytes(24), LINK.keys.card_key)
    refuse(DecodeError, replace(LINK, anchor=hashlib.sha256(blob).digest()), blob)


def test_a_card_that_its_inviter_did_not_sign_is_refused():
    refuse(AuthenticityError, *forge(PREAMBLE, sign_as=OTHER))


def test_a_card_of_another_version_is_refused():
    refuse(UnsupportedError, *forge(replace(PREAMBLE, version=2)))


@pytest.mark.parametrize(
    "changes",
    [
        {"append_vk": OTHER.public_key},
        {"segment_class": SegmentClass.LOG},
        {"ttl_class": 3},
        {"admin_vk": OTHER.public_key},
    ],
)
def test_another_request_box_is_refused(changes):
    box = replace(PREAMBLE.request_box, **changes)
    refuse(RuleError, *forge(replace(PREAMBLE, request_box=box)), rule="card.box")


def test_a_request_box_with_a_key_that_is_none_is_refused():
    box = replace(PREAMBLE.request_box, read_vk=bytes(32))
    refuse(DecodeError, *forge(replace(PREAMBLE, request_box=box)))


@pytest.mark.parametrize(
    "approvers",
    [
        (),
        (OTHER.public_key,),
        (INVITER.public_key, INVITER.public_key),
        (INVITER.public_key, bytes(32)),
    ],
)
def test_approvers_that_make_no_sense_are_refused(approvers):
    refuse(RuleError, *forge(replace(PREAMBLE, approvers=approvers)), rule="card.approvers")


@pytest.mark.parametrize("relays", [(), (RELAYS[0], RELAYS[0])])
def test_relays_that_make_no_sense_are_refused(relays):
    refuse(RuleError, *forge(replace(PREAMBLE, relays=relays)), rule="card.relays")


def test_a_key_that_no_letter_can_be_sealed_to_is_refused():
    refuse(DecodeError, *forge(replace(PREAMBLE, invite_pk=b"\xff" * 1216)))


def test_link_and_card_end_together():
    link, blob = forge(replace(PREAMBLE, expires_day=TODAY + 90))
    refuse(RuleError, link, blob, rule="card.day")


def test_an_invitation_is_good_until_the_end_of_its_last_day():
    last = (TODAY + 8) * DAY - 1
    assert open_card(LINK, CARD.blob, now=last) == PREAMBLE
    refuse(RuleError, LINK, CARD.blob, rule="invitation.expired", now=last + 1)
