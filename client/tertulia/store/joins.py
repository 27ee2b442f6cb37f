"""The joiner's side, before there is a circle."""

from __future__ import annotations

from dataclasses import dataclass, field

from tertulia.store import rows
from tertulia.store.tx import Tx, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class JoiningRow:
    """A request of ours that waits for its answer. ``secrets``: seeds and private keys, gone once it is accepted."""

    anchor: bytes
    circle: bytes
    state: str
    name: str
    link: bytes = field(repr=False)
    preamble: bytes = field(repr=False)
    request: bytes = field(repr=False)
    request_hash: bytes
    secrets: bytes = field(repr=False)
    sas: bytes = field(repr=False)
    box_id: bytes
    box_seq: int = 0
    created_at: int
    expires_at: int


def add(tx: Tx, row: JoiningRow) -> None:
    """Add a request of ours."""
    rows.insert(tx, "joining", row)


def get(tx: Tx, anchor: bytes) -> JoiningRow | None:
    """Return a request by the anchor of its invitation (32 bytes)."""
    return rows.first(tx, JoiningRow, "joining", "WHERE anchor = ?", (anchor,))


def list_all(tx: Tx) -> list[JoiningRow]:
    """Return all requests of ours, the oldest first."""
    return rows.select(tx, JoiningRow, "joining", "ORDER BY created_at, anchor")


def change(tx: Tx, anchor: bytes, **changes: Value) -> None:
    """Change columns of a request."""
    rows.update(tx, "joining", "anchor = ?", (anchor,), **changes)


def remove(tx: Tx, anchor: bytes) -> None:
    """Delete a request and its secrets."""
    rows.delete(tx, "joining", "anchor = ?", (anchor,))
