"""Changes become objects: alike for everybody, whatever arrived first and however often."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import msgspec
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tertulia_protocol.content.change import check_lamport
from tertulia_protocol.content.envelope import Envelope, Op
from tertulia_protocol.content.kinds import Content, FieldRule, Identity, Kind, Kinds, Unknown, Who
from tertulia_protocol.content.merge import container_id, erase, merge
from tertulia_protocol.content.types import BOARD, CIRCLE, KINDS, PROFILE, REPLY, TOPIC, Circle, Profile, Reply, Topic
from tertulia_protocol.errors import RuleError
from tests.support.content import (
    AMINA,
    BOARD_CHANGE,
    BRUNO,
    CHEN,
    CLOSED_CHANGE,
    DALIA,
    TOPIC_CHANGE,
    Member,
    post,
    with_fields,
)

BOARD_OBJECT = merge([BOARD_CHANGE])
TOPIC_OBJECT = merge([TOPIC_CHANGE], container=BOARD_OBJECT)
MEMBERS = (AMINA, BRUNO, CHEN, DALIA)


def topic(*changes):
    return merge([TOPIC_CHANGE, *changes], container=BOARD_OBJECT)


def edit(author, lamport, number, **fields):
    return author.edits(TOPIC, TOPIC_OBJECT, number=number, lamport=lamport, **fields)


@st.composite
def histories(draw):
    """A topic and whatever members may try with it: edits, retractions, takeovers, other versions and types."""
    changes = [TOPIC_CHANGE] if draw(st.booleans()) or draw(st.booleans()) else []
    for number in range(draw(st.integers(0, 6))):
        author = draw(st.sampled_from((CHEN, CHEN, *MEMBERS)))
        fields = draw(
            st.dictionaries(
                st.sampled_from(["title", "title", "body", "board", "pinned"]),
                st.sampled_from(["a", "b", "c", 1, True, "a\n"]),
                max_size=2,
            )
        )
        envelope = Envelope(
            type=draw(st.sampled_from(["topic"] * 8 + ["board", "poll"])),
            version=draw(st.sampled_from([1, 1, 1, 2])),
            object_id=TOPIC_OBJECT.object_id,
            op=draw(st.sampled_from([Op.PUT] * 5 + [Op.RETRACT])),
            fields=fields,
        )
        lamport = draw(st.integers(8, 14))
        role = draw(st.booleans()) if author.coordinator else False
        # Now and then two posts carry one id: the order must not depend on which came first even then.
        identifier = draw(st.sampled_from([50 + number, 50]))
        changes.append(author.sends(envelope, number=identifier, lamport=lamport, by_coordinator=role))
    return changes


@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(changes, order):
    expected = merge(changes, container=BOARD_OBJECT)
    event(
        "retracted" if expected is not None and expected.retracted else "there" if expected is not None else "nothing"
    )
    event("edited" if expected is not None and expected.edited else "not edited")
    for _ in range(4):
        order.shuffle(changes)
        assert merge(changes, container=BOARD_OBJECT) == expected


@given(histories(), st.randoms(use_true_random=False))
def test_duplicates_do_not_matter(changes, order):
    expected = merge(changes, container=BOARD_OBJECT)
    twice = changes + order.choices(changes, k=5) if changes else []
    order.shuffle(twice)
    assert merge(twice, container=BOARD_OBJECT) == expected


@given(histories())
def test_what_a_stranger_tries_changes_nothing_that_is_known(changes):
    allowed = [change for change in changes if change.member_pk in {CHEN.member_pk, AMINA.member_pk, BRUNO.member_pk}]
    with_stranger, without = (merge(some, container=BOARD_OBJECT) for some in (changes, allowed))
    if TOPIC_CHANGE in changes:
        assert with_stranger == without


@given(histories())
def test_erased_changes_make_the_same_tombstone(changes):
    whole = merge(changes, container=BOARD_OBJECT)
    if whole is None or not whole.retracted:
        return
    erased = [erase(change) for change in changes]
    assert all("title" not in change.envelope.fields and "body" not in change.envelope.fields for change in erased)
    assert merge(erased, container=BOARD_OBJECT) == whole


def test_an_object_is_what_its_creation_says():
    assert TOPIC_OBJECT.content == Topic(board=BOARD_OBJECT.object_id, title="Water", body="Three wells.")
    assert (TOPIC_OBJECT.type, TOPIC_OBJECT.version, TOPIC_OBJECT.creator) == ("topic", 1, CHEN.member_pk)
    assert (TOPIC_OBJECT.first_lamport, TOPIC_OBJECT.last_lamport) == (10, 10)
    flags = (TOPIC_OBJECT.edited, TOPIC_OBJECT.retracted, TOPIC_OBJECT.waiting, TOPIC_OBJECT.is_stub)
    assert flags == (False, False, False, False)


def test_the_last_writer_wins_per_field():
    merged = topic(
        edit(CHEN, 12, 21, title="second"), edit(CHEN, 11, 20, title="first", body="B"), edit(CHEN, 13, 22, lang="fr")
    )
    assert merged.content == Topic(board=BOARD_OBJECT.object_id, title="second", body="B", lang="fr")
    assert merged.edited
    assert merged.last_lamport == 13


def test_ties_of_the_clock_go_by_author_and_then_by_post():
    assert topic(edit(CHEN, 12, 21, title="a"), edit(CHEN, 12, 22, title="b")).content.title == "b"
    higher = max(AMINA, BRUNO, key=lambda member: member.member_pk)
    board = merge(
        [BOARD_CHANGE]
        + [
            m.edits(BOARD, BOARD_OBJECT, number=9, lamport=9, name="high" if m is higher else "low")
            for m in (AMINA, BRUNO)
        ]
    )
    assert board.content.name == "high"


def test_a_field_can_be_emptied():
    assert topic(edit(CHEN, 12, 21, lang="fr"), edit(CHEN, 13, 22, lang=None)).content.lang is None


def test_an_edit_by_somebody_else_is_ignored_as_a_whole():
    board = merge([BOARD_CHANGE, CHEN.edits(BOARD, BOARD_OBJECT, number=9, lamport=9, name="x")])
    assert board == BOARD_OBJECT
    assert topic(edit(AMINA, 12, 21, title="x")) == TOPIC_OBJECT
    assert topic(edit(CHEN, 12, 21, title="x", board=bytes(16))) == TOPIC_OBJECT


def test_rights_are_those_at_the_place_in_the_log_and_not_those_of_today():
    change = AMINA.edits(BOARD, BOARD_OBJECT, number=9, lamport=9, name="x")
    assert merge([BOARD_CHANGE, change]).content.name == "x"
    assert merge([BOARD_CHANGE, replace(change, by_coordinator=False)]) == BOARD_OBJECT


def test_a_backdated_creation_does_not_take_an_object_over():
    # Dalia, a coordinator even, writes a board under the id of the topic, dated before it.
    thief = Member("Dalia", coordinator=True)
    for kind, fields in (("board", {"name": "mine"}), ("topic", {"board": BOARD_OBJECT.object_id, "title": "mine"})):
        envelope = Envelope(type=kind, version=1, object_id=TOPIC_OBJECT.object_id, op=Op.PUT, fields=fields)
        assert topic(thief.sends(envelope, number=1, lamport=1)) == TOPIC_OBJECT
        assert merge([thief.sends(envelope, number=1, lamport=1)], container=BOARD_OBJECT) is None


def test_a_type_that_is_not_known_does_not_take_an_object_over_either():
    envelope = Envelope(type="poll", version=1, object_id=TOPIC_OBJECT.object_id, op=Op.PUT, fields={"x": 1})
    assert topic(DALIA.sends(envelope, number=1, lamport=1)) == TOPIC_OBJECT


def test_c16_an_edit_that_is_dated_before_the_creation_is_ignored():
    assert topic(edit(CHEN, 9, 21, title="x", body="y")) == TOPIC_OBJECT
    assert topic(edit(CHEN, 9, 21, lang="fr")) == TOPIC_OBJECT


def test_a_clock_from_the_far_future_does_not_count():
    with pytest.raises(RuleError):
        check_lamport(2**64 - 1, segment_no=1)


@pytest.mark.parametrize("lamport", [1, 10, 99])
def test_a_retraction_is_final_wherever_it_stands(lamport):
    gone = topic(CHEN.retracts(TOPIC_OBJECT, number=30, lamport=lamport), edit(CHEN, 50, 31, title="back"))
    assert gone.retracted
    assert gone.retracted_by == CHEN.member_pk
    assert gone.content is None
    assert gone.fields == {"board": BOARD_OBJECT.object_id}


def test_a_coordinators_retraction_says_whose_it_was():
    assert topic(AMINA.retracts(TOPIC_OBJECT, number=30, lamport=12)).retracted_by == AMINA.member_pk
    demoted = replace(AMINA.retracts(TOPIC_OBJECT, number=30, lamport=12), by_coordinator=False)
    assert topic(demoted) == TOPIC_OBJECT
    assert topic(DALIA.retracts(TOPIC_OBJECT, number=30, lamport=12)) == TOPIC_OBJECT


def test_a_retraction_before_its_object_arrives_waits():
    retraction = CHEN.retracts(TOPIC_OBJECT, number=30, lamport=12)
    assert merge([retraction]) is None
    assert merge([retraction, TOPIC_CHANGE]).retracted


def test_changes_without_a_creation_make_nothing():
    assert merge([]) is None
    assert merge([edit(CHEN, 12, 21, title="x")]) is None


def test_an_object_whose_place_is_not_here_waits():
    assert container_id(TOPIC_CHANGE) == BOARD_OBJECT.object_id
    assert container_id(BOARD_CHANGE) is None
    assert container_id(with_fields(TOPIC_CHANGE, board=1)) is None
    waiting = merge([TOPIC_CHANGE])
    assert waiting == replace(TOPIC_OBJECT, waiting=True)


def test_a_topic_of_a_member_does_not_exist_on_an_announce_only_board():
    closed = merge([CLOSED_CHANGE])
    content = Topic(board=closed.object_id, title="x")
    assert merge([CHEN.creates(TOPIC, content, number=9, lamport=9)], container=closed) is None
    assert merge([AMINA.creates(TOPIC, content, number=9, lamport=9)], container=closed) is not None


def test_the_circle_has_one_name_and_every_coordinator_may_change_it():
    first = AMINA.creates(CIRCLE, Circle(name="River"), number=1, lamport=1)
    second = BRUNO.creates(CIRCLE, Circle(name="Delta"), number=2, lamport=2)
    named = merge([second, first])
    assert (named.content, named.creator, named.edited) == (Circle(name="Delta"), None, True)
    assert merge([first, CHEN.creates(CIRCLE, Circle(name="x"), number=3, lamport=3)]).content.name == "River"


def test_everybody_has_one_profile_and_writes_it_alone():
    first = CHEN.creates(PROFILE, Profile(display_name="Chen", languages=("en", "fr")), number=1, lamport=1)
    again = CHEN.creates(PROFILE, Profile(display_name="Chen Li"), number=2, lamport=2)
    forged = AMINA.sends(again.envelope, number=3, lamport=3)
    merged = merge([forged, again, first])
    assert merged.content == Profile(display_name="Chen Li", languages=("en", "fr"))
    assert merged.creator == CHEN.member_pk


def test_changes_of_two_objects_do_not_mix():
    with pytest.raises(ValueError, match="several objects"):
        merge([TOPIC_CHANGE, BOARD_CHANGE])


def test_an_unknown_type_is_a_stub():
    own = CHEN.creates(replace(TOPIC, name="poll"), Topic(board=bytes(16), title="x"), number=9, lamport=9)
    stub = merge([replace(own, envelope=replace(own.envelope, version=3))])
    assert stub.is_stub
    assert stub.content == Unknown(type="poll", version=3)
    assert (stub.creator, stub.fields) == (CHEN.member_pk, {})
    assert repr(stub.content) == "Unknown(type='poll', version=3)"
    assert merge([replace(own, member_pk=DALIA.member_pk)]).creator is None


def test_a_newer_version_is_read_as_far_as_it_fits():
    newer = merge([with_fields(TOPIC_CHANGE, version=2, pinned=True)], container=BOARD_OBJECT)
    assert newer.content == TOPIC_OBJECT.content
    assert newer.version == 2
    assert newer.fields["pinned"] is True


@pytest.mark.parametrize("fields", [{"title": ["several", "titles"]}, {"title": "x" * 201}, {"attachments": "none"}])
def test_a_newer_version_that_does_not_fit_is_a_stub(fields):
    newer = merge([with_fields(TOPIC_CHANGE, version=2, **fields)], container=BOARD_OBJECT)
    assert newer.content == Unknown(type="topic", version=2)
    assert newer.creator == CHEN.member_pk


def test_fields_that_are_not_known_are_set_by_the_owner_and_coordinators_only():
    by_owner = topic(edit(CHEN, 12, 21, pinned=1))
    assert by_owner.fields["pinned"] == 1
    assert by_owner.content == TOPIC_OBJECT.content
    assert topic(edit(AMINA, 12, 21, pinned=1)).fields["pinned"] == 1
    assert topic(edit(DALIA, 12, 21, pinned=1)) == TOPIC_OBJECT


class Note(Content, frozen=True):
    """A type that exists in this test only."""

    text: Annotated[str, msgspec.Meta(max_length=10)]
    likes: int = 0


NOTE = Kind(
    name="note",
    version=1,
    content=Note,
    identity=Identity.POST,
    create=Who.MEMBERS,
    retract=Who.AUTHOR,
    fields={"text": FieldRule(change=Who.AUTHOR), "likes": FieldRule(change=Who.MEMBERS)},
)


def test_a_new_type_is_one_declaration_and_reads_what_was_stored_before():
    created = CHEN.creates(NOTE, Note(text="hello"), number=9, lamport=9)
    before = merge([created])
    assert before.content == Unknown(type="note", version=1)
    stored = [created.envelope.encode()]
    kinds = KINDS.with_kind(NOTE)
    restored = replace(created, envelope=Envelope.decode(stored[0]))
    note = merge([restored], kinds=kinds)
    assert note.content == Note(text="hello")
    liked = DALIA.edits(NOTE, note, number=10, lamport=10, likes=1)
    foreign = DALIA.edits(NOTE, note, number=11, lamport=11, text="mine")
    assert merge([foreign, liked, restored], kinds=kinds).content == Note(text="hello", likes=1)
    assert "note" in kinds.names()
    assert "note" not in KINDS.names()


def test_a_type_is_declared_once_and_completely():
    with pytest.raises(ValueError, match="two types"):
        KINDS.with_kind(TOPIC)
    incomplete = {name: rule for name, rule in NOTE.fields.items() if name != "likes"}
    with pytest.raises(ValueError, match="differ"):
        Kind(
            name="note",
            version=1,
            content=Note,
            identity=Identity.POST,
            create=Who.MEMBERS,
            retract=Who.AUTHOR,
            fields=incomplete,
        )
    assert KINDS.names() == ("circle", "board", "topic", "reply", "profile")
    assert isinstance(KINDS, Kinds)


def test_a_field_that_closes_a_place_can_be_changed_by_nobody():
    for name in KINDS.names():
        kind = KINDS[name]
        if kind.place is None:
            continue
        assert kind.fields[kind.place.field].change is Who.NOBODY
        assert kind.place.field in kind.required
        if kind.place.closed_by is not None:
            assert KINDS[kind.place.container].fields[kind.place.closed_by].change is Who.NOBODY


def test_a_long_history_is_refolded_from_its_changes():
    edits = [edit(CHEN, 11 + number, 100 + number, title=f"title {number}") for number in range(200)]
    changes = [*reversed(edits[:150]), TOPIC_CHANGE, *edits[150:]]
    assert merge(changes, container=BOARD_OBJECT).content.title == "title 199"


def test_replies_stand_under_their_topic():
    reply = DALIA.creates(REPLY, Reply(topic=TOPIC_OBJECT.object_id, parent=post(1), body="x"), number=9, lamport=20)
    assert merge([reply], container=TOPIC_OBJECT).content.parent == post(1)
    assert merge([reply], container=BOARD_OBJECT) is None
