from __future__ import annotations

from dataclasses import replace

import pytest

from tertulia_protocol.circle import history
from tertulia_protocol.circle.charter import HistoryMode
from tertulia_protocol.circle.history import (
    FORWARDED_TYPES,
    ForwardedPost,
    HistoryPack,
    HistoryRange,
    build_pack,
    process_pack,
)
from tertulia_protocol.circle.payload import Payload, PayloadType
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.content.build import build_create
from tertulia_protocol.content.types import BOARD, PROFILE, TOPIC, Board, Profile, Topic
from tertulia_protocol.errors import DecodeError, InvalidMessageError, RuleError, UnsupportedError, UsageError
from tertulia_protocol.relay_api.records import Position
from tests.support.mls import NOW

LINEAGE = b"l" * 32
HERE = (2, 10)
ALL = HistoryRange(HistoryMode.ALL)
MINUTE = NOW // 60
DAY_MINUTES = 24 * 60


def post(segment_no: int, seq: int, **changes) -> ForwardedPost:
    values = {
        "type": PayloadType.POST,
        "post_id": bytes([segment_no, seq]) * 8,
        "author_seq": 1,
        "lamport": 1,
        "prev": bytes(32),
        "seen_segment": 0,
        "seen": Position(0, bytes(32)),
        "minute": MINUTE,
        "share": True,
        "body": b"words",
    }
    return ForwardedPost(
        member_pk=b"m" * 32,
        device_id=b"d" * 8,
        by_coordinator=seq == 1,
        segment_no=segment_no,
        seq=seq,
        payload=Payload(**(values | changes)),
    )


POSTS = (post(0, 1), post(0, 200), post(1, 1), post(2, 9))


def pack_of(*posts: ForwardedPost, **changes) -> bytes:
    """Return a pack with whatever one likes."""
    return serialize(replace(HistoryPack(lineage_id=LINEAGE, range=ALL, posts=posts), **changes))


def build(*posts: ForwardedPost, chosen: HistoryRange = ALL) -> bytes:
    return build_pack(posts, chosen=chosen, lineage_id=LINEAGE, now=NOW, before=HERE)


def process(data: bytes) -> HistoryPack:
    return process_pack(data, lineage_id=LINEAGE, before=HERE)


def refuse(error: type[InvalidMessageError], data: bytes, rule: str | None = None) -> None:
    with pytest.raises(error) as raised:
        process(data)
    assert type(raised.value) is error
    assert raised.value.code == error.code
    if rule is not None:
        assert isinstance(raised.value, RuleError)
        assert raised.value.rule == rule


def test_a_pack_is_in_the_order_of_the_log():
    pack = process(build(POSTS[2], POSTS[0], POSTS[3], POSTS[1]))
    assert pack.posts == POSTS
    assert [each.by_coordinator for each in pack.posts] == [True, False, True, False]
    assert pack.range == ALL


def test_the_payloads_are_those_that_were_sent():
    payload = serialize(POSTS[0].payload)
    data = build(POSTS[0])
    assert payload in data
    assert serialize(process(data).posts[0].payload) == payload


def test_only_what_is_for_newcomers_is_given():
    hidden = post(0, 2, share=False)
    hello = post(0, 3, type=PayloadType.HELLO)
    unknown = post(0, 4, type=99)
    later = post(*HERE)
    assert process(build(POSTS[0], hidden, hello, unknown, later)).posts == POSTS[:1]
    assert {PayloadType.LIFEBOAT, PayloadType.COORD_SECRET, PayloadType.REQUEST}.isdisjoint(FORWARDED_TYPES)


def test_the_choices():
    old, new = post(0, 1, minute=MINUTE - 7 * DAY_MINUTES - 1), post(0, 2, minute=MINUTE - 7 * DAY_MINUTES)
    assert process(build(old, new, chosen=HistoryRange(HistoryMode.NONE))).posts == ()
    assert process(build(old, new, chosen=HistoryRange(HistoryMode.DAYS, 7))).posts == (new,)
    assert process(build(old, new)).posts == (old, new)


def says(content, kind, **changes) -> bytes:
    envelope = build_create(kind, content, member_pk=b"m" * 32, post_id=bytes(16))
    return replace(envelope, **changes).encode()


