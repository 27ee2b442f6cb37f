"""FREEZE: a coordinator's commit gets a quiet moment, at most two minutes long (E10).

The mark is stored without a time, as a random number. Each process that meets a frozen segment lets its own timer
run for that number and then takes the mark away, if it is still the same.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable

from tertulia_relay.delivery.clock import Clock
from tertulia_relay.delivery.outcomes import busy
from tertulia_relay.storage.interface import SegmentRow

HOUR = 3600.0


class FreezeCounter:
    """How often each segment was frozen by this process within the last hour."""

    def __init__(self, *, per_hour: int, tracked: int) -> None:
        self._per_hour = per_hour
        self._tracked = tracked
        self._stamps: OrderedDict[bytes, deque[float]] = OrderedDict()

    def check(self, segment_id: bytes, *, counted: int, now: float) -> None:
        """Check that one more freeze is allowed besides ``counted``. :raises Refusal: BUSY."""
        stamps = self._recent(segment_id, now=now)
        if len(stamps) + counted >= self._per_hour:
            raise busy(stamps[0] + HOUR - now if stamps else HOUR, head_of=segment_id)

    def count(self, segment_id: bytes, *, now: float) -> None:
        """Note one freeze at ``now`` (seconds, monotonic)."""
        self._stamps.setdefault(segment_id, deque()).append(now)
        self._stamps.move_to_end(segment_id)
        while len(self._stamps) > self._tracked:
            self._stamps.popitem(last=False)

    def _recent(self, segment_id: bytes, *, now: float) -> deque[float]:
        stamps = self._stamps.get(segment_id, deque())
        while stamps and stamps[0] + HOUR <= now:
            stamps.popleft()
        return stamps


class Thaw:
    """The timers of this process, one per frozen segment and number."""

    def __init__(self, *, clock: Clock, seconds: float, unfreeze: Callable[[bytes, int], Awaitable[None]]) -> None:
        """:param unfreeze: takes the mark (segment id, number) away, if it is still there."""
        self._clock = clock
        self._seconds = seconds
        self._unfreeze = unfreeze
        self._timers: dict[tuple[bytes, int], asyncio.Task[None]] = {}

    def meet(self, row: SegmentRow) -> None:
        """Start the timer of a frozen segment, unless it runs already."""
        key = (row.id, row.frozen)
        if row.frozen and key not in self._timers:
            task = asyncio.get_running_loop().create_task(self._run(key))
            self._timers[key] = task
            task.add_done_callback(lambda _: self._timers.pop(key, None))

    async def _run(self, key: tuple[bytes, int]) -> None:
        await self._clock.sleep(self._seconds)
        await self._unfreeze(*key)

    async def close(self) -> None:
        """Stop all timers; the marks stay and the next process to meet them starts over."""
        timers = list(self._timers.values())
        for task in timers:
            task.cancel()
        await asyncio.gather(*timers, return_exceptions=True)
