"""READ and the long poll: E30."""

from __future__ import annotations

import asyncio

import pytest

from tertulia_protocol.relay_api.responses import RelayLimits, Status
from tertulia_relay.delivery.settings import Settings
from tests.support.relay_world import RelayWorld, entries_of, entry_bytes, head_of


async def started(world, coroutine):
    """Start a READ that must wait, and return once it does."""
    task = asyncio.ensure_future(coroutine)
    await world.clock.until_sleeping()
    assert not task.done()
    return task


async def test_reading_goes_on_after_a_place(world):
    segment = await world.created()
    entries = [entry_bytes(str(number)) for number in range(5)]
    for entry in entries:
        await world.append(segment, entry)
    assert entries_of(await world.read(segment)) == list(enumerate(entries, start=1))
    response = await world.read(segment, 3)
    assert entries_of(response) == [(4, entries[3]), (5, entries[4])]
    assert head_of(response).position == segment.chain(*entries)


@pytest.mark.parametrize(("max_bytes", "count"), [(0, 1), (1023, 1), (1024, 1), (2047, 1), (2048, 2), (5120, 3)])
async def test_an_answer_holds_whole_entries_and_at_least_one(world, max_bytes, count):
    segment = await world.created()
    for number, size in enumerate((1024, 1024, 1024, 16384)):
        await world.append(segment, entry_bytes(str(number), size))
    response = await world.read(segment, max_bytes=max_bytes)
    assert len(entries_of(response)) == count
    assert head_of(response).position.seq == 4


async def test_a_long_entry_comes_alone_however_little_is_asked_for(world):
    segment = await world.created()
    await world.append(segment, entry_bytes("long", 262144))
    await world.append(segment, entry_bytes("short"))
    assert [seq for seq, _ in entries_of(await world.read(segment, max_bytes=1))] == [1]


async def test_the_relay_bounds_what_a_reader_may_ask_for(tmp_path):
    async with RelayWorld(tmp_path / "r.db", limits=RelayLimits(read_max_bytes=3000)) as world:
        segment = await world.created()
        for number in range(4):
            await world.append(segment, entry_bytes(str(number)))
        assert len(entries_of(await world.read(segment, max_bytes=0xFFFFFFFF))) == 2


@pytest.mark.parametrize("after_seq", [2, 2**63, 2**64 - 1])
async def test_a_place_past_the_head_is_answered_at_once(world, after_seq):
    segment = await world.created()
    await world.append(segment, entry_bytes("one"))
    response = await asyncio.wait_for(world.read(segment, after_seq, wait_s=50), 5)
    assert (response.status, entries_of(response)) == (Status.OK, [])
    assert head_of(response).position.seq == 1


async def test_without_a_wait_the_head_is_answered_at_once(world):
    segment = await world.created()
    response = await asyncio.wait_for(world.read(segment), 5)
    assert (response.status, entries_of(response)) == (Status.OK, [])


async def test_a_waiting_read_is_woken_by_an_append(world):
    segment, other = await world.created(), await world.created("other")
    task = await started(world, world.read(segment, wait_s=50))
    await world.append(other, entry_bytes("elsewhere"))
    assert not task.done()
    await world.append(segment, entry_bytes("one"))
    response = await asyncio.wait_for(task, 5)
    assert entries_of(response) == [(1, entry_bytes("one"))]
    assert world.clock.sleepers == 0
    assert world.wakeup.watched == 0


async def test_a_waiting_read_is_woken_by_a_seal(world):
    segment = await world.created()
    await world.append(segment, entry_bytes("hop"))
    task = await started(world, world.read(segment, 1, wait_s=50))
    await world.seal(segment, entry_bytes("hop"), segment.chain())
    response = await asyncio.wait_for(task, 5)
    assert entries_of(response) == []
    assert head_of(response).state & 1


