"""Storage in SQL through SQLAlchemy Core: SQLite here; what is particular to it lies in :mod:`.sqlite`.

One connection writes, a few only read. Bodies lie under random 63-bit numbers so that the file does not record the
order in which segments were written to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Executable, Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tertulia_protocol.relay_api.limits import ENTRY_SIZES
from tertulia_relay.storage import migrate, sqlite
from tertulia_relay.storage import statements as sql
from tertulia_relay.storage.errors import DatabaseError
from tertulia_relay.storage.interface import Changes, Found, SegmentRow, Storage, Transaction, Wanted

READERS = 4


class SqlTransaction(Transaction):
    """A write transaction on the writer's connection."""

    def __init__(self, connection: AsyncConnection, rng: Callable[[int], bytes]) -> None:
        self._connection = connection
        self._rng = rng

    async def find(self, wanted: Wanted) -> Found:
        """Read the rows that exist."""
        found = Found()
        with sqlite.translated():
            if wanted.segments:
                for row in await self._rows(sql.SEGMENTS, list(wanted.segments)):
                    found.segments[row.id] = sql.to_segment(row)
            if wanted.entries:
                for row in await self._rows(sql.PLACES, list({entry_hash for _, entry_hash in wanted.entries})):
                    if (row.seg, row.h) in wanted.entries:
                        found.entries[row.seg, row.h] = row.seq
            if wanted.blobs:
                for row in await self._rows(sql.BLOBS, list(wanted.blobs)):
                    found.blobs[row.id] = sql.to_blob(row)
            if wanted.codes:
                for row in await self._rows(sql.CODES, list(wanted.codes)):
                    found.codes[row.h] = sql.to_code(row)
        return found

    async def _rows(self, statement: Executable, keys: Sequence[object]) -> Sequence[Row[Any]]:
        return (await self._connection.execute(statement, {"keys": keys})).all()

    async def apply(self, changes: Changes) -> None:
        """Write everything, one statement per table."""
        with sqlite.translated():
            for segment_id in changes.dropped_segments:
                await self._each((sql.DROP_BODIES, sql.DROP_ENTRIES, sql.DROP_SEGMENT), {"key": segment_id})
            for blob_id in changes.dropped_blobs:
                await self._each((sql.DROP_BLOB_BODY, sql.DROP_BLOB), {"key": blob_id})
            await self._insert(changes)
            await self._many(sql.UPDATE_SEGMENT, [sql.to_update(row) for row in changes.segments])
            await self._many(
                sql.UPDATE_BLOB, [{"key": row.id, "new_expires_day": row.expires_day} for row in changes.blobs]
            )
            await self._many(sql.UPDATE_CODE, [{"key": row.hash, "new_units": row.left} for row in changes.codes])

    async def _insert(self, changes: Changes) -> None:
        rids = self._row_numbers(len(changes.new_entries) + len(changes.new_blobs))
        entries = [
            {"seg": entry.segment_id, "seq": entry.seq, "h": entry.hash, "size": len(entry.data), "rid": rid}
            for entry, rid in zip(changes.new_entries, rids, strict=False)
        ]
        blobs = [
            {"id": row.id, "delete_hash": row.delete_hash, "rid": rid, "expires_day": row.expires_day}
            for (row, _), rid in zip(changes.new_blobs, rids[len(entries) :], strict=True)
        ]
        data = [entry.data for entry in changes.new_entries] + [chunk for _, chunk in changes.new_blobs]
        await self._many(sql.INSERT_SEGMENT, [sql.from_segment(row) for row in changes.new_segments])
        await self._many(sql.INSERT_ENTRY, entries)
        await self._many(sql.INSERT_BLOB, blobs)
        await self._many(sql.INSERT_BODY, [{"rid": r, "data": d} for r, d in zip(rids, data, strict=True)])
        await self._many(
            sql.INSERT_CODE,
            [{"h": row.hash, "units": row.left, "expires_day": row.expires_day} for row in changes.new_codes],
        )

    def _row_numbers(self, count: int) -> list[int]:
        raw = self._rng(8 * count)
        return [int.from_bytes(raw[at : at + 8], "big") >> 1 for at in range(0, 8 * count, 8)]

    async def _many(self, statement: Executable, rows: list[dict[str, object]]) -> None:
        if rows:
            await self._connection.execute(statement, rows)

    async def _each(self, statements: Sequence[Executable], parameters: dict[str, object]) -> None:
        for statement in statements:
            await self._connection.execute(statement, parameters)