@pytest.mark.parametrize("chosen", [HistoryRange(HistoryMode.NONE), HistoryRange(HistoryMode.DAYS, 7)])
def test_names_and_boards_are_given_whatever_was_chosen(chosen: HistoryRange):
    """Without them a newcomer could not even open a topic; what was said stays with those who were there."""
    old = {"minute": MINUTE - 30 * DAY_MINUTES}
    board = post(0, 1, body=says(Board(name="Plans"), BOARD), **old)
    profile = post(0, 2, body=says(Profile(display_name="Ada"), PROFILE), **old)
    topic = post(0, 3, body=says(Topic(board=bytes(16), title="When?"), TOPIC), **old)
    unknown = post(0, 4, body=says(Board(name="Plans"), BOARD, type="newer"), **old)
    hidden = post(0, 5, body=board.payload.body, share=False, **old)
    request = post(0, 6, body=board.payload.body, type=PayloadType.REACTION, **old)
    later = post(*HERE, body=board.payload.body, **old)
    given = build(board, profile, topic, unknown, hidden, request, later, post(0, 7, **old), chosen=chosen)
    assert process(given).posts == (board, profile)


def test_more_days_than_there_were_are_all():
    assert HistoryRange(HistoryMode.DAYS, 65535).first_minute(NOW) == 0


def test_a_range_has_one_form():
    for chosen in (ALL, HistoryRange(HistoryMode.NONE), HistoryRange(HistoryMode.DAYS, 30)):
        assert parse(HistoryRange, serialize(chosen)) == chosen
    for data in (b"\x03\0\0", b"\x00\0\1", b"\x01\0\0", b"\x02\0\1"):
        with pytest.raises(DecodeError):
            parse(HistoryRange, data)


def test_a_pack_too_long_to_take_is_not_made(monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(history, "MAX_POSTS", 3)
        with pytest.raises(UsageError):
            build(*POSTS)
    monkeypatch.setattr(history, "MAX_BYTES", len(build(*POSTS)) - 1)
    with pytest.raises(UsageError):
        build(*POSTS)


def test_words_do_not_show():
    assert "words" not in repr(POSTS[0])
    assert "words" not in repr(process(build(*POSTS)))


# --- what is refused -----------------------------------------------------------------------------------------------


def test_a_pack_of_another_version_is_refused():
    refuse(UnsupportedError, pack_of(*POSTS, version=2))


def test_a_pack_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch):
    data = pack_of(*POSTS)
    monkeypatch.setattr(history, "MAX_BYTES", len(data) - 1)
    refuse(DecodeError, data)


def test_a_pack_of_too_many_posts_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(history, "MAX_POSTS", 3)
    refuse(RuleError, pack_of(*POSTS), "history.count")


def test_a_pack_of_another_circle_is_refused():
    refuse(RuleError, pack_of(*POSTS, lineage_id=b"o" * 32), "history.lineage")


@pytest.mark.parametrize("order", [(1, 0), (0, 0), (0, 2, 1), (3, 0)])
def test_a_pack_out_of_order_is_refused(order: tuple[int, ...]):
    refuse(RuleError, pack_of(*(POSTS[index] for index in order)), "history.order")


@pytest.mark.parametrize("place", [HERE, (2, 11), (3, 1)])
def test_a_pack_that_reaches_into_the_present_is_refused(place: tuple[int, int]):
    refuse(RuleError, pack_of(POSTS[0], post(*place)), "history.end")


def test_a_pack_with_more_than_posts_is_refused():
    refuse(RuleError, pack_of(POSTS[0], post(0, 2, type=PayloadType.LIFEBOAT)), "history.types")


def test_a_pack_with_what_is_not_for_newcomers_is_refused():
    refuse(RuleError, pack_of(POSTS[0], post(0, 2, share=False)), "history.share")


def test_a_pack_with_a_post_twice_is_refused():
    again = replace(post(0, 2), payload=post(0, 1, body=b"other words").payload)
    refuse(RuleError, pack_of(POSTS[0], again), "history.twice")


@pytest.mark.parametrize("lamport", [0, 1 << 63])
def test_a_pack_with_a_time_from_far_ahead_is_refused(lamport: int):
    refuse(RuleError, pack_of(POSTS[0], post(0, 2, lamport=lamport)), "C15")


def test_yes_or_no_is_0_or_1():
    data = bytearray(serialize(POSTS[0]))
    assert data[40] == 1
    data[40] = 2
    with pytest.raises(DecodeError, match="yes or no"):
        parse(ForwardedPost, bytes(data))


def test_a_pack_that_is_cut_off_or_padded_is_refused():
    data = pack_of(*POSTS)
    refuse(DecodeError, data[:-1])
    refuse(DecodeError, data + b"\0")
