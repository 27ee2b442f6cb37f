"""Looks at a database from outside, without changing a byte of it, also while a relay has it open."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, text

from tertulia_relay.storage import migrate, sqlite
from tertulia_relay.storage.errors import DatabaseDamagedError, DatabaseError


class NoDatabaseError(DatabaseError):
    """The relay's database is missing."""

    code = "relay.storage.missing"
    next = "Put the database back from your backup, or make a new relay with: tertulia-relay init"


def inspect_database(path: Path) -> str:
    """Check that the SQLite file is a sound database of a known schema; return the name of the schema.

    :raises NoDatabaseError: missing or empty. :raises SchemaTooNewError: a newer version wrote it.
    :raises DatabaseDamagedError: its pages or indexes are not consistent. :raises DatabaseError: it cannot be read.
    """
    if not path.exists():
        raise NoDatabaseError
    with sqlite.only_looking(path) as connection:
        migrate.check_schema_known(connection)
        check_integrity(connection)
        schema = migrate.read_schema(connection)
    if schema is None:
        raise NoDatabaseError
    return schema


def check_integrity(connection: Connection) -> None:
    """Check all pages, indexes and constraints. :raises DatabaseDamagedError: one is not as it must be."""
    if connection.execute(text("PRAGMA integrity_check(1)")).scalar_one() != "ok":
        raise DatabaseDamagedError
