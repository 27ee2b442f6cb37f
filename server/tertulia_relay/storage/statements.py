"""The statements, built once, and how rows become the structs of the interface."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, bindparam, delete, func, insert, or_, select, update

from tertulia_relay.storage.interface import BlobRow, CodeRow, SegmentRow
from tertulia_relay.storage.schema import blob, body, code, ent, seg

_SEGMENT_COLUMNS = (
    "id", "cfg", "head", "chain", "sealed", "frozen", "used", "quota", "blob_used", "blob_quota", "expires_day", "heir",
)  # fmt: skip

SEGMENT = select(seg).where(seg.c.id == bindparam("key"))
SEGMENTS = select(seg).where(seg.c.id.in_(bindparam("keys", expanding=True))).with_for_update()
PLACES = select(ent.c.seg, ent.c.h, ent.c.seq).where(ent.c.h.in_(bindparam("keys", expanding=True)))
"""By hash alone, whatever the segment: SQLite answers ``(seg, h) IN (...)`` with a scan of the whole table."""

BLOBS = select(blob.c.id, blob.c.delete_hash, blob.c.expires_day).where(
    blob.c.id.in_(bindparam("keys", expanding=True))
)
CODES = select(code).where(code.c.h.in_(bindparam("keys", expanding=True))).with_for_update()

INSERT_SEGMENT = insert(seg)
INSERT_ENTRY = insert(ent)
INSERT_BODY = insert(body)
INSERT_BLOB = insert(blob)
INSERT_CODE = insert(code)

UPDATE_SEGMENT = (
    update(seg)
    .where(seg.c.id == bindparam("key"))
    .values({name: bindparam(f"new_{name}") for name in _SEGMENT_COLUMNS if name not in ("id", "cfg")})
)
UPDATE_BLOB = update(blob).where(blob.c.id == bindparam("key")).values(expires_day=bindparam("new_expires_day"))
UPDATE_CODE = update(code).where(code.c.h == bindparam("key")).values(units=bindparam("new_units"))

DROP_BODIES = delete(body).where(body.c.rid.in_(select(ent.c.rid).where(ent.c.seg == bindparam("key"))))
DROP_ENTRIES = delete(ent).where(ent.c.seg == bindparam("key"))
DROP_SEGMENT = delete(seg).where(seg.c.id == bindparam("key"))
DROP_BLOB_BODY = delete(body).where(body.c.rid.in_(select(blob.c.rid).where(blob.c.id == bindparam("key"))))
DROP_BLOB = delete(blob).where(blob.c.id == bindparam("key"))

BLOB_DATA = (
    select(body.c.data)
    .join(blob, blob.c.rid == body.c.rid)
    .where(blob.c.id == bindparam("key"), blob.c.expires_day >= bindparam("day"))
)

_page = (
    select(ent.c.seq, ent.c.rid, func.sum(ent.c.size).over(order_by=ent.c.seq).label("total"))
    .where(ent.c.seg == bindparam("key"), ent.c.seq > bindparam("after"))
    .order_by(ent.c.seq)
    .limit(bindparam("count"))
    .subquery()
)
ENTRIES = (
    select(_page.c.seq, body.c.data)
    .join(body, body.c.rid == _page.c.rid)
    .where(or_(_page.c.total <= bindparam("max_bytes"), _page.c.seq == bindparam("after") + 1))
    .order_by(_page.c.seq)
)
"""Whole entries up to ``max_bytes`` and at least one; places have no gaps. No body past the limit is ever read."""

EXPIRED_SEGMENTS = select(seg.c.id).where(seg.c.expires_day < bindparam("day")).limit(bindparam("count"))
EXPIRED_ENTRIES = select(ent.c.seq, ent.c.rid).where(ent.c.seg == bindparam("key")).limit(bindparam("count"))
EXPIRED_BLOBS = select(blob.c.id, blob.c.rid).where(blob.c.expires_day < bindparam("day")).limit(bindparam("count"))
DELETE_BODY = delete(body).where(body.c.rid == bindparam("key"))
DELETE_ENTRY = delete(ent).where(ent.c.seg == bindparam("key"), ent.c.seq == bindparam("place"))
DELETE_CODES = delete(code).where(code.c.expires_day < bindparam("day"))


def to_segment(row: Row[Any]) -> SegmentRow:
    """Read a row of ``seg``."""
    return SegmentRow(
        id=row.id,
        config=row.cfg,
        head=row.head,
        chain=row.chain,
        sealed=bool(row.sealed),
        frozen=row.frozen,
        used=row.used,
        quota=row.quota,
        blob_used=row.blob_used,
        blob_quota=row.blob_quota,
        expires_day=row.expires_day,
        heir=row.heir,
    )


def from_segment(row: SegmentRow) -> dict[str, object]:
    """Return the columns of ``seg``."""
    return {
        "id": row.id,
        "cfg": row.config,
        "head": row.head,
        "chain": row.chain,
        "sealed": int(row.sealed),
        "frozen": row.frozen,
        "used": row.used,
        "quota": row.quota,
        "blob_used": row.blob_used,
        "blob_quota": row.blob_quota,
        "expires_day": row.expires_day,
        "heir": row.heir,
    }


def to_update(row: SegmentRow) -> dict[str, object]:
    """Return the parameters of ``UPDATE_SEGMENT``."""
    columns = from_segment(row)
    return {"key": row.id} | {f"new_{name}": columns[name] for name in _SEGMENT_COLUMNS if name not in ("id", "cfg")}


def to_blob(row: Row[Any]) -> BlobRow:
    """Read a row of ``blob``."""
    return BlobRow(id=row.id, delete_hash=row.delete_hash, expires_day=row.expires_day)


def to_code(row: Row[Any]) -> CodeRow:
    """Read a row of ``code``."""
    return CodeRow(hash=row.h, left=row.units, expires_day=row.expires_day)
