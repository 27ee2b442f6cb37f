"""What is particular to SQLite: how a connection is set up, how a write begins, what its errors mean."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

from tertulia_relay.storage.errors import DatabaseBusyError, DatabaseDamagedError, DatabaseError, DiskFullError

logging.getLogger("aiosqlite").setLevel(logging.WARNING)
"""At DEBUG this library writes the parameters of every statement, that is, content, into the log."""

BUSY_TIMEOUT_MS = 5000
PAGE_BYTES = 4096
_WRITER = (
    "PRAGMA auto_vacuum=INCREMENTAL",  # takes effect only before the file has a first page: stays first
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA secure_delete=ON",
    "PRAGMA foreign_keys=ON",
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA wal_autocheckpoint=4000",  # pages: fewer, longer checkpoints cost less; see also Storage.checkpoint
    "PRAGMA temp_store=MEMORY",
)
_READER = ("PRAGMA query_only=ON", f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}", "PRAGMA temp_store=MEMORY")


def prepare_writer(engine: AsyncEngine, *, max_bytes: int | None) -> None:
    """Make connections of ``engine`` durable writers; the database never grows past ``max_bytes``."""
    statements = [*_WRITER]
    if max_bytes is not None:
        statements.append(f"PRAGMA max_page_count={max(1, max_bytes // PAGE_BYTES)}")
    _on_connect(engine, statements)

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        # A deferred transaction could fail half-way with BUSY; this one has the write lock from its first statement.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def prepare_reader(engine: AsyncEngine) -> None:
    """Make connections of ``engine`` unable to write."""
    _on_connect(engine, [*_READER])


def _on_connect(engine: AsyncEngine, statements: list[str]) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # The driver must not begin transactions by itself: it would begin them late and only before some statements.
        connection.isolation_level = None
        cursor = connection.cursor()
        try:
            for statement in statements:
                cursor.execute(statement)
                cursor.fetchall()
        finally:
            cursor.close()


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into ours. :raises DatabaseError: see :func:`translate`."""
    try:
        yield
    except DBAPIError as error:
        raise translate(error.orig) from error
    except sqlite3.Error as error:
        raise translate(error) from error
    except PoolTimeoutError as error:
        raise DatabaseBusyError from error
    except OSError as error:
        raise DatabaseError(type(error).__name__) from error


def translate(error: BaseException | None) -> DatabaseError:
    """Return our error for one of SQLite's. It carries the name of SQLite's code, never a statement's parameters."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    name: str = getattr(error, "sqlite_errorname", type(error).__name__)
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return DiskFullError(name)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return DatabaseBusyError(name)
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return DatabaseDamagedError(name)
        case _:
            return DatabaseError(name)
