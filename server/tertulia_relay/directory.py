"""What lies in a relay's directory, and who may read it: settings, key, database, lock, address.

The key is 32 secret bytes: whoever has it can sign heads and answers as this relay. It is written once, never
replaced, and refused when other users of the machine could read it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tertulia_protocol.signing import SigningSeed
from tertulia_relay.errors import (
    AlreadyRunningError,
    ExistsError,
    KeyFileError,
    MissingDirectoryError,
    OwnerError,
    PermissionsError,
)

_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class RelayDirectory:
    """The files of one relay."""

    path: Path

    @property
    def config(self) -> Path:
        """The settings."""
        return self.path / "relay.toml"

    @property
    def key(self) -> Path:
        """The relay's private key: 64 hexadecimal digits."""
        return self.path / "relay.key"

    @property
    def database(self) -> Path:
        """The SQLite database."""
        return self.path / "relay.db"

    @property
    def listen(self) -> Path:
        """Where the running relay listens, ``HOST:PORT``."""
        return self.path / "relay.listen"

    @property
    def lock(self) -> Path:
        """Locked by the process that serves."""
        return self.path / "relay.lock"

    def check_exists(self) -> None:
        """Check that there is a relay here. :raises MissingDirectoryError: there is none."""
        if not (self.config.exists() or self.key.exists()):
            raise MissingDirectoryError(path=self.path)

    def check_free(self) -> None:
        """Check that nothing of a relay lies here yet. :raises ExistsError: something does."""
        for file in (self.config, self.key, self.database, self.lock):
            if file.exists() or file.is_symlink():
                raise ExistsError(path=self.path)

    def check_owner(self) -> None:
        """Check that the directory is ours. :raises OwnerError: files made now would lock out the relay's own user."""
        owner = self.path.stat().st_uid
        if owner != os.geteuid():
            raise OwnerError(path=self.path, owner=owner)

    def check_private(self) -> None:
        """Check that no other user can enter. :raises PermissionsError: one can."""
        check_mode(self.path)

    def create(self) -> None:
        """Make the directory, mode 0700. :raises ExistsError: a relay is here. :raises PermissionsError: not private.

        An empty directory that is there already, such as a mounted volume, is used as it is.
        """
        with suppress(FileExistsError):
            self.path.mkdir(mode=0o700)
        if not self.path.is_dir():
            raise ExistsError(path=self.path)
        self.check_free()
        self.check_owner()
        self.check_private()

    def remove_files(self) -> None:
        """Remove what an ``init`` that failed had begun; only called before anybody saw the key."""
        for file in (self.key, self.config, self.lock, *self.path.glob("relay.db*")):
            file.unlink(missing_ok=True)

    def write_key(self, seed: bytes) -> None:
        """Store the relay's key (32 bytes), mode 0600. :raises ExistsError: there is one."""
        try:
            write_new(self.key, seed.hex().encode() + b"\n")
        except FileExistsError as error:
            raise ExistsError(path=self.path) from error

    def load_key(self) -> SigningSeed:
        """Read the relay's key.

        :raises KeyFileError: missing or not a key. :raises PermissionsError: other users can read it.
        """
        try:
            check_mode(self.key)
            seed = bytes.fromhex(self.key.read_text("ascii"))
        except FileNotFoundError as error:
            raise KeyFileError(path=self.key, problem="there is no such file") from error
        except ValueError as error:
            raise KeyFileError(path=self.key, problem="it does not hold 64 hexadecimal digits") from error
        if len(seed) != 32:
            raise KeyFileError(path=self.key, problem="it does not hold 64 hexadecimal digits")
        return SigningSeed(seed)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the serving process. :raises AlreadyRunningError: another process holds it.

        Frozen segments, rate buckets and the waking of readers live in the memory of one process, so a second one on
        the same SQLite database would answer wrongly. The system drops the lock when the process ends, however.
        """
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            lock_file(descriptor, self.path)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def listening(self, address: str) -> Iterator[None]:
        """Let ``tertulia-relay code`` in another process know where the relay listens while it runs."""
        temporary = self.listen.with_suffix(".listen.new")
        temporary.unlink(missing_ok=True)
        write_new(temporary, address.encode() + b"\n")
        temporary.replace(self.listen)
        try:
            yield
        finally:
            self.listen.unlink(missing_ok=True)

    def listening_address(self) -> str | None:
        """Return where the running relay listens, None if none was started."""
        try:
            return self.listen.read_text("ascii").strip()
        except FileNotFoundError:
            return None


def lock_file(descriptor: int, path: Path) -> None:
    """Take the lock on an open file. :raises AlreadyRunningError: another process has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise AlreadyRunningError(path=path) from error
        raise


def check_mode(path: Path) -> None:
    """Check that group and others have no right to ``path``. :raises PermissionsError: they have one."""
    if path.stat().st_mode & _OTHERS:
        raise PermissionsError(path=path)


def write_new(path: Path, data: bytes) -> None:
    """Write a new file, mode 0600, durable with its directory entry. :raises FileExistsError: it is there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
