"""Sizes that hide what is inside (E2, E17)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia_protocol.errors import DecodeError
from tertulia_protocol.relay_api import limits


def test_the_sizes_are_those_of_the_protocol():
    assert limits.REQUEST_SIZES == (2048, 5120, 17408, 66560, 263168)
    assert tuple(size + 1024 for size in limits.ENTRY_SIZES) == limits.REQUEST_SIZES
    assert limits.BLOB_SIZES == (4096, 16384, 65536, 262144)
    assert limits.TTL_DAYS == (7, 30, 60, 400)


@pytest.mark.parametrize(
    ("length", "size"),
    [(0, 2048), (2048, 2048), (2049, 5120), (5121, 17408), (17409, 66560), (66561, 263168), (263168, 263168)],
)
def test_a_request_takes_the_smallest_size_that_holds_it(length, size):
    assert limits.request_size(length) == size
    assert limits.response_size(length) == size


def test_a_request_above_the_largest_size_has_none():
    with pytest.raises(ValueError, match="too long"):
        limits.request_size(263169)


@pytest.mark.parametrize(("length", "size"), [(263169, 327680), (327680, 327680), (327681, 393216)])
def test_a_long_response_is_a_multiple_of_64_kib(length, size):
    assert limits.response_size(length) == size


@given(st.integers(0, 3_000_000))
def test_a_response_size_holds_and_is_stable(length):
    size = limits.response_size(length)
    assert length <= size
    assert limits.response_size(size) == size
    assert size in limits.REQUEST_SIZES or size % 65536 == 0


@given(st.integers(0, 300_000))
def test_only_the_fixed_sizes_pass(length):
    if length in limits.ENTRY_SIZES:
        limits.check_size(length, limits.ENTRY_SIZES)
        return
    with pytest.raises(DecodeError, match=str(length)):
        limits.check_size(length, limits.ENTRY_SIZES)
