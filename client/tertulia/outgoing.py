"""What leaves: payloads into the outbox, out of it as entries of the present epoch, exactly once (E6, E24, E32).

An item is *uploading* (its files are on their way; its payload is not made yet), *waiting*, or *sent* (the relay has
answered; it counts once it is read back, and then it is gone from here). Payload bytes never change once made; the
entry around them is made again when the epoch moved on before it counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tertulia.circle import Circle
from tertulia.clock import Rng
from tertulia.relays import SegmentAddr
from tertulia.store.tx import Tx
from tertulia_protocol.circle.payload import PayloadType
from tertulia_protocol.signing import SigningSeed


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingEntry:
    """An entry to append: stored already, so that the same bytes are sent however often it takes."""

    number: int
    """Its place in the outbox."""
    post_id: bytes
    segment: SegmentAddr
    key: SigningSeed
    """The append key."""
    data: bytes = field(repr=False)


def enqueue(  # noqa: PLR0913 - everything that a payload says
    tx: Tx,
    circle: Circle,
    *,
    type: PayloadType,  # noqa: A002 - the payload's own word
    body: bytes,
    now: int,
    post_id: bytes,
    share: bool = True,
    uploading: bool = False,
) -> int:
    """Put a payload into the outbox and return its number there. ``post_id``: 16 random bytes.

    A content envelope is checked and shown at once: the local copy counts as ``waiting`` (see ``boards``).
    With ``uploading`` it waits for :func:`release`: its place in the author's chain is given only then.

    :raises NotAllowedError: nothing may be written in this state. :raises RuleError: content that nobody would count.
    """
    raise NotImplementedError


def release(tx: Tx, circle: Circle, post_id: bytes, *, now: int) -> None:
    """Let an item go whose files have all arrived at the relay. Again: does nothing."""
    raise NotImplementedError


def next_entry(tx: Tx, circle_id: bytes, *, rng: Rng) -> OutgoingEntry | None:
    """Return the oldest waiting item as an entry of the present epoch, made and stored now where it must be."""
    raise NotImplementedError


def mark_sent(tx: Tx, circle_id: bytes, number: int, *, seq: int) -> None:
    """Note that the relay answered OK or DUP with ``seq``. It proves nothing; reading back does (E3)."""
    raise NotImplementedError
