from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from tertulia_protocol.circle.payload import (
    AuthorState,
    Evidence,
    Gap,
    Payload,
    PayloadType,
    build_payload,
    compare,
    payload_hash,
)
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import DecodeError, UnsupportedError
from tertulia_protocol.relay_api.records import Position
from tests.support.rebuild import rebuild


def say(state: AuthorState, body: bytes = b"hello") -> tuple[Payload, AuthorState]:
    return build_payload(
        state,
        type=PayloadType.POST,
        post_id=hashlib.sha256(body).digest()[:16],
        lamport=5,
        seen_segment=2,
        seen=Position(9, b"c" * 32),
        now=1_800_000_059,
        share=True,
        body=body,
    )


FIRST, AFTER_FIRST = say(AuthorState())
SECOND, AFTER_SECOND = say(AFTER_FIRST, b"again")
THIRD, _ = say(AFTER_SECOND, b"and again")


def test_a_payload_keeps_its_bytes():
    data = serialize(rebuild(FIRST))
    assert parse(Payload, data) == FIRST
    assert FIRST.minute == 30_000_000
    assert len(data) == 1 + 1 + 16 + 8 + 8 + 32 + 4 + 40 + 4 + 1 + 1 + len(b"hello")
    assert data[:2] == b"\x01\x01"


def test_payloads_of_an_author_are_a_chain():
    assert (FIRST.author_seq, SECOND.author_seq, THIRD.author_seq) == (1, 2, 3)
    assert FIRST.prev == bytes(32)
    assert SECOND.prev == hashlib.sha256(serialize(FIRST)).digest() == payload_hash(serialize(FIRST))
    assert THIRD.prev == AFTER_SECOND.last_hash


def test_unknown_types_are_kept():
    assert parse(Payload, serialize(replace(FIRST, type=200))).type == 200


def test_the_numbers_of_types_stay():
    assert [kind.value for kind in PayloadType] == list(range(1, 18))
    assert PayloadType.COORD_SECRET == 8


def test_another_version_is_for_newer_programs():
    data = b"\x02" + serialize(FIRST)[1:]
    with pytest.raises(UnsupportedError) as raised:
        parse(Payload, data)
    assert raised.value.code == "message.unsupported"


@pytest.mark.parametrize(
    "changes", [{"author_seq": 0}, {"author_seq": 2}, {"prev": b"p" * 32}, {"author_seq": 0, "prev": b"p" * 32}]
)
def test_a_place_in_the_chain_that_makes_no_sense_is_refused(changes):
    with pytest.raises(DecodeError, match="chain") as raised:
        parse(Payload, serialize(replace(FIRST, **changes)))
    assert raised.value.code == "message.malformed"


def test_yes_or_no_is_0_or_1():
    data = serialize(FIRST)
    place = len(data) - len(b"hello") - 2
    assert data[place] == 1
    with pytest.raises(DecodeError, match="yes or no"):
        parse(Payload, data[:place] + b"\x02" + data[place + 1 :])


def test_what_a_reader_learns_of_gaps():
    assert compare(None, THIRD) == Evidence(Gap.BASELINE)
    assert compare(AuthorState(), FIRST) == Evidence(Gap.NONE)
    assert compare(AFTER_FIRST, SECOND) == Evidence(Gap.NONE)
    assert compare(AFTER_FIRST, THIRD) == Evidence(Gap.MISSING, 1)
    assert compare(AuthorState(), THIRD) == Evidence(Gap.MISSING, 2)
    assert compare(AFTER_SECOND, FIRST) == Evidence(Gap.OLD)
    assert compare(AFTER_SECOND, SECOND) == Evidence(Gap.OLD)


def test_two_payloads_in_one_place_are_seen():
    other, _ = say(AFTER_FIRST, b"something else")
    assert other.author_seq == SECOND.author_seq
    assert compare(AFTER_SECOND, other) == Evidence(Gap.FORKED)
    follows, _ = say(AuthorState(2, b"x" * 32), b"on another branch")
    assert compare(AFTER_SECOND, follows) == Evidence(Gap.FORKED)


def test_the_state_of_an_author_only_goes_on():
    assert AuthorState().next(THIRD).author_seq == 3
    assert AFTER_SECOND.next(FIRST) is AFTER_SECOND
    assert AFTER_FIRST.next(SECOND) == AFTER_SECOND


def test_a_body_does_not_show():
    assert "hello" not in repr(FIRST)
