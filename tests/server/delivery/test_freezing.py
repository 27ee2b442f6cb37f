"""FREEZE: E10."""

from __future__ import annotations

import asyncio

from tertulia_protocol.relay_api.records import HeadState
from tertulia_protocol.relay_api.responses import Status
from tertulia_relay.delivery.settings import Settings
from tests.support.relay_world import RelayWorld, entry_bytes, head_of, retry_after


async def frozen(world, segment):
    return (await world.storage.segment(segment.id)).frozen


async def settle(world, segment):
    """Return once every write that is queued now is committed."""
    await world.create(segment)


async def test_a_freeze_keeps_members_out_and_the_admin_in(world, unchanged):
    segment = await world.created()
    response = await world.freeze(segment)
    assert response.status is Status.OK
    assert head_of(response).state == HeadState.FROZEN
    assert await frozen(world, segment) > 0
    async with unchanged():
        response = await world.append(segment, entry_bytes("member"))
    assert response.status is Status.FROZEN
    assert head_of(response).state == HeadState.FROZEN
    assert (await world.append(segment, entry_bytes("admin"), admin=True)).status is Status.OK


async def test_an_admin_append_ends_the_freeze(world):
    segment = await world.created()
    await world.freeze(segment)
    await world.append(segment, entry_bytes("commit"), admin=True)
    assert await frozen(world, segment) == 0
    assert (await world.append(segment, entry_bytes("member"))).status is Status.OK


async def test_a_seal_ends_the_freeze(world):
    segment = await world.created()
    await world.freeze(segment)
    response = await world.seal(segment, entry_bytes("hop"), segment.chain())
    assert head_of(response).state == HeadState.SEALED
    assert await frozen(world, segment) == 0


async def test_a_freeze_ends_by_itself_after_two_minutes(world):
    segment = await world.created()
    await world.freeze(segment)
    await world.clock.until_sleeping()
    world.clock.pass_(119)
    await settle(world, segment)
    assert (await world.append(segment, entry_bytes("member"))).status is Status.FROZEN
    world.clock.pass_(1)
    await asyncio.sleep(0)
    await settle(world, segment)
    assert (await world.append(segment, entry_bytes("member"))).status is Status.OK


async def test_a_full_queue_does_not_make_a_freeze_last(tmp_path):
    async with RelayWorld(tmp_path / "r.db", settings=Settings(queue_jobs=1)) as world:
        segment = await world.created()
        await world.freeze(segment)
        await world.clock.until_sleeping()
        async with world.storage.transaction():  # nothing is written meanwhile, and one write waits
            first = asyncio.ensure_future(world.create(segment))
            await asyncio.sleep(0)
            second = asyncio.ensure_future(world.create(segment))
            await asyncio.sleep(0)
            third = asyncio.ensure_future(world.create(segment))
            await asyncio.sleep(0)
            assert (await third).status is Status.BUSY
            world.clock.pass_(120)
            await world.clock.until_sleeping()
        await asyncio.gather(first, second)
        assert await frozen(world, segment) != 0
        world.clock.pass_(1)
        async with asyncio.timeout(5):
            while await frozen(world, segment):
                pass
        assert world.clock.sleepers == 0


async def test_an_old_timer_does_not_end_a_new_freeze(world):
    segment = await world.created()
    await world.freeze(segment)
    await world.clock.until_sleeping()
    world.clock.pass_(100)
    await world.freeze(segment)
    await world.clock.until_sleeping(2)
    world.clock.pass_(20)
    await asyncio.sleep(0)
    await settle(world, segment)
    assert await frozen(world, segment) != 0
    world.clock.pass_(100)
    await asyncio.sleep(0)
    await settle(world, segment)
    assert await frozen(world, segment) == 0


async def test_at_most_ten_freezes_an_hour(world, unchanged):
    segment, other = await world.created(), await world.created("other")
    for _ in range(10):
        assert (await world.freeze(segment)).status is Status.OK
        world.clock.pass_(10)
    async with unchanged():
        response = await world.freeze(segment)
    assert (response.status, retry_after(response)) == (Status.BUSY, 3500)
    assert (await world.freeze(other)).status is Status.OK
    world.clock.pass_(3500)
    assert (await world.freeze(segment)).status is Status.OK


async def test_ten_at_once_are_counted_one_by_one(world):
    segment = await world.created()
    responses = await asyncio.gather(*(world.freeze(segment) for _ in range(14)))
    assert [response.status for response in responses].count(Status.OK) == 10


async def test_a_sealed_segment_cannot_be_frozen(world, unchanged):
    segment = await world.created()
    await world.seal(segment, entry_bytes("hop"), segment.chain())
    async with unchanged():
        assert (await world.freeze(segment)).status is Status.SEALED


async def test_a_freeze_outlives_the_process_that_made_it_by_two_minutes_at_most(tmp_path):
    async with RelayWorld(tmp_path / "r.db") as world:
        segment = await world.created()
        await world.freeze(segment)
    async with RelayWorld(tmp_path / "r.db") as world:
        assert world.clock.sleepers == 0
        assert head_of(await world.read(segment)).state == HeadState.FROZEN
        await world.clock.until_sleeping()
        await world.read(segment)
        assert world.clock.sleepers == 1
        world.clock.pass_(120)
        await asyncio.sleep(0)
        await settle(world, segment)
        assert await frozen(world, segment) == 0


async def test_a_refused_append_also_meets_the_freeze(tmp_path):
    async with RelayWorld(tmp_path / "r.db") as world:
        segment = await world.created()
        await world.freeze(segment)
    async with RelayWorld(tmp_path / "r.db") as world:
        assert (await world.append(segment, entry_bytes("member"))).status is Status.FROZEN
        await world.clock.until_sleeping()
