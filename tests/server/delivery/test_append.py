"""APPEND: the order of the checks, one test per answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tertulia_protocol.relay_api.records import HeadState, Position
from tertulia_protocol.relay_api.responses import Status
from tests.support.relay_world import FIRST_DAY, entries_of, entry_bytes, head_of, seq_of


async def test_appending_moves_the_head_and_signs_it(world):
    segment = await world.created()
    entries = [entry_bytes(str(number), size) for number, size in enumerate((1024, 4096, 16384, 65536, 262144))]
    for count, entry in enumerate(entries, start=1):
        response = await world.append(segment, entry)
        assert (response.status, seq_of(response)) == (Status.OK, count)
        head = head_of(response)
        assert head.position == segment.chain(*entries[:count])
        assert (head.state, head.utc_day) == (HeadState.OPEN, FIRST_DAY)
    assert [data for _, data in entries_of(await world.read(segment))] == entries


async def test_the_same_entry_again_is_a_duplicate_and_writes_nothing(world, unchanged):
    segment = await world.created()
    await world.append(segment, entry_bytes("one"))
    await world.append(segment, entry_bytes("two"))
    async with unchanged():
        response = await world.append(segment, entry_bytes("one"))
        assert (response.status, seq_of(response)) == (Status.DUP, 1)
        assert head_of(response).position.seq == 2


async def test_a_replayed_request_changes_nothing(world, unchanged):
    segment = await world.created()
    request = world.append_request(segment, entry_bytes("one"))
    assert (await world.send(request)).status is Status.OK
    async with unchanged():
        assert (await world.send(request)).status is Status.DUP


async def test_the_same_entry_in_another_segment_is_another_entry(world):
    first, second = await world.created("first"), await world.created("second")
    assert (await world.append(first, entry_bytes("one"))).status is Status.OK
    response = await world.append(second, entry_bytes("one"))
    assert (response.status, seq_of(response)) == (Status.OK, 1)


async def test_a_duplicate_is_found_before_the_seal_the_freeze_and_the_head(world, unchanged):
    segment = await world.created()
    await world.append(segment, entry_bytes("one"))
    await world.freeze(segment)
    async with unchanged():
        stale = segment.chain()
        assert (await world.append(segment, entry_bytes("one"), if_head=stale)).status is Status.DUP
    await world.seal(segment, entry_bytes("hop"), segment.chain(entry_bytes("one")))
    async with unchanged():
        assert (await world.append(segment, entry_bytes("one"))).status is Status.DUP


@pytest.mark.parametrize("admin", [False, True])
async def test_a_sealed_segment_takes_nothing_more(world, unchanged, admin):
    segment = await world.created()
    await world.seal(segment, entry_bytes("hop"), segment.chain())
    async with unchanged():
        response = await world.append(segment, entry_bytes("late"), admin=admin)
    assert response.status is Status.SEALED
    assert head_of(response).state & HeadState.SEALED


@pytest.mark.parametrize("admin", [False, True])
async def test_if_head_that_no_longer_stands_is_a_conflict_with_the_head(world, unchanged, admin):
    segment = await world.created()
    await world.append(segment, entry_bytes("one"))
    for stale in (
        segment.chain(),
        Position(1, bytes(32)),
        Position(2, segment.chain(entry_bytes("one")).chain),
    ):
        async with unchanged():
            response = await world.append(segment, entry_bytes("two"), if_head=stale, admin=admin)
        assert response.status is Status.CONFLICT
        assert head_of(response).position == segment.chain(entry_bytes("one"))


async def test_if_head_that_stands_lets_exactly_one_of_many_in(world):
    segment = await world.created()
    start = segment.chain()
    responses = await asyncio.gather(
        *(world.append(segment, entry_bytes(f"racer {number}"), if_head=start) for number in range(20))
    )
    statuses = [response.status for response in responses]
    assert statuses.count(Status.OK) == 1
    assert statuses.count(Status.CONFLICT) == 19
    assert head_of(await world.read(segment)).position.seq == 1


async def test_many_at_once_stand_as_if_each_had_come_alone(world):
    """Group commit: few transactions, places without gaps, and a chain that anyone can compute."""
    segments = [await world.created(name) for name in ("a", "b", "c")]
    before, signed = world.relay._writer.commits, world.relay._operations._heads.signed
    jobs = [(segment, entry_bytes(f"{segment.name} {n}")) for n in range(60) for segment in segments]
    responses = await asyncio.gather(*(world.append(segment, entry) for segment, entry in jobs))
    assert {response.status for response in responses} == {Status.OK}
    assert world.relay._writer.commits - before < len(jobs) / 10
    assert world.relay._operations._heads.signed - signed < len(jobs) / 2
    for segment in segments:
        read = await world.read(segment)
        entries = [data for _, data in entries_of(read)]
        assert sorted(entries) == sorted(entry for owner, entry in jobs if owner is segment)
        assert head_of(read).position == segment.chain(*entries)
        for (owner, entry), response in zip(jobs, responses, strict=True):
            if owner is segment:
                place = seq_of(response)
                assert entries[place - 1] == entry
                assert head_of(response).position.seq >= place


async def test_refused_writes_in_a_batch_do_not_touch_the_others(world):
    segment, sealed = await world.created(), await world.created("sealed")
    await world.seal(sealed, entry_bytes("hop"), sealed.chain())
    good = [world.append_request(segment, entry_bytes(f"good {n}")) for n in range(10)]
    bad = [
        world.append_request(sealed, entry_bytes("late")),
        world.append_request(segment, entry_bytes("stale"), if_head=Position(7, bytes(32))),
        replace(good[0], signature=bytes(64)),
        good[1],
    ]
    mixed = [request for pair in zip(good, [*bad, *good[4:]], strict=True) for request in pair]
    responses = await asyncio.gather(*(world.send(request) for request in mixed))
    statuses = [response.status for response in responses]
    assert statuses.count(Status.OK) == 10
    assert {Status.SEALED, Status.CONFLICT, Status.DENY, Status.DUP} <= set(statuses)
    read = await world.read(segment)
    assert head_of(read).position == segment.chain(*[data for _, data in entries_of(read)])
    assert head_of(read).position.seq == 10
