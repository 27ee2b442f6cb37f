"""Deterministic CBOR (RFC 8949 section 4.2.1): one encoding per value, a closed set of values.

Values are null, booleans, integers of up to 64 bits, byte strings, text, arrays and maps with text keys. There are no
tags, because shared references can make a few hundred bytes expand without end; no floats, because several encodings
of equal numbers exist; nothing of indefinite length. For text keys alone the key order of the older rule that cbor2
follows (shorter first) and the bytewise order of RFC 8949 are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

import cbor2

from tertulia_protocol.errors import DecodeError

Value: TypeAlias = "bool | int | bytes | str | Sequence[Value] | Mapping[str, Value] | None"

MAX_LENGTH = 192 * 1024
"""The longest encoding in bytes: with everything around it, it still fits into the largest entry of a log."""

MAX_DEPTH = 8
"""How deep arrays and maps may be nested."""

LEAST_INTEGER = -(1 << 63)
"""The least integer: CBOR has negative ones of 65 bits, which no database and no other format can hold."""

_TAG, _SIMPLE = 6, 7
_FALSE_TRUE_NULL = (20, 21, 22)


def encode_cbor(value: Value) -> bytes:
    """Return the one encoding of ``value``. :raises ValueError: longer than ``MAX_LENGTH``, or a value has none."""
    try:
        data = cbor2.dumps(value, canonical=True)
        decode_cbor(data)
    except (cbor2.CBOREncodeError, UnicodeEncodeError, DecodeError) as error:
        raise ValueError("this value has no encoding") from error
    return data


def decode_cbor(data: bytes) -> Value:
    """Read exactly one value. :raises DecodeError: malformed, not in its one encoding, too long or too deep."""
    check_length(data)
    check_heads(data)
    try:
        value = cast(
            "Value",
            cbor2.loads(
                data,
                max_depth=MAX_DEPTH,
                allow_indefinite=False,
                allow_duplicate_keys=False,
                strict_hashable_types=True,
            ),
        )
    except cbor2.CBORDecodeError as error:
        raise DecodeError("not CBOR") from error
    check_keys(value)
    check_numbers(value)
    check_deterministic(data, value)
    return value


def check_length(data: bytes) -> None:
    """Check the length before anything is read. :raises DecodeError: above ``MAX_LENGTH``."""
    if len(data) > MAX_LENGTH:
        raise DecodeError(f"{len(data)} bytes of content")


def check_heads(data: bytes) -> None:
    """Look at every item's head before a value is made of it; items follow each other, so one flat pass sees all.

    :raises DecodeError: a tag, a float, ``undefined``, another simple value, or an indefinite length.
    """
    position = 0
    while position < len(data):
        major, info = data[position] >> 5, data[position] & 31
        if major == _TAG or (major == _SIMPLE and info not in _FALSE_TRUE_NULL) or info > 27:
            raise DecodeError("a value that content does not have", position=position)
        position += 1
        width = 0 if info < 24 else 1 << (info - 24)
        if major in (2, 3):
            position += int.from_bytes(data[position : position + width], "big") if width else info
        position += width


def check_keys(value: Value) -> None:
    """Check that all keys of all maps are text. :raises DecodeError: one is not."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise DecodeError("a key is not text")
        for item in value.values():
            check_keys(item)
    elif isinstance(value, list):
        for item in value:
            check_keys(item)


def check_numbers(value: Value) -> None:
    """Check that no integer is below ``LEAST_INTEGER``. :raises DecodeError: one is."""
    if isinstance(value, dict):
        for item in value.values():
            check_numbers(item)
    elif isinstance(value, list):
        for item in value:
            check_numbers(item)
    elif isinstance(value, int) and value < LEAST_INTEGER:
        raise DecodeError("a number of more than 64 bits")


def check_deterministic(data: bytes, value: Value) -> None:
    """Check that ``data`` is the one encoding of ``value``: order, shortest integers, nothing after it.

    :raises DecodeError: it is another.
    """
    if cbor2.dumps(value, canonical=True) != data:
        raise DecodeError("not in the one encoding")
