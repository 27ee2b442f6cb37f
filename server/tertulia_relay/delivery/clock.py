"""The only clock that the rules know. Days order nothing within a day; the rest is relative."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time, as an argument."""

    def utc_day(self) -> int:
        """Return the number of whole days since 1970-01-01 in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; it never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""
        ...
