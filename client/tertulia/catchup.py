"""Reading a circle's log to its head, through segments that were sealed, and putting back what a relay has lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from tertulia.circle import Circle
from tertulia.errors import BadAnswerError, RelayGoneError
from tertulia.receive import BATCH, NOTHING, Received, receive
from tertulia.relays import ReadResult, SegmentAddr
from tertulia.runtime import Runtime
from tertulia.states import READING, State
from tertulia.store import circles, events, log
from tertulia.store.tx import Tx
from tertulia_protocol.circle.entries import Inner, InnerHeader, build_inner, wrap
from tertulia_protocol.codec import Reader
from tertulia_protocol.relay_api.records import Position
from tertulia_protocol.relay_api.responses import Status
from tertulia_protocol.signing import SigningSeed

MAX_HEALS = 3
"""How often in one reading a relay may lose entries that were put back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Where to read next."""

    segment: SegmentAddr
    key: SigningSeed
    after_seq: int


async def read_to_head(runtime: Runtime, circle_id: bytes, *, wait_s: int = 0) -> int:
    """Read the log to its head, walking through sealed segments; return the number of entries processed.

    ``wait_s``: how long the relay may wait for something new if there is nothing yet. In a state in which nothing is
    read it does nothing.

    :raises TransportError: the relay cannot be reached or refuses. GONE is also a state of the circle afterwards.
    """
    count = heals = 0
    while True:
        target = await runtime.store.read(partial(_target, circle_id=circle_id))
        if target is None:
            return count
        result = await _read(runtime, circle_id, target, wait_s=wait_s)
        received = await _receive(runtime, circle_id, target, result)
        count, wait_s = count + (0 if received is None else received.count), 0
        if received is None:
            continue
        if received.rolled_back:
            heals += 1
            check_heals(heals)
            await heal(runtime, circle_id, result.head.position)
        elif not received.hop and (received.at_head or received == NOTHING):
            await runtime.store.run(partial(_note_time, circle_id=circle_id, now=runtime.clock.now()))
            return count


def check_heals(heals: int) -> None:
    """Check that a relay keeps what is put back. :raises BadAnswerError: it loses entries again and again."""
    if heals > MAX_HEALS:
        raise BadAnswerError("the relay loses entries again and again")


def _target(tx: Tx, *, circle_id: bytes) -> _Target | None:
    circle = Circle.load(tx, circle_id)
    if circle.state not in READING:
        return None
    return _Target(segment=circle.segment(), key=circle.access.relays[0].read_key, after_seq=circle.position.seq)


def _note_time(tx: Tx, *, circle_id: bytes, now: int) -> None:
    circles.change(tx, circle_id, synced_at=now)


async def _read(runtime: Runtime, circle_id: bytes, target: _Target, *, wait_s: int) -> ReadResult:
    try:
        return await runtime.relays.read(target.segment, key=target.key, after_seq=target.after_seq, wait_s=wait_s)
    except RelayGoneError:
        await runtime.store.run(
            partial(_note_gone, circle_id=circle_id, segment=target.segment, now=runtime.clock.now())
        )
        raise


def _note_gone(tx: Tx, *, circle_id: bytes, segment: SegmentAddr, now: int) -> None:
    circle = Circle.load(tx, circle_id)
    if circle.state in READING and circle.segment_id() == segment.segment_id and circle.state is not State.COPIED:
        circle.move_to(State.GONE)
        circle.save()
        events.add(tx, "gone", circle=circle_id, at=now, segment=circle.segment_no)


async def _receive(runtime: Runtime, circle_id: bytes, target: _Target, result: ReadResult) -> Received | None:
    """Process an answer in transactions of at most ``BATCH`` entries. None: somebody else was faster, read again."""
    count = start = 0
    while True:
        part = result.entries[start : start + BATCH]
        received = await runtime.store.run(
            partial(
                _receive_part, circle_id=circle_id, target=target, result=result, start=start, now=runtime.clock.now()
            )
        )
        if received is None:
            return None
        count += received.count
        start += len(part)
        if start >= len(result.entries) or received.count < len(part):
            return Received(count=count, hop=received.hop, at_head=received.at_head, rolled_back=received.rolled_back)


def _receive_part(  # noqa: PLR0913 - an answer and what it answers
    tx: Tx, *, circle_id: bytes, target: _Target, result: ReadResult, start: int, now: int
) -> Received | None:
    if is_stale(tx, circle_id, target, start):
        return None
    return receive(tx, circle_id, head=result.head, entries=result.entries[start : start + BATCH], now=now)


def is_stale(tx: Tx, circle_id: bytes, target: _Target, start: int) -> bool:
    """Answer whether the circle was read further while an answer was on its way: its head may be an older one.

    Two tasks of one process may read at the same time; what one of them has seen would look like a rollback.
    """
    circle = Circle.load(tx, circle_id)
    return circle.segment() == target.segment and circle.position.seq != target.after_seq + start


# --- Putting back what a relay has lost (E23) ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lost:
    """One entry that we have and the relay has not."""

    segment: SegmentAddr
    key: SigningSeed
    before: Position
    data: bytes = field(repr=False)


async def heal(runtime: Runtime, circle_id: bytes, head: Position) -> None:
    """Append our entries after ``head`` in their order, each only where the head is still the one before it.

    Whoever heals at the same time puts back the same bytes. If somebody wrote something else there meanwhile
    (CONFLICT) we stop: reading on compares the chains and says what it is.

    :raises TransportError: the relay cannot be reached or refuses; the next reading goes on.
    """
    position = head
    while True:
        lost = await runtime.store.read(partial(_next_lost, circle_id=circle_id, seq=position.seq))
        if lost is None:
            return
        result = await runtime.relays.append(lost.segment, lost.data, key=lost.key, if_head=lost.before)
        if result.status not in (Status.OK, Status.DUP):
            return
        position = Position(position.seq + 1, b"")


def _next_lost(tx: Tx, *, circle_id: bytes, seq: int) -> _Lost | None:
    circle = Circle.load(tx, circle_id)
    chain = log.get_chain(tx, circle_id, circle.segment_no, seq)
    rows = log.entries_after(tx, circle_id, circle.segment_no, seq, limit=1)
    if chain is None or not rows or rows[0].seq != seq + 1:
        return None
    keys = circle.access.relays[0]
    data = rows[0].data
    if rows[0].is_inner:
        data = wrap(restore_inner(data), keys=keys, segment_id=circle.segment_id())
    return _Lost(segment=circle.segment(), key=keys.append_key, before=Position(seq, chain), data=data)


def restore_inner(data: bytes) -> Inner:
    """Return the inner entry of a raw row: header and body as they were, and the zeros after them."""
    reader = Reader(data)
    header = InnerHeader.decode(reader)
    return build_inner(header, reader.raw(reader.remaining))
