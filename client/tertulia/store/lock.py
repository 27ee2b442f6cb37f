"""One process at a time: an advisory lock on a file of its own, held as long as the store is open.

The system gives the lock back when the process ends, however it ends. The database's own files are never touched by
anything but SQLite: opening and closing one beside the connection would drop SQLite's locks on it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Self

from tertulia.clock import Clock
from tertulia.errors import LockedError

RETRY_SECONDS = 0.1


class ProfileLock:
    """The lock of one profile. Make it with :meth:`acquire`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    async def acquire(cls, path: Path, *, clock: Clock, wait: float = 0.0) -> Self:
        """Take the lock, trying for ``wait`` seconds.

        :param path: the lock file; its directory must exist. :raises LockedError: another process has it.
        """
        until = clock.monotonic() + wait
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not is_taken(descriptor):
                check_time_left(path, until - clock.monotonic())
                await clock.sleep(RETRY_SECONDS)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Give the lock back. Safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def check_time_left(path: Path, seconds: float) -> None:
    """Check that waiting may go on. :raises LockedError: the time is over."""
    if seconds <= 0:
        raise LockedError(path=path.parent)


if sys.platform == "win32":
    import msvcrt

    def is_taken(descriptor: int) -> bool:
        """Take the lock if nobody has it, and answer whether it is ours."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def is_taken(descriptor: int) -> bool:
        """Take the lock if nobody has it, and answer whether it is ours."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
