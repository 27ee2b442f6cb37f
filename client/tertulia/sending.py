"""Emptying the outbox: entries are appended in the order in which they were written; reading back counts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
BATCH = 32
"""How many entries one transaction makes, and another marks: a disk that must be sure twice for each is slow."""


async def flush_outbox(runtime: Runtime, circle_id: bytes) -> int:
    """Append what waits in the outbox; return how many items were sent. They count once they are read back.

    :raises TransportError: the relay cannot be reached, is full or refuses; what was not sent stays.
    """
    sent = waits = 0
    while True:
        entries = await runtime.store.run(
            partial(outgoing.next_entries, circle_id=circle_id, rng=runtime.rng, limit=BATCH)
        )
        if not entries:
            return sent
        places, refusal = await _append_all(runtime, entries)
        await runtime.store.run(partial(_mark, circle_id=circle_id, places=places))
        sent += len(places)
        if refusal is None:
            continue
        if refusal.status is Status.SEALED:
            # The circle has moved on; what waits is made again for where it is now.
            await read_to_head(runtime, circle_id)
            if not await runtime.store.read(partial(_has_moved, circle_id=circle_id, entry=entries[0])):
                return sent
        elif waits >= MAX_WAITS or not is_worth_waiting(refusal):
            raise_refusal(refusal)
            return sent
        else:
            waits += 1
            await runtime.clock.sleep(float(refusal.retry_after or FROZEN_SECONDS))


async def _append_all(
    runtime: Runtime, entries: Sequence[OutgoingEntry]
) -> tuple[dict[bytes, int], AppendResult | None]:
    """Append entries in their order up to the first that is not taken; return ``seq`` by post_id, and why it was not.

    Whatever breaks this off, those that arrived are sent again: the relay answers DUP (E32).
    """
    places: dict[bytes, int] = {}
    for entry in entries:
        result = await runtime.relays.append(entry.segment, entry.data, key=entry.key)
        if result.seq is None:
            return places, result
        places[entry.post_id] = result.seq
    return places, None


def is_worth_waiting(result: AppendResult) -> bool:
    """Answer whether the relay may take the same entry a little later."""
    return result.status in (Status.BUSY, Status.FROZEN)


def raise_refusal(result: AppendResult) -> None:
    """Say why the relay takes no more. :raises TransportError: it is full, or the segment is gone."""
    if result.status is Status.QUOTA:
        raise RelayQuotaError
    if result.status is Status.GONE:
        raise RelayGoneError


def _mark(tx: Tx, *, circle_id: bytes, places: Mapping[bytes, int]) -> None:
    for post_id, seq in places.items():
        outgoing.mark_sent(tx, circle_id, post_id, seq=seq)


def _has_moved(tx: Tx, *, circle_id: bytes, entry: OutgoingEntry) -> bool:
    return outgoing.current_segment(tx, circle_id) != entry.segment
