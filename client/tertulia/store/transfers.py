"""Files on their way to or from a relay, chunk by chunk, so that a transfer goes on after a restart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tertulia.store import rows
from tertulia.store.tx import Tx, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRow:
    """A file. ``direction``: up, down; ``ref``: its BlobRef as far as it is known; ``size`` in bytes."""

    id: bytes
    circle: bytes
    direction: str
    state: str
    post_id: bytes
    path: str = field(repr=False)
    name: str = field(repr=False)
    key: bytes = field(repr=False)
    size: int
    sha256: bytes = field(repr=False)
    chunk_class: int
    chunks: int
    ref: bytes | None = field(default=None, repr=False)
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRow:
    """A chunk. ``done``: the relay has it (up) or we have it (down); ``data``: its bytes where they must be kept."""

    transfer: bytes
    number: int
    blob_id: bytes
    done: int = 0
    data: bytes | None = field(default=None, repr=False)


def put(tx: Tx, row: TransferRow) -> None:
    """Keep a transfer."""
    rows.put(tx, "transfer", row)


def get(tx: Tx, transfer: bytes) -> TransferRow | None:
    """Return a transfer."""
    return rows.first(tx, TransferRow, "transfer", "WHERE id = ?", (transfer,))


def list_of(tx: Tx, circle: bytes, post_id: bytes | None = None) -> list[TransferRow]:
    """Return a circle's transfers (of one post), the oldest first."""
    if post_id is None:
        return rows.select(tx, TransferRow, "transfer", "WHERE circle = ? ORDER BY created_at, id", (circle,))
    where = "WHERE circle = ? AND post_id = ? ORDER BY created_at, id"
    return rows.select(tx, TransferRow, "transfer", where, (circle, post_id))


def change(tx: Tx, transfer: bytes, **changes: Value) -> None:
    """Change columns of a transfer."""
    rows.update(tx, "transfer", "id = ?", (transfer,), **changes)


def remove(tx: Tx, transfer: bytes) -> None:
    """Delete a transfer and its chunks."""
    rows.delete(tx, "chunk", "transfer = ?", (transfer,))
    rows.delete(tx, "transfer", "id = ?", (transfer,))


def put_chunks(tx: Tx, chunks: Iterable[ChunkRow]) -> None:
    """Keep chunks."""
    rows.put_all(tx, "chunk", chunks)


def list_chunks(tx: Tx, transfer: bytes, *, done: bool | None = None) -> list[ChunkRow]:
    """Return the chunks of a transfer in order, all or those (not) done."""
    if done is None:
        return rows.select(tx, ChunkRow, "chunk", "WHERE transfer = ? ORDER BY number", (transfer,))
    where = "WHERE transfer = ? AND done = ? ORDER BY number"
    return rows.select(tx, ChunkRow, "chunk", where, (transfer, int(done)))


def mark_done(tx: Tx, transfer: bytes, number: int) -> None:
    """Note that a chunk has arrived."""
    rows.update(tx, "chunk", "transfer = ? AND number = ?", (transfer, number), done=1, data=None)
