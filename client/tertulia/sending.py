"""Emptying the outbox: entries are appended in the order in which they were written; reading back counts them."""

from __future__ import annotations

from functools import partial

from tertulia import outgoing
from tertulia.catchup import read_to_head
from tertulia.errors import RelayGoneError, RelayQuotaError
from tertulia.outgoing import OutgoingEntry
from tertulia.relays import AppendResult
from tertulia.runtime import Runtime
from tertulia.store.tx import Tx
from tertulia_protocol.relay_api.responses import Status

FROZEN_SECONDS = 2.0
"""How long to wait before the next try while a coordinator keeps members from writing."""
MAX_WAITS = 60
"""How often in one flush to wait for a relay that is busy."""


async def flush_outbox(runtime: Runtime, circle_id: bytes) -> int:
    """Append what waits in the outbox; return how many items were sent. They count once they are read back.

    :raises TransportError: the relay cannot be reached, is full or refuses; what was not sent stays.
    """
    sent = waits = 0
    while True:
        entry = await runtime.store.run(partial(outgoing.next_entry, circle_id=circle_id, rng=runtime.rng))
        if entry is None:
            return sent
        result = await runtime.relays.append(entry.segment, entry.data, key=entry.key)
        if result.seq is not None:
            await runtime.store.run(partial(_mark, circle_id=circle_id, entry=entry, seq=result.seq))
            sent += 1
        elif result.status is Status.SEALED:
            # The circle has moved on; what waits is made again for where it is now.
            await read_to_head(runtime, circle_id)
            if not await runtime.store.read(partial(_has_moved, circle_id=circle_id, entry=entry)):
                return sent
        elif waits >= MAX_WAITS or not is_worth_waiting(result):
            raise_refusal(result)
            return sent
        else:
            waits += 1
            await runtime.clock.sleep(float(result.retry_after or FROZEN_SECONDS))


def is_worth_waiting(result: AppendResult) -> bool:
    """Answer whether the relay may take the same entry a little later."""
    return result.status in (Status.BUSY, Status.FROZEN)


def raise_refusal(result: AppendResult) -> None:
    """Say why the relay takes no more. :raises TransportError: it is full, or the segment is gone."""
    if result.status is Status.QUOTA:
        raise RelayQuotaError
    if result.status is Status.GONE:
        raise RelayGoneError


def _mark(tx: Tx, *, circle_id: bytes, entry: OutgoingEntry, seq: int) -> None:
    outgoing.mark_sent(tx, circle_id, entry.post_id, seq=seq)


def _has_moved(tx: Tx, *, circle_id: bytes, entry: OutgoingEntry) -> bool:
    return outgoing.current_segment(tx, circle_id) != entry.segment
