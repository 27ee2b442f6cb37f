"""The TLS presentation language as RFC 9420 section 2.1 uses it: fixed-size integers, opaque bytes, ``<V>`` vectors.

A struct is a class with ``decode(cls, reader)`` and ``encode(self, writer)``. Reading raises :class:`DecodeError`
with the position, whatever the bytes are (structs of MLS also raise ``UnsupportedError`` where an unknown type makes
the rest unreadable, and ``RuleError`` for a list that must not be); a value has exactly one encoding, so
``serialize(parse(T, data)) == data`` for all data that :func:`parse` accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, Self, TypeVar

from tertulia_protocol.errors import DecodeError

MAX_VECTOR = (1 << 30) - 1
"""The longest ``<V>`` vector in bytes (RFC 9420 section 2.1.2: the 8-byte form is forbidden)."""


class Struct(Protocol):
    """Something with a wire form."""

    @classmethod
    def decode(cls, reader: Reader, /) -> Self:
        """Read one value. :raises DecodeError: the bytes are not one."""
        ...

    def encode(self, writer: Writer, /) -> None:
        """Append the wire form."""
        ...


S = TypeVar("S", bound=Struct)
T = TypeVar("T")


class Reader:
    """Reads values from the front of a byte string, never past its end."""

    __slots__ = ("_data", "_end", "position")

    def __init__(self, data: bytes) -> None:
        """:param data: the bytes to read, any length."""
        self._data = data
        self._end = len(data)
        self.position = 0

    def __repr__(self) -> str:
        return f"Reader(position={self.position}, length={self._end})"

    @property
    def remaining(self) -> int:
        """Return how many bytes are left."""
        return self._end - self.position

    def raw(self, length: int) -> bytes:
        """Read exactly ``length`` bytes. :raises DecodeError: fewer are left."""
        start = self.position
        self._skip(length)
        return self._data[start : self.position]

    def since(self, start: int) -> bytes:
        """Return the bytes that were read since ``position`` was ``start``."""
        return self._data[start : self.position]

    def _skip(self, length: int) -> None:
        if length > self._end - self.position:
            raise DecodeError(f"{length} bytes wanted, {self._end - self.position} left", position=self.position)
        self.position += length

    def u8(self) -> int:
        """Read a uint8. :raises DecodeError: at the end."""
        return self.raw(1)[0]

    def u16(self) -> int:
        """Read a uint16, big endian. :raises DecodeError: fewer than 2 bytes are left."""
        return int.from_bytes(self.raw(2), "big")

    def u32(self) -> int:
        """Read a uint32, big endian. :raises DecodeError: fewer than 4 bytes are left."""
        return int.from_bytes(self.raw(4), "big")

    def u64(self) -> int:
        """Read a uint64, big endian. :raises DecodeError: fewer than 8 bytes are left."""
        return int.from_bytes(self.raw(8), "big")

    def varint(self) -> int:
        """Read a variable-size length (RFC 9420 section 2.1.2). :raises DecodeError: truncated, or not minimal."""
        start = self.position
        first = self.u8()
        if first < 0x40:
            return first
        if first < 0x80:
            value = (first & 0x3F) << 8 | self.u8()
            if value < 0x40:
                raise DecodeError("a length is not in its shortest form", position=start)
            return value
        if first < 0xC0:
            value = (first & 0x3F) << 24 | int.from_bytes(self.raw(3), "big")
            if value < 0x4000:
                raise DecodeError("a length is not in its shortest form", position=start)
            return value
        raise DecodeError("a length of 8 bytes is not allowed", position=start)

    def opaque(self) -> bytes:
        """Read ``opaque<V>``. :raises DecodeError: truncated."""
        return self.raw(self.varint())

    def vector(self, decode: Callable[[Reader], T]) -> tuple[T, ...]:
        """Read ``T<V>``; ``decode`` reads one element. :raises DecodeError: an element crosses the vector's end."""
        inner = self._sub(self.varint())
        items: list[T] = []
        while inner.remaining:
            before = inner.position
            items.append(decode(inner))
            if inner.position == before:
                raise DecodeError("an element of a vector is empty", position=before)
        return tuple(items)

    def _sub(self, length: int) -> Reader:
        """Skip ``length`` bytes and return a reader of them alone; positions keep counting from this reader's start."""
        start = self.position
        self._skip(length)
        inner = Reader(self._data)
        inner.position, inner._end = start, self.position
        return inner

    def optional(self, decode: Callable[[Reader], T]) -> T | None:
        """Read ``optional<T>``. :raises DecodeError: the presence octet is neither 0 nor 1, or the value is bad."""
        start = self.position
        presence = self.u8()
        if presence == 0:
            return None
        if presence == 1:
            return decode(self)
        raise DecodeError(f"a presence octet is {presence}", position=start)

    def expect_end(self) -> None:
        """Check that nothing is left. :raises DecodeError: something is."""
        if self.position != self._end:
            raise DecodeError(f"{self._end - self.position} bytes too many", position=self.position)

    def expect_zeros(self) -> None:
        """Check that only zero bytes are left and read them. :raises DecodeError: another byte is among them."""
        rest = self.raw(self.remaining)
        if rest.strip(b"\0"):
            raise DecodeError("the padding is not zero", position=self._end - len(rest.lstrip(b"\0")))


