"""Time, randomness and the thread of the store as arguments: what the composition root hands to everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")

Rng = Callable[[int], bytes]
"""``rng(n)`` returns ``n`` bytes nobody can foresee."""


class Clock(Protocol):
    """The only clock of the client. The machine's is in :mod:`tertulia.system`."""

    def now(self) -> int:
        """Return whole seconds since 1970-01-01 UTC. It may jump; nothing that must be safe rests on it alone."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; it never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``; with 0 or less, after everyone else had a turn."""
        ...


class Executor(Protocol):
    """Runs the synchronous work of the store, one piece at a time, in the order in which it was given."""

    async def run(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, or raise what it raises. Giving up the wait does not stop the work."""
        ...

    async def close(self) -> None:
        """Wait for the work at hand and take no more."""
        ...
