"""The machine: its clock, its random generator, a thread for the store. Named by composition roots only."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

T = TypeVar("T")


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Return whole seconds since 1970-01-01 UTC."""
        return int(time.time())

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; it never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""
        await asyncio.sleep(max(0.0, seconds))


def system_rng(length: int) -> bytes:
    """Return ``length`` random bytes of the operating system."""
    return os.urandom(length)


def forbid_core_dumps() -> None:
    """Keep the memory of this process, with its keys, out of core dumps. Call it first thing in a command."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - not on every platform

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class ThreadExecutor:
    """One thread of its own, so that the event loop never waits for the disk or for Argon2id."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tertulia-store")

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` in the thread, after all that was given before. Giving up the wait does not stop it."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def close(self) -> None:
        """Wait for the work at hand and end the thread."""
        await asyncio.get_running_loop().run_in_executor(None, partial(self._pool.shutdown, wait=True))