class SqlStorage(Storage):
    """A SQLite file."""

    def __init__(self, path: Path, *, rng: Callable[[int], bytes], max_bytes: int | None = None) -> None:
        """:param rng: random bytes for row numbers. :param max_bytes: the file never grows past this."""
        self._url = URL.create("sqlite+aiosqlite", database=str(path))
        self._rng = rng
        self._max_bytes = max_bytes
        self._turn = asyncio.Lock()
        self._engines: list[AsyncEngine] = []
        self._writer: AsyncConnection | None = None
        self._readers: AsyncEngine | None = None

    async def open(self) -> None:
        """Open and migrate."""
        try:
            with sqlite.translated():
                writers = self._engine(pool_size=1)
                sqlite.prepare_writer(writers, max_bytes=self._max_bytes)
                self._writer = await writers.connect()
                async with self._writer.begin():
                    await self._writer.run_sync(migrate.upgrade)
                self._readers = self._engine(pool_size=READERS, isolation_level="AUTOCOMMIT", pool_reset_on_return=None)
                sqlite.prepare_reader(self._readers)
        except DatabaseError:
            await self.close()
            raise

    def _engine(self, **options: object) -> AsyncEngine:
        # hide_parameters: an error's text must never carry what a request carried.
        engine = create_async_engine(self._url, hide_parameters=True, max_overflow=0, pool_timeout=30, **options)
        self._engines.append(engine)
        return engine

    async def close(self) -> None:
        """Close the connections."""
        async with self._turn:
            if self._writer is not None:
                await self._writer.close()
                self._writer = None
            while self._engines:
                await self._engines.pop().dispose()
            self._readers = None

    def _open_writer(self) -> AsyncConnection:
        if self._writer is None:
            raise DatabaseError("closed")
        return self._writer

    def _open_readers(self) -> AsyncEngine:
        if self._readers is None:
            raise DatabaseError("closed")
        return self._readers

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Begin with the write lock; commit at the end."""
        async with self._turn:
            with sqlite.translated():
                async with self._open_writer().begin():
                    yield SqlTransaction(self._open_writer(), self._rng)

    async def segment(self, segment_id: bytes) -> SegmentRow | None:
        """Read one segment."""
        with sqlite.translated():
            async with self._open_readers().connect() as connection:
                row = (await connection.execute(sql.SEGMENT, {"key": segment_id})).one_or_none()
        return None if row is None else sql.to_segment(row)

    async def entries(self, segment_id: bytes, *, after_seq: int, max_bytes: int) -> list[tuple[int, bytes]]:
        """Read a page of entries."""
        page = {
            "key": segment_id,
            "after": after_seq,
            "count": max_bytes // ENTRY_SIZES[0] + 1,
            "max_bytes": max_bytes,
        }
        with sqlite.translated():
            async with self._open_readers().connect() as connection:
                rows = (await connection.execute(sql.ENTRIES, page)).all()
        return [(row.seq, row.data) for row in rows]

    async def blob(self, blob_id: bytes, *, utc_day: int) -> bytes | None:
        """Read a blob."""
        with sqlite.translated():
            async with self._open_readers().connect() as connection:
                return (await connection.execute(sql.BLOB_DATA, {"key": blob_id, "day": utc_day})).scalar_one_or_none()

    async def expire(self, *, utc_day: int, limit: int) -> int:
        """Delete a slice of what has expired, so that writers wait briefly only."""
        async with self._turn:
            connection = self._open_writer()
            with sqlite.translated():
                async with connection.begin():
                    count = await _expire_segments(connection, utc_day, limit)
                    count += await _expire_blobs(connection, utc_day, max(0, limit - count))
                    count += (await connection.execute(sql.DELETE_CODES, {"day": utc_day})).rowcount
        return count

    async def compact(self) -> None:
        """Give free pages back."""
        await self._pragma("PRAGMA incremental_vacuum")

    async def checkpoint(self) -> None:
        """Truncate the write-ahead log."""
        await self._pragma("PRAGMA wal_checkpoint(TRUNCATE)")

    async def _pragma(self, statement: str) -> None:
        async with self._turn:
            with sqlite.translated():
                raw = await self._open_writer().get_raw_connection()
                driver = raw.driver_connection
                if driver is None:
                    raise DatabaseError("closed")
                async with driver.execute(statement) as cursor:
                    await cursor.fetchall()


async def _expire_segments(connection: AsyncConnection, utc_day: int, limit: int) -> int:
    count = 0
    segments = (await connection.execute(sql.EXPIRED_SEGMENTS, {"day": utc_day, "count": limit})).scalars().all()
    for segment_id in segments:
        if count >= limit:
            break
        left = limit - count
        rows = (await connection.execute(sql.EXPIRED_ENTRIES, {"key": segment_id, "count": left})).all()
        if rows:
            await connection.execute(sql.DELETE_BODY, [{"key": row.rid} for row in rows])
            await connection.execute(sql.DELETE_ENTRY, [{"key": segment_id, "place": row.seq} for row in rows])
        if len(rows) < left:
            await connection.execute(sql.DROP_SEGMENT, {"key": segment_id})
        count += len(rows) + 1
    return count


async def _expire_blobs(connection: AsyncConnection, utc_day: int, limit: int) -> int:
    rows = (await connection.execute(sql.EXPIRED_BLOBS, {"day": utc_day, "count": limit})).all()
    if rows:
        await connection.execute(sql.DELETE_BODY, [{"key": row.rid} for row in rows])
        await connection.execute(sql.DROP_BLOB, [{"key": row.id} for row in rows])
    return len(rows)
