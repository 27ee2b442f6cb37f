"""The tables, and the way from every earlier version to this one.

``PRAGMA user_version`` is the version of the schema. A step of :data:`MIGRATIONS` brings version n to n + 1 and is
never changed once released; ``tests/data/client/`` keeps a database of every version. All runs in one transaction.
"""

from __future__ import annotations

from tertulia.errors import DamagedStoreError, NewerStoreError
from tertulia.store.migrations import v0001
from tertulia.store.tx import Tx

MIGRATIONS = (v0001.apply,)
"""Step n brings an empty database (n = 0) or version n to version n + 1."""

VERSION = len(MIGRATIONS)


def create(tx: Tx) -> None:
    """Make all tables in an empty database."""
    _run(tx, 0)


def migrate(tx: Tx) -> None:
    """Bring the tables to this version. :raises NewerStoreError: a later version made them."""
    version = stored_version(tx)
    check_not_newer(version)
    if version == 0:
        raise DamagedStoreError("the database has no tables")
    if version < VERSION:
        _run(tx, version)


def check_not_newer(version: int) -> None:
    """Check that this version knows the tables. :raises NewerStoreError: a later version made them."""
    if version > VERSION:
        raise NewerStoreError(f"schema {version}")


def stored_version(tx: Tx) -> int:
    """Return the version of the tables that are there, 0 for none."""
    row = tx.one("PRAGMA user_version")
    return int(row[0]) if row else 0


def _run(tx: Tx, version: int) -> None:
    for step in MIGRATIONS[version:]:
        step(tx)
    tx.execute(f"PRAGMA user_version = {VERSION}")
