"""What is particular to SQLite: how a connection is set up, how a write begins, what its errors mean."""

from __future__ import annotations

import errno
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from tertulia_relay.storage.errors import DatabaseBusyError, DatabaseDamagedError, DatabaseError, DiskFullError

BUSY_TIMEOUT_MS = 5000
CHECKPOINT_TIMEOUT_MS = 100
"""How long one try to truncate the log may keep writers waiting."""
PAGE_BYTES = 4096
VACUUM_PAGES = 512
"""How many pages are given back at once; writers wait for no more than that."""
MIX_BYTES = 256 << 20
"""The longest database that is written anew every night; it takes this much memory and some seconds."""
PROBE_BYTES = 1 << 20
_NO_SPACE = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
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


def make_writer(path: Path, *, max_bytes: int | None) -> Engine:
    """Return an engine for the one durable writer; the database never grows past ``max_bytes``."""
    statements = [*_WRITER]
    if max_bytes is not None:
        statements.append(f"PRAGMA max_page_count={max(1, max_bytes // PAGE_BYTES)}")
    # hide_parameters, here and below: an error's text must never carry what a request carried.
    engine = create_engine(_url(path), poolclass=NullPool, hide_parameters=True)
    _on_connect(engine, statements)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A deferred transaction could fail half-way with BUSY; this one has the write lock from its first statement.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def make_readers(path: Path, *, count: int) -> Engine:
    """Return an engine for ``count`` connections that cannot write."""
    engine = create_engine(
        _url(path), pool_size=count, max_overflow=0, pool_reset_on_return=None, isolation_level="AUTOCOMMIT",
        hide_parameters=True,
    )  # fmt: skip
    _on_connect(engine, _READER)
    return engine


def _url(path: Path) -> URL:
    return URL.create("sqlite", database=str(path))


def _on_connect(engine: Engine, statements: Sequence[str]) -> None:
    @event.listens_for(engine, "connect")
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
def only_looking(path: Path) -> Iterator[Connection]:
    """Open a database without changing a byte of it, also while a relay has it open."""
    url = f"sqlite:///file:{quote(str(path))}?mode=ro&uri=true"
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    try:
        with translated(), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def check_before_writing(path: Path, check: Callable[[Connection], None]) -> None:
    """Run a check on a database that is there, before it is opened for writing: that alone changes the file."""
    if path.exists() and path.stat().st_size:
        with only_looking(path) as connection:
            check(connection)


def release_pages(connection: Connection) -> bool:
    """Give some free pages back to the disk; answer whether more are left."""
    driver = _driver(connection)
    before = _number(driver, "PRAGMA freelist_count")
    # Not execute(): it stops after the first step, and a step frees a single page.
    driver.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
    return 0 < _number(driver, "PRAGMA freelist_count") < before


def mix_pages(connection: Connection) -> bool:
    """Write the file anew in the order of its random row numbers; answer False if it is too long for that.

    A growing file gives out its pages one after the other, so the pages of long entries would tell for as long as the
    file lives in which order segments were written to. The copy is made in memory: no second file is left anywhere.
    """
    driver = _driver(connection)
    if _number(driver, "PRAGMA page_count") * PAGE_BYTES > MIX_BYTES:
        return False
    driver.execute("VACUUM")
    return True


def truncate_log(connection: Connection) -> bool:
    """Bring the write-ahead log into the database and empty it; answer False if somebody still reads from it."""
    driver = _driver(connection)
    driver.execute(f"PRAGMA busy_timeout={CHECKPOINT_TIMEOUT_MS}")
    try:
        return _number(driver, "PRAGMA wal_checkpoint(TRUNCATE)") == 0
    finally:
        driver.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")


def _driver(connection: Connection) -> sqlite3.Connection:
    return cast("sqlite3.Connection", connection.connection.driver_connection)


def _number(driver: sqlite3.Connection, statement: str) -> int:
    (row,) = driver.execute(statement).fetchall()
    return int(row[0])


@contextmanager
def translated(path: Path | None = None) -> Iterator[None]:
    """Turn the driver's errors into ours. :raises DatabaseError: see :func:`translate`."""
    try:
        yield
    except DBAPIError as error:
        raise translate(error.orig, path) from error
    except sqlite3.Error as error:
        raise translate(error, path) from error
    except PoolTimeoutError as error:
        raise DatabaseBusyError from error
    except OSError as error:
        raise DatabaseError(type(error).__name__) from error


def translate(error: BaseException | None, path: Path | None) -> DatabaseError:
    """Return our error for one of SQLite's. It carries the name of SQLite's code, never a statement's parameters.

    :param path: the database that was being written, if it was.
    """
    code: int = getattr(error, "sqlite_errorcode", 0)
    name: str = getattr(error, "sqlite_errorname", type(error).__name__)
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return DiskFullError(name)
        case sqlite3.SQLITE_IOERR if path is not None and is_full(path):
            return DiskFullError(name)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return DatabaseBusyError(name)
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return DatabaseDamagedError(name)
        case _:
            return DatabaseError(name)


def is_full(path: Path) -> bool:
    """Answer whether the system lets no file grow to the length of the database's longest plus a MiB.

    SQLite says "full" of one failure only and "I/O error" of the others (a limit of file sizes, a quota, no space for
    the index of its log), and the driver does not tell which it was. The probe is a file of its own, without a name:
    closing a descriptor of the database's files would take away SQLite's locks on them.
    """
    try:
        longest = max((file.stat().st_size for file in path.parent.glob(f"{path.name}*")), default=0)
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            probe.seek(longest)
            probe.write(bytes(PROBE_BYTES))
    except OSError as error:
        return error.errno in _NO_SPACE
    return False
