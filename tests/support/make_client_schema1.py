"""Writes ``tests/data/client/schema1.sql`` while schema 1 is the newest: the tables, and a row or two in each.

``python -m tests.support.make_client_schema1``. Once schema 1 is released the file is never written again.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from pathlib import Path

from tertulia.store.migrations import v0001
from tertulia.store.tx import Tx, Value
from tests.support.stores import create_store
from tests.support.virtual_clock import run_virtual

TARGET = Path(__file__).parents[1] / "data" / "client" / "schema1.sql"
SKIPPED = ("sqlite_sequence",)


def tables(tx: Tx) -> list[str]:
    """Return the names of all tables."""
    names = [row[0] for row in tx.query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    return [name for name in names if name not in SKIPPED]


def sample(table: str, column: str, kind: str, row: int) -> Value:
    """Return a value for a column: the same every time, different in each row."""
    digest = hashlib.sha256(f"{table} {column} {row}".encode()).digest()
    match kind:
        case "INTEGER":
            return row + 1
        case "TEXT":
            return json.dumps({column: row}) if column == "data" else f"{column} \u0645\u0631\u062d\u0628\u0627 {row}"
        case _:
            return digest


def fill(tx: Tx) -> None:
    """Put two rows into every table."""
    for table in tables(tx):
        described = tx.query(f"PRAGMA table_info({table})")
        names = ", ".join(column[1] for column in described)
        places = ", ".join("?" * len(described))
        for row in range(2):
            values = [sample(table, column[1], column[2], row) for column in described]
            tx.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", values)  # noqa: S608 - names of our tables


def literal(value: Value) -> str:
    """Return a value as SQL."""
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "NULL" if value is None else str(value)


def dump(tx: Tx) -> str:
    """Return all rows as statements, one a line."""
    lines: list[str] = []
    for table in tables(tx):
        rows = sorted(tx.query(f"SELECT * FROM {table}"), key=repr)  # noqa: S608 - names of our tables
        lines += [f"INSERT INTO {table} VALUES ({', '.join(map(literal, row))});" for row in rows]  # noqa: S608 - the same
    return "\n".join(lines)


def bare(statements: str) -> str:
    """Return statements without comments and line breaks that mean nothing."""
    return re.sub(r"\s+", " ", re.sub(r"(?m)^--.*\n", "", statements)).strip().replace("; ", ";\n")


async def write() -> None:
    """Make a store of schema 1 and write what is in it."""
    with tempfile.TemporaryDirectory() as directory:
        async with await create_store(Path(directory) / "profile", setup=fill) as store:
            rows = await store.read(dump)
    TARGET.write_text(f"{bare(v0001.TABLES)}\n{rows}\nPRAGMA user_version = 1;\n", encoding="utf-8")


def main() -> None:
    """Write the file."""
    run_virtual(write())


if __name__ == "__main__":
    main()