async def test_a_waiting_read_sleeps_on_through_what_does_not_concern_it(world):
    segment = await world.created()
    task = await started(world, world.read(segment, wait_s=50))
    await world.freeze(segment)
    await asyncio.sleep(0.02)
    assert not task.done()
    await world.append(segment, entry_bytes("one"), admin=True)
    assert len(entries_of(await asyncio.wait_for(task, 5))) == 1


async def test_a_wait_ends_when_its_time_is_over(world):
    segment = await world.created()
    task = await started(world, world.read(segment, wait_s=20))
    world.clock.pass_(20)
    response = await asyncio.wait_for(task, 5)
    assert (response.status, entries_of(response)) == (Status.OK, [])


async def test_no_wait_is_longer_than_the_relay_allows(tmp_path):
    async with RelayWorld(tmp_path / "r.db", limits=RelayLimits(wait_max_s=10)) as world:
        segment = await world.created()
        task = await started(world, world.read(segment, wait_s=255))
        world.clock.pass_(10)
        assert (await asyncio.wait_for(task, 5)).status is Status.OK


async def test_a_sealed_segment_is_not_waited_for(world):
    segment = await world.created()
    await world.seal(segment, entry_bytes("hop"), segment.chain())
    response = await asyncio.wait_for(world.read(segment, 1, wait_s=50), 5)
    assert (response.status, entries_of(response)) == (Status.OK, [])


async def test_one_waiting_read_too_many_is_answered_at_once(tmp_path):
    async with RelayWorld(tmp_path / "r.db", settings=Settings(long_polls=1)) as world:
        segment = await world.created()
        first = await started(world, world.read(segment, wait_s=50))
        response = await asyncio.wait_for(world.read(segment, wait_s=50), 5)
        assert (response.status, entries_of(response)) == (Status.OK, [])
        await world.append(segment, entry_bytes("one"))
        await asyncio.wait_for(first, 5)
        second = await started(world, world.read(segment, 1, wait_s=50))
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        await started(world, world.read(segment, 1, wait_s=50))


async def test_a_reader_who_hangs_up_leaves_nothing_behind(world):
    segment = await world.created()
    task = await started(world, world.read(segment, wait_s=50))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (world.wakeup.watched, world.clock.sleepers, world.relay._reading.waiting) == (0, 0, 0)


async def test_a_segment_that_expires_while_a_read_waits_is_gone(world):
    segment = await world.created(ttl_class=0)
    task = await started(world, world.read(segment, wait_s=50))
    world.clock.day += 8
    world.wakeup.announce(segment.id)
    assert (await asyncio.wait_for(task, 5)).status is Status.GONE


async def test_closing_answers_waiting_reads(tmp_path):
    world = RelayWorld(tmp_path / "r.db")
    await world.__aenter__()
    segment = await world.created()
    task = await started(world, world.read(segment, wait_s=50))
    await world.relay.close()
    assert (await asyncio.wait_for(task, 5)).status is Status.OK


async def test_everyone_gets_the_same_signature_until_something_changes(world):
    segment = await world.created()
    await world.append(segment, entry_bytes("one"))
    heads = world.relay._operations._heads
    await world.read(segment)
    signed = heads.signed
    for _ in range(5):
        await world.read(segment)
    assert heads.signed == signed
    world.clock.day += 1
    assert head_of(await world.read(segment)).utc_day == world.clock.day
    assert heads.signed == signed + 1


async def test_the_head_is_never_behind_the_entries(world):
    """An append that lands between reading the head and reading the entries waits for the next READ."""
    segment = await world.created()
    await world.append(segment, entry_bytes("one"))
    honest = world.storage.entries

    async def late(segment_id, **options):
        await world.append(segment, entry_bytes("two"))
        return await honest(segment_id, **options)

    world.storage.entries = late
    response = await world.read(segment)
    assert [seq for seq, _ in entries_of(response)] == [1]
    assert head_of(response).position.seq == 1
