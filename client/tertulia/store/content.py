"""What members said: authors and their chains, changes as they came, objects as they amount to.

``INDEXED BY``: SQLite takes a circle for a few rows and would read all of it wherever the key begins with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tertulia.store import rows
from tertulia.store.tx import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorRow:
    """A device of a member: its last ``author_seq``, the hash of that payload, and gaps seen so far."""

    circle: bytes
    member_pk: bytes
    device_id: bytes
    author_seq: int
    last: bytes
    lamport: int
    gaps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    """One payload about an object. ``body`` is the envelope, ``payload`` all of it, as they came.

    ``seq`` is 0 as long as a payload of this device was not read back.

    ``forwarded_by`` is the member_pk of who sent the history pack it came in, None if it was read from the log.
    """

    circle: bytes
    member_pk: bytes
    post_id: bytes
    object_type: str
    object_id: bytes
    lamport: int
    minute: int
    type: int
    body: bytes = field(repr=False)
    segment_no: int
    seq: int
    by_coordinator: int
    forwarded_by: bytes | None = None
    device_id: bytes
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRow:
    """An object as its changes amount to. ``parent``: the board of a topic, the topic of a reply, else empty."""

    circle: bytes
    type: str
    id: bytes
    parent: bytes = b""
    author: bytes
    lamport: int
    minute: int
    retracted: int = 0
    unread: int = 0
    state: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPayloadRow:
    """A payload of a type that this version does not show, kept for one that does."""

    circle: bytes
    member_pk: bytes
    post_id: bytes
    type: int
    device_id: bytes
    payload: bytes = field(repr=False)


# --- Authors --------------------------------------------------------------------------------------------------------


def get_author(tx: Tx, circle: bytes, member_pk: bytes, device_id: bytes) -> AuthorRow | None:
    """Return what was last read of an author."""
    where = "WHERE circle = ? AND member_pk = ? AND device_id = ?"
    return rows.first(tx, AuthorRow, "author", where, (circle, member_pk, device_id))


def put_author(tx: Tx, row: AuthorRow) -> None:
    """Keep what was last read of an author."""
    rows.put(tx, "author", row)


# --- Changes --------------------------------------------------------------------------------------------------------


def add_change(tx: Tx, row: ChangeRow) -> bool:
    """Keep a change unless one with its author and post_id is there (the first counts, E18); answer whether."""
    return rows.add(tx, "change", row)


def put_change(tx: Tx, row: ChangeRow) -> None:
    """Keep a change in the place of the one with its author and post_id: ours, once it is read back."""
    rows.put(tx, "change", row)


def get_change(tx: Tx, circle: bytes, member_pk: bytes, post_id: bytes) -> ChangeRow | None:
    """Return one change."""
    where = "WHERE circle = ? AND member_pk = ? AND post_id = ?"
    return rows.first(tx, ChangeRow, "change", where, (circle, member_pk, post_id))


def changes_of(tx: Tx, circle: bytes, object_id: bytes) -> list[ChangeRow]:
    """Return the changes of an object in the order in which they merge."""
    where = "INDEXED BY change_object WHERE circle = ? AND object_id = ? ORDER BY lamport, member_pk, post_id"
    return rows.select(tx, ChangeRow, "change", where, (circle, object_id))


def all_changes(tx: Tx, circle: bytes, *, since_minute: int = 0) -> list[ChangeRow]:
    """Return all changes of a circle not older than a minute, in the order in which they merge."""
    where = "WHERE circle = ? AND minute >= ? ORDER BY lamport, member_pk, post_id"
    return rows.select(tx, ChangeRow, "change", where, (circle, since_minute))


def own_uncounted(tx: Tx, circle: bytes) -> list[ChangeRow]:
    """Return the changes of this device that were not read back yet."""
    return rows.select(tx, ChangeRow, "change", "WHERE circle = ? AND segment_no >= 0 AND seq = 0", (circle,))


# --- Objects --------------------------------------------------------------------------------------------------------


def put_object(tx: Tx, row: ObjectRow) -> None:
    """Keep what the changes of an object amount to."""
    rows.put(tx, "object", row)


def get_object(tx: Tx, circle: bytes, object_id: bytes) -> ObjectRow | None:
    """Return an object."""
    return rows.first(tx, ObjectRow, "object", "WHERE circle = ? AND id = ?", (circle, object_id))


def remove_object(tx: Tx, circle: bytes, object_id: bytes) -> None:
    """Take away an object that its changes no longer amount to."""
    rows.delete(tx, "object", "circle = ? AND id = ?", (circle, object_id))


def list_objects(tx: Tx, circle: bytes, kind: str, *, parent: bytes | None = None) -> list[ObjectRow]:
    """Return the objects of a type (under one parent), the oldest first."""
    if parent is None:
        where = "INDEXED BY object_parent WHERE circle = ? AND type = ? ORDER BY lamport, author, id"
        return rows.select(tx, ObjectRow, "object", where, (circle, kind))
    where = "INDEXED BY object_parent WHERE circle = ? AND type = ? AND parent = ? ORDER BY lamport, author, id"
    return rows.select(tx, ObjectRow, "object", where, (circle, kind, parent))


def all_objects(tx: Tx, circle: bytes) -> list[ObjectRow]:
    """Return all objects of a circle."""
    return rows.select(tx, ObjectRow, "object", "WHERE circle = ? ORDER BY lamport, author, id", (circle,))


def list_other(tx: Tx, circle: bytes, known: Sequence[str]) -> list[ObjectRow]:
    """Return the objects of other types than these, the oldest first."""
    places = ", ".join("?" * len(known))
    where = f"WHERE circle = ? AND type NOT IN ({places}) ORDER BY lamport, author, id"
    return rows.select(tx, ObjectRow, "object", where, (circle, *known))


def children_of(tx: Tx, circle: bytes, parent: bytes) -> list[ObjectRow]:
    """Return all objects that say they belong to ``parent`` (its 16-byte id)."""
    where = "INDEXED BY object_child WHERE circle = ? AND parent = ?"
    return rows.select(tx, ObjectRow, "object", where, (circle, parent))


def latest_on_board(tx: Tx, circle: bytes, board: bytes) -> ObjectRow | None:
    """Return the newest topic of a board or reply to one of its topics that was not retracted."""
    where = (
        "WHERE circle = ? AND retracted = 0 AND (parent = ? OR parent IN"
        " (SELECT id FROM object WHERE circle = ? AND type = 'topic' AND parent = ?)) ORDER BY lamport DESC, id"
    )
    return rows.first(tx, ObjectRow, "object", where, (circle, board, circle, board))


def count_unread(tx: Tx, circle: bytes, board: bytes | None = None) -> int:
    """Return how many objects are unread: in the circle, or on one board."""
    if board is None:
        row = tx.one("SELECT count(*) FROM object WHERE circle = ? AND unread = 1", (circle,))
    else:
        row = tx.one(
            "SELECT count(*) FROM object WHERE circle = ? AND unread = 1 AND (parent = ? OR parent IN"
            " (SELECT id FROM object WHERE circle = ? AND type = 'topic' AND parent = ?))",
            (circle, board, circle, board),
        )
    return int(row[0]) if row else 0


def mark_read(tx: Tx, circle: bytes, object_id: bytes) -> bool:
    """Mark an object as read; answer whether it was unread."""
    return rows.update(tx, "object", "circle = ? AND id = ? AND unread = 1", (circle, object_id), unread=0) > 0


def clear_objects(tx: Tx, circle: bytes) -> None:
    """Delete all objects, to make them again from the changes."""
    rows.delete(tx, "object", "circle = ?", (circle,))


def keep_payload(tx: Tx, row: KeptPayloadRow) -> bool:
    """Keep a payload of another type, the first of its author and post_id; answer whether it was new."""
    return rows.add(tx, "kept_payload", row)


def kept_payloads(tx: Tx, circle: bytes, kind: int) -> list[KeptPayloadRow]:
    """Return the payloads of one type that were kept."""
    return rows.select(tx, KeptPayloadRow, "kept_payload", "WHERE circle = ? AND type = ?", (circle, kind))


def is_kept(tx: Tx, circle: bytes, member_pk: bytes, post_id: bytes) -> bool:
    """Answer whether a payload of another type was counted already."""
    where = "WHERE circle = ? AND member_pk = ? AND post_id = ?"
    return rows.first(tx, KeptPayloadRow, "kept_payload", where, (circle, member_pk, post_id)) is not None
