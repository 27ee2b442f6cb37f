from __future__ import annotations

from dataclasses import replace

import pytest

from tertulia_protocol.circle.attachment import BlobRef, plan_chunks
from tertulia_protocol.circle.charter import Policy
from tertulia_protocol.circle.errors import OutdatedError
from tertulia_protocol.circle.identity import member_of
from tertulia_protocol.circle.join_reply import CoordKey, JoinReply, seal_reply, welcome_for
from tertulia_protocol.circle.joining import (
    MAX_TREE_BYTES,
    PendingJoin,
    open_reply,
    process_reply,
    verify_approvals,
)
from tertulia_protocol.circle.letters import LETTER_SIZES, reply_info, seal_letter
from tertulia_protocol.circle.segments import export_access
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError, InvalidMessageError, RuleError
from tertulia_protocol.mls.ciphersuite import X25519_CHACHA20
from tertulia_protocol.mls.proposals import Add
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.welcome import Welcome
from tertulia_protocol.relay_api.records import Position
from tests.support.circle_joins import LINEAGE, RELAYS, JoinWorld, person
from tests.support.mls import NOW
from tests.support.rebuild import rebuild


@pytest.fixture(scope="module")
def world():
    """The circle that most tests share; none of them changes it."""
    return JoinWorld()


@pytest.fixture(scope="module")
def answer(world: JoinWorld):
    return world.add()


def refuse(error: type[InvalidMessageError], rule: str | None, pending: PendingJoin, step) -> InvalidMessageError:
    """Run a step that must fail, and show that what the joiner keeps is as before."""
    before = serialize(rebuild(pending))
    with pytest.raises(error) as raised:
        step()
    assert type(raised.value) is error
    assert raised.value.code == error.code
    if rule is not None:
        assert isinstance(raised.value, RuleError)
        assert raised.value.rule == rule
    assert serialize(rebuild(pending)) == before
    return raised.value


def process(reply: JoinReply, tree: bytes, world: JoinWorld):
    return process_reply(reply, tree, world.pending, known=[b"x" * 32])


def refuse_reply(rule: str, reply: JoinReply, tree: bytes, world: JoinWorld) -> None:
    refuse(RuleError, rule, world.pending, lambda: process(reply, tree, world))


def test_a_joiner_becomes_a_member(world: JoinWorld, answer):
    reply, tree = answer
    letter = seal_reply(world.pending.request, reply.approve(world.ada.member))
    assert len(letter) in LETTER_SIZES
    opened = open_reply(letter, parse(PendingJoin, serialize(world.pending)))
    joined = process(opened, tree, world)
    assert joined.member.member_pk == world.cleo.public_key
    assert joined.charter == world.charter
    assert joined.access == world.access
    assert joined.position == Position(5, b"c" * 32)
    assert joined.coord is None
    assert {member_of(member.leaf).member_pk for member in joined.group.members()} == {
        world.ada.member.public_key,
        world.bo.member.public_key,
        world.cleo.public_key,
    }


def test_a_joiner_starts_where_a_hop_leads():
    world = JoinWorld()
    reply, tree = world.add(charter=world.next_segment())
    joined = process(reply.approve(world.ada.member), tree, world)
    assert joined.position.seq == 0
    assert joined.access.segment_no == 1
    assert joined.access == export_access(joined.group, joined.charter)


def test_many_joiners_of_one_commit_get_a_welcome_each(world: JoinWorld):
    others = [person(f"other {number}") for number in range(12)]
    built = world.groups["Ada"].build_commit(
        proposals=[
            Add(world.pending.bundle.key_package),
            *(Add(other.bundle.key_package) for other in others),
        ],
        now=NOW,
        rng=world.rng,
    )
    assert built.welcome is not None
    assert len(serialize(built.welcome)) > LETTER_SIZES[-1]
    own = welcome_for(built.welcome, world.pending.bundle.key_package)
    assert len(own.secrets) == 1
    reply, _ = world.add()
    reply = replace(reply, welcome=serialize(own)).approve(world.ada.member)
    assert len(seal_reply(world.pending.request, reply)) == LETTER_SIZES[-1]
    assert len(process(reply, serialize(built.tree), world).group.members()) == 15


def test_a_coordinators_other_device_gets_the_secret():
    world = JoinWorld()
    world.pending = world.ask(world.ada.member)
    reply, tree = world.add()
    key = CoordKey(coord_gen=0, secret=b"\7" * 32)
    joined = process(replace(reply, coord=key).approve(world.ada.member), tree, world)
    assert joined.coord == key
    assert "0707" not in repr(joined)


# --- the checks of the letter --------------------------------------------------------------------------------------


