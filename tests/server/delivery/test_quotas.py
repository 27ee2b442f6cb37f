"""The append rate and the quotas: E11, E17, E27."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from tertulia_protocol.relay_api.responses import RelayLimits, Status
from tertulia_relay.delivery.settings import Settings
from tests.support.relay_world import RelayWorld, entry_bytes, head_of, retry_after


@pytest.fixture
async def small(tmp_path):
    limits = RelayLimits(
        log_quota_bytes=10 * 1024,
        blob_quota_bytes=16384,
        mailbox_entries=3,
        append_burst_units=64,
        append_units_per_second=8,
    )
    async with RelayWorld(tmp_path / "small.db", limits=limits) as world:
        yield world


async def fill(world, segment, count, **options):
    for number in range(count):
        response = await world.append(segment, entry_bytes(f"{segment.name} {number}"), **options)
        assert response.status is Status.OK


async def test_a_flood_of_256_kib_entries_is_slowed_to_the_refill(world):
    """E39: the burst of 1024 units is 16 such entries; from then on one fits every 8 seconds."""
    segment = await world.created()
    responses = await asyncio.gather(
        *(world.append(segment, entry_bytes(f"flood {number}", 262144)) for number in range(20))
    )
    statuses = [response.status for response in responses]
    assert (statuses.count(Status.OK), statuses.count(Status.BUSY)) == (16, 4)
    assert head_of(await world.read(segment)).position.seq == 16
    before = world.dump()
    response = await world.append(segment, entry_bytes("more", 262144))
    assert (response.status, retry_after(response)) == (Status.BUSY, 8)
    assert world.dump() == before
    world.clock.pass_(7)
    assert (await world.append(segment, entry_bytes("more", 262144))).status is Status.BUSY
    world.clock.pass_(1)
    assert (await world.append(segment, entry_bytes("more", 262144))).status is Status.OK
    assert (await world.append(segment, entry_bytes("again", 1024))).status is Status.BUSY


async def test_the_admin_is_not_slowed(world):
    segment = await world.created()
    for number in range(16):
        await world.append(segment, entry_bytes(f"flood {number}", 262144))
    assert (await world.append(segment, entry_bytes("coordinator", 4096))).status is Status.BUSY
    assert (await world.append(segment, entry_bytes("coordinator", 4096), admin=True)).status is Status.OK
    hop = await world.seal(segment, entry_bytes("hop", 4096), head_of(await world.read(segment)).position)
    assert hop.status is Status.OK


async def test_an_admin_entry_takes_nothing_from_the_members_bucket(world):
    segment = await world.created()
    for number in range(10):
        await world.append(segment, entry_bytes(f"admin {number}", 262144), admin=True)
    for number in range(16):
        response = await world.append(segment, entry_bytes(f"member {number}", 262144))
        assert response.status is Status.OK


async def test_one_segment_does_not_slow_another(world):
    first, second = await world.created("first"), await world.created("second")
    for number in range(16):
        await world.append(first, entry_bytes(f"flood {number}", 262144))
    assert (await world.append(first, entry_bytes("x"))).status is Status.BUSY
    assert (await world.append(second, entry_bytes("x"))).status is Status.OK


async def test_a_refused_append_costs_no_units(world):
    segment = await world.created()
    await world.append(segment, entry_bytes("one", 262144))
    for number in range(30):
        response = await world.append(segment, entry_bytes(f"stale {number}", 262144), if_head=segment.chain())
        assert response.status is Status.CONFLICT
    assert (await world.append(segment, entry_bytes("two", 262144))).status is Status.OK


async def test_a_bucket_never_holds_more_than_the_burst(world):
    segment = await world.created()
    await world.append(segment, entry_bytes("one"))
    world.clock.pass_(1_000_000)
    statuses = [(await world.append(segment, entry_bytes(f"f{n}", 262144))).status for n in range(17)]
    assert statuses == [Status.OK] * 16 + [Status.BUSY]


async def test_members_fill_four_fifths_and_the_admin_the_rest(small):
    segment = await small.created()
    await fill(small, segment, 8)
    before = small.dump()
    response = await small.append(segment, entry_bytes("member"))
    assert response.status is Status.QUOTA
    assert head_of(response).position.seq == 8
    assert small.dump() == before
    assert (await small.append(segment, entry_bytes("admin 1"), admin=True)).status is Status.OK
    position = head_of(await small.append(segment, entry_bytes("admin 2"), admin=True)).position
    before = small.dump()
    assert (await small.append(segment, entry_bytes("admin 3"), admin=True)).status is Status.QUOTA
    assert (await small.seal(segment, entry_bytes("hop"), position)).status is Status.QUOTA
    assert small.dump() == before


async def test_a_batch_cannot_overfill(small):
    segment = await small.created()
    responses = await asyncio.gather(*(small.append(segment, entry_bytes(f"{n}")) for n in range(30)))
    statuses = [response.status for response in responses]
    assert (statuses.count(Status.OK), statuses.count(Status.QUOTA)) == (8, 22)


async def test_a_log_without_admin_is_the_members_alone(small):
    segment = await small.created(has_admin=False)
    await fill(small, segment, 10)
    assert (await small.append(segment, entry_bytes("more"))).status is Status.QUOTA


async def test_a_mailbox_counts_letters_whatever_their_length(small):
    mailbox = await small.created("box", segment_class=1, has_admin=False)
    for number in range(3):
        assert (await small.append(mailbox, entry_bytes(f"{number}", 16384))).status is Status.OK
    before = small.dump()
    assert (await small.append(mailbox, entry_bytes("more"))).status is Status.QUOTA
    assert small.dump() == before


async def test_by_default_a_mailbox_takes_64_letters(world):
    mailbox = await world.created("box", segment_class=1, has_admin=False)
    responses = [await world.append(mailbox, entry_bytes(f"{number}")) for number in range(65)]
    assert [response.status for response in responses] == [Status.OK] * 64 + [Status.QUOTA]


async def test_blobs_have_a_quota_of_their_own(small):
    segment = await small.created()
    assert (await small.put_blob(entry_bytes("a", 4096), segment=segment)).status is Status.OK
    before = small.dump()
    assert (await small.put_blob(entry_bytes("b", 16384), segment=segment)).status is Status.QUOTA
    assert small.dump() == before
    assert (await small.put_blob(entry_bytes("c", 4096), segment=segment)).status is Status.OK
    await fill(small, segment, 8)


async def test_a_deleted_blob_gives_no_quota_back(small):
    """The relay does not note which segment paid for a blob, so it cannot."""
    segment = await small.created()
    for number in range(4):
        chunk = entry_bytes(f"{number}", 4096)
        assert (await small.put_blob(chunk, segment=segment)).status is Status.OK
        assert (await small.del_blob(hashlib.sha256(chunk).digest())).status is Status.OK
    assert (await small.put_blob(entry_bytes("more", 4096), segment=segment)).status is Status.QUOTA


async def test_a_full_queue_says_busy_and_writes_nothing(tmp_path):
    async with RelayWorld(tmp_path / "q.db", settings=Settings(queue_jobs=4, batch_jobs=1)) as world:
        segment = await world.created()
        await world.append(segment, entry_bytes("first"))
        responses = await asyncio.gather(*(world.append(segment, entry_bytes(f"{n}")) for n in range(40)))
        statuses = [response.status for response in responses]
        assert set(statuses) == {Status.OK, Status.BUSY}
        refused = next(response for response in responses if response.status is Status.BUSY)
        assert (retry_after(refused), refused.head) == (1, None)
        assert head_of(await world.read(segment)).position.seq == 1 + statuses.count(Status.OK)


async def test_a_queue_is_full_of_bytes_too(tmp_path):
    async with RelayWorld(tmp_path / "q.db", settings=Settings(queue_bytes=300_000)) as world:
        segment = await world.created()
        await world.append(segment, entry_bytes("first"))
        responses = await asyncio.gather(*(world.append(segment, entry_bytes(f"{n}", 262144)) for n in range(3)))
        assert [response.status for response in responses] == [Status.OK, Status.BUSY, Status.BUSY]
        assert (await world.append(segment, entry_bytes("later", 262144))).status is Status.OK
