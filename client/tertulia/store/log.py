"""Segments, chains and raw entries: what this device has read of a circle's logs, and what it wrote into them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from tertulia.store import rows
from tertulia.store.tx import Tx, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """A segment on one relay (``relay``: its place in the Charter): our position, and the newest head we verified.

    ``start_seq`` is where this device began to read; ``head`` a SignedHead as it came.
    """

    circle: bytes
    segment_no: int
    relay: int
    relay_pk: bytes
    uri: str
    segment_id: bytes
    start_seq: int
    seq: int
    chain: bytes
    head: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainRow:
    """The chain value (32 bytes) after ``seq`` entries, as this device computed it."""

    circle: bytes
    segment_no: int
    relay: int
    seq: int
    chain: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RawEntryRow:
    """An entry of the log: the inner entry if ``is_inner``, else as it was read, because it could not be unwrapped."""

    circle: bytes
    segment_no: int
    seq: int
    is_inner: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnEntryRow:
    """An entry this device made, by SHA-256(inner). ``kind``: payload, commit, proposal; ``ref``: its row's key."""

    circle: bytes
    inner_hash: bytes
    kind: str
    ref: bytes
    segment_no: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRow:
    """What shows that somebody did what nobody may, as bytes that can be shown to others."""

    circle: bytes
    kind: str
    at: int
    data: bytes


def put_segment(tx: Tx, row: SegmentRow) -> None:
    """Keep a segment's place and position."""
    rows.put(tx, "segment", row)


def list_segments(tx: Tx, circle: bytes) -> list[SegmentRow]:
    """Return all segments known, in order of number and relay."""
    return rows.select(tx, SegmentRow, "segment", "WHERE circle = ? ORDER BY segment_no, relay", (circle,))


def change_segment(tx: Tx, circle: bytes, segment_no: int, relay: int = 0, **changes: Value) -> None:
    """Change columns of a segment, for example ``seq`` and ``chain``."""
    where = "circle = ? AND segment_no = ? AND relay = ?"
    rows.update(tx, "segment", where, (circle, segment_no, relay), **changes)


def put_access(tx: Tx, circle: bytes, segment_no: int, access: bytes) -> None:
    """Keep the keys of a segment (a SegAccess)."""
    tx.execute(
        "INSERT OR REPLACE INTO segment_access (circle, segment_no, access) VALUES (?, ?, ?)",
        (circle, segment_no, access),
    )


def get_access(tx: Tx, circle: bytes, segment_no: int) -> bytes | None:
    """Return the keys of a segment (a SegAccess)."""
    row = tx.one("SELECT access FROM segment_access WHERE circle = ? AND segment_no = ?", (circle, segment_no))
    return None if row is None else bytes(row[0])


def forget_before(tx: Tx, circle: bytes, segment_no: int) -> None:
    """Delete what is kept of segments before ``segment_no``: keys, chain, raw entries (only two segments stay)."""
    for table in ("segment_access", "segment", "chain", "raw_entry", "own_entry"):
        rows.delete(tx, table, "circle = ? AND segment_no < ?", (circle, segment_no))


# --- Chain and raw entries ------------------------------------------------------------------------------------------


def add_chain(tx: Tx, values: Iterable[ChainRow]) -> None:
    """Keep chain values."""
    rows.put_all(tx, "chain", values)


def get_chain(tx: Tx, circle: bytes, segment_no: int, seq: int, relay: int = 0) -> bytes | None:
    """Return our chain value (32 bytes) at ``seq``."""
    row = tx.one(
        "SELECT chain FROM chain WHERE circle = ? AND segment_no = ? AND relay = ? AND seq = ?",
        (circle, segment_no, relay, seq),
    )
    return None if row is None else bytes(row[0])


def add_entries(tx: Tx, entries: Iterable[RawEntryRow]) -> None:
    """Keep raw entries."""
    rows.put_all(tx, "raw_entry", entries)


def segment_bytes(tx: Tx, circle: bytes, segment_no: int, *, overhead: int, sizes: Sequence[int]) -> int:
    """Return how many bytes the raw entries of a segment take at the relay.

    :param overhead: what the wrap adds to an inner entry. :param sizes: the lengths that entries can have.
    """
    cases = " ".join(f"WHEN n <= {size} THEN {size}" for size in sizes)
    row = tx.one(
        f"SELECT coalesce(sum(CASE {cases} ELSE n END), 0) FROM"  # noqa: S608 - numbers
        " (SELECT length(data) + is_inner * ? AS n FROM raw_entry WHERE circle = ? AND segment_no = ?)",
        (overhead, circle, segment_no),
    )
    return int(row[0]) if row else 0


def entries_after(tx: Tx, circle: bytes, segment_no: int, seq: int, *, limit: int = 200) -> list[RawEntryRow]:
    """Return the raw entries after ``seq`` in order, at most ``limit``."""
    return rows.select(
        tx,
        RawEntryRow,
        "raw_entry",
        "WHERE circle = ? AND segment_no = ? AND seq > ? ORDER BY seq LIMIT ?",
        (circle, segment_no, seq, limit),
    )


def add_own(tx: Tx, row: OwnEntryRow) -> None:
    """Remember an entry of ours before it leaves (E24)."""
    rows.put(tx, "own_entry", row)


def find_own(tx: Tx, circle: bytes, inner_hash: bytes) -> OwnEntryRow | None:
    """Return what we know of an entry that may be ours, by SHA-256(inner)."""
    return rows.first(tx, OwnEntryRow, "own_entry", "WHERE circle = ? AND inner_hash = ?", (circle, inner_hash))


def unread_proposal(tx: Tx, circle: bytes) -> bytes | None:
    """Return the inner entry of a proposal of ours that was not read back yet."""
    where = "WHERE circle = ? AND kind = 'proposal' AND length(ref) > 0"
    row = rows.first(tx, OwnEntryRow, "own_entry", where, (circle,))
    return None if row is None else row.ref


def mark_read_back(tx: Tx, row: OwnEntryRow) -> None:
    """Note that a proposal of ours stands in the log."""
    rows.put(tx, "own_entry", replace(row, ref=b""))


def clear_own(tx: Tx, circle: bytes) -> None:
    """Forget our entries of an epoch that is over: none of them can count any more."""
    rows.delete(tx, "own_entry", "circle = ?", (circle,))


# --- Evidence -------------------------------------------------------------------------------------------------------


def add_evidence(tx: Tx, row: EvidenceRow) -> None:
    """Keep evidence for good."""
    rows.insert(tx, "evidence", row)


def list_evidence(tx: Tx, circle: bytes) -> list[EvidenceRow]:
    """Return the evidence of a circle, the oldest first."""
    return rows.select(tx, EvidenceRow, "evidence", "WHERE circle = ? ORDER BY number", (circle,))
