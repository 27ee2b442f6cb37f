"""SEAL and UNSEAL: E8 and E9."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tertulia_protocol.relay_api import requests
from tertulia_protocol.relay_api.records import HeadState
from tertulia_protocol.relay_api.requests import Op
from tertulia_protocol.relay_api.responses import Status
from tests.support.relay_world import FIRST_DAY, entry_bytes, head_of, seed, seq_of

HOP = entry_bytes("hop")


async def row(world, segment):
    return await world.storage.segment(segment.id)


async def test_a_seal_appends_seals_names_the_heir_and_fixes_the_last_day(world):
    segment = await world.created()
    response = await world.seal(segment, HOP, segment.chain(), retire_days=45)
    assert (response.status, seq_of(response)) == (Status.OK, 1)
    assert head_of(response).position == segment.chain(HOP)
    assert head_of(response).state == HeadState.SEALED
    sealed = await row(world, segment)
    assert (sealed.sealed, sealed.heir, sealed.expires_day) == (True, segment.heir_key.public_key, FIRST_DAY + 45)


async def test_a_seal_for_another_head_is_a_conflict(world, unchanged):
    segment = await world.created()
    await world.append(segment, entry_bytes("one"))
    async with unchanged():
        response = await world.seal(segment, HOP, segment.chain())
    assert response.status is Status.CONFLICT
    assert head_of(response).position.seq == 1


async def test_a_second_seal_finds_it_sealed(world, unchanged):
    segment = await world.created()
    await world.seal(segment, HOP, segment.chain())
    async with unchanged():
        response = await world.seal(segment, entry_bytes("other hop"), segment.chain(HOP))
    assert response.status is Status.SEALED


async def test_whoever_copied_the_hop_first_cannot_prevent_the_seal(world):
    """E9: the entry is there and the head has moved on; the seal still takes effect."""
    segment = await world.created()
    await world.append(segment, HOP)
    await world.append(segment, entry_bytes("after"))
    response = await world.seal(segment, HOP, segment.chain(), retire_days=40)
    assert (response.status, seq_of(response)) == (Status.DUP, 1)
    assert head_of(response).state & HeadState.SEALED
    sealed = await row(world, segment)
    assert (sealed.sealed, sealed.heir, sealed.expires_day) == (True, segment.heir_key.public_key, FIRST_DAY + 40)
    assert sealed.head == 2


async def test_a_replayed_seal_changes_nothing(world, unchanged):
    segment = await world.created()
    request = world.seal_request(segment, HOP, segment.chain())
    assert (await world.send(request)).status is Status.OK
    async with unchanged():
        assert (await world.send(request)).status is Status.DUP
    longer = await world.seal(segment, HOP, segment.chain(), retire_days=300)
    assert longer.status is Status.DUP
    assert (await row(world, segment)).expires_day == FIRST_DAY + 60


@pytest.mark.parametrize(("asked", "given"), [(0, 30), (29, 30), (31, 31), (400, 400), (65535, 400)])
async def test_a_sealed_segment_stays_at_least_30_days_and_at_most_400(world, asked, given):
    segment = await world.created(ttl_class=1)
    await world.seal(segment, HOP, segment.chain(), retire_days=asked)
    assert (await row(world, segment)).expires_day == FIRST_DAY + given


async def test_no_later_seal_moves_the_last_day_earlier(world):
    segment = await world.created()
    await world.seal(segment, HOP, segment.chain(), retire_days=200)
    await world.unseal(segment, segment.chain(HOP))
    again = entry_bytes("again")
    assert (await world.seal(segment, again, segment.chain(HOP), retire_days=30)).status is Status.OK
    assert (await row(world, segment)).expires_day == FIRST_DAY + 200
    await world.unseal(segment, segment.chain(HOP, again))
    assert (await world.seal(segment, HOP, segment.chain(), retire_days=30)).status is Status.DUP
    assert (await row(world, segment)).expires_day == FIRST_DAY + 200


async def test_an_heir_that_is_no_key_is_malformed(world, unchanged):
    segment = await world.created()
    args = requests.SealArgs(if_head=segment.chain(), heir_vk=b"\1" + bytes(31), retire_days=60)
    async with unchanged():
        response = await world.send(world.request(Op.SEAL, segment.id, args, HOP), segment.admin_key)
    assert response.status is Status.MALFORMED


async def test_a_segment_without_admin_cannot_be_sealed(world, unchanged):
    segment = await world.created("lobby", has_admin=False)
    async with unchanged():
        assert (await world.seal(segment, HOP, segment.chain())).status is Status.DENY


async def test_the_heir_opens_again_and_the_last_day_stays(world):
    segment = await world.created()
    await world.seal(segment, HOP, segment.chain())
    response = await world.unseal(segment, segment.chain(HOP))
    assert response.status is Status.OK
    assert head_of(response).state == HeadState.OPEN
    opened = await row(world, segment)
    assert (opened.sealed, opened.expires_day) == (False, FIRST_DAY + 60)
    assert (await world.append(segment, entry_bytes("repair"))).status is Status.OK


async def test_a_replayed_unseal_is_a_conflict_once_the_log_moved_on(world, unchanged):
    segment = await world.created()
    await world.seal(segment, HOP, segment.chain())
    request = world.request(Op.UNSEAL, segment.id, requests.UnsealArgs(if_head=segment.chain(HOP)))
    assert (await world.send(request, segment.heir_key)).status is Status.OK
    again = entry_bytes("again")
    await world.seal(segment, again, segment.chain(HOP))
    async with unchanged():
        response = await world.send(request, segment.heir_key)
    assert response.status is Status.CONFLICT
    assert head_of(response).state & HeadState.SEALED


async def test_only_the_heir_opens_again(world, unchanged):
    segment = await world.created()
    await world.seal(segment, HOP, segment.chain())
    async with unchanged():
        for key in (segment.admin_key, segment.append_key, segment.read_key):
            assert (await world.unseal(segment, segment.chain(HOP), key)).status is Status.DENY


async def test_before_the_first_seal_there_is_no_heir(world, unchanged):
    segment = await world.created()
    async with unchanged():
        assert (await world.unseal(segment, segment.chain())).status is Status.DENY


async def test_an_heir_who_was_replaced_while_waiting_for_the_writer_is_denied(world, unchanged):
    segment = await world.created()
    await world.seal(segment, HOP, segment.chain())
    old = await row(world, segment)
    await world.unseal(segment, segment.chain(HOP))
    again = entry_bytes("again")
    args = requests.SealArgs(if_head=segment.chain(HOP), heir_vk=seed("new heir").public_key, retire_days=60)
    await world.send(world.request(Op.SEAL, segment.id, args, again), segment.admin_key)
    honest = world.storage.segment

    async def late(_segment_id):
        return replace(old)

    world.storage.segment = late
    async with unchanged():
        assert (await world.unseal(segment, segment.chain(HOP, again))).status is Status.DENY
    world.storage.segment = honest