def test_an_answer_sealed_to_somebody_else_does_not_open(world: JoinWorld, answer):
    other = world.ask(world.cleo)
    letter = seal_reply(other.request, answer[0].approve(world.ada.member))
    refuse(AuthenticityError, None, world.pending, lambda: open_reply(letter, world.pending))


def test_an_answer_to_another_request_is_refused(world: JoinWorld, answer):
    reply = replace(answer[0], request_hash=b"o" * 32).approve(world.ada.member)
    letter = seal_reply(world.pending.request, reply)
    refuse(RuleError, "join.request", world.pending, lambda: open_reply(letter, world.pending))


def test_an_answer_without_a_signature_is_refused(world: JoinWorld, answer):
    letter = seal_reply(world.pending.request, answer[0])
    refuse(RuleError, "join.approvals", world.pending, lambda: open_reply(letter, world.pending))


def test_an_answer_signed_by_somebody_whom_the_card_does_not_name_is_refused(world: JoinWorld, answer):
    for reply in (
        answer[0].approve(world.bo.member),
        answer[0].approve(world.ada.member).approve(world.bo.member),
        answer[0].approve(world.ada.member).approve(world.ada.member),
    ):
        letter = seal_reply(world.pending.request, reply)
        refuse(RuleError, "join.approvals", world.pending, lambda letter=letter: open_reply(letter, world.pending))


def test_an_answer_that_was_changed_after_it_was_signed_is_refused(world: JoinWorld, answer):
    signed = answer[0].approve(world.ada.member)
    for changed in (
        replace(signed, position=Position(6, b"d" * 32)),
        replace(signed, history=signed.tree),
        replace(signed, coord=CoordKey(coord_gen=0, secret=bytes(32))),
    ):
        letter = seal_reply(world.pending.request, changed)
        refuse(AuthenticityError, None, world.pending, lambda letter=letter: open_reply(letter, world.pending))


def test_as_many_must_sign_as_are_needed(world: JoinWorld, answer):
    approvers = [world.ada.member.public_key, world.bo.member.public_key]
    signed = answer[0].approve(world.ada.member)
    with pytest.raises(RuleError) as raised:
        verify_approvals(signed, approvers=approvers, needed=2)
    assert raised.value.rule == "join.approvals"
    verify_approvals(signed.approve(world.bo.member), approvers=approvers, needed=2)


def test_a_tree_that_is_too_large_is_refused_before_it_is_fetched(world: JoinWorld, answer):
    size = MAX_TREE_BYTES + 1
    bomb = BlobRef(key=bytes(32), size=size, chunk_class=3, depth=0, ids=(bytes(32),) * plan_chunks(size).count)
    letter = seal_reply(world.pending.request, replace(answer[0], tree=bomb).approve(world.ada.member))
    refuse(RuleError, "E17.limit", world.pending, lambda: open_reply(letter, world.pending))


def test_a_letter_that_is_no_answer_is_refused(world: JoinWorld):
    request = world.pending.request
    letter = seal_letter(request.reply_pk, reply_info(request.hash()), b"\1\2\3")
    refuse(DecodeError, None, world.pending, lambda: open_reply(letter, world.pending))


# --- the checks of the circle --------------------------------------------------------------------------------------


def test_another_cipher_suite_is_refused(world: JoinWorld, answer):
    reply, tree = answer
    welcome = replace(parse(Welcome, reply.welcome), cipher_suite=X25519_CHACHA20.id)
    reply = replace(reply, welcome=serialize(welcome)).approve(world.ada.member)
    refuse_reply("join.suite", reply, tree, world)


def test_a_welcome_for_another_key_package_is_refused(world: JoinWorld):
    other = world.ask(world.cleo)
    reply, tree = world.add(bundle=other.bundle)
    refuse_reply("RFC9420-12.4.3.1", reply.approve(world.ada.member), tree, world)


def test_another_tree_is_refused(world: JoinWorld, answer):
    """With a ghost in it: the joiner would see a member who is not there, and seal its secrets to it."""
    reply, tree = answer
    ghost = person("Mallory").bundle.key_package.leaf_node
    other, _ = parse(RatchetTree, tree).add_leaf(ghost)
    refuse_reply("RFC9420-12.4.3.1", reply.approve(world.ada.member), serialize(other), world)


def test_an_epoch_that_no_circle_reaches_is_refused(world: JoinWorld):
    """SQLite has 63 bits for what MLS gives 64."""
    group = world.groups["Ada"]
    context = replace(group.context, epoch=1 << 62)
    world.groups["Ada"] = replace(group, context=context)
    reply, tree = world.add()
    refuse_reply("join.epoch", reply.approve(world.ada.member), tree, world)


