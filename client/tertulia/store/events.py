"""The event log: what a person or a program may want to be told, in order, with a number that never comes twice."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tertulia.store.tx import Tx

KEPT = 10_000
"""How many events are kept: who was away longer looks at the boards, not at events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. ``number`` is its resume token, ``circle`` the circle's id (32 bytes) or empty, ``at`` seconds."""

    number: int
    kind: str
    circle: bytes
    at: int
    data: dict[str, Any]


def add(tx: Tx, kind: str, *, circle: bytes = b"", at: int, **data: object) -> None:
    """Add an event; ``data`` must be JSON (bytes are written as hex). Readers are woken after the commit."""
    text = json.dumps(data, ensure_ascii=False, sort_keys=True, default=_hex)
    tx.execute("INSERT INTO event (kind, circle, at, data) VALUES (?, ?, ?, ?)", (kind, circle, at, text))
    tx.execute("DELETE FROM event WHERE number <= (SELECT max(number) FROM event) - ?", (KEPT,))
    tx.has_events = True


def read_after(tx: Tx, number: int, *, limit: int = 500) -> list[Event]:
    """Return the events after a resume token, oldest first, at most ``limit``."""
    rows = tx.query(
        "SELECT number, kind, circle, at, data FROM event WHERE number > ? ORDER BY number LIMIT ?", (number, limit)
    )
    return [
        Event(number=n, kind=kind, circle=circle, at=at, data=json.loads(data)) for n, kind, circle, at, data in rows
    ]


def last_number(tx: Tx) -> int:
    """Return the resume token of the newest event there ever was, 0 before the first."""
    row = tx.one("SELECT seq FROM sqlite_sequence WHERE name = 'event'")
    return int(row[0]) if row else 0


def _hex(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} in an event")
