"""Circles of this profile and what a coordinator's device keeps of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from tertulia.store import meta, rows
from tertulia.store.tx import Tx, Value

TABLES_OF_A_CIRCLE = (
    "mls_row",
    "coord_key",
    "coord_segment",
    "segment_access",
    "segment",
    "chain",
    "raw_entry",
    "own_entry",
    "author",
    "change",
    "object",
    "kept_payload",
    "outbox",
    "pending_commit",
    "evidence",
    "invitation",
    "join_request",
    "reply",
    "transfer",
)
"""Every table with a column ``circle`` that goes when a circle is forgotten (``event`` stays: it is the log)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircleRow:
    """A circle. ``state`` is one of ``states.py``; ``detail`` says why or holds evidence; times in seconds.

    ``lamport``: the greatest read or made. ``own_seq`` and ``own_last``: the newest payload this device has made.
    """

    id: bytes
    group_id: bytes
    state: str
    detail: bytes = b""
    alias: str
    name: str = ""
    device_id: bytes
    segment_no: int
    enrolment: bytes | None = field(default=None, repr=False)
    coord_gen: int = 0
    joined_at: int
    synced_at: int = 0
    lamport: int = 0
    own_seq: int = 0
    own_last: bytes = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordKeyRow:
    """The coordinators' secret (32 bytes) of one generation."""

    circle: bytes
    coord_gen: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordSegmentRow:
    """What derives the keys of a past segment's lobby, kept until ``until`` (E7: 400 days)."""

    circle: bytes
    segment_no: int
    coord_gen: int
    salt: bytes
    relays: bytes
    until: int


def add(tx: Tx, row: CircleRow) -> None:
    """Add a circle."""
    rows.insert(tx, "circle", row)


def put(tx: Tx, row: CircleRow) -> None:
    """Write a circle's row in the place of the old one."""
    rows.put(tx, "circle", row)


def get(tx: Tx, circle: bytes) -> CircleRow | None:
    """Return a circle by its id (32 bytes)."""
    return rows.first(tx, CircleRow, "circle", "WHERE id = ?", (circle,))


def list_all(tx: Tx) -> list[CircleRow]:
    """Return all circles, the oldest first."""
    return rows.select(tx, CircleRow, "circle", "ORDER BY joined_at, id")


def change(tx: Tx, circle: bytes, **changes: Value) -> None:
    """Change columns of a circle, for example ``state="ACTIVE"``."""
    rows.update(tx, "circle", "id = ?", (circle,), **changes)


def forget(tx: Tx, circle: bytes) -> None:
    """Delete a circle and all that was kept of it."""
    rows.delete(tx, "chunk", "transfer IN (SELECT id FROM transfer WHERE circle = ?)", (circle,))
    for table in TABLES_OF_A_CIRCLE:
        rows.delete(tx, table, "circle = ?", (circle,))
    rows.delete(tx, "circle", "id = ?", (circle,))
    rows.delete(tx, "meta", "name = ?", (meta.leaf_name(circle),))
    tx.cache.pop(circle, None)


# --- The coordinators' secret ---------------------------------------------------------------------------------------


def put_coord_key(tx: Tx, row: CoordKeyRow) -> None:
    """Keep the secret of a generation."""
    rows.put(tx, "coord_key", row)


def get_coord_key(tx: Tx, circle: bytes, coord_gen: int) -> bytes | None:
    """Return the secret (32 bytes) of a generation, if this device has it."""
    row = rows.first(tx, CoordKeyRow, "coord_key", "WHERE circle = ? AND coord_gen = ?", (circle, coord_gen))
    return None if row is None else row.secret


def put_coord_segment(tx: Tx, row: CoordSegmentRow) -> None:
    """Keep what derives the lobby of a segment."""
    rows.put(tx, "coord_segment", row)


def list_coord_segments(tx: Tx, circle: bytes) -> list[CoordSegmentRow]:
    """Return what is kept of the lobbies of a circle, the newest segment first."""
    return rows.select(tx, CoordSegmentRow, "coord_segment", "WHERE circle = ? ORDER BY segment_no DESC", (circle,))


def expire_coord_segments(tx: Tx, circle: bytes, *, now: int) -> int:
    """Delete what has been kept long enough, and the secrets that nothing needs any more; return how many lobbies."""
    count = rows.delete(tx, "coord_segment", "circle = ? AND until < ?", (circle, now))
    rows.delete(
        tx,
        "coord_key",
        "circle = ? AND coord_gen < (SELECT coord_gen FROM circle WHERE id = ?)"
        " AND coord_gen NOT IN (SELECT coord_gen FROM coord_segment WHERE circle = ?)",
        (circle, circle, circle),
    )
    return count
