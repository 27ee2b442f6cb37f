"""The configurations of segments, which never change, kept in memory so that a signature can be checked at once."""

from __future__ import annotations

from collections import OrderedDict

from tertulia_protocol.codec import parse
from tertulia_protocol.relay_api.records import SegmentConfig
from tertulia_relay.delivery.access import check_exists, check_not_expired
from tertulia_relay.delivery.clock import Clock
from tertulia_relay.storage.interface import Storage


class Directory:
    """Configurations by segment id, of this day. That a segment still exists is checked again where it is used."""

    def __init__(self, *, storage: Storage, clock: Clock, tracked: int) -> None:
        """:param tracked: the most configurations kept."""
        self._storage = storage
        self._clock = clock
        self._tracked = tracked
        self._day = -1
        self._known: OrderedDict[bytes, SegmentConfig] = OrderedDict()

    async def config(self, segment_id: bytes) -> SegmentConfig:
        """Return the configuration of a living segment (32-byte id).

        :raises Refusal: GONE. :raises StorageError: it cannot be read.
        """
        utc_day = self._clock.utc_day()
        if self._day != utc_day:  # what expired at midnight must not be known any more
            self._known.clear()
            self._day = utc_day
        config = self._known.get(segment_id)
        if config is None:
            row = check_exists(await self._storage.segment(segment_id))
            check_not_expired(row, utc_day=utc_day)
            config = self._known[segment_id] = parse(SegmentConfig, row.config)
        self._known.move_to_end(segment_id)
        while len(self._known) > self._tracked:
            self._known.popitem(last=False)
        return config

    def forget(self, segment_id: bytes) -> None:
        """Forget a segment that was dropped."""
        self._known.pop(segment_id, None)
