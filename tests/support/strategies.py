"""Hypothesis strategies for the structs that client and relay share."""

from __future__ import annotations

from hypothesis import strategies as st

from tertulia_protocol.relay_api.records import MAX_SEQ, HeadState, Position, SegmentConfig, SignedHead
from tertulia_protocol.signing import SigningSeed

u8 = st.integers(0, 2**8 - 1)
u16 = st.integers(0, 2**16 - 1)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)


def fixed(length: int) -> st.SearchStrategy[bytes]:
    """Any ``length`` bytes."""
    return st.binary(min_size=length, max_size=length)


KEYS = tuple(SigningSeed(bytes([number]) * 32) for number in range(1, 9))
"""A few keys made once: Ed25519 key generation is the slow part of a small test."""

public_keys = st.sampled_from([key.public_key for key in KEYS])
positions = st.builds(Position, st.integers(0, MAX_SEQ), fixed(32))
configs = st.builds(
    SegmentConfig,
    version=u8,
    segment_class=u8,
    ttl_class=u8,
    append_vk=fixed(32),
    read_vk=fixed(32),
    admin_vk=fixed(32),
)
heads = st.builds(
    SignedHead,
    segment_id=fixed(32),
    position=positions,
    state=st.integers(0, 7).map(HeadState),
    utc_day=u32,
    signature=fixed(64),
)
