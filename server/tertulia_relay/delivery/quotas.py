"""How much a segment may take: the append rate and the bytes (E11, E17, E27)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache

from tertulia_protocol.codec import parse
from tertulia_protocol.relay_api import limits
from tertulia_protocol.relay_api.records import SegmentClass, SegmentConfig
from tertulia_protocol.relay_api.responses import RelayLimits, Status
from tertulia_protocol.signing import NOBODY
from tertulia_relay.delivery.outcomes import Refusal, busy
from tertulia_relay.storage.interface import SegmentRow


def config_of(row: SegmentRow) -> SegmentConfig:
    """Return the configuration of a stored segment."""
    return _parsed(row.config)


@lru_cache(maxsize=4096)
def _parsed(config: bytes) -> SegmentConfig:
    # It never changes, and every append asks for it twice.
    return parse(SegmentConfig, config)


def units(length: int) -> int:
    """Return what an entry of ``length`` bytes costs in units of the append rate."""
    return -(-length // limits.UNIT)


class RateBuckets:
    """One leaky bucket per segment that was written to lately, in memory of this process (E33)."""

    def __init__(self, relay_limits: RelayLimits, *, tracked: int) -> None:
        """:param tracked: the most buckets kept; a segment whose bucket is forgotten starts with a full burst."""
        self._burst = relay_limits.append_burst_units
        self._per_second = relay_limits.append_units_per_second
        self._tracked = tracked
        self._buckets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def available(self, segment_id: bytes, *, now: float) -> float:
        """Return the units left at ``now`` (seconds, monotonic)."""
        level, stamp = self._buckets.get(segment_id, (self._burst, now))
        return min(self._burst, level + (now - stamp) * self._per_second)

    def take(self, charges: Mapping[bytes, int], *, now: float) -> None:
        """Charge what a committed batch cost, by segment."""
        for segment_id, cost in charges.items():
            self._buckets[segment_id] = (self.available(segment_id, now=now) - cost, now)
            self._buckets.move_to_end(segment_id)
        while len(self._buckets) > self._tracked:
            self._buckets.popitem(last=False)

    def check(self, segment_id: bytes, *, cost: int, charged: int, now: float) -> None:
        """Check that ``cost`` units are left besides ``charged``. :raises Refusal: BUSY, saying when they will be."""
        missing = cost + charged - self.available(segment_id, now=now)
        if missing > 0:
            raise busy(missing / self._per_second, head_of=segment_id)


def quota_of_new(config: SegmentConfig, relay_limits: RelayLimits) -> tuple[int, int]:
    """Return the quota of a new segment (entries of a mailbox, bytes of a log) and the bytes of its blobs."""
    if config.segment_class == SegmentClass.MAILBOX:
        return relay_limits.mailbox_entries, 0
    return relay_limits.log_quota_bytes, relay_limits.blob_quota_bytes


def share(row: SegmentRow, config: SegmentConfig, *, admin: bool) -> int:
    """Return how much of the quota this signer may fill: a fifth is the admin's alone, where there is one (E11)."""
    if admin or config.admin_vk == NOBODY:
        return row.quota
    return row.quota * (100 - limits.ADMIN_RESERVE_PERCENT) // 100


def check_quota(row: SegmentRow, *, length: int, admin: bool) -> None:
    """Check that one more entry of ``length`` bytes fits. :raises Refusal: QUOTA."""
    config = config_of(row)
    amount = 1 if config.segment_class == SegmentClass.MAILBOX else length
    if row.used + amount > share(row, config, admin=admin):
        raise Refusal(Status.QUOTA, head_of=row.id)


def used_by(row: SegmentRow, *, length: int) -> int:
    """Return what the segment has used after one more entry of ``length`` bytes."""
    config = config_of(row)
    return row.used + (1 if config.segment_class == SegmentClass.MAILBOX else length)


def check_blob_quota(row: SegmentRow, *, length: int) -> None:
    """Check that the segment may pay for one more blob of ``length`` bytes (E17). :raises Refusal: QUOTA.

    What a blob used is not given back when it is deleted: the relay does not note which segment paid for a blob.
    """
    if row.blob_used + length > row.blob_quota:
        raise Refusal(Status.QUOTA, head_of=row.id)
