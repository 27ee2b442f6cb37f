"""What every storage must do, whatever it is made of."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from tertulia_protocol.errors import StorageError
from tertulia_relay.storage.interface import BlobRow, Changes, CodeRow, Found, NewEntry, SegmentRow, Wanted
from tertulia_relay.storage.sql import SqlStorage
from tests.support.memory_storage import MemoryStorage


@pytest.fixture(params=["sqlite", "memory"])
async def storage(request, tmp_path):
    made = SqlStorage(tmp_path / "relay.db", rng=os.urandom) if request.param == "sqlite" else MemoryStorage()
    await made.open()
    yield made
    await made.close()


def segment(name: bytes, **fields) -> SegmentRow:
    row = SegmentRow(
        id=name.ljust(32, b"."), config=b"c" * 99, head=0, chain=b"0" * 32, sealed=False, frozen=0, used=0, quota=2**40,
        blob_used=0, blob_quota=7, expires_day=10, heir=None,
    )  # fmt: skip
    return replace(row, **fields)


def entry(row: SegmentRow, seq: int, size: int = 1024) -> NewEntry:
    return NewEntry(segment_id=row.id, seq=seq, hash=seq.to_bytes(32, "big"), data=bytes([seq % 256]) * size)


BLOB = BlobRow(id=b"b" * 32, delete_hash=b"d" * 32, expires_day=10)
CODE = CodeRow(hash=b"k" * 32, left=9, expires_day=10)
ALL = Wanted(
    segments={segment(b"a").id, segment(b"b").id},
    entries={(segment(b"a").id, seq.to_bytes(32, "big")) for seq in range(9)},
    blobs={BLOB.id},
    codes={CODE.hash},
)


async def apply(storage, **changes):
    async with storage.transaction() as transaction:
        await transaction.apply(Changes(**changes))


async def apply_and_fail(storage, changes):
    async with storage.transaction() as transaction:
        await transaction.apply(changes)
        raise ZeroDivisionError


async def apply_both(storage, first, second):
    async with storage.transaction() as transaction:
        await transaction.apply(first)
        await transaction.apply(second)


async def find(storage, wanted=ALL) -> Found:
    async with storage.transaction() as transaction:
        return await transaction.find(wanted)


async def test_nothing_is_found_in_an_empty_storage(storage):
    assert await find(storage) == Found()
    assert await find(storage, Wanted()) == Found()
    assert await storage.segment(b"a" * 32) is None
    assert await storage.entries(b"a" * 32, after_seq=0, max_bytes=9) == []
    assert await storage.blob(b"b" * 32, utc_day=1) is None


async def test_everything_comes_back_as_it_went_in(storage):
    row = segment(
        b"a", head=2**60, sealed=True, frozen=2**63 - 1, used=5, blob_used=2**40, expires_day=99, heir=b"h" * 32
    )
    await apply(
        storage, new_segments=[row], new_entries=[entry(row, 1), entry(row, 2)], new_blobs=[(BLOB, b"data")],
        new_codes=[CODE],
    )  # fmt: skip
    found = await find(storage)
    assert found.segments == {row.id: row}
    assert found.entries == {(row.id, seq.to_bytes(32, "big")): seq for seq in (1, 2)}
    assert (found.blobs, found.codes) == ({BLOB.id: BLOB}, {CODE.hash: CODE})
    assert await storage.segment(row.id) == row
    assert await storage.blob(BLOB.id, utc_day=10) == b"data"


async def test_a_transaction_that_fails_leaves_nothing(storage):
    row = segment(b"a")
    with pytest.raises(ZeroDivisionError):
        await apply_and_fail(storage, Changes(new_segments=[row], new_entries=[entry(row, 1)], new_codes=[CODE]))
    assert await find(storage) == Found()
    await apply(storage, new_segments=[row])
    assert await storage.segment(row.id) == row


async def test_what_is_not_committed_is_not_read(storage):
    row = segment(b"a")
    async with storage.transaction() as transaction:
        await transaction.apply(Changes(new_segments=[row]))
        assert await storage.segment(row.id) is None
    assert await storage.segment(row.id) == row


@pytest.mark.parametrize(
    "twice",
    [
        {"new_segments": [segment(b"a")]},
        {"new_entries": [entry(segment(b"a"), 1)]},
        {"new_entries": [replace(entry(segment(b"a"), 1), seq=2)]},
        {"new_blobs": [(BLOB, b"x")]},
        {"new_codes": [CODE]},
    ],
)
async def test_a_key_twice_is_refused_and_takes_the_whole_transaction_back(storage, twice):
    row = segment(b"a")
    await apply(storage, new_segments=[row], new_entries=[entry(row, 1)], new_blobs=[(BLOB, b"x")], new_codes=[CODE])
    with pytest.raises(StorageError):
        await apply_both(storage, Changes(segments=[replace(row, head=5)]), Changes(**twice))
    assert await storage.segment(row.id) == row


async def test_rows_change(storage):
    row = segment(b"a")
    await apply(storage, new_segments=[row, segment(b"b")], new_blobs=[(BLOB, b"data")], new_codes=[CODE])
    row = replace(row, head=3, chain=b"3" * 32, sealed=True, frozen=8, used=4, quota=5, blob_used=6, heir=b"h" * 32)
    row = replace(row, expires_day=77, blob_quota=99)
    await apply(storage, segments=[row], blobs=[replace(BLOB, expires_day=12)], codes=[replace(CODE, left=1)])
    found = await find(storage)
    assert found.segments == {row.id: row, segment(b"b").id: segment(b"b")}
    assert found.blobs[BLOB.id].expires_day == 12
    assert found.codes[CODE.hash].left == 1
    assert await storage.blob(BLOB.id, utc_day=12) == b"data"


async def test_a_dropped_segment_takes_its_entries_with_it_and_no_others(storage):
    row, other = segment(b"a"), segment(b"b")
    await apply(storage, new_segments=[row, other], new_entries=[entry(row, 1), entry(other, 1)])
    await apply(storage, dropped_segments={row.id}, new_segments=[replace(row, expires_day=50)])
    assert (await storage.segment(row.id)).expires_day == 50
    assert await storage.entries(row.id, after_seq=0, max_bytes=9999) == []
    assert len(await storage.entries(other.id, after_seq=0, max_bytes=9999)) == 1


async def test_a_dropped_blob_can_come_anew(storage):
    await apply(storage, new_blobs=[(BLOB, b"old")])
    await apply(storage, dropped_blobs={BLOB.id}, new_blobs=[(BLOB, b"new")])
    assert await storage.blob(BLOB.id, utc_day=1) == b"new"
    await apply(storage, dropped_blobs={BLOB.id})
    assert await storage.blob(BLOB.id, utc_day=1) is None


@pytest.mark.parametrize(
    ("after", "max_bytes", "places"),
    [(0, 0, [1]), (0, 1024, [1]), (0, 2047, [1]), (0, 2048, [1, 2]), (0, 10**6, [1, 2, 3, 4]), (2, 0, [3]),
     (2, 4096, [3]), (2, 5120, [3, 4]), (4, 10**6, []), (2**62, 10, [])],
)  # fmt: skip
async def test_a_page_holds_whole_entries_in_order_and_at_least_one(storage, after, max_bytes, places):
    row, other = segment(b"a"), segment(b"b")
    sizes = {1: 1024, 2: 1024, 3: 4096, 4: 1024}
    entries = [entry(row, seq, size) for seq, size in sizes.items()] + [entry(other, seq) for seq in range(1, 9)]
    await apply(storage, new_segments=[row, other], new_entries=entries)
    page = await storage.entries(row.id, after_seq=after, max_bytes=max_bytes)
    assert page == [(seq, bytes([seq]) * sizes[seq]) for seq in places]


async def test_a_blob_is_there_through_its_last_day(storage):
    await apply(storage, new_blobs=[(BLOB, b"data")])
    assert await storage.blob(BLOB.id, utc_day=10) == b"data"
    assert await storage.blob(BLOB.id, utc_day=11) is None


async def test_expiring_goes_in_slices_until_nothing_is_left(storage):
    old, new = segment(b"a", expires_day=4), segment(b"b", expires_day=5)
    await apply(
        storage, new_segments=[old, new], new_entries=[entry(row, seq) for row in (old, new) for seq in range(1, 8)],
        new_blobs=[(replace(BLOB, expires_day=4), b"x"), (replace(BLOB, id=b"n" * 32, expires_day=5), b"y")],
        new_codes=[replace(CODE, expires_day=4), replace(CODE, hash=b"n" * 32, expires_day=5)],
    )  # fmt: skip
    assert await storage.expire(utc_day=4, limit=3) == 0
    rounds = 0
    while await storage.expire(utc_day=5, limit=3):
        rounds += 1
        assert rounds < 20
    wanted = Wanted(segments={old.id, new.id}, blobs={BLOB.id, b"n" * 32}, codes={CODE.hash, b"n" * 32})
    found = await find(storage, wanted)
    assert (set(found.segments), set(found.blobs), set(found.codes)) == ({new.id}, {b"n" * 32}, {b"n" * 32})
    assert await storage.entries(old.id, after_seq=0, max_bytes=9999) == []
    assert len(await storage.entries(new.id, after_seq=0, max_bytes=9999)) == 7
    await storage.compact()
    await storage.checkpoint()


async def test_transactions_take_turns(storage):
    row = segment(b"a")
    await apply(storage, new_segments=[row])

    async def add_one():
        async with storage.transaction() as transaction:
            now = (await transaction.find(ALL)).segments[row.id]
            await asyncio.sleep(0)
            await transaction.apply(Changes(segments=[replace(now, head=now.head + 1)]))

    await asyncio.gather(*(add_one() for _ in range(20)))
    assert (await storage.segment(row.id)).head == 20


async def test_a_closed_storage_refuses(storage):
    await storage.close()
    await storage.close()
    with pytest.raises(StorageError):
        await storage.segment(b"a" * 32)
    with pytest.raises(StorageError):
        await find(storage)
    with pytest.raises(StorageError):
        await storage.checkpoint()
