"""The Charter on the wire, and its place in the group."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tertulia_protocol.circle.charter import (
    Approval,
    Charter,
    Policy,
    charter_of,
    group_extensions,
    leaf_capabilities,
    refresh_extension,
    refreshed_in,
)
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import DecodeError, RuleError, UnsupportedError
from tertulia_protocol.mls.extensions import Extension
from tests.support.circle_world import LINEAGE, RELAYS, bundle_of, charter_for, found, member, relay, salt_of

FULL = replace(
    charter_for(("Ada", "Bo"), threshold=2),
    generation=7,
    rev=8,
    roster_rev=9,
    policy=Policy(
        member_refresh=1,
        history_mode=1,
        history_days=0x0203,
        anon_mode=4,
        anon_per_day=0x0506,
        retention_days=0x0708,
        max_leaves=0x090A,
        max_devices=11,
        max_stale_days=0x0C0D,
        min_client=0x0E0F,
    ),
    banned=(b"0123456789abcdef", b"fedcba9876543210"),
    approvals=(Approval(rank=2, sig=bytes(range(64))),),
)


def test_every_byte_stands_where_the_protocol_says():
    transport = FULL.transport
    relays = b""
    for (address, role), ref in zip(RELAYS, transport.relays, strict=True):
        uri = address.uri.encode()
        relays += address.relay_pk + bytes([role, len(uri)]) + uri + ref.admin_vk + ref.lobby_read_vk
    written = b"\1" + LINEAGE + bytes([0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 9])
    written += bytes([1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
    written += b"\x40\x42" + b"\1" + member("Ada").public_key + b"\2" + member("Bo").public_key + b"\2"
    written += bytes(4) + (0x4000 | len(relays)).to_bytes(2, "big") + relays
    written += (0x4000 | 1216).to_bytes(2, "big") + transport.lobby_pk + salt_of(0) + bytes(4) + b"\3"
    written += b"\x20" + b"0123456789abcdeffedcba9876543210"
    written += b"\x40\x41" + b"\2" + bytes(range(64))
    assert serialize(FULL) == written
    assert parse(Charter, written) == FULL


@pytest.mark.parametrize("length", [0, 1, 40, 60, 200, 1000, len(serialize(FULL)) - 1])
def test_what_is_cut_off_is_refused(length):
    with pytest.raises(DecodeError):
        parse(Charter, serialize(FULL)[:length])


def test_another_version_is_refused():
    with pytest.raises(UnsupportedError) as raised:
        parse(Charter, b"\2" + serialize(FULL)[1:])
    assert raised.value.code == "message.unsupported"


def test_half_a_ban_and_a_strange_address_are_refused():
    data = serialize(FULL)
    bans = b"\x20" + b"".join(FULL.banned)
    with pytest.raises(DecodeError, match="a part of a ban"):
        parse(Charter, data.replace(bans, b"\x1f" + bans[1:-1]))
    with pytest.raises(DecodeError, match="not ASCII"):
        parse(Charter, data.replace(b"https://one", b"https://\xff\xfe\xfd"))


def test_a_group_carries_its_charter():
    extensions = group_extensions(FULL)
    assert [extension.type for extension in extensions] == [3, 0xFA10]
    assert extensions[0].data == bytes.fromhex("02fa100000")
    assert charter_of(extensions) == FULL
    with pytest.raises(RuleError, match="without a Charter"):
        charter_of(extensions[:1])
    assert found(2)[1].charter == charter_for()


def test_a_leaf_lists_charter_and_refreshes():
    assert leaf_capabilities().extensions == (0xFA10, 0xFA11)
    leaf = bundle_of("Ada").key_package.leaf_node
    assert leaf.capabilities == leaf_capabilities()
    assert refreshed_in(leaf) is None
    marked = bundle_of("Ada", leaf_extensions=(refresh_extension(258),)).key_package.leaf_node
    assert marked.extensions == (Extension(0xFA11, b"\0\0\1\2"),)
    assert refreshed_in(marked) == 258
    with pytest.raises(DecodeError):
        refreshed_in(replace(marked, extensions=(Extension(0xFA11, bytes(5)),)))


def test_who_coordinates():
    assert FULL.is_coordinator(member("Bo").public_key)
    assert not FULL.is_coordinator(member("Cleo").public_key)
    assert FULL.transport.relay_pks == (relay("one").relay_pk, relay("two").relay_pk)
