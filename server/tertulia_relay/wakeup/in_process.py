"""Wakeup within one process: enough for one relay process on one machine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from tertulia_relay.wakeup.interface import Wakeup, Watch


class _EventWatch:
    """A watch made of one event."""

    __slots__ = ("event",)

    def __init__(self) -> None:
        self.event = asyncio.Event()

    async def grown(self) -> None:
        await self.event.wait()

    def clear(self) -> None:
        self.event.clear()


class InProcessWakeup(Wakeup):
    """Watches of this process, by segment. A segment without readers costs nothing."""

    def __init__(self) -> None:
        self._watches: dict[bytes, set[_EventWatch]] = {}

    @property
    def watched(self) -> int:
        """Return how many segments are watched now."""
        return len(self._watches)

    async def start(self) -> None:
        """Nothing to connect to."""

    async def close(self) -> None:
        """Release every watch."""
        for segment_id in list(self._watches):
            self.announce(segment_id)

    def announce(self, segment_id: bytes) -> None:
        """Wake the readers of the segment (32 bytes)."""
        for watch in self._watches.get(segment_id, ()):
            watch.event.set()

    @contextmanager
    def watch(self, segment_id: bytes) -> Iterator[Watch]:
        """Watch a segment (32 bytes) while the context lasts."""
        watch = _EventWatch()
        self._watches.setdefault(segment_id, set()).add(watch)
        try:
            yield watch
        finally:
            watches = self._watches[segment_id]
            watches.discard(watch)
            if not watches:
                del self._watches[segment_id]
