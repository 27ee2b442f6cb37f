"""Rows as frozen dataclasses: the fields of the class are the columns of the table, in any order.

This is all the mapping there is. A module of one area defines its row classes and, on top of these helpers, the
functions that the rest of the client calls. Table and column names never come from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any, ClassVar, Protocol, TypeVar

from tertulia.store.tx import Tx, Value


class StoredRow(Protocol):
    """A dataclass that is one row of a table."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


R = TypeVar("R", bound=StoredRow)


@cache
def columns(kind: type[StoredRow]) -> tuple[str, ...]:
    """Return the columns of a row class."""
    return tuple(field.name for field in fields(kind))


def values(row: StoredRow) -> tuple[Value, ...]:
    """Return the values of a row in the order of its columns."""
    return _getter(type(row))(row)


@cache
def _getter(kind: type[StoredRow]) -> Callable[[StoredRow], tuple[Value, ...]]:
    return attrgetter(*columns(kind))


def insert(tx: Tx, table: str, row: StoredRow) -> None:
    """Add a row. :raises InternalError: its key is taken."""
    tx.execute(_insert_sql("INSERT", table, type(row)), values(row))


def put(tx: Tx, table: str, row: StoredRow) -> None:
    """Add a row, or put it in the place of the one with its key."""
    tx.execute(_insert_sql("INSERT OR REPLACE", table, type(row)), values(row))


def add(tx: Tx, table: str, row: StoredRow) -> bool:
    """Add a row unless one with its key is there, and answer whether it was added."""
    return tx.execute(_insert_sql("INSERT OR IGNORE", table, type(row)), values(row)) > 0


def put_all(tx: Tx, table: str, rows: Iterable[StoredRow]) -> None:
    """Add rows of one class, each in the place of the one with its key."""
    batch = list(rows)
    if batch:
        tx.executemany(_insert_sql("INSERT OR REPLACE", table, type(batch[0])), (values(row) for row in batch))


def select(tx: Tx, kind: type[R], table: str, rest: str = "", parameters: Sequence[Value] = ()) -> list[R]:
    """Return rows; ``rest`` is the SQL after the table's name, for example ``WHERE circle = ? ORDER BY number``."""
    names = columns(kind)
    found = tx.query(_select_sql(kind, table, rest), parameters)
    return [kind(**dict(zip(names, row, strict=True))) for row in found]


def first(tx: Tx, kind: type[R], table: str, rest: str = "", parameters: Sequence[Value] = ()) -> R | None:
    """Return the first of the rows that :func:`select` would return."""
    found = select(tx, kind, table, f"{rest} LIMIT 1", parameters)
    return found[0] if found else None


def delete(tx: Tx, table: str, where: str, parameters: Sequence[Value]) -> int:
    """Delete rows and return how many."""
    return tx.execute(f"DELETE FROM {table} WHERE {where}", parameters)  # noqa: S608 - see the docstring


def update(tx: Tx, table: str, where: str, parameters: Sequence[Value], **changes: Value) -> int:
    """Change columns of the rows that fit and return how many did."""
    sets = ", ".join(f"{name} = ?" for name in changes)
    return tx.execute(f"UPDATE {table} SET {sets} WHERE {where}", (*changes.values(), *parameters))  # noqa: S608 - see the docstring


@cache
def _select_sql(kind: type[StoredRow], table: str, rest: str) -> str:
    return f"SELECT {', '.join(columns(kind))} FROM {table} {rest}"  # noqa: S608 - see the module's docstring


@cache
def _insert_sql(verb: str, table: str, kind: type[StoredRow]) -> str:
    names = columns(kind)
    places = ", ".join("?" * len(names))
    return f"{verb} INTO {table} ({', '.join(names)}) VALUES ({places})"