def test_another_circle_is_refused():
    """The card named another circle than the one that the Welcome leads to."""
    world = JoinWorld()
    reply, tree = world.add()
    world.pending = replace(world.pending, preamble=replace(world.pending.preamble, lineage_id=b"z" * 32))
    refuse_reply("join.lineage", reply.approve(world.ada.member), tree, world)


def test_a_circle_that_this_profile_is_in_is_refused(world: JoinWorld, answer):
    reply = answer[0].approve(world.ada.member)
    refuse(
        RuleError,
        "join.known",
        world.pending,
        lambda: process_reply(reply, answer[1], world.pending, known=[LINEAGE]),
    )


def test_a_leaf_that_is_no_members_is_refused():
    """The credential is of another circle: nobody here knows who it is."""
    world = JoinWorld()
    stranger = person("Mallory", lineage_id=b"e" * 32)
    built = world.groups["Ada"].build_commit(
        proposals=[Add(stranger.bundle.key_package), Add(world.pending.bundle.key_package)], now=NOW, rng=world.rng
    )
    assert built.welcome is not None
    reply, _ = world.add()
    welcome = serialize(welcome_for(built.welcome, world.pending.bundle.key_package))
    reply = replace(reply, welcome=welcome).approve(world.ada.member)
    refuse_reply("credential.lineage", reply, serialize(built.tree), world)


def test_a_circle_for_newer_programs_is_not_joined():
    world = JoinWorld(charter=lambda charter: replace(charter, policy=Policy(min_client=2)))
    reply, tree = world.add()
    reply = reply.approve(world.ada.member)
    refuse(OutdatedError, None, world.pending, lambda: process(reply, tree, world))


def test_a_welcome_by_a_coordinator_whom_the_card_does_not_name_is_refused():
    world = JoinWorld(both_coordinate=True)
    reply, tree = world.add(by="Bo")
    refuse_reply("join.approver", reply.approve(world.ada.member), tree, world)


def both(world: JoinWorld) -> list[bytes]:
    return [world.ada.member.public_key, world.bo.member.public_key]


def test_a_welcome_by_somebody_who_is_no_coordinator_is_refused():
    world = JoinWorld(approvers=both)
    reply, tree = world.add(by="Bo")
    refuse_reply("join.roster", reply.approve(world.ada.member), tree, world)


def test_an_answer_signed_by_somebody_who_is_no_coordinator_any_more_is_refused():
    world = JoinWorld(approvers=both)
    reply, tree = world.add()
    letter = seal_reply(world.pending.request, reply.approve(world.bo.member))
    opened = open_reply(letter, world.pending)
    refuse_reply("join.approvals", opened, tree, world)


def test_a_circle_on_another_relay_is_refused():
    world = JoinWorld(known_relays=RELAYS[1:])
    reply, tree = world.add()
    refuse_reply("join.relay", reply.approve(world.ada.member), tree, world)


def test_keys_of_another_segment_or_relay_are_refused(world: JoinWorld, answer):
    reply, tree = answer
    access = reply.access
    for changed in (
        replace(reply, access=replace(access, segment_no=1)),
        replace(reply, segment_no=1),
        replace(reply, access=replace(access, relays=access.relays[:1])),
        replace(reply, access=replace(access, relays=access.relays[::-1])),
    ):
        refuse_reply("join.access", changed.approve(world.ada.member), tree, world)


def test_a_start_that_is_not_the_segments_is_refused():
    world = JoinWorld()
    reply, tree = world.add(charter=world.next_segment())
    moved = replace(reply, position=Position(0, b"f" * 32)).approve(world.ada.member)
    refuse_reply("join.position", moved, tree, world)


def test_keys_that_are_not_those_of_the_epoch_are_refused():
    """The one who answers would lead the joiner to a log that nobody else reads."""
    world = JoinWorld()
    reply, tree = world.add(charter=world.next_segment())
    first, second = reply.access.relays
    access = replace(reply.access, relays=(first, replace(second, wrap_key=b"w" * 32)))
    refuse_reply("join.keys", replace(reply, access=access).approve(world.ada.member), tree, world)


@pytest.mark.parametrize(("as_coordinator", "coord_gen"), [(False, 0), (True, 1)])
def test_a_coordinators_secret_that_does_not_belong_here_is_refused(*, as_coordinator: bool, coord_gen: int):
    world = JoinWorld()
    world.pending = world.ask(world.ada.member if as_coordinator else world.cleo)
    reply, tree = world.add()
    reply = replace(reply, coord=CoordKey(coord_gen=coord_gen, secret=bytes(32))).approve(world.ada.member)
    refuse_reply("join.coord", reply, tree, world)
