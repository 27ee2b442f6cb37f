"""The connection to the encrypted database: how it is opened, and what its errors are called here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlcipher3 import dbapi2

from tertulia.errors import DamagedStoreError, DiskFullError, StoreFilesError
from tertulia_protocol.errors import InternalError, StorageError

SQLITE_PERM, SQLITE_BUSY, SQLITE_LOCKED, SQLITE_READONLY = 3, 5, 6, 8
SQLITE_IOERR, SQLITE_CORRUPT, SQLITE_FULL, SQLITE_CANTOPEN, SQLITE_NOTADB = 10, 11, 13, 14, 26

Connection = Any
"""A connection of ``sqlcipher3``, which has no type stubs."""

SETTINGS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA trusted_schema = OFF",
)


def create_file(path: Path) -> None:
    """Make the empty database file for this user alone; SQLite gives its other files the same mode.

    Only ever called while no connection to ``path`` is open (see :mod:`tertulia.store.lock`).
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def connect(path: Path, data_key: bytes) -> Connection:
    """Open the database with its 32-byte key and check that the key fits.

    :raises DamagedStoreError: it is no database of this key. :raises StorageError: it cannot be read or written.
    """
    with translated():
        connection = dbapi2.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
        try:
            # First of all: a page that does not verify must not be told about on standard error.
            connection.execute("PRAGMA cipher_log_level = NONE")
            connection.execute(f"PRAGMA key = \"x'{data_key.hex()}'\"")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            for setting in SETTINGS:
                connection.execute(setting)
        except BaseException:
            connection.close()
            raise
    return connection


class translated:  # noqa: N801 - used as contextlib's own; a generator costs as much as a small statement
    """Turn errors of the database into leaves of the tree. None carries a value of a row.

    :raises StorageError: what is wrong on this device. :raises InternalError: the statement itself was wrong.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        """Raise what an error of the database is called here."""
        if isinstance(error, dbapi2.Error):
            raise named(error) from error


def named(error: Exception) -> StorageError | InternalError:
    """Return what an error of the database is called."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    name = str(getattr(error, "sqlite_errorname", type(error).__name__))
    if code == SQLITE_FULL:
        return DiskFullError(name)
    if code in {SQLITE_NOTADB, SQLITE_CORRUPT}:
        return DamagedStoreError(name)
    if code in {SQLITE_BUSY, SQLITE_LOCKED, SQLITE_PERM, SQLITE_READONLY, SQLITE_IOERR, SQLITE_CANTOPEN}:
        return StoreFilesError(problem=name)
    return InternalError(f"the store: {name}")
