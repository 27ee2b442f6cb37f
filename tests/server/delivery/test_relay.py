"""INFO, the nightly work, a full disk, faults, and what the relay never says."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import closing

import pytest

from tertulia_protocol.codec import parse
from tertulia_protocol.errors import StorageError
from tertulia_protocol.relay_api import requests
from tertulia_protocol.relay_api.limits import PROTOCOL_VERSION
from tertulia_protocol.relay_api.requests import Op
from tertulia_protocol.relay_api.responses import RelayInfo, RelayLimits, Status
from tertulia_relay.delivery.append import Append
from tertulia_relay.storage.errors import DatabaseBusyError, DiskFullError
from tests.support.relay_world import FIRST_DAY, RelayWorld, entries_of, entry_bytes, head_of


async def test_info_is_signed_and_states_the_limits(tmp_path):
    limits = RelayLimits(log_quota_bytes=12345, wait_max_s=9)
    async with RelayWorld(tmp_path / "r.db", limits=limits) as world:
        response = await world.send(world.request(Op.INFO, bytes(32), requests.NoArgs()))
        assert (response.status, response.head) == (Status.OK, None)
        info = parse(RelayInfo, response.body)
        info.verify(world.relay_pk)
        assert (info.protocol_min, info.protocol_max) == (PROTOCOL_VERSION, PROTOCOL_VERSION)
        assert (info.utc_day, info.limits, info.issuers) == (FIRST_DAY, limits, b"")
        world.clock.day += 1
        response = await world.send(world.request(Op.INFO, bytes(32), requests.NoArgs()))
        assert parse(RelayInfo, response.body).utc_day == FIRST_DAY + 1


async def test_the_nightly_work_deletes_what_expired_and_nothing_else(world):
    short, long = await world.created("short", ttl_class=0), await world.created("long", ttl_class=3)
    for number in range(20):
        await world.append(short, entry_bytes(f"short {number}"))
    await world.append(long, entry_bytes("long"))
    await world.put_blob(entry_bytes("short", 4096), ttl_class=0)
    await world.put_blob(entry_bytes("long", 4096), ttl_class=3)
    world.clock.day += 7
    before = world.dump()
    await world.relay.nightly()
    assert world.dump() == before
    world.clock.day += 1
    await world.relay.nightly()
    after = world.dump()
    assert [row[0] for row in after["seg"]] == [long.id]
    assert len(after["ent"]) == len(after["blob"]) == 1
    assert len(after["body"]) == 2
    assert len(after["code"]) == 1
    world.clock.day = FIRST_DAY + 31
    await world.relay.nightly()
    assert world.dump()["code"] == []


async def test_the_nightly_work_deletes_a_large_segment_in_slices(world):
    segment = await world.created(ttl_class=0, has_admin=False)
    for number in range(600):
        if number % 250 == 0:
            world.clock.pass_(1000)
        assert (await world.append(segment, entry_bytes(f"{number}"))).status is Status.OK
    world.clock.day += 8
    await world.relay.nightly()
    dump = world.dump()
    assert (dump["seg"], dump["ent"], dump["body"]) == ([], [], [])


def pieces_in(path, entry):
    """Return which 256-byte pieces of an entry are in the file: the whole of it lies over several pages."""
    content = path.read_bytes()
    return [at for at in range(0, len(entry), 256) if entry[at : at + 256] in content]


async def test_deleted_bytes_and_the_order_of_writes_leave_the_files(world):
    segment = await world.created(ttl_class=0)
    entry = entry_bytes("secret", 16384)
    await world.append(segment, entry)
    wal = world.path.with_name(world.path.name + "-wal")
    assert wal.stat().st_size > 0
    await world.relay.checkpoint()
    assert wal.stat().st_size == 0
    size = world.path.stat().st_size
    assert len(pieces_in(world.path, entry)) > 40
    world.clock.day += 8
    await world.relay.nightly()
    assert wal.stat().st_size == 0
    assert world.path.stat().st_size < size
    assert pieces_in(world.path, entry) == []
    assert segment.id not in world.path.read_bytes()


async def fill_the_disk(world, segment, name="big"):
    for number in range(100):
        response = await world.append(segment, entry_bytes(f"{name} {number}", 16384), admin=True)
        if response.status is not Status.OK:
            return response, number
    raise AssertionError("the disk never filled")


async def test_a_full_disk_refuses_writes_serves_reads_tells_the_operator_once_and_recovers(tmp_path):
    """A real limit of the database, no imitation: SQLite itself says that it is full."""
    async with RelayWorld(tmp_path / "r.db", max_bytes=80 * 4096) as world:
        segment, short = await world.created(), await world.created("short", ttl_class=0)
        for number in range(4):
            await world.append(short, entry_bytes(f"old {number}", 16384))
        response, count = await fill_the_disk(world, segment, "first")
        assert (response.status, response.head) == (Status.UNAVAILABLE, None)
        before = world.dump()
        again = await world.append(segment, entry_bytes("once more", 65536))
        assert again.status is Status.UNAVAILABLE
        assert world.dump() == before
        assert [type(error) for error in world.storage_errors] == [DiskFullError]
        read = await world.read(segment)
        assert len(entries_of(read)) == head_of(read).position.seq == count
        world.clock.day += 8
        await world.relay.nightly()
        assert (await world.append(segment, entry_bytes("after", 16384))).status is Status.OK
        response, _ = await fill_the_disk(world, segment, "bigger")
        assert response.status is Status.UNAVAILABLE
        assert (await world.append(segment, entry_bytes("after", 16384))).status is Status.DUP
        assert (await world.append(segment, entry_bytes("once more", 65536))).status is Status.UNAVAILABLE
        assert [type(error) for error in world.storage_errors] == [DiskFullError, DiskFullError]


async def test_what_does_not_fit_does_not_take_others_of_its_batch_with_it(tmp_path):
    async with RelayWorld(tmp_path / "r.db", max_bytes=60 * 4096) as world:
        segment = await world.created()
        await world.append(segment, entry_bytes("before"))
        sizes = [1024, 1024, 262144, 1024]
        async with world.storage._turn:  # the writer takes the first and waits; the others share the next batch
            tasks = [
                asyncio.ensure_future(world.append(segment, entry_bytes(f"{n}", size))) for n, size in enumerate(sizes)
            ]
            await until_queued(world, 3)
        responses = await asyncio.gather(*tasks)
        assert [response.status for response in responses] == [
            Status.OK, Status.OK, Status.UNAVAILABLE, Status.OK,
        ]  # fmt: skip
        entries = [data for _, data in entries_of(await world.read(segment))]
        assert [len(data) for data in entries] == [1024] * 4
        assert head_of(await world.read(segment)).position == segment.chain(*entries)


async def test_a_database_that_somebody_else_locks_is_unavailable_and_comes_back(world):
    segment = await world.created()
    await world.storage._write(lambda connection: connection.connection.execute("PRAGMA busy_timeout=10"))
    with closing(sqlite3.connect(world.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert (await world.append(segment, entry_bytes("one"))).status is Status.UNAVAILABLE
        other.execute("ROLLBACK")
    assert [type(error) for error in world.storage_errors] == [DatabaseBusyError]
    assert (await world.append(segment, entry_bytes("one"))).status is Status.OK


async def test_a_fault_of_ours_in_one_write_spares_the_others_and_the_writer(world, monkeypatch):
    segment = await world.created()
    honest = Append.decide

    def decide(self, ledger):
        if self.data == entry_bytes("fault"):
            raise ZeroDivisionError
        return honest(self, ledger)

    monkeypatch.setattr(Append, "decide", decide)
    names = ["a", "fault", "b"]
    results = await asyncio.gather(
        *(world.append(segment, entry_bytes(name)) for name in names), return_exceptions=True
    )
    assert isinstance(results[1], ZeroDivisionError)
    assert [results[0].status, results[2].status] == [Status.OK, Status.OK]
    read = await world.read(segment)
    entries = [data for _, data in entries_of(read)]
    assert set(entries) == {entry_bytes("a"), entry_bytes("b")}
    assert head_of(read).position == segment.chain(*entries)


async def until_queued(world, count=1):
    """Return once so many writes wait for the writer."""
    queue = world.relay._writer._queue
    for _ in range(10_000):
        if queue.qsize() >= count:
            return
        await asyncio.sleep(0)
    raise AssertionError("nothing was queued")


async def test_a_client_who_hangs_up_does_not_undo_an_accepted_write(world):
    segment = await world.created()
    frame = world.append_request(segment, entry_bytes("one")).to_frame()
    task = asyncio.ensure_future(world.relay.answer(frame))
    await until_queued(world)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await world.append(segment, entry_bytes("two"))
    assert head_of(await world.read(segment)).position == segment.chain(entry_bytes("one"), entry_bytes("two"))


async def test_closing_finishes_what_was_accepted(tmp_path):
    world = RelayWorld(tmp_path / "r.db")
    await world.__aenter__()
    segment = await world.created()
    tasks = [asyncio.ensure_future(world.append(segment, entry_bytes(f"{n}"))) for n in range(30)]
    await asyncio.sleep(0)
    await until_queued(world)
    await world.relay.close()
    accepted = [task for task in tasks if task.done() and task.result().status is Status.OK]
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(world.dump()["ent"]) >= len(accepted) > 0
    await world.relay.close()


async def test_after_closing_everything_is_unavailable(tmp_path):
    async with RelayWorld(tmp_path / "r.db") as world:
        segment = await world.created()
    assert (await asyncio.wait_for(world.append(segment, entry_bytes("late")), 5)).status is Status.UNAVAILABLE
    assert (await world.read(segment)).status in (Status.UNAVAILABLE, Status.GONE)
    with pytest.raises(StorageError):
        await world.relay.checkpoint()


async def test_no_log_carries_anything_of_a_request(world, caplog):
    caplog.set_level(logging.DEBUG)
    segment = await world.created("canary")
    entry = entry_bytes("canary")
    await world.append(segment, entry)
    await world.put_blob(entry_bytes("canary blob", 4096), segment=segment)
    await world.append(segment, entry_bytes("bad"), if_head=segment.chain())
    text = caplog.text
    for secret in (segment.id, entry[:16], world.code, segment.append_key.public_key):
        assert secret.hex() not in text
        assert repr(secret)[2:-1] not in text


async def test_reprs_hide_content(world):
    segment = await world.created()
    request = world.append_request(segment, entry_bytes("content"))
    write = Append(segment_id=segment.id, args=requests.AppendArgs(), data=request.payload, rates=world.relay._rates)
    assert "content" not in repr(write)
    assert repr(entry_bytes("content")[:8])[2:-1] not in repr(write)
