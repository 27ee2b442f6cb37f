"""The rows of MLS groups (``tertulia_protocol.mls.snapshot`` says what is in them)."""

from __future__ import annotations

from collections.abc import Mapping

from tertulia.store.tx import Tx


def load(tx: Tx, circle: bytes) -> dict[str, bytes]:
    """Return all rows of a circle's group by name."""
    return dict(tx.query("SELECT name, value FROM mls_row WHERE circle = ?", (circle,)))


def save(tx: Tx, circle: bytes, changed: Mapping[str, bytes | None]) -> None:
    """Put the rows that changed; None deletes a row (the file's free pages are overwritten: ``secure_delete``)."""
    gone = [(circle, name) for name, value in changed.items() if value is None]
    kept = [(circle, name, value) for name, value in changed.items() if value is not None]
    tx.executemany("DELETE FROM mls_row WHERE circle = ? AND name = ?", gone)
    tx.executemany("INSERT OR REPLACE INTO mls_row (circle, name, value) VALUES (?, ?, ?)", kept)


def clear(tx: Tx, circle: bytes) -> None:
    """Delete the whole group: nothing of this circle can be read or sent any more."""
    tx.execute("DELETE FROM mls_row WHERE circle = ?", (circle,))
