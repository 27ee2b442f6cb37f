"""What the profile itself knows: name, seed of the person, settings."""

from __future__ import annotations

from tertulia.store.tx import Tx

PERSON_SEED = "person_seed"
NAME = "name"
LANGUAGE = "language"
CONTENT_TYPES = "content_types"


def leaf_name(circle: bytes) -> str:
    """Return the name under which stands since when our leaf in a circle (32 bytes) has its key."""
    return f"leaf:{circle.hex()}"


def get(tx: Tx, name: str) -> bytes | None:
    """Return a value, if it was ever set."""
    row = tx.one("SELECT value FROM meta WHERE name = ?", (name,))
    return None if row is None else bytes(row[0])


def set_value(tx: Tx, name: str, value: bytes) -> None:
    """Set a value."""
    tx.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))
