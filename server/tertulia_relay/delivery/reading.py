"""READ and the long poll (E30)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from tertulia_protocol.codec import serialize
from tertulia_protocol.relay_api.requests import ReadArgs
from tertulia_protocol.relay_api.responses import EntriesBody, Entry
from tertulia_relay.delivery.access import check_exists, check_not_expired
from tertulia_relay.delivery.clock import Clock
from tertulia_relay.delivery.settings import Settings
from tertulia_relay.storage.interface import SegmentRow, Storage
from tertulia_relay.wakeup.interface import Wakeup, Watch


def is_worth_waiting(row: SegmentRow, args: ReadArgs) -> bool:
    """Answer whether a READ stands exactly at the head of an open segment: only then it waits."""
    return args.after_seq == row.head and not row.sealed


def page_bytes(args: ReadArgs, settings: Settings) -> int:
    """Return how many bytes of entries an answer may hold; one whole entry always may."""
    return min(args.max_bytes, settings.limits.read_max_bytes)


def wait_seconds(args: ReadArgs, settings: Settings) -> int:
    """Return how long a READ may wait."""
    return min(args.wait_s, settings.limits.wait_max_s)


def has_room(waiting: int, settings: Settings) -> bool:
    """Answer whether one more READ may wait; one too many is answered at once."""
    return waiting < settings.long_polls


def is_covered(seq: int, row: SegmentRow) -> bool:
    """Answer whether the head that goes with an answer covers an entry; one that came later waits for the next READ."""
    return seq <= row.head


class Reading:
    """Answers READs whose signature holds."""

    def __init__(self, *, storage: Storage, wakeup: Wakeup, clock: Clock, settings: Settings) -> None:
        self._storage = storage
        self._wakeup = wakeup
        self._clock = clock
        self._settings = settings
        self._closing = False
        self.waiting = 0
        """How many READs wait now."""

    def close(self) -> None:
        """Let nobody wait any more; who waits is answered by the wakeup's close."""
        self._closing = True

    async def read(self, segment_id: bytes, args: ReadArgs) -> tuple[SegmentRow, bytes]:
        """Return the segment and the body. :raises Refusal: GONE. :raises StorageError: it cannot be read."""
        with self._wakeup.watch(segment_id) as watch:
            row = await self._segment(segment_id)
            if args.wait_s and is_worth_waiting(row, args) and has_room(self.waiting, self._settings):
                with self._counted():
                    row = await self._wait(row, args, watch)
        entries: list[tuple[int, bytes]] = []
        if row.head > args.after_seq:
            entries = await self._storage.entries(
                segment_id, after_seq=args.after_seq, max_bytes=page_bytes(args, self._settings)
            )
        page = tuple(Entry(seq, data) for seq, data in entries if is_covered(seq, row))
        return row, serialize(EntriesBody(page))

    async def _segment(self, segment_id: bytes) -> SegmentRow:
        row = check_exists(await self._storage.segment(segment_id))
        check_not_expired(row, utc_day=self._clock.utc_day())
        return row

    async def _wait(self, row: SegmentRow, args: ReadArgs, watch: Watch) -> SegmentRow:
        end = self._clock.monotonic() + wait_seconds(args, self._settings)
        while is_worth_waiting(row, args):
            left = end - self._clock.monotonic()
            if left <= 0 or self._closing or not await self._grown_within(watch, left) or self._closing:
                break
            watch.clear()
            row = await self._segment(row.id)
        return row

    async def _grown_within(self, watch: Watch, seconds: float) -> bool:
        grown = asyncio.ensure_future(watch.grown())
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait((grown, timer), return_when=asyncio.FIRST_COMPLETED)
            return grown.done()
        finally:
            grown.cancel()
            timer.cancel()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1
