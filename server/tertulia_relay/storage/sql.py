"""Storage in SQL through SQLAlchemy Core: SQLite here; what is particular to it lies in :mod:`.sqlite`.

One connection writes, in a thread of its own; a few only read, each in its thread. A thread takes a whole step of a
transaction at once: handing every single statement over would cost several times what SQLite needs to run it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine

from tertulia_relay.storage import migrate, sqlite, work
from tertulia_relay.storage.errors import DatabaseBusyError, DatabaseError, DiskFullError
from tertulia_relay.storage.interface import Changes, Found, SegmentRow, Storage, Transaction, Wanted

READERS = 4
CHECKPOINT_TRIES = 5
CHECKPOINT_PAUSE = 0.1
"""Seconds between two tries, in which others write."""

T = TypeVar("T")
Step = Callable[[Connection], T]


class Run(Protocol):
    """Runs a step on a connection, in the thread that it belongs to."""

    def __call__(self, step: Step[T], /) -> Awaitable[T]:
        """Return what the step returns. :raises DatabaseError: whatever the driver said."""
        ...


class SqlTransaction(Transaction):
    """A write transaction on the writer's connection. It begins with its first statement."""

    def __init__(self, run: Run, rng: Callable[[int], bytes]) -> None:
        self._run = run
        self._rng = rng

    async def find(self, wanted: Wanted) -> Found:
        """Read the rows that exist, with the write lock held from here on."""
        return await self._run(partial(work.find, wanted=wanted))

    async def apply(self, changes: Changes) -> None:
        """Write everything."""
        await self._run(partial(work.apply, changes=changes, rng=self._rng))


class SqlStorage(Storage):
    """A SQLite file."""

    def __init__(self, path: Path, *, rng: Callable[[int], bytes], max_bytes: int | None = None) -> None:
        """:param rng: random bytes for row numbers. :param max_bytes: the file never grows past this."""
        self._path = path
        self._rng = rng
        self._max_bytes = max_bytes
        self._turn = asyncio.Lock()
        self._engines: list[Engine] = []
        self._threads: list[ThreadPoolExecutor] = []
        self._writer: Connection | None = None

    async def open(self) -> None:
        """Open and migrate."""
        # One thread: what is handed to it runs in order, also when whoever handed it over no longer waits.
        self._threads = [ThreadPoolExecutor(1, "relay-writer"), ThreadPoolExecutor(READERS, "relay-reader")]
        try:
            await self._in_thread(self._threads[0], self._connect)
        except DatabaseError:
            await self.close()
            raise

    def _connect(self) -> None:
        with sqlite.translated(self._path):
            # Before anything that may write: a newer version's file stays as it is, to the byte.
            sqlite.check_before_writing(self._path, migrate.check_schema_known)
            self._engines.append(sqlite.make_writer(self._path, max_bytes=self._max_bytes))
            self._writer = self._engines[0].connect()
            with self._writer.begin():
                migrate.upgrade(self._writer)
            self._engines.append(sqlite.make_readers(self._path, count=READERS))

    async def close(self) -> None:
        """Close the connections."""
        async with self._turn:
            threads, self._threads = self._threads, []
            for executor in reversed(threads):
                await asyncio.to_thread(executor.shutdown)
            await asyncio.to_thread(self._disconnect)

    def _disconnect(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        while self._engines:
            self._engines.pop().dispose()

    async def _in_thread(self, executor: Executor, job: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(executor, job)

    async def _write(self, step: Step[T]) -> T:
        """Run a step on the writer's connection. Whoever calls has the turn."""
        if not self._threads or self._writer is None:
            raise DatabaseError("closed")
        return await self._in_thread(self._threads[0], partial(self._translated, step, self._writer))

    def _translated(self, step: Step[T], connection: Connection) -> T:
        with sqlite.translated(self._path):
            return step(connection)

    async def _read(self, step: Step[T]) -> T:
        """Run a step on a connection that only reads."""
        if not self._threads:
            raise DatabaseError("closed")
        return await self._in_thread(self._threads[1], partial(self._with_reader, step))

    def _with_reader(self, step: Step[T]) -> T:
        with sqlite.translated(), self._engines[1].connect() as connection:
            return step(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Begin with the write lock; commit at the end."""
        async with self._turn:
            try:
                yield SqlTransaction(self._write, self._rng)
                await self._write(Connection.commit)
            except BaseException:
                if self._threads:
                    await self._write(Connection.rollback)
                raise

    async def segment(self, segment_id: bytes) -> SegmentRow | None:
        """Read one segment."""
        return await self._read(partial(work.read_segment, segment_id=segment_id))

    async def entries(self, segment_id: bytes, *, after_seq: int, max_bytes: int) -> list[tuple[int, bytes]]:
        """Read a page of entries."""
        page = partial(work.read_entries, segment_id=segment_id, after_seq=after_seq, max_bytes=max_bytes)
        return await self._read(page)

    async def blob(self, blob_id: bytes, *, utc_day: int) -> bytes | None:
        """Read a blob."""
        return await self._read(partial(work.read_blob, blob_id=blob_id, utc_day=utc_day))

    async def expire(self, *, utc_day: int, limit: int) -> int:
        """Delete a slice of what has expired, so that writers wait briefly only."""

        def step(connection: Connection) -> int:
            with connection.begin():
                return work.expire(connection, utc_day=utc_day, limit=limit)

        async with self._turn:
            return await self._write(step)

    async def _mix(self) -> bool:
        try:
            async with self._turn:
                return await self._write(sqlite.mix_pages)
        except DiskFullError:  # there is no room for a second copy: then at least what is free is given back
            return False

    async def compact(self) -> None:
        """Write the file anew if it is short; else give all free pages back, in slices between which others write."""
        more = not await self._mix()
        while more:
            async with self._turn:
                more = await self._write(sqlite.release_pages)

    async def checkpoint(self) -> None:
        """Truncate the write-ahead log. :raises DatabaseBusyError: somebody keeps reading an old state."""
        for _ in range(CHECKPOINT_TRIES):
            async with self._turn:
                if await self._write(sqlite.truncate_log):
                    return
            await asyncio.sleep(CHECKPOINT_PAUSE)
        raise DatabaseBusyError("the log is in use")
