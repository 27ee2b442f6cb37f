"""One check of a change, before sending and on receipt: rules C1 to C15."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tertulia_protocol.content import permissions
from tertulia_protocol.content.change import LAMPORT_PER_SEGMENT, check_lamport, lamport_bound, next_lamport
from tertulia_protocol.content.envelope import Op
from tertulia_protocol.content.merge import merge
from tertulia_protocol.content.permissions import check_change, check_container_is_here
from tertulia_protocol.content.types import (
    BOARD,
    CIRCLE,
    PROFILE,
    REPLY,
    TOPIC,
    Attachment,
    Board,
    Circle,
    Profile,
    Reply,
    Topic,
)
from tertulia_protocol.errors import RuleError, UnsupportedError
from tests.support.content import (
    AMINA,
    BOARD_CHANGE,
    BRUNO,
    CHEN,
    CLOSED_CHANGE,
    DALIA,
    TOPIC_CHANGE,
    Member,
    with_fields,
)

BOARD_OBJECT = merge([BOARD_CHANGE])
CLOSED_OBJECT = merge([CLOSED_CHANGE])
TOPIC_OBJECT = merge([TOPIC_CHANGE], container=BOARD_OBJECT)
REPLY_CHANGE = DALIA.creates(REPLY, Reply(topic=TOPIC_OBJECT.object_id, body="Two."), number=4, lamport=11)
REPLY_OBJECT = merge([REPLY_CHANGE], container=TOPIC_OBJECT)
PROFILE_CHANGE = CHEN.creates(PROFILE, Profile(display_name="Chen"), number=5, lamport=5)
PROFILE_OBJECT = merge([PROFILE_CHANGE])
CIRCLE_CHANGE = AMINA.creates(CIRCLE, Circle(name="River"), number=6, lamport=6)
CIRCLE_OBJECT = merge([CIRCLE_CHANGE])
FILE = {"name": "map.pdf", "type": "application/pdf", "size": 5, "sha256": bytes(32), "ref": b"ref"}


def refused(change, existing=None, container=None):
    with pytest.raises(RuleError) as caught:
        check_change(change, existing=existing, container=container)
    assert caught.value.code == "message.rule"
    return caught.value.rule


@pytest.mark.parametrize(
    ("change", "container"),
    [
        (BOARD_CHANGE, None),
        (CLOSED_CHANGE, None),
        (TOPIC_CHANGE, BOARD_OBJECT),
        (TOPIC_CHANGE, None),
        (REPLY_CHANGE, TOPIC_OBJECT),
        (PROFILE_CHANGE, None),
        (CIRCLE_CHANGE, None),
    ],
    ids=lambda item: getattr(getattr(item, "envelope", item), "type", None),
)
def test_objects_are_created_by_those_who_may(change, container):
    check_change(change, existing=None, container=container)


def test_c1_nobody_creates_an_object_under_an_id_of_somebody_else():
    stolen = replace(TOPIC_CHANGE, member_pk=DALIA.member_pk, lamport=1)
    assert refused(stolen, container=BOARD_OBJECT) == "C1"
    assert refused(replace(TOPIC_CHANGE, post_id=bytes(16)), container=BOARD_OBJECT) == "C1"
    assert refused(replace(PROFILE_CHANGE, member_pk=DALIA.member_pk)) == "C1"
    other = replace(CIRCLE_CHANGE, envelope=replace(CIRCLE_CHANGE.envelope, object_id=bytes(16)))
    assert refused(other) == "C1"


def test_c1_a_retraction_creates_nothing():
    assert refused(with_fields(TOPIC_CHANGE, op=Op.RETRACT), container=BOARD_OBJECT) == "C1"


def test_c2_a_change_names_the_type_of_its_object():
    envelope = replace(TOPIC_CHANGE.envelope, type="board", fields={"name": "x"})
    assert refused(AMINA.sends(envelope, number=9, lamport=20), existing=TOPIC_OBJECT) == "C2"
    elsewhere = AMINA.edits(BOARD, CLOSED_OBJECT, number=9, lamport=20, name="x")
    assert refused(elsewhere, existing=BOARD_OBJECT) == "C2"


def test_c3_members_create_neither_boards_nor_the_circles_name():
    assert refused(CHEN.creates(BOARD, Board(name="x"), number=9, lamport=9)) == "C3"
    assert refused(CHEN.creates(CIRCLE, Circle(name="x"), number=9, lamport=9)) == "C3"


def test_c3_who_was_a_coordinator_once_creates_no_board_later():
    board = AMINA.creates(BOARD, Board(name="x"), number=9, lamport=9)
    check_change(board, existing=None)
    assert refused(replace(board, by_coordinator=False)) == "C3"


@pytest.mark.parametrize(
    ("kind", "existing", "author", "fields"),
    [
        (TOPIC, TOPIC_OBJECT, CHEN, {"title": "Wells", "body": "", "lang": None, "attachments": [FILE]}),
        (REPLY, REPLY_OBJECT, DALIA, {"body": "Three."}),
        (BOARD, BOARD_OBJECT, AMINA, {"name": "x", "description": "y"}),
        (BOARD, BOARD_OBJECT, BRUNO, {"name": "x"}),
        (PROFILE, PROFILE_OBJECT, CHEN, {"display_name": "C", "organisation": "", "languages": ["en"]}),
        (CIRCLE, CIRCLE_OBJECT, BRUNO, {"name": "x"}),
    ],
)
def test_fields_are_changed_by_those_who_may(kind, existing, author, fields):
    check_change(author.edits(kind, existing, number=9, lamport=20, **fields), existing=existing)


@pytest.mark.parametrize(
    ("kind", "existing", "author", "fields"),
    [
        (TOPIC, TOPIC_OBJECT, DALIA, {"title": "x"}),
        (TOPIC, TOPIC_OBJECT, AMINA, {"body": "x"}),
        (TOPIC, TOPIC_OBJECT, CHEN, {"board": CLOSED_OBJECT.object_id}),
        (TOPIC, TOPIC_OBJECT, CHEN, {"title": "x", "board": TOPIC_OBJECT.fields["board"]}),
        (REPLY, REPLY_OBJECT, CHEN, {"body": "x"}),
        (REPLY, REPLY_OBJECT, DALIA, {"topic": bytes(16)}),
        (REPLY, REPLY_OBJECT, DALIA, {"parent": bytes(16)}),
        (BOARD, BOARD_OBJECT, CHEN, {"name": "x"}),
        (BOARD, BOARD_OBJECT, AMINA, {"announce_only": True}),
        (PROFILE, PROFILE_OBJECT, AMINA, {"display_name": "x"}),
        (CIRCLE, CIRCLE_OBJECT, CHEN, {"name": "x"}),
    ],
)
def test_c4_fields_are_changed_by_nobody_else(kind, existing, author, fields):
    assert refused(author.edits(kind, existing, number=9, lamport=20, **fields), existing=existing) == "C4"


def test_c4_who_lost_the_role_changes_the_board_no_more():
    edit = AMINA.edits(BOARD, BOARD_OBJECT, number=9, lamport=20, name="x")
    assert refused(replace(edit, by_coordinator=False), existing=BOARD_OBJECT) == "C4"


def test_c4_anonymous_posts_share_a_key_but_no_author():
    nobody = Member("nobody")
    nobody.member_pk = bytes(32)
    board = BOARD_OBJECT.object_id
    topic = merge([nobody.creates(TOPIC, Topic(board=board, title="x"), number=9, lamport=9)], container=BOARD_OBJECT)
    assert refused(nobody.edits(TOPIC, topic, number=10, lamport=10, title="y"), existing=topic) == "C4"
    assert refused(nobody.retracts(topic, number=10, lamport=10), existing=topic) == "C5"


@pytest.mark.parametrize(("author", "existing"), [(CHEN, TOPIC_OBJECT), (AMINA, TOPIC_OBJECT), (BRUNO, BOARD_OBJECT)])
def test_authors_and_coordinators_retract(author, existing):
    check_change(author.retracts(existing, number=9, lamport=20), existing=existing)


@pytest.mark.parametrize(
    ("author", "existing"),
    [
        (DALIA, TOPIC_OBJECT),
        (CHEN, REPLY_OBJECT),
        (CHEN, BOARD_OBJECT),
        (AMINA, CIRCLE_OBJECT),
        (AMINA, PROFILE_OBJECT),
    ],
)
def test_c5_nobody_else_retracts(author, existing):
    assert refused(author.retracts(existing, number=9, lamport=20), existing=existing) == "C5"


def test_c6_a_retracted_object_stays_retracted():
    gone = replace(TOPIC_OBJECT, retracted_by=CHEN.member_pk)
    assert refused(CHEN.edits(TOPIC, gone, number=9, lamport=20, title="x"), existing=gone) == "C6"
    assert refused(CHEN.retracts(gone, number=9, lamport=20), existing=gone) == "C6"


@pytest.mark.parametrize("name", ["board", "title"])
def test_c7_a_new_object_is_complete(name):
    fields = {key: value for key, value in TOPIC_CHANGE.envelope.fields.items() if key != name}
    change = replace(TOPIC_CHANGE, envelope=replace(TOPIC_CHANGE.envelope, fields=fields))
    assert refused(change) == "C7"


BAD = [
    ("C8", {"title": 1}),
    ("C8", {"title": None}),
    ("C8", {"title": b"x"}),
    ("C8", {"body": ["x"]}),
    ("C8", {"board": bytes(15)}),
    ("C8", {"board": "x" * 16}),
    ("C8", {"lang": "en_US"}),
    ("C8", {"attachments": {}}),
    ("C8", {"attachments": ["x"]}),
    ("C8", {"attachments": [{}]}),
    ("C8", {"attachments": [{**FILE, "size": -1}]}),
    ("C8", {"attachments": [{**FILE, "size": True}]}),
    ("C8", {"attachments": [{**FILE, "size": 2**40 + 1}]}),
    ("C8", {"attachments": [{**FILE, "sha256": bytes(31)}]}),
    ("C8", {"attachments": [{**FILE, "ref": b""}]}),
    ("C8", {"attachments": [{**FILE, "ref": bytes(4097)}]}),
    ("C8", {"attachments": [{**FILE, "type": "pdf"}]}),
    ("C9", {"title": ""}),
    ("C9", {"title": "x" * 201}),
    ("C9", {"body": "x" * 65537}),
    ("C9", {"body": "é" * 32769}),
    ("C9", {"attachments": [FILE] * 21}),
    ("C10", {"title": "a\u202eb"}),
    ("C10", {"title": "a\nb"}),
    ("C11", {"body": "a\x1b[2J"}),
    ("C12", {"attachments": [{**FILE, "name": "../map.pdf"}]}),
]


@pytest.mark.parametrize(("rule", "fields"), BAD, ids=[f"{rule}-{number}" for number, (rule, _) in enumerate(BAD)])
def test_c8_to_c12_values_keep_to_their_form_at_creation_and_in_edits(rule, fields):
    change = with_fields(TOPIC_CHANGE, **fields)
    assert refused(change, container=None) == rule
    if "board" not in fields:
        edit = CHEN.edits(TOPIC, TOPIC_OBJECT, number=9, lamport=20, **fields)
        assert refused(edit, existing=TOPIC_OBJECT) == rule


@pytest.mark.parametrize(
    ("rule", "fields"),
    [
        ("C9", {"display_name": ""}),
        ("C9", {"organisation": "x" * 101}),
        ("C9", {"languages": ["en"] * 17}),
        ("C8", {"languages": ["english language"]}),
        ("C8", {"languages": "en"}),
        ("C10", {"display_name": "Amina\u200b"}),
    ],
)
def test_c8_to_c10_hold_for_profiles(rule, fields):
    edit = CHEN.edits(PROFILE, PROFILE_OBJECT, number=9, lamport=20, **fields)
    assert refused(edit, existing=PROFILE_OBJECT) == rule


@pytest.mark.parametrize(
    ("rule", "fields"),
    [
        ("C9", {"name": "x" * 101}),
        ("C9", {"description": "x" * 2001}),
        ("C11", {"description": "\x07"}),
        ("C10", {"name": "\t"}),
    ],
)
def test_c9_to_c11_hold_for_boards(rule, fields):
    assert refused(AMINA.edits(BOARD, BOARD_OBJECT, number=9, lamport=20, **fields), existing=BOARD_OBJECT) == rule


def test_the_limits_themselves_pass():
    largest = {"title": "x" * 200, "body": "é" * 32768, "attachments": [{**FILE, "ref": bytes(4096)}] * 20}
    change = with_fields(TOPIC_CHANGE, **largest)
    check_change(change, existing=None, container=BOARD_OBJECT)
    assert len(change.envelope.encode()) < 192 * 1024


def test_errors_do_not_repeat_what_was_written():
    written = "the well behind the school"
    for fields in ({"title": [written]}, {"lang": written}, {"title": written + "\n"}):
        with pytest.raises(RuleError) as caught:
            check_change(with_fields(TOPIC_CHANGE, **fields), existing=None)
        assert written not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("change", "container"),
    [
        (TOPIC_CHANGE, CLOSED_OBJECT),
        (TOPIC_CHANGE, TOPIC_OBJECT),
        (REPLY_CHANGE, BOARD_OBJECT),
        (with_fields(REPLY_CHANGE, topic=BOARD_OBJECT.object_id), BOARD_OBJECT),
    ],
    ids=["another board", "a topic as board", "a board as topic", "named a board as topic"],
)
def test_c13_objects_belong_where_they_say(change, container):
    assert refused(change, container=container) == "C13"


def test_c13_whoever_sends_knows_where_it_goes():
    check_container_is_here(TOPIC, BOARD_OBJECT)
    check_container_is_here(BOARD, None)
    for container in (None, replace(BOARD_OBJECT, retracted_by=AMINA.member_pk)):
        with pytest.raises(RuleError) as caught:
            check_container_is_here(TOPIC, container)
        assert caught.value.rule == "C13"


def test_c14_only_coordinators_open_topics_on_an_announce_only_board():
    content = Topic(board=CLOSED_OBJECT.object_id, title="Meeting")
    assert refused(CHEN.creates(TOPIC, content, number=9, lamport=9), container=CLOSED_OBJECT) == "C14"
    announcement = BRUNO.creates(TOPIC, content, number=9, lamport=9)
    check_change(announcement, existing=None, container=CLOSED_OBJECT)
    topic = merge([announcement], container=CLOSED_OBJECT)
    answer = CHEN.creates(REPLY, Reply(topic=topic.object_id, body="Thanks"), number=10, lamport=10)
    check_change(answer, existing=None, container=topic)


def test_c14_a_board_that_a_newer_version_closed_in_its_own_way_is_closed():
    board = merge([with_fields(BOARD_CHANGE, version=2, announce_only="mostly")])
    assert board.is_stub
    assert refused(TOPIC_CHANGE, container=board) == "C14"


@pytest.mark.parametrize(("lamport", "segment_no"), [(1, 0), (2**20, 0), (2**20 + 1, 1), (9 * 2**20, 8)])
def test_clock_values_within_the_bound_pass(lamport, segment_no):
    check_lamport(lamport, segment_no=segment_no)


@pytest.mark.parametrize(("lamport", "segment_no"), [(0, 0), (2**20 + 1, 0), (2**64 - 1, 5), (-1, 0)])
def test_c15_clock_values_out_of_bounds_are_refused(lamport, segment_no):
    with pytest.raises(RuleError) as caught:
        check_lamport(lamport, segment_no=segment_no)
    assert caught.value.rule == "C15"


def test_the_next_clock_value_is_always_one_that_passes():
    assert next_lamport(seen=0, segment_no=0) == 1
    assert next_lamport(seen=7, segment_no=0) == 8
    assert next_lamport(seen=lamport_bound(3), segment_no=3) == lamport_bound(3) == 4 * LAMPORT_PER_SEGMENT
    check_lamport(next_lamport(seen=2**64, segment_no=3), segment_no=3)


def test_unknown_types_are_neither_sent_nor_judged():
    poll = replace(TOPIC_CHANGE, envelope=replace(TOPIC_CHANGE.envelope, type="poll"))
    for existing in (None, TOPIC_OBJECT):
        with pytest.raises(UnsupportedError) as caught:
            check_change(poll, existing=existing)
        assert caught.value.code == "message.unsupported"


def test_every_rule_is_written_down_once():
    rows = re.findall(r"^(C\d+)  ", permissions.__doc__ or "", re.MULTILINE)
    assert rows == [f"C{number}" for number in range(1, 18)]


def test_attachments_are_typed():
    content = merge([with_fields(TOPIC_CHANGE, attachments=[FILE])], container=BOARD_OBJECT).content
    assert content.attachments == (Attachment(**FILE),)
