from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tertulia_protocol.circle.charter import EXTENSION_TYPE, REFRESH_TYPE, leaf_capabilities, refresh_extension
from tertulia_protocol.circle.identity import build_credential
from tertulia_protocol.circle.invitation import DAY
from tertulia_protocol.circle.join_request import (
    MAX_INTRO_BYTES,
    JoinRequest,
    ReceivedRequest,
    open_request,
    reply_box,
    seal_request,
)
from tertulia_protocol.circle.letters import LETTER_SIZES, join_info, seal_letter
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError, InvalidMessageError, RuleError, UsageError
from tertulia_protocol.mls.ciphersuite import HYBRID
from tertulia_protocol.mls.extensions import Capabilities
from tertulia_protocol.mls.key_package import build_key_package
from tertulia_protocol.mls.leaf_node import Lifetime
from tertulia_protocol.signing import SigningSeed
from tests.support.circle_joins import LINEAGE, JoinWorld, person
from tests.support.mls import LIFETIME, NOW, seeded_rng
from tests.support.rebuild import rebuild

Change = Callable[[JoinRequest], JoinRequest]


@pytest.fixture(scope="module")
def world():
    return JoinWorld()


def open_letter_at(world: JoinWorld, letter: bytes, *, now: int = NOW) -> ReceivedRequest:
    invitation = world.invitation
    return open_request(
        letter, invite_private=invitation.invite_private, anchor=invitation.link.anchor, lineage_id=LINEAGE, now=now
    )


def seal_forged(world: JoinWorld, request: JoinRequest, *, sign_as: SigningSeed | None = None) -> bytes:
    """Seal a request with whatever is in it, signed anew."""
    signed = request.sign(world.cleo if sign_as is None else sign_as)
    return seal_letter(world.invitation.preamble.invite_pk, join_info(world.invitation.link.anchor), serialize(signed))


def refuse(
    error: type[InvalidMessageError], world: JoinWorld, letter: bytes, *, rule: str | None = None, now: int = NOW
) -> None:
    before = serialize(rebuild(world.invitation))
    with pytest.raises(error) as raised:
        open_letter_at(world, letter, now=now)
    assert type(raised.value) is error
    assert raised.value.code == error.code
    if rule is not None:
        assert isinstance(raised.value, RuleError)
        assert raised.value.rule == rule
    assert serialize(rebuild(world.invitation)) == before


def test_a_request_reaches_the_coordinator(world: JoinWorld):
    request = world.pending.request
    letter = seal_request(world.invitation.preamble, request)
    assert len(letter) in LETTER_SIZES
    received = open_letter_at(world, letter)
    assert received.request == request
    assert received.member.member_pk == world.cleo.public_key
    assert received.data == serialize(request)
    assert received.request.intro == "It is me."
    assert parse(JoinRequest, received.data).hash() == request.hash()


def test_a_request_hides_what_is_for_the_coordinator_alone(world: JoinWorld):
    request = world.pending.request
    assert "It is me" not in repr(request)
    assert repr(request.reply_seed) not in repr(request)


