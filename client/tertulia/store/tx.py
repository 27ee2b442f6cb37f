"""One transaction, as the functions of this package see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tertulia.store.connection import Connection, translated

Value = int | str | bytes | float | None
Row = tuple[Any, ...]


class Tx:
    """A transaction that is open. Only modules of ``tertulia.store`` call its methods; all others pass it on."""

    __slots__ = ("_connection", "cache", "has_events")

    def __init__(self, connection: Connection, cache: dict[bytes, object] | None = None) -> None:
        self._connection = connection
        self.cache = {} if cache is None else cache
        """Values that were read and are dear to read again. Whoever writes the rows behind one replaces it here; it is
        emptied when a transaction is rolled back."""
        self.has_events = False
        """Set by ``store.events.add``: readers of the event log are woken after the commit."""

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> int:
        """Run a statement and return the number of rows it changed. :raises StorageError: see ``connection.named``."""
        with translated():
            return int(self._connection.execute(sql, parameters).rowcount)

    def executemany(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        """Run a statement once for each of ``rows``. :raises StorageError: see ``connection.named``."""
        with translated():
            self._connection.executemany(sql, rows)

    def script(self, statements: str) -> None:
        """Run statements that end in a semicolon and a line end. :raises StorageError: see ``connection.named``."""
        for statement in statements.split(";\n"):
            if statement.strip():
                self.execute(statement)

    def query(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """Return all rows. :raises StorageError: see ``connection.named``."""
        with translated():
            return list(self._connection.execute(sql, parameters).fetchall())

    def one(self, sql: str, parameters: Sequence[Value] = ()) -> Row | None:
        """Return the first row, if there is one. :raises StorageError: see ``connection.named``."""
        with translated():
            row: Row | None = self._connection.execute(sql, parameters).fetchone()
        return row
