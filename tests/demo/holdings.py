"""What the relay holds, read from its SQLite file by Python's own module: nothing of ours helps to understand it."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

FIRST = 16
"""How many of the first bytes are shown."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One row that stands for something: an entry, a part of a file, a segment, a code."""

    kind: str
    key: tuple[object, ...]
    label: str
    data: bytes

    @property
    def first(self) -> str:
        """The first bytes in hexadecimal digits."""
        return self.data[:FIRST].hex(" ", 4)


@dataclass(frozen=True, slots=True)
class Holdings:
    """All that lies in the database at one moment."""

    tables: dict[str, tuple[int, int]]
    """Rows and bytes of each table."""
    things: dict[tuple[object, ...], Thing]

    def since(self, before: Holdings) -> list[Thing]:
        """Return what came since then."""
        return [thing for key, thing in self.things.items() if key not in before.things]

    def of(self, *kinds: str) -> list[Thing]:
        """Return the things of some kinds."""
        return [thing for thing in self.things.values() if thing.kind in kinds]


def read_holdings(database: Path) -> Holdings:
    """Read the database while the relay may be running."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
        connection.execute("BEGIN")
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table' ORDER BY 1")]
        tables = {name: _measure(connection, name) for name in names}
        things = {thing.key: thing for thing in _things(connection)}
    return Holdings(tables=tables, things=things)


def _measure(connection: sqlite3.Connection, table: str) -> tuple[int, int]:
    rows = connection.execute(f'SELECT * FROM "{table}"').fetchall()  # noqa: S608 - names from the database itself
    return len(rows), sum(_size(cell) for row in rows for cell in row)


def _size(cell: object) -> int:
    if cell is None:
        return 0
    return len(cell) if isinstance(cell, bytes) else len(str(cell).encode())


def _things(connection: sqlite3.Connection) -> Iterator[Thing]:
    for segment, settings in connection.execute("SELECT id, cfg FROM seg"):
        yield Thing("segment", ("seg", segment), f"segment {short(segment)}", settings)
    entries = "SELECT ent.seg, ent.seq, body.data FROM ent JOIN body ON body.rid = ent.rid ORDER BY ent.seg, ent.seq"
    for segment, seq, data in connection.execute(entries):
        yield Thing("entry", ("ent", segment, seq), f"entry {short(segment)} {seq}", data)
    for blob, data in connection.execute("SELECT blob.id, body.data FROM blob JOIN body ON body.rid = blob.rid"):
        yield Thing("blob", ("blob", blob), f"blob {short(blob)}", data)
    for (code,) in connection.execute("SELECT h FROM code"):
        yield Thing("code", ("code", code), "hash of a code", code)


def short(data: bytes) -> str:
    """Return the beginning of a long number."""
    return data[:3].hex()


def squeezed(data: bytes) -> float:
    """Return what the best squeezing leaves of some bytes, as a part of 1: text becomes less than half, noise nothing.

    :param data: at least some hundred bytes.
    """
    return len(zlib.compress(data, 6)) / len(data)


def read_files(*places: Path) -> dict[str, bytes]:
    """Return every file of some folders and every single file, by name."""
    files = [file for place in places for file in (sorted(place.rglob("*")) if place.is_dir() else [place])]
    return {f"{file.parent.name}/{file.name}": file.read_bytes() for file in files if file.is_file()}
