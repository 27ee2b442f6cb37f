"""The few files of a profile beside the database: modes, whole replacement, errors by their names."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tertulia.errors import DamagedStoreError, DiskFullError, StoreFilesError

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600
NEW_SUFFIX = ".new"


@contextmanager
def file_errors() -> Iterator[None]:
    """Turn errors of the system into leaves of the tree.

    :raises DiskFullError: no space is left. :raises StoreFilesError: anything else.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError from error
        raise StoreFilesError(problem=error.strerror or type(error).__name__) from error


def make_private(directory: Path) -> None:
    """Make a directory for this user alone, unless it is there. :raises OSError: it cannot be made."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)


def check_private(directory: Path) -> None:
    """Check that nobody else can reach into the profile. :raises StoreFilesError: others can."""
    if sys.platform != "win32" and stat.S_IMODE(directory.stat().st_mode) & 0o077:
        raise StoreFilesError(problem=f"other users can reach {directory}; run: chmod go= {directory}")


def list_parts(profile: Path, *names: str) -> list[Path]:
    """Return the files of the profile that have one of these names, or one that begins with it."""
    return sorted(path for path in profile.iterdir() if path.name.startswith(names))


def read_small(path: Path, limit: int) -> bytes:
    """Read a file of at most ``limit`` bytes. :raises DamagedStoreError: it is longer. :raises OSError: no file."""
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise DamagedStoreError(f"{path.name} is too long")
    return data


def replace_file(path: Path, data: bytes, *, before: Callable[[], None] = lambda: None) -> None:
    """Put a file in its place whole and durably: after a power cut it is the old one or the new one.

    :param before: called when the new file is on the disk and not yet in its place.
    :raises OSError: it cannot be written; the old file stands.
    """
    new = path.with_name(path.name + NEW_SUFFIX)
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, PRIVATE_FILE)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - made with its mode
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    before()
    new.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    if sys.platform == "win32":
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
