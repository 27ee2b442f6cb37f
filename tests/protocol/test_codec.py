"""The presentation language: every reader and writer function, and what must be refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia_protocol.codec import MAX_VECTOR, Reader, Writer, parse, parse_padded, serialize
from tertulia_protocol.errors import DecodeError
from tests.support.vectors import load_vectors


@dataclass(frozen=True, slots=True)
class Sample:
    """One of everything."""

    small: int
    medium: int
    large: int
    huge: int
    tag: bytes
    text: bytes
    maybe: Sample | None
    parts: tuple[Sample, ...]

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        return cls(
            reader.u8(),
            reader.u16(),
            reader.u32(),
            reader.u64(),
            reader.raw(3),
            reader.opaque(),
            reader.optional(cls.decode),
            reader.vector(cls.decode),
        )

    def encode(self, writer: Writer) -> None:
        writer.u8(self.small)
        writer.u16(self.medium)
        writer.u32(self.large)
        writer.u64(self.huge)
        writer.fixed(self.tag, 3)
        writer.opaque(self.text)
        writer.optional(self.maybe)
        writer.vector(self.parts)


def samples(depth: int = 1) -> st.SearchStrategy[Sample]:
    inner = samples(depth - 1) if depth else None
    return st.builds(
        Sample,
        st.integers(0, 2**8 - 1),
        st.integers(0, 2**16 - 1),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**64 - 1),
        st.binary(min_size=3, max_size=3),
        st.binary(max_size=200),
        st.none() | inner if inner is not None else st.none(),
        st.lists(inner, max_size=2).map(tuple) if inner is not None else st.just(()),
    )


class Empty:
    """A value without bytes, which must never be an element of a vector."""

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        assert reader.remaining >= 0
        return cls()

    def encode(self, writer: Writer) -> None:
        assert len(writer) >= 0


def test_numbers_are_big_endian():
    writer = Writer()
    writer.u8(1)
    writer.u16(0x0203)
    writer.u32(0x04050607)
    writer.u64(0x08090A0B0C0D0E0F)
    assert writer.getvalue() == bytes(range(1, 16))
    reader = Reader(writer.getvalue())
    assert (reader.u8(), reader.u16(), reader.u32(), reader.u64()) == (1, 0x0203, 0x04050607, 0x08090A0B0C0D0E0F)
    reader.expect_end()


@pytest.mark.parametrize(("method", "bits"), [("u8", 8), ("u16", 16), ("u32", 32), ("u64", 64)])
@pytest.mark.parametrize("value", [-1, None])
def test_a_number_out_of_range_is_not_written(method, bits, value):
    writer = Writer()
    with pytest.raises(OverflowError):
        getattr(writer, method)(1 << bits if value is None else value)
    assert writer.getvalue() == b""


@pytest.mark.parametrize(("method", "length"), [("u8", 1), ("u16", 2), ("u32", 4), ("u64", 8)])
def test_a_truncated_number_is_refused_where_it_begins(method, length):
    reader = Reader(b"\xaa" + bytes(length - 1))
    reader.u8()
    with pytest.raises(DecodeError) as caught:
        getattr(reader, method)()
    assert caught.value.position == 1
    assert reader.position == 1


def test_a_fixed_value_of_another_length_is_not_written():
    writer = Writer()
    with pytest.raises(ValueError, match="3 bytes where 4 belong"):
        writer.fixed(b"abc", 4)
    assert len(writer) == 0


def test_the_working_groups_vectors_of_vector_headers():
    cases = load_vectors("deserialization")
    assert len(cases) == 14
    for case in cases:
        header = bytes.fromhex(case["vlbytes_header"])
        reader = Reader(header)
        assert reader.varint() == case["length"]
        reader.expect_end()
        writer = Writer()
        writer.varint(case["length"])
        assert writer.getvalue() == header


@pytest.mark.parametrize("text", ["4000", "403f", "80000000", "8000003f", "80000040", "80003fff"])
def test_a_length_that_is_not_minimal_is_refused(text):
    with pytest.raises(DecodeError, match="shortest form"):
        Reader(bytes.fromhex(text)).varint()


@pytest.mark.parametrize("first", [0xC0, 0xC1, 0xFF])
def test_a_length_of_eight_bytes_is_refused(first):
    with pytest.raises(DecodeError, match="8 bytes"):
        Reader(bytes([first]) + bytes(7)).varint()


@given(st.integers(0, MAX_VECTOR))
def test_a_length_reads_back(value):
    writer = Writer()
    writer.varint(value)
    reader = Reader(writer.getvalue())
    assert reader.varint() == value
    reader.expect_end()
    assert len(writer) == (1 if value < 2**6 else 2 if value < 2**14 else 4)


@pytest.mark.parametrize("value", [-1, MAX_VECTOR + 1])
def test_a_length_without_encoding_is_not_written(value):
    with pytest.raises(ValueError, match=r"."):
        Writer().varint(value)


@given(samples(2))
def test_serialize_then_parse_is_identity(sample):
    assert parse(Sample, serialize(sample)) == sample


@given(
    st.one_of(
        st.binary(max_size=120),
        samples(1)
        .map(serialize)
        .flatmap(lambda data: st.tuples(st.just(data), st.integers(0, max(0, len(data) - 1)), st.integers(0, 255)))
        .map(lambda case: case[0][: case[1]] + bytes([case[2]]) + case[0][case[1] + 1 :]),
    )
)
def test_any_bytes_parse_or_are_refused_and_nothing_else(data):
    try:
        sample = parse(Sample, data)
    except DecodeError as error:
        position = error.position
    else:
        position = len(data)
        assert serialize(sample) == data
    assert position is not None
    assert 0 <= position <= len(data)


@given(samples(1), st.integers(1, 20))
def test_every_prefix_is_refused(sample, cut):
    data = serialize(sample)
    with pytest.raises(DecodeError):
        parse(Sample, data[:-cut])


def test_bytes_after_the_value_are_refused():
    with pytest.raises(DecodeError, match="1 bytes too many at byte 2"):
        parse(Pair, b"\1\2\0")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two octets."""

    first: int
    second: int

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        return cls(reader.u8(), reader.u8())

    def encode(self, writer: Writer) -> None:
        writer.u8(self.first)
        writer.u8(self.second)


