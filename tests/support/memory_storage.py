"""A storage in memory: the second implementation that the storage suite runs against."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from tertulia_relay.storage.errors import DatabaseError
from tertulia_relay.storage.interface import (
    BlobRow,
    Changes,
    CodeRow,
    Found,
    SegmentRow,
    Storage,
    Transaction,
    Wanted,
)

K = TypeVar("K")
V = TypeVar("V")


@dataclass
class Tables:
    segments: dict[bytes, SegmentRow] = field(default_factory=dict)
    entries: dict[tuple[bytes, int], tuple[bytes, bytes]] = field(default_factory=dict)
    blobs: dict[bytes, tuple[BlobRow, bytes]] = field(default_factory=dict)
    codes: dict[bytes, CodeRow] = field(default_factory=dict)

    def copy(self) -> Tables:
        """Return the same rows, which never change, in dictionaries of their own."""
        return Tables(dict(self.segments), dict(self.entries), dict(self.blobs), dict(self.codes))


class MemoryTransaction(Transaction):
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def find(self, wanted: Wanted) -> Found:
        tables = self._tables
        return Found(
            segments={key: row for key, row in tables.segments.items() if key in wanted.segments},
            entries={(seg, h): seq for (seg, seq), (h, _) in tables.entries.items() if (seg, h) in wanted.entries},
            blobs={key: row for key, (row, _) in tables.blobs.items() if key in wanted.blobs},
            codes={key: row for key, row in tables.codes.items() if key in wanted.codes},
        )

    async def apply(self, changes: Changes) -> None:
        tables = self._tables
        for key in changes.dropped_segments:
            del tables.segments[key]
            tables.entries = {place: entry for place, entry in tables.entries.items() if place[0] != key}
        for key in changes.dropped_blobs:
            del tables.blobs[key]
        for row in changes.new_segments:
            _insert(tables.segments, row.id, row)
        for entry in changes.new_entries:
            if any(seg == entry.segment_id and h == entry.hash for (seg, _), (h, _) in tables.entries.items()):
                raise DatabaseError("an entry twice")
            _insert(tables.entries, (entry.segment_id, entry.seq), (entry.hash, entry.data))
        for blob, data in changes.new_blobs:
            _insert(tables.blobs, blob.id, (blob, data))
        for code in changes.new_codes:
            _insert(tables.codes, code.hash, code)
        tables.segments.update({row.id: row for row in changes.segments})
        tables.blobs.update({row.id: (row, tables.blobs[row.id][1]) for row in changes.blobs})
        tables.codes.update({row.hash: row for row in changes.codes})


def _insert(table: dict[K, V], key: K, value: V) -> None:
    if key in table:
        raise DatabaseError("a key twice")
    table[key] = value


class MemoryStorage(Storage):
    def __init__(self) -> None:
        self._tables = Tables()
        self._turn = asyncio.Lock()
        self._open = False

    async def open(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False

    def copy(self) -> MemoryStorage:
        """Return a backup: another storage with what this one holds now."""
        backup = MemoryStorage()
        backup._tables = self._tables.copy()
        return backup

    def _check_open(self) -> None:
        if not self._open:
            raise DatabaseError("closed")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with self._turn:
            self._check_open()
            tables = self._tables.copy()
            yield MemoryTransaction(tables)
            self._tables = tables

    async def segment(self, segment_id: bytes) -> SegmentRow | None:
        self._check_open()
        return self._tables.segments.get(segment_id)

    async def entries(self, segment_id: bytes, *, after_seq: int, max_bytes: int) -> list[tuple[int, bytes]]:
        self._check_open()
        page: list[tuple[int, bytes]] = []
        for (seg, seq), (_, data) in sorted(self._tables.entries.items()):
            if seg == segment_id and seq > after_seq:
                if page and sum(len(entry) for _, entry in page) + len(data) > max_bytes:
                    break
                page.append((seq, data))
        return page

    async def blob(self, blob_id: bytes, *, utc_day: int) -> bytes | None:
        self._check_open()
        row, data = self._tables.blobs.get(blob_id, (None, None))
        return data if row is not None and row.expires_day >= utc_day else None

    async def expire(self, *, utc_day: int, limit: int) -> int:
        self._check_open()
        tables, count = self._tables, 0
        for segment in [row for row in tables.segments.values() if row.expires_day < utc_day][:limit]:
            del tables.segments[segment.id]
            tables.entries = {place: entry for place, entry in tables.entries.items() if place[0] != segment.id}
            count += 1
        for blob in [row for row, _ in tables.blobs.values() if row.expires_day < utc_day]:
            del tables.blobs[blob.id]
            count += 1
        for code in [row for row in tables.codes.values() if row.expires_day < utc_day]:
            del tables.codes[code.hash]
            count += 1
        return count

    async def compact(self) -> None:
        self._check_open()

    async def checkpoint(self) -> None:
        self._check_open()
