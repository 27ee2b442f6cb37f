"""Segments, positions and heads: what a relay keeps and promises (E1, E3, E27)."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError
from tertulia_protocol.relay_api.records import MAX_SEQ, HeadState, Position, SegmentClass, SegmentConfig, SignedHead
from tertulia_protocol.signing import NOBODY, Label
from tests.support.strategies import KEYS, configs, heads, positions

RELAY, APPEND, READ, ADMIN = KEYS[:4]
CONFIG = SegmentConfig(
    segment_class=SegmentClass.LOG,
    ttl_class=3,
    append_vk=APPEND.public_key,
    read_vk=READ.public_key,
    admin_vk=ADMIN.public_key,
)
SMALL_ORDER = b"\1" + bytes(31)


@given(configs)
def test_a_configuration_reads_back(config):
    data = serialize(config)
    assert len(data) == 99
    assert parse(SegmentConfig, data) == config


@given(positions)
def test_a_position_reads_back(position):
    data = serialize(position)
    assert len(data) == 40
    assert parse(Position, data) == position


@given(heads)
def test_a_head_reads_back(head):
    data = serialize(head)
    assert len(data) == 141
    assert parse(SignedHead, data) == head


def test_the_configurations_of_the_protocol_pass():
    CONFIG.check()
    replace(CONFIG, admin_vk=NOBODY).check()
    replace(CONFIG, segment_class=SegmentClass.MAILBOX, ttl_class=0).check()


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 0},
        {"version": 2},
        {"segment_class": 0},
        {"segment_class": 3},
        {"ttl_class": 4},
        {"append_vk": NOBODY},
        {"read_vk": NOBODY},
        {"append_vk": SMALL_ORDER},
        {"read_vk": SMALL_ORDER},
        {"admin_vk": SMALL_ORDER},
        {"admin_vk": b"\2" + bytes(31)},
    ],
    ids=str,
)
def test_another_configuration_is_refused(changed):
    with pytest.raises(DecodeError) as caught:
        replace(CONFIG, **changed).check()
    assert caught.value.code == "message.malformed"


def test_a_configuration_with_a_short_key_is_not_written():
    with pytest.raises(ValueError, match="31 bytes"):
        serialize(replace(CONFIG, read_vk=bytes(31)))


def test_a_segment_id_binds_relay_and_configuration():
    ids = {
        CONFIG.segment_id(RELAY.public_key),
        CONFIG.segment_id(ADMIN.public_key),
        replace(CONFIG, ttl_class=2).segment_id(RELAY.public_key),
        replace(CONFIG, admin_vk=NOBODY).segment_id(RELAY.public_key),
    }
    assert len(ids) == 4
    expected = hashlib.sha256(
        b"tl1 seg" + RELAY.public_key + b"\1\2\3" + APPEND.public_key + READ.public_key + ADMIN.public_key
    )
    assert CONFIG.segment_id(RELAY.public_key) == expected.digest()


def test_a_chain_is_rebuilt_from_the_entries_alone():
    segment_id = bytes(range(32))
    hashes = [hashlib.sha256(text).digest() for text in (b"one", b"two")]
    start = Position.start(segment_id)
    end = start.after(hashes[0]).after(hashes[1])
    first = hashlib.sha256(start.chain + bytes(7) + b"\1" + hashes[0]).digest()
    assert start == Position(0, hashlib.sha256(b"tl1 chain" + segment_id).digest())
    assert end == Position(2, hashlib.sha256(first + bytes(7) + b"\2" + hashes[1]).digest())
    assert start.after(hashes[1]).after(hashes[0]) != end


HEAD = SignedHead.make(
    relay_key=RELAY,
    segment_id=bytes(range(32)),
    position=Position(9, bytes(32)),
    state=HeadState.SEALED,
    utc_day=20_000,
)


def test_a_head_holds_for_its_relay_and_segment():
    HEAD.verify(relay_pk=RELAY.public_key, segment_id=bytes(range(32)))


@pytest.mark.parametrize(
    "changed",
    [
        {"position": Position(8, bytes(32))},
        {"position": Position(9, b"\1" + bytes(31))},
        {"state": HeadState.OPEN},
        {"utc_day": 20_001},
        {"signature": bytes(64)},
    ],
    ids=str,
)
def test_a_changed_head_does_not_hold(changed):
    with pytest.raises(AuthenticityError):
        replace(HEAD, **changed).verify(relay_pk=RELAY.public_key, segment_id=bytes(range(32)))


def test_a_head_of_another_relay_does_not_hold():
    with pytest.raises(AuthenticityError):
        HEAD.verify(relay_pk=ADMIN.public_key, segment_id=bytes(range(32)))


def test_a_head_of_another_segment_is_refused_though_its_signature_holds():
    with pytest.raises(DecodeError, match="another segment"):
        HEAD.verify(relay_pk=RELAY.public_key, segment_id=bytes(32))


def test_a_head_signed_as_something_else_does_not_hold():
    other = replace(HEAD, signature=RELAY.sign(Label.INFO, HEAD._signed()))
    with pytest.raises(AuthenticityError):
        other.verify(relay_pk=RELAY.public_key, segment_id=bytes(range(32)))


@pytest.mark.parametrize("state", [8, 128, 255])
def test_unknown_state_bits_are_refused(state):
    data = bytearray(serialize(HEAD))
    data[72] = state
    with pytest.raises(DecodeError, match="state"):
        parse(SignedHead, bytes(data))


@pytest.mark.parametrize("seq", [MAX_SEQ + 1, 2**64 - 1])
def test_a_number_that_no_log_reaches_is_refused(seq):
    """SQLite has 63 bits; an error on a reader's device would keep it from reading on for ever."""
    assert parse(Position, serialize(Position(MAX_SEQ, bytes(32)))).seq == MAX_SEQ
    with pytest.raises(DecodeError, match="no log") as raised:
        parse(Position, serialize(Position(seq, bytes(32))))
    assert raised.value.code == "message.malformed"
