"""Deterministic CBOR: one encoding per value, and nothing but plain values."""

from __future__ import annotations

import time

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tertulia_protocol.content.cbor import MAX_DEPTH, MAX_LENGTH, decode_cbor, encode_cbor
from tertulia_protocol.errors import DecodeError

plain = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=20) | st.text(max_size=20)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=30), inner, max_size=4),
    max_leaves=8,
)


def depth(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((depth(item) for item in inner), default=0) if isinstance(value, dict | list) else 0


@given(values.filter(lambda value: depth(value) <= MAX_DEPTH))
def test_values_read_back(value):
    data = encode_cbor(value)
    assert decode_cbor(data) == value
    assert encode_cbor(decode_cbor(data)) == data


@given(st.binary(max_size=60) | values.map(lambda value: cbor2.dumps(value, canonical=False)))
@example(b"")
def test_any_bytes_parse_or_are_refused(data):
    try:
        value = decode_cbor(data)
    except DecodeError as error:
        code = error.code
    else:
        code = "message.malformed"
        assert encode_cbor(value) == data
    assert code == "message.malformed"


@given(st.dictionaries(st.text(max_size=40), st.integers(0, 9), max_size=8))
def test_keys_stand_in_the_bytewise_order_of_rfc_8949(value):
    keys = [cbor2.dumps(key) for key in cbor2.loads(encode_cbor(value))]
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nothing", ""),
        ("trailing byte", "0000"),
        ("integer not shortest", "1801"),
        ("integer not shortest, 8 bytes", "1b0000000000000001"),
        ("length not shortest", "580161"),
        ("keys out of order", "a2616200616100"),
        ("long key before short", "a262616100616200"),
        ("key twice", "a2616100616101"),
        ("key is a number", "a10000"),
        ("key is bytes", "a1416100"),
        ("key is null", "a1f600"),
        ("nested key is a number", "81a10000"),
        ("indefinite array", "9f00ff"),
        ("indefinite map", "bf616100ff"),
        ("indefinite text", "7f6161ff"),
        ("indefinite bytes", "5f4161ff"),
        ("break alone", "ff"),
        ("reserved head", "1c"),
        ("half float", "f93c00"),
        ("double that is canonical", "fb3ff199999999999a"),
        ("NaN", "f97e00"),
        ("undefined", "f7"),
        ("simple 32", "f820"),
        ("simple 255", "f8ff"),
        ("date", "c11a00000000"),
        ("big number", "c249010000000000000000"),
        ("shared reference to itself", "d81c81d81d00"),
        ("string reference", "d90100836161d81900"),
        ("unknown tag", "d9d9f700"),
        ("text that is not UTF-8", "61ff"),
        ("surrogate", "63eda080"),
        ("array cut", "8200"),
        ("array of 2^64 - 1", "9bffffffffffffffff"),
        ("bytes of 2^64 - 1", "5bffffffffffffffff"),
        ("map cut", "a16161"),
    ],
    ids=lambda item: item if " " in item or not item else None,
)
def test_another_encoding_is_refused(name, text):
    with pytest.raises(DecodeError):
        decode_cbor(bytes.fromhex(text))
    assert name


def test_a_chain_of_references_is_refused_before_it_grows():
    # Each array refers ten times to the one before: 10^7 items out of 200 bytes, were references followed.
    bomb = b"\xd8\x1c\x80"
    for index in range(7):
        bomb = b"\xd8\x1c\x8a" + bomb + (b"\xd8\x1d" + bytes([6 - index])) * 9
    start = time.process_time()
    with pytest.raises(DecodeError, match="does not have"):
        decode_cbor(bomb)
    assert time.process_time() - start < 0.5


def test_depth_and_length_have_limits():
    assert decode_cbor(b"\x81" * MAX_DEPTH + b"\0") is not None
    with pytest.raises(DecodeError):
        decode_cbor(b"\x81" * (MAX_DEPTH + 1) + b"\0")
    assert decode_cbor(encode_cbor(bytes(MAX_LENGTH - 5))) == bytes(MAX_LENGTH - 5)
    with pytest.raises(DecodeError, match="bytes of content"):
        decode_cbor(b"\x5a" + (MAX_LENGTH - 4).to_bytes(4, "big") + bytes(MAX_LENGTH - 4))


@pytest.mark.parametrize(
    "value",
    [1.5, {1: 2}, {b"a": 1}, 2**64, -(2**64) - 1, {1, 2}, object(), "\ud800", bytes(MAX_LENGTH), [[[[[[[[[0]]]]]]]]]],
    ids=lambda value: type(value).__name__,
)
def test_a_value_without_encoding_is_not_written(value):
    with pytest.raises(ValueError, match="no encoding"):
        encode_cbor(value)


@pytest.mark.parametrize("value", [-(2**63) - 1, -(2**64)])
@pytest.mark.parametrize("around", [lambda value: value, lambda value: [value], lambda value: {"a": [{"b": value}]}])
def test_an_integer_that_nothing_can_keep_is_refused(value, around):
    with pytest.raises(DecodeError, match="64 bits") as raised:
        decode_cbor(cbor2.dumps(around(value), canonical=True))
    assert raised.value.code == "message.malformed"
    with pytest.raises(ValueError, match="no encoding"):
        encode_cbor(around(value))
