"""Tells readers that wait, in this process and in others, that a segment grew.

A wakeup is a hint: it carries nothing but the segment's id, may come too often, and a reader that misses one only
waits until its READ runs out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import Protocol


class Watch(Protocol):
    """One reader's eye on one segment, from before it reads the head until it has its answer."""

    async def grown(self) -> None:
        """Return as soon as the segment was announced at least once since the watch began or was last cleared."""
        ...

    def clear(self) -> None:
        """Forget the announcements so far. Call before reading the head again."""
        ...


class Wakeup(ABC):
    """Announces segments that grew and lets readers watch for it."""

    @abstractmethod
    async def start(self) -> None:
        """Connect, where there is something to connect to."""

    @abstractmethod
    async def close(self) -> None:
        """Disconnect and release every watch, as if each segment had been announced."""

    @abstractmethod
    def announce(self, segment_id: bytes) -> None:
        """Say that the segment (32 bytes) grew or changed its state. Never blocks."""

    @abstractmethod
    def watch(self, segment_id: bytes) -> AbstractContextManager[Watch]:
        """Watch a segment (32 bytes) while the context lasts."""
