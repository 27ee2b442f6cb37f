"""Files of the person: parts of one that is sent, and one that is being saved, never seen half done.

What is saved is written to an unfinished file of mode 0600 beside its place and given its name only when all of it is
there and was checked. Functions block: they are called in the store's thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tertulia.clock import Rng
from tertulia.errors import FileChangedError, FileError, TargetExistsError

READ_STEP = 1 << 20


@contextlib.contextmanager
def file_problems(path: Path) -> Iterator[None]:
    """Name what the system says about a file. :raises FileError: with the reason."""
    try:
        yield
    except OSError as error:
        raise FileError(path=path, problem=error.strerror or type(error).__name__) from error


def size_of(path: Path) -> int:
    """Return the size of a file that can be sent. :raises FileError: not there, not readable, or no plain file."""
    with file_problems(path), _open(path) as file:
        found = os.fstat(file.fileno())
    check_plain_file(path, found.st_mode)
    return found.st_size


def _open(path: Path) -> BinaryIO:
    # A pipe would wait for its writer for ever.
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")


def check_plain_file(path: Path, mode: int) -> None:
    """Check that it is a file with an end, no device or pipe. :raises FileError: it is something else."""
    if not stat.S_ISREG(mode):
        raise FileError(path=path, problem="not a plain file")


def read_part(path: Path, offset: int, length: int) -> bytes:
    """Return a part of a file that was there before. :raises FileChangedError: it is shorter now, or gone."""
    try:
        with _open(path) as file:
            file.seek(offset)
            data = file.read(length)
    except OSError as error:
        raise FileChangedError(path=path) from error
    if len(data) != length:
        raise FileChangedError(path=path)
    return data


def check_target(target: Path, *, force: bool) -> None:
    """Check that a file may be saved here. :raises TargetExistsError: there is one. :raises FileError: a directory."""
    if target.is_dir():
        raise FileError(path=target, problem="a directory; the name of the file must be given too")
    if not force and (target.exists() or target.is_symlink()):
        raise TargetExistsError(path=target)


def create_unfinished(target: Path, rng: Rng) -> Path:
    """Create an empty file that only this person can read, beside ``target``. :raises FileError: it cannot be made."""
    path = target.parent / f".tertulia-{rng(8).hex()}.part"
    with file_problems(target):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    return path


def is_unfinished(path: Path, *, at_least: int) -> bool:
    """Answer whether an unfinished file is still there, is ours alone, and has the length that was written."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and found.st_size >= at_least


def write_part(path: Path, offset: int, data: bytes) -> None:
    """Write a part of an unfinished file onto the disk. :raises FileError: it cannot be written."""
    with file_problems(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "wb") as file:
            file.seek(offset)
            file.write(data)
            file.flush()
            os.fsync(descriptor)


def hash_file(path: Path, size: int) -> bytes:
    """Cut an unfinished file to its size and return its SHA-256. :raises FileError: it cannot be read."""
    digest = hashlib.sha256()
    with file_problems(path), path.open("r+b") as file:
        file.truncate(size)
        while data := file.read(READ_STEP):
            digest.update(data)
        os.fsync(file.fileno())
    return digest.digest()


def finish(unfinished: Path, target: Path, *, force: bool) -> None:
    """Give an unfinished file its name, in one step; without ``force`` nothing is ever overwritten.

    :raises TargetExistsError: there is a file of that name by now. :raises FileError: it cannot be named.
    """
    with file_problems(target):
        if force:
            unfinished.replace(target)
        else:
            _name_new(unfinished, target)


def _name_new(unfinished: Path, target: Path) -> None:
    # A second name fails if the target is there, which a rename would not; some file systems know no second names.
    try:
        os.link(unfinished, target, follow_symlinks=False)
    except FileExistsError as error:
        raise TargetExistsError(path=target) from error
    except OSError:
        check_target(target, force=False)
        unfinished.rename(target)
    else:
        unfinished.unlink()


def discard(path: Path) -> None:
    """Delete an unfinished file. Gone already: fine."""
    with contextlib.suppress(OSError):
        path.unlink()
