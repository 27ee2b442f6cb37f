"""The store of a profile: one encrypted database, one thread that owns it, one transaction for each piece of work.

A profile is a directory (mode 0700) with ``profile.json`` (the key under the passphrase, see ``keyfile``), ``store.db``
(SQLCipher) with its two companions, and ``lock``. What touches state is a *synchronous* function over :class:`Tx`;
``await store.run(fn)`` runs it between BEGIN IMMEDIATE and COMMIT in the store's thread. Whatever it raises rolls all
of it back, so that the state of MLS, the cursor, the chain, the plaintext and the outbox move together or not at all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

from tertulia.clock import Clock, Executor, Rng
from tertulia.errors import (
    DamagedStoreError,
    NoProfileError,
    ProfileExistsError,
    StoreClosedError,
)
from tertulia.store import schema
from tertulia.store.connection import Connection, connect, create_file, translated
from tertulia.store.files import (
    NEW_SUFFIX,
    check_private,
    file_errors,
    list_parts,
    make_private,
    read_small,
    replace_file,
)
from tertulia.store.keyfile import KEY_LENGTH, MAX_FILE, PRODUCTION, Argon2Cost, KeyFile
from tertulia.store.lock import ProfileLock
from tertulia.store.tx import Tx

T = TypeVar("T")

KEY_NAME = "profile.json"
DATABASE_NAME = "store.db"
NEW_NAME = "new.db"
LOCK_NAME = "lock"


def do_nothing(tx: Tx) -> None:
    """Fill a new profile with nothing."""


class Store:
    """An open store. Make one with :meth:`create` or :meth:`open`; ``async with`` closes it."""

    def __init__(self, *, profile: Path, executor: Executor, lock: ProfileLock, connection: Connection) -> None:
        self.profile = profile
        self._executor = executor
        self._lock = lock
        self._connection: Connection | None = connection
        self._cache: dict[bytes, object] = {}
        self.on_events: Callable[[], None] = lambda: None
        """Called in the event loop after the commit of a transaction that added events."""

    # Opening

    @classmethod
    async def create(  # noqa: PLR0913 - what a profile is made of
        cls,
        profile: Path,
        *,
        passphrase: str,
        executor: Executor,
        clock: Clock,
        rng: Rng,
        cost: Argon2Cost = PRODUCTION,
        setup: Callable[[Tx], None] = do_nothing,
        lock_wait: float = 0.0,
    ) -> Self:
        """Make a profile and open it. It appears whole, with what ``setup`` writes, or not at all.

        :param cost: cheaper ones are for tests; such a profile opens only with the same ``floor``.
        :raises ProfileExistsError: there is one, or a part of one. :raises StorageError: it cannot be made.
        """
        lock = await _locked(profile, clock=clock, wait=lock_wait, create=True)
        try:
            connection = await executor.run(
                lambda: _create(profile, passphrase=passphrase, rng=rng, cost=cost, setup=setup)
            )
        except BaseException:
            lock.release()
            raise
        return cls(profile=profile, executor=executor, lock=lock, connection=connection)

    @classmethod
    async def open(  # noqa: PLR0913 - what opens a profile
        cls,
        profile: Path,
        *,
        passphrase: str,
        executor: Executor,
        clock: Clock,
        floor: Argon2Cost = PRODUCTION,
        lock_wait: float = 0.0,
    ) -> Self:
        """Open a profile, migrating it where an earlier version made it.

        :raises NoProfileError: there is none. :raises LockedError: another process has it, for ``lock_wait`` seconds.
        :raises WrongPassphraseError, DamagedStoreError, NewerStoreError, StoreFilesError: as their names say.
        """
        lock = await _locked(profile, clock=clock, wait=lock_wait, create=False)
        try:
            connection = await executor.run(lambda: _open(profile, passphrase=passphrase, floor=floor))
        except BaseException:
            lock.release()
            raise
        return cls(profile=profile, executor=executor, lock=lock, connection=connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Finish the work at hand, close the database, give the lock back. Safe to call twice."""
        if self._connection is not None:
            await self._executor.run(self._close)
            await self._executor.close()
        self._lock.release()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        self._cache.clear()
        if connection is not None:
            connection.close()

    # Working

    async def run(self, work: Callable[[Tx], T]) -> T:
        """Run ``work`` in one transaction and return what it returns, after the commit.

        Whatever it raises, nothing of it stays. Giving up the wait does not stop the transaction.

        :raises StorageError: the database cannot be written; nothing was changed.
        """
        result, has_events = await self._executor.run(lambda: self._transact(work, begin="BEGIN IMMEDIATE"))
        if has_events:
            self.on_events()
        return result

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run ``work``, which changes nothing, on one state of the database. :raises StorageError: as above."""
        return (await self._executor.run(lambda: self._read_only(work)))[0]

    def _read_only(self, work: Callable[[Tx], T]) -> tuple[T, bool]:
        self._pragma("PRAGMA query_only = ON")
        try:
            return self._transact(work, begin="BEGIN")
        finally:
            self._pragma("PRAGMA query_only = OFF")

    def _pragma(self, statement: str) -> None:
        if self._connection is None:
            raise StoreClosedError
        with translated():
            self._connection.execute(statement).fetchall()

    def _transact(self, work: Callable[[Tx], T], *, begin: str) -> tuple[T, bool]:
        connection = self._connection
        if connection is None:
            raise StoreClosedError
        return transact(connection, work, begin=begin, cache=self._cache)

    async def checkpoint(self) -> None:
        """Empty the database's log: what was deleted since the last time (keys of past epochs) is gone from it too.

        Closing does the same. :raises StorageError: the database cannot be written.
        """
        await self._executor.run(lambda: self._pragma("PRAGMA wal_checkpoint(TRUNCATE)"))

    async def change_passphrase(
        self, old: str, new: str, *, rng: Rng, cost: Argon2Cost = PRODUCTION, floor: Argon2Cost = PRODUCTION
    ) -> None:
        """Wrap the same data key under another passphrase. :raises WrongPassphraseError: ``old`` is not it."""
        await self._executor.run(lambda: _rewrap(self.profile, old=old, new=new, rng=rng, cost=cost, floor=floor))


def transact(
    connection: Connection,
    work: Callable[[Tx], T],
    *,
    begin: str = "BEGIN IMMEDIATE",
    cache: dict[bytes, object] | None = None,
) -> tuple[T, bool]:
    """Run ``work`` in one transaction; return its result and whether it added events."""
    tx = Tx(connection, cache)
    with translated():
        connection.execute(begin)
    try:
        result = work(tx)
        with translated():
            connection.execute("COMMIT")
    except BaseException:
        tx.cache.clear()
        # A full disk has rolled back already; a second failure here must not hide the first.
        with contextlib.suppress(Exception):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise
    return result, tx.has_events


async def _locked(profile: Path, *, clock: Clock, wait: float, create: bool) -> ProfileLock:
    with file_errors():
        if create:
            make_private(profile)
        elif not is_profile(profile):
            raise NoProfileError(path=profile)
        check_private(profile)
        return await ProfileLock.acquire(profile / LOCK_NAME, clock=clock, wait=wait)


def _create(profile: Path, *, passphrase: str, rng: Rng, cost: Argon2Cost, setup: Callable[[Tx], None]) -> Connection:
    with file_errors():
        check_nothing_there(profile)
        for leftover in list_parts(profile, NEW_NAME, KEY_NAME + NEW_SUFFIX, DATABASE_NAME):
            leftover.unlink()
        data_key = rng(KEY_LENGTH)
        key_file = KeyFile.build(data_key, passphrase=passphrase, cost=cost, rng=rng)
        _build(profile / NEW_NAME, data_key, setup)
        # The database is whole and closed; now the profile appears.
        replace_file(profile / KEY_NAME, key_file.to_json(), before=lambda: _rename_new(profile))
        return connect(profile / DATABASE_NAME, data_key)


def check_nothing_there(profile: Path) -> None:
    """Check that no profile would be overwritten. :raises ProfileExistsError: there is one, or a part of one.

    A database beside a key file that never got its name is what a power cut leaves of the making of a profile: nobody
    has ever used it.
    """
    if (profile / KEY_NAME).exists() or ((profile / DATABASE_NAME).exists() and not is_half_made(profile)):
        raise ProfileExistsError(path=profile)


def is_half_made(profile: Path) -> bool:
    """Answer whether the making of this profile was interrupted."""
    return not (profile / KEY_NAME).exists() and (profile / (KEY_NAME + NEW_SUFFIX)).exists()


def is_profile(profile: Path) -> bool:
    """Answer whether there is a profile, or what is left of one, in a directory."""
    return not is_half_made(profile) and ((profile / KEY_NAME).exists() or (profile / DATABASE_NAME).exists())


def _rename_new(profile: Path) -> None:
    (profile / NEW_NAME).rename(profile / DATABASE_NAME)


def _build(path: Path, data_key: bytes, setup: Callable[[Tx], None]) -> None:
    create_file(path)
    connection = connect(path, data_key)
    try:
        transact(connection, lambda tx: _fill(tx, setup))
    finally:
        connection.close()


def _fill(tx: Tx, setup: Callable[[Tx], None]) -> None:
    schema.create(tx)
    setup(tx)


def _open(profile: Path, *, passphrase: str, floor: Argon2Cost) -> Connection:
    with file_errors():
        data_key = _read_key_file(profile).open(passphrase, floor=floor)
        if not (profile / DATABASE_NAME).exists():
            raise DamagedStoreError("the database is missing")
        connection = connect(profile / DATABASE_NAME, data_key)
    try:
        transact(connection, schema.migrate)
    except BaseException:
        connection.close()
        raise
    return connection


def _read_key_file(profile: Path) -> KeyFile:
    try:
        return KeyFile.from_json(read_small(profile / KEY_NAME, MAX_FILE))
    except FileNotFoundError as error:
        raise DamagedStoreError("the key file is missing") from error


def _rewrap(  # noqa: PLR0913 - both passphrases and their costs
    profile: Path, *, old: str, new: str, rng: Rng, cost: Argon2Cost, floor: Argon2Cost
) -> None:
    with file_errors():
        data_key = _read_key_file(profile).open(old, floor=floor)
        key_file = KeyFile.build(data_key, passphrase=new, cost=cost, rng=rng)
        replace_file(profile / KEY_NAME, key_file.to_json())
