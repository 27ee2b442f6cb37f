"""What came from the log: one batch, one transaction (docs/protocol, "Reading").

State of MLS, cursor, chain, raw entries, plaintext and outbox move together or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tertulia.store.tx import Tx
from tertulia_protocol.relay_api.records import SignedHead
from tertulia_protocol.relay_api.responses import Entry

BATCH = 200
"""How many entries one transaction processes at most (E34)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What a batch led to."""

    count: int
    """Entries processed; fewer than given if the circle hopped, or an alarm stopped it."""
    hop: bool
    """The circle goes on in another segment: read there."""
    at_head: bool
    """The segment was read to the head that the relay gave."""
    rolled_back: bool
    """The relay has lost entries that we have: put them back (E23)."""


def receive(tx: Tx, circle_id: bytes, *, head: SignedHead, entries: Sequence[Entry], now: int) -> Received:
    """Process entries of the current segment of relay 0. ``head`` was verified against relay and segment.

    A fork, a commit that cannot be processed, a removal are states of the circle afterwards, not errors: evidence and
    events are stored in the same transaction.

    :raises BadAnswerError: entries with gaps, or beyond the head; nothing was stored.
    """
    raise NotImplementedError
