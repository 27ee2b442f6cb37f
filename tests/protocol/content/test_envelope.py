"""The envelope keeps what it does not know, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia_protocol.content.build import build_create, build_edit, build_retract
from tertulia_protocol.content.cbor import encode_cbor
from tertulia_protocol.content.envelope import Envelope, Op
from tertulia_protocol.content.merge import merge
from tertulia_protocol.content.types import PROFILE, TOPIC, Attachment, Profile, Topic
from tertulia_protocol.errors import DecodeError
from tests.support.content import BOARD_CHANGE, CHEN, TOPIC_CHANGE, post

GOOD = {"t": "topic", "v": 1, "id": bytes(16), "op": "put", "f": {"title": "x"}}
plain = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=20) | st.text(max_size=20)
fields = st.dictionaries(st.text(max_size=8), plain | st.lists(plain, max_size=3), max_size=4)
envelopes = st.builds(
    Envelope,
    type=st.from_regex(r"[a-z][a-z0-9_.-]{0,31}", fullmatch=True),
    version=st.integers(1, 65535),
    object_id=st.binary(min_size=16, max_size=16),
    op=st.sampled_from(Op),
    fields=fields,
    extra=fields.map(lambda extra: {f"x{key}": value for key, value in extra.items()}),
)


@given(envelopes)
def test_decode_of_encode_is_identity_and_keeps_every_byte(envelope):
    data = envelope.encode()
    assert Envelope.decode(data) == envelope
    assert Envelope.decode(data).encode() == data


@given(st.binary(max_size=80) | fields.map(encode_cbor) | fields.map(lambda more: encode_cbor({**more, **GOOD})))
def test_any_bytes_parse_or_are_refused(data):
    try:
        envelope = Envelope.decode(data)
    except DecodeError:
        return
    assert envelope.encode() == data


def test_the_wire_form_is_that_of_the_protocol():
    envelope = Envelope(type="a", version=1, object_id=bytes(16), op=Op.PUT, fields={"n": 1})
    assert envelope.encode().hex() == "a56166a1616e016174616161760162696450" + "00" * 16 + "626f7063707574"


def test_unknown_types_versions_fields_and_keys_are_kept():
    data = encode_cbor({**GOOD, "t": "poll", "v": 7, "f": {"z": [1, {"y": b"x"}]}, "later": {"a": None}})
    envelope = Envelope.decode(data)
    assert (envelope.type, envelope.version, envelope.extra) == ("poll", 7, {"later": {"a": None}})
    assert envelope.encode() == data


@pytest.mark.parametrize(
    "changed",
    [
        {"t": ""},
        {"t": "Topic"},
        {"t": "topic\n"},
        {"t": "a" * 33},
        {"t": 1},
        {"v": 0},
        {"v": 65536},
        {"v": True},
        {"v": "1"},
        {"id": bytes(15)},
        {"id": bytes(17)},
        {"id": "a" * 16},
        {"op": "delete"},
        {"op": b"put"},
        {"f": []},
        {"f": None},
    ],
    ids=str,
)
def test_another_shape_is_refused(changed):
    with pytest.raises(DecodeError) as caught:
        Envelope.decode(encode_cbor({**GOOD, **changed}))
    assert caught.value.code == "message.malformed"


@pytest.mark.parametrize("key", GOOD)
def test_a_missing_key_is_refused(key):
    with pytest.raises(DecodeError):
        Envelope.decode(encode_cbor({name: value for name, value in GOOD.items() if name != key}))


@pytest.mark.parametrize("value", [None, 1, [], "x", b"x"])
def test_what_is_no_map_is_refused(value):
    with pytest.raises(DecodeError):
        Envelope.decode(encode_cbor(value))


def test_neither_repr_nor_errors_show_what_was_written():
    written = "the well behind the school"
    envelope = Envelope.decode(encode_cbor({**GOOD, "f": {"title": written}, "x": written}))
    content = Topic(board=bytes(16), title=written)
    assert written not in repr(envelope) + repr(content) + str(content) + repr(TOPIC_CHANGE)
    with pytest.raises(DecodeError) as caught:
        Envelope.decode(encode_cbor({**GOOD, "op": written}))
    assert written not in str(caught.value)


def test_what_is_built_reads_back_and_leaves_defaults_out():
    attachment = Attachment(name="map.pdf", type="application/pdf", size=5, sha256=bytes(32), ref=b"ref")
    content = Topic(board=bytes(16), title="x", attachments=(attachment,))
    envelope = build_create(TOPIC, content, member_pk=CHEN.member_pk, post_id=post(9))
    assert set(envelope.fields) == {"board", "title", "attachments"}
    assert Envelope.decode(envelope.encode()) == envelope
    topic = merge([TOPIC_CHANGE], container=merge([BOARD_CHANGE]))
    assert topic is not None
    edit = build_edit(TOPIC, topic, {"attachments": (attachment,), "lang": None})
    assert Envelope.decode(edit.encode()) == edit
    assert (build_retract(topic).op, dict(build_retract(topic).fields)) == (Op.RETRACT, {})


def test_a_profile_has_one_id_for_ever():
    ids = {
        build_create(PROFILE, Profile(display_name=name), member_pk=CHEN.member_pk, post_id=post(number)).object_id
        for number, name in enumerate("abc")
    }
    assert len(ids) == 1