def test_padding_is_zeros_and_only_zeros():
    assert parse_padded(Pair, b"\1\2\0\0\0") == Pair(1, 2)
    with pytest.raises(DecodeError) as caught:
        parse_padded(Pair, b"\1\2\0\7\0")
    assert caught.value.position == 3


def test_a_vector_ends_where_its_length_says():
    reader = Reader(bytes.fromhex("04 0102 0304 05"))
    assert reader.vector(Pair.decode) == (Pair(1, 2), Pair(3, 4))
    assert reader.position == 5
    assert Reader(b"\0").vector(Pair.decode) == ()


def test_an_element_that_crosses_the_end_of_its_vector_is_refused():
    with pytest.raises(DecodeError) as caught:
        Reader(bytes.fromhex("ff 03 0102 03 04")[1:]).vector(Pair.decode)
    assert caught.value.position == 4
    assert caught.value.code == "message.malformed"


def test_positions_inside_nested_vectors_count_from_the_start():
    def pairs(reader):
        return reader.vector(Pair.decode)

    with pytest.raises(DecodeError) as caught:
        Reader(bytes.fromhex("07 02 0102 03 0304 05")).vector(pairs)
    assert caught.value.position == 8


def test_a_vector_longer_than_the_data_is_refused():
    with pytest.raises(DecodeError, match="5 bytes wanted, 1 left"):
        Reader(b"\5\0").vector(Pair.decode)


def test_an_empty_element_does_not_loop_for_ever():
    with pytest.raises(DecodeError, match="empty"):
        Reader(b"\1\0").vector(Empty.decode)


def test_an_optional_value_is_there_or_not():
    assert Reader(b"\0").optional(Pair.decode) is None
    assert Reader(b"\1\5\6").optional(Pair.decode) == Pair(5, 6)
    writer = Writer()
    writer.optional(None)
    writer.optional(Pair(5, 6))
    assert writer.getvalue() == b"\0\1\5\6"


@pytest.mark.parametrize("presence", [2, 255])
def test_another_presence_octet_is_refused(presence):
    with pytest.raises(DecodeError, match="presence"):
        Reader(bytes([presence, 5, 6])).optional(Pair.decode)


def test_repr_shows_no_data():
    reader = Reader(b"secret")
    writer = Writer()
    writer.opaque(b"secret")
    assert "secret" not in repr(reader) + repr(writer)
    assert (repr(reader), repr(writer)) == ("Reader(position=0, length=6)", "Writer(length=7)")