def test_an_introduction_has_an_end(world: JoinWorld):
    request = replace(world.pending.request, intro="é" * (MAX_INTRO_BYTES // 2))
    assert open_letter_at(world, seal_forged(world, request)).request.intro == request.intro
    longer = replace(request, intro=request.intro + "x")
    with pytest.raises(UsageError):
        seal_request(world.invitation.preamble, longer.sign(world.cleo))
    refuse(DecodeError, world, seal_forged(world, longer))


def test_an_introduction_is_text(world: JoinWorld):
    data = serialize(world.pending.request).replace(b"It is me.", b"It is \xff\xfe.")
    info = join_info(world.invitation.link.anchor)
    refuse(DecodeError, world, seal_letter(world.invitation.preamble.invite_pk, info, data))


def test_the_reply_box_is_for_the_two_alone(world: JoinWorld):
    box = reply_box(world.pending.request.reply_seed)
    assert box.config == reply_box(world.pending.request.reply_seed).config
    assert box.config.append_vk == box.append.public_key != box.read.public_key == box.config.read_vk
    assert box.config.admin_vk == bytes(32)


# --- what is refused -----------------------------------------------------------------------------------------------


def test_a_request_for_another_invitation_is_refused(world: JoinWorld):
    refuse(
        RuleError, world, seal_forged(world, replace(world.pending.request, anchor=b"a" * 32)), rule="request.anchor"
    )


def test_a_letter_passed_on_from_another_invitation_does_not_open(world: JoinWorld):
    letter = seal_letter(world.invitation.preamble.invite_pk, join_info(b"a" * 32), serialize(world.pending.request))
    refuse(AuthenticityError, world, letter)


def test_a_request_in_somebody_elses_name_is_refused(world: JoinWorld):
    refuse(AuthenticityError, world, seal_forged(world, world.pending.request, sign_as=world.bo.member))


def test_a_request_whose_answer_would_go_to_somebody_else_is_refused(world: JoinWorld):
    """Who copies a key package cannot put a reply key of his own beside it."""
    changed = replace(world.pending.request, reply_seed=b"s" * 32)
    info = join_info(world.invitation.link.anchor)
    refuse(AuthenticityError, world, seal_letter(world.invitation.preamble.invite_pk, info, serialize(changed)))


def test_a_reply_key_that_is_none_is_refused(world: JoinWorld):
    refuse(DecodeError, world, seal_forged(world, replace(world.pending.request, reply_pk=b"\xff" * 1216)))


def test_a_key_package_of_another_circle_is_refused(world: JoinWorld):
    stranger = person("Mallory", lineage_id=b"e" * 32)
    request = replace(world.pending.request, key_package=stranger.bundle.key_package)
    refuse(RuleError, world, seal_forged(world, request, sign_as=stranger.member), rule="credential.lineage")


def with_key_package(world: JoinWorld, **changes) -> bytes:
    """Ask with another key package."""
    rng = seeded_rng("a key package")
    leaf_seed = rng(32)
    credential = build_credential(
        member=world.cleo,
        lineage_id=LINEAGE,
        device_id=rng(8),
        leaf_signature_key=HYBRID.signature_public_key(leaf_seed),
        not_after=changes.pop("not_after", NOW + DAY),
    )
    values = {"capabilities": leaf_capabilities(), "lifetime": LIFETIME, **changes}
    bundle = build_key_package(
        HYBRID, signature_private=leaf_seed, credential=credential.credential(), rng=rng, **values
    )
    return seal_forged(world, replace(world.pending.request, key_package=bundle.key_package))


def test_a_key_package_that_is_changed_is_refused(world: JoinWorld):
    key_package = world.pending.request.key_package
    changed = replace(key_package, init_key=HYBRID.public_key(b"p" * 32))
    refuse(AuthenticityError, world, seal_forged(world, replace(world.pending.request, key_package=changed)))


def test_a_key_package_outside_its_life_is_refused(world: JoinWorld):
    letter = with_key_package(world, lifetime=Lifetime(not_before=NOW - 100, not_after=NOW - 1))
    refuse(RuleError, world, letter, rule="RFC9420-7.3")


@pytest.mark.parametrize("not_after", [NOW - 1, NOW + 400 * DAY + 1])
def test_a_credential_outside_its_life_is_refused(world: JoinWorld, not_after: int):
    refuse(RuleError, world, with_key_package(world, not_after=not_after), rule="credential.not_after")


def test_a_leaf_that_cannot_stand_in_a_circle_is_refused(world: JoinWorld):
    def supports(*extensions: int) -> Capabilities:
        return replace(leaf_capabilities(), extensions=extensions)

    refuse(RuleError, world, with_key_package(world, capabilities=supports(REFRESH_TYPE)), rule="RFC9420-7.3")
    refuse(RuleError, world, with_key_package(world, capabilities=supports(EXTENSION_TYPE)), rule="V8")
    refuse(RuleError, world, with_key_package(world, leaf_extensions=(refresh_extension(0),)), rule="V8")
