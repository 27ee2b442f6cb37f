"""What is on its way out: payloads not yet read back, and commits that may still win."""

from __future__ import annotations

from dataclasses import dataclass, field

from tertulia.store import rows
from tertulia.store.tx import Tx, Value

UPLOADING, WAITING, SENT = "uploading", "waiting", "sent"
"""Chunks of its files are not all at the relay; to be sent; appended, but not yet read back."""


PENDING, DONE = "pending", "done"
"""May still win; was read back as effective."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """A payload that was not yet read back. ``inner`` is its inner entry in epoch ``inner_epoch``, once encrypted.

    ``seq``: where the relay says it stands, once it was sent. While it is uploading ``payload`` is the body alone.
    """

    circle: bytes
    number: int
    post_id: bytes
    state: str
    type: int
    payload: bytes = field(repr=False)
    share: int
    inner: bytes | None = field(default=None, repr=False)
    inner_epoch: int | None = None
    segment_no: int | None = None
    seq: int | None = None
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingCommitRow:
    """A commit of ours: one that may still win, or an effective one whose ``after`` somebody still needs.

    ``transport`` (serialised), ``access`` and ``heir_vk`` are of the segment that it hops to. ``done_*`` say where it
    led to: the epoch, and the position from which joiners read.
    """

    circle: bytes
    inner_hash: bytes
    number: int
    epoch: int
    segment_no: int
    state: str = PENDING
    inner: bytes = field(repr=False)
    hop: int
    transport: bytes | None = field(default=None, repr=False)
    access: bytes | None = field(default=None, repr=False)
    heir_vk: bytes | None = None
    coord_gen: int | None = None
    coord_secret: bytes | None = field(default=None, repr=False)
    welcome: bytes | None = field(default=None, repr=False)
    tree: bytes | None = field(default=None, repr=False)
    after: bytes = field(repr=False)
    created_at: int
    done_epoch: int | None = None
    done_segment: int | None = None
    done_seq: int | None = None
    done_chain: bytes | None = None


def next_number(tx: Tx, circle: bytes) -> int:
    """Return the number after the greatest in a circle's outbox."""
    row = tx.one("SELECT coalesce(max(number), 0) + 1 FROM outbox WHERE circle = ?", (circle,))
    return int(row[0]) if row else 1


def add(tx: Tx, row: OutboxRow) -> None:
    """Add a payload."""
    rows.insert(tx, "outbox", row)


def list_all(tx: Tx, circle: bytes) -> list[OutboxRow]:
    """Return a circle's outbox in the order in which it was written."""
    return rows.select(tx, OutboxRow, "outbox", "WHERE circle = ? ORDER BY number", (circle,))


def oldest(tx: Tx, circle: bytes, state: str = WAITING, *, limit: int = 1) -> list[OutboxRow]:
    """Return the oldest payloads in a state, at most ``limit``."""
    # Named, or SQLite walks past all that was sent and not read back yet.
    where = "INDEXED BY outbox_state WHERE circle = ? AND state = ? ORDER BY number LIMIT ?"
    return rows.select(tx, OutboxRow, "outbox", where, (circle, state, limit))


def get(tx: Tx, circle: bytes, post_id: bytes) -> OutboxRow | None:
    """Return a payload by its post_id (16 bytes)."""
    return rows.first(tx, OutboxRow, "outbox", "WHERE circle = ? AND post_id = ?", (circle, post_id))


def change(tx: Tx, circle: bytes, post_id: bytes, **changes: Value) -> None:
    """Change columns of a payload, for example ``state=SENT``."""
    rows.update(tx, "outbox", "circle = ? AND post_id = ?", (circle, post_id), **changes)


def remove(tx: Tx, circle: bytes, post_id: bytes) -> bool:
    """Take a payload out, once it was read back; answer whether it was there."""
    return rows.delete(tx, "outbox", "circle = ? AND post_id = ?", (circle, post_id)) > 0


# --- Commits of ours ------------------------------------------------------------------------------------------------


def add_pending(tx: Tx, row: PendingCommitRow) -> None:
    """Keep a commit before it is sent."""
    rows.insert(tx, "pending_commit", row)


def next_pending_number(tx: Tx, circle: bytes) -> int:
    """Return the number after the greatest among a circle's commits."""
    row = tx.one("SELECT coalesce(max(number), 0) + 1 FROM pending_commit WHERE circle = ?", (circle,))
    return int(row[0]) if row else 1


def list_pending(tx: Tx, circle: bytes, state: str = PENDING) -> list[PendingCommitRow]:
    """Return the commits of a state in the order in which they were made."""
    where = "WHERE circle = ? AND state = ? ORDER BY number"
    return rows.select(tx, PendingCommitRow, "pending_commit", where, (circle, state))


def find_pending(tx: Tx, circle: bytes, inner_hash: bytes) -> PendingCommitRow | None:
    """Return a commit by SHA-256(inner)."""
    where = "WHERE circle = ? AND inner_hash = ?"
    return rows.first(tx, PendingCommitRow, "pending_commit", where, (circle, inner_hash))


def change_pending(tx: Tx, circle: bytes, inner_hash: bytes, **changes: Value) -> None:
    """Change columns of a commit."""
    rows.update(tx, "pending_commit", "circle = ? AND inner_hash = ?", (circle, inner_hash), **changes)


def remove_pending(tx: Tx, circle: bytes, inner_hash: bytes) -> None:
    """Forget one commit."""
    rows.delete(tx, "pending_commit", "circle = ? AND inner_hash = ?", (circle, inner_hash))


def remove_done(tx: Tx, circle: bytes, number: int) -> None:
    """Forget one effective commit by its number."""
    rows.delete(tx, "pending_commit", "circle = ? AND number = ? AND state = ?", (circle, number, DONE))


def clear_pending(tx: Tx, circle: bytes) -> None:
    """Forget all commits that may still win: their epoch is over."""
    rows.delete(tx, "pending_commit", "circle = ? AND state = ?", (circle, PENDING))
