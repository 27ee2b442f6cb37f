"""What is done on one connection: reading, writing and deleting rows. Plain functions; a thread runs them.

Bodies lie under random 63-bit numbers so that the file does not record the order in which segments were written to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection, Executable, Row

from tertulia_protocol.relay_api.limits import ENTRY_SIZES
from tertulia_relay.storage import statements as sql
from tertulia_relay.storage.interface import Changes, Found, SegmentRow, Wanted


def find(connection: Connection, wanted: Wanted) -> Found:
    """Read the rows that exist."""
    found = Found()
    for row in _rows(connection, sql.SEGMENTS, wanted.segments):
        found.segments[row.id] = sql.to_segment(row)
    for row in _rows(connection, sql.PLACES, {entry_hash for _, entry_hash in wanted.entries}):
        if (row.seg, row.h) in wanted.entries:
            found.entries[row.seg, row.h] = row.seq
    for row in _rows(connection, sql.BLOBS, wanted.blobs):
        found.blobs[row.id] = sql.to_blob(row)
    for row in _rows(connection, sql.CODES, wanted.codes):
        found.codes[row.h] = sql.to_code(row)
    return found


def _rows(connection: Connection, statement: Executable, keys: set[bytes]) -> Iterable[Row[Any]]:
    return connection.execute(statement, {"keys": list(keys)}).all() if keys else ()


def apply(connection: Connection, changes: Changes, rng: Callable[[int], bytes]) -> None:
    """Write everything, one statement per table."""
    for segment_id in changes.dropped_segments:
        for statement in (sql.DROP_BODIES, sql.DROP_ENTRIES, sql.DROP_SEGMENT):
            connection.execute(statement, {"key": segment_id})
    for blob_id in changes.dropped_blobs:
        for statement in (sql.DROP_BLOB_BODY, sql.DROP_BLOB):
            connection.execute(statement, {"key": blob_id})
    _insert(connection, changes, rng)
    _many(connection, sql.UPDATE_SEGMENT, [sql.to_update(row) for row in changes.segments])
    _many(connection, sql.UPDATE_BLOB, [{"key": row.id, "new_expires_day": row.expires_day} for row in changes.blobs])
    _many(connection, sql.UPDATE_CODE, [{"key": row.hash, "new_units": row.left} for row in changes.codes])


def _insert(connection: Connection, changes: Changes, rng: Callable[[int], bytes]) -> None:
    rids = _row_numbers(rng, len(changes.new_entries) + len(changes.new_blobs))
    entries = [
        {"seg": entry.segment_id, "seq": entry.seq, "h": entry.hash, "size": len(entry.data), "rid": rid}
        for entry, rid in zip(changes.new_entries, rids, strict=False)
    ]
    blobs = [
        {"id": row.id, "delete_hash": row.delete_hash, "rid": rid, "expires_day": row.expires_day}
        for (row, _), rid in zip(changes.new_blobs, rids[len(entries) :], strict=True)
    ]
    data = [entry.data for entry in changes.new_entries] + [chunk for _, chunk in changes.new_blobs]
    codes = [{"h": row.hash, "units": row.left, "expires_day": row.expires_day} for row in changes.new_codes]
    _many(connection, sql.INSERT_SEGMENT, [sql.from_segment(row) for row in changes.new_segments])
    _many(connection, sql.INSERT_ENTRY, entries)
    _many(connection, sql.INSERT_BLOB, blobs)
    _many(connection, sql.INSERT_BODY, [{"rid": rid, "data": part} for rid, part in zip(rids, data, strict=True)])
    _many(connection, sql.INSERT_CODE, codes)


def _row_numbers(rng: Callable[[int], bytes], count: int) -> list[int]:
    raw = rng(8 * count)
    return [int.from_bytes(raw[at : at + 8], "big") >> 1 for at in range(0, 8 * count, 8)]


def _many(connection: Connection, statement: Executable, rows: list[dict[str, object]]) -> None:
    if rows:
        connection.execute(statement, rows)


def read_segment(connection: Connection, segment_id: bytes) -> SegmentRow | None:
    """Read one segment."""
    row = connection.execute(sql.SEGMENT, {"key": segment_id}).one_or_none()
    return None if row is None else sql.to_segment(row)


def read_entries(
    connection: Connection, segment_id: bytes, *, after_seq: int, max_bytes: int
) -> list[tuple[int, bytes]]:
    """Read a page of entries."""
    count = max_bytes // ENTRY_SIZES[0] + 1
    page = {"key": segment_id, "after": after_seq, "count": count, "max_bytes": max_bytes}
    return [(row.seq, row.data) for row in connection.execute(sql.ENTRIES, page)]


def read_blob(connection: Connection, blob_id: bytes, *, utc_day: int) -> bytes | None:
    """Read a blob that lives on ``utc_day``."""
    data: bytes | None = connection.execute(sql.BLOB_DATA, {"key": blob_id, "day": utc_day}).scalar_one_or_none()
    return data


def expire(connection: Connection, *, utc_day: int, limit: int) -> int:
    """Delete about ``limit`` rows whose last day is before ``utc_day``; return how many it were."""
    count = _expire_segments(connection, utc_day, limit)
    count += _expire_blobs(connection, utc_day, max(0, limit - count))
    return count + connection.execute(sql.DELETE_CODES, {"day": utc_day}).rowcount


def _expire_segments(connection: Connection, utc_day: int, limit: int) -> int:
    count = 0
    for segment_id in connection.execute(sql.EXPIRED_SEGMENTS, {"day": utc_day, "count": limit}).scalars().all():
        if count >= limit:
            break
        left = limit - count
        rows = connection.execute(sql.EXPIRED_ENTRIES, {"key": segment_id, "count": left}).all()
        _many(connection, sql.DELETE_BODY, [{"key": row.rid} for row in rows])
        _many(connection, sql.DELETE_ENTRY, [{"key": segment_id, "place": row.seq} for row in rows])
        if len(rows) < left:
            connection.execute(sql.DROP_SEGMENT, {"key": segment_id})
        count += len(rows) + 1
    return count


def _expire_blobs(connection: Connection, utc_day: int, limit: int) -> int:
    rows = connection.execute(sql.EXPIRED_BLOBS, {"day": utc_day, "count": limit}).all()
    _many(connection, sql.DELETE_BODY, [{"key": row.rid} for row in rows])
    _many(connection, sql.DROP_BLOB, [{"key": row.id} for row in rows])
    return len(rows)