class Writer:
    """Appends wire forms to a growing byte string."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def __repr__(self) -> str:
        return f"Writer(length={len(self._data)})"

    def __len__(self) -> int:
        return len(self._data)

    def getvalue(self) -> bytes:
        """Return everything written so far."""
        return bytes(self._data)

    def raw(self, data: bytes) -> None:
        """Append bytes as they are."""
        self._data += data

    def fixed(self, data: bytes, length: int) -> None:
        """Append ``opaque[length]``. :raises ValueError: ``data`` has another length."""
        if len(data) != length:
            raise ValueError(f"{len(data)} bytes where {length} belong")
        self._data += data

    def u8(self, value: int) -> None:
        """Append a uint8. :raises OverflowError: out of range."""
        self._data += value.to_bytes(1, "big")

    def u16(self, value: int) -> None:
        """Append a uint16, big endian. :raises OverflowError: out of range."""
        self._data += value.to_bytes(2, "big")

    def u32(self, value: int) -> None:
        """Append a uint32, big endian. :raises OverflowError: out of range."""
        self._data += value.to_bytes(4, "big")

    def u64(self, value: int) -> None:
        """Append a uint64, big endian. :raises OverflowError: out of range."""
        self._data += value.to_bytes(8, "big")

    def varint(self, value: int) -> None:
        """Append a length in its shortest form (RFC 9420 section 2.1.2). :raises ValueError: above ``MAX_VECTOR``."""
        if value < 0x40:
            self._data.append(value)
        elif value < 0x4000:
            self._data += (value | 0x4000).to_bytes(2, "big")
        elif value <= MAX_VECTOR:
            self._data += (value | 0x80000000).to_bytes(4, "big")
        else:
            raise ValueError(f"a vector of {value} bytes has no encoding")

    def opaque(self, data: bytes) -> None:
        """Append ``opaque<V>``."""
        self.varint(len(data))
        self._data += data

    def vector(self, items: Iterable[Struct]) -> None:
        """Append ``T<V>``."""
        inner = Writer()
        for item in items:
            item.encode(inner)
        self.varint(len(inner._data))
        self._data += inner._data

    def optional(self, item: Struct | None) -> None:
        """Append ``optional<T>``."""
        if item is None:
            self.u8(0)
        else:
            self.u8(1)
            item.encode(self)


def opaque_size(length: int) -> int:
    """Return how many bytes ``opaque<V>`` of ``length`` bytes takes."""
    return length + (1 if length < 0x40 else 2 if length < 0x4000 else 4)


class CachedEncoding:
    """The base of a frozen struct whose wire form is needed again and again: hashed, signed or sent on.

    A value has exactly one encoding, so the bytes that it was read from stand for it. A subclass defines
    ``encode_fields`` and ends its ``decode`` with :meth:`with_encoding`.
    """

    __slots__ = ("_encoding",)
    _encoding: bytes

    def encode_fields(self, writer: Writer, /) -> None:
        """Append the wire form, field by field."""
        raise NotImplementedError

    def with_encoding(self, encoding: bytes) -> Self:
        """Remember the wire form, which the caller knows to be this value's, and return the value."""
        object.__setattr__(self, "_encoding", encoding)
        return self

    @property
    def encoding(self) -> bytes:
        """Return the wire form."""
        try:
            return self._encoding
        except AttributeError:
            writer = Writer()
            self.encode_fields(writer)
            self.with_encoding(writer.getvalue())
            return self._encoding

    def encode(self, writer: Writer, /) -> None:
        """Append the wire form."""
        writer.raw(self.encoding)


def parse(kind: type[S], data: bytes) -> S:
    """Read exactly one ``kind`` from ``data``. :raises DecodeError: malformed, or bytes follow it."""
    reader = Reader(data)
    value = kind.decode(reader)
    reader.expect_end()
    return value


def parse_padded(kind: type[S], data: bytes) -> S:
    """Read one ``kind`` followed by zero bytes only. :raises DecodeError: malformed, or another byte follows it."""
    reader = Reader(data)
    value = kind.decode(reader)
    reader.expect_zeros()
    return value


def serialize(value: Struct) -> bytes:
    """Return the wire form of ``value``."""
    if isinstance(value, CachedEncoding):
        return value.encoding
    writer = Writer()
    value.encode(writer)
    return writer.getvalue()
