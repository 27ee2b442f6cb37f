"""What came from the log: one batch, one transaction (docs/protocol, "Entries").

State of MLS, cursor, chain, raw entries, plaintext and outbox move together or not at all. Every entry moves the
cursor, whatever it is; whether it *counts* is decided by rules that are the same for every member.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from tertulia import counting, evidence, following, outgoing
from tertulia.circle import Circle
from tertulia.following import Step
from tertulia.states import READING, State
from tertulia.store import events, log
from tertulia.store.log import ChainRow, OwnEntryRow, RawEntryRow
from tertulia.store.tx import Tx
from tertulia_protocol.circle import rules
from tertulia_protocol.circle.entries import HEADER_BYTES, Inner, Kind, check_epoch, check_place, unwrap
from tertulia_protocol.codec import serialize
from tertulia_protocol.errors import InvalidMessageError
from tertulia_protocol.mls.commit import Commit
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.group_state import Opened
from tertulia_protocol.relay_api.records import Position, SignedHead
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


NOTHING = Received(count=0, hop=False, at_head=False, rolled_back=False)


def receive(tx: Tx, circle_id: bytes, *, head: SignedHead, entries: Sequence[Entry], now: int) -> Received:
    """Process entries of the current segment of relay 0. ``head`` was verified against relay and segment.

    A fork, a commit that cannot be processed, a removal are states of the circle afterwards, not errors: evidence and
    events are stored in the same transaction.

    :raises BadAnswerError: entries with gaps, or beyond the head; nothing was stored.
    """
    circle = Circle.load(tx, circle_id)
    if not is_current(circle, head):
        return NOTHING
    hashes = [hashlib.sha256(entry.data).digest() for entry in entries]
    found = evidence.compare(circle, head, entries, hashes)
    if found.fork:
        evidence.raise_fork_alarm(circle, head, now=now)
        circle.save()
        return NOTHING
    if found.rolled_back:
        evidence.note_rollback(circle, head, now=now)
    else:
        circle.keep_head(serialize(head))
    if circle.state is State.DARK:
        circle.move_to(State.SYNCING)
    batch = _Batch(circle, now)
    hop = batch.process(entries, found.places)
    at_head = not hop and circle.position.seq == head.position.seq
    if circle.state is State.SYNCING and at_head:
        circle.move_to(State.ACTIVE)
    if circle.is_member:
        outgoing.send_again(circle)
    circle.save()
    return Received(count=batch.count, hop=hop, at_head=at_head, rolled_back=found.rolled_back)


def is_current(circle: Circle, head: SignedHead) -> bool:
    """Answer whether an answer is about the segment that is read now, in a state in which it is read."""
    return circle.state in READING and head.segment_id == circle.segment_id()


class _Batch:
    """The entries of one transaction."""

    def __init__(self, circle: Circle, now: int) -> None:
        self.circle = circle
        self.now = now
        self.count = 0
        self._junk = 0
        self._raw: list[RawEntryRow] = []

    def process(self, entries: Sequence[Entry], places: Sequence[Position]) -> bool:
        """Process entries up to a hop or an end; return whether the circle hopped."""
        step = Step.REFUSED
        for entry, place in zip(entries, places, strict=True):
            number = self.circle.segment_no
            step = self._one(entry, place)
            if step is Step.OUTDATED:
                break
            self.count += 1
            # At once: a later entry of this batch may name this place.
            row = ChainRow(circle=self.circle.id, segment_no=number, relay=0, seq=place.seq, chain=place.chain)
            log.add_chain(self.circle.tx, [row])
            if step is Step.HOPPED:
                self._keep_old(number, place)
                break
            self.circle.position = place
            if step is Step.REMOVED or self.circle.state not in READING:
                break
        if self._junk:
            events.add(self.circle.tx, "junk", circle=self.circle.id, at=self.now, count=self._junk)
        log.add_entries(self.circle.tx, self._raw)
        return step is Step.HOPPED

    def _keep_old(self, number: int, place: Position) -> None:
        """Note how far the old segment was read: to the hop, in the segment that is no longer the current one."""
        log.change_segment(self.circle.tx, self.circle.id, number, seq=place.seq, chain=place.chain)

    def _one(self, entry: Entry, place: Position) -> Step:
        circle, keys = self.circle, self.circle.access.relays[0]
        try:
            inner = unwrap(entry.data, keys=keys, segment_id=circle.segment_id())
        except InvalidMessageError:
            self._keep_raw(entry.seq, entry.data, is_inner=False)
            self._junk += 1
            return Step.REFUSED
        self._keep_raw(entry.seq, without_padding(inner), is_inner=True)
        try:
            return self._count(inner, entry, place)
        except InvalidMessageError:
            # Skipped by everybody alike. Nothing of it was kept, no key was used up.
            return Step.REFUSED

    def _keep_raw(self, seq: int, data: bytes, *, is_inner: bool) -> None:
        row = RawEntryRow(
            circle=self.circle.id, segment_no=self.circle.segment_no, seq=seq, is_inner=int(is_inner), data=data
        )
        self._raw.append(row)

    def _count(self, inner: Inner, entry: Entry, place: Position) -> Step:
        """Let an entry have its effect. :raises InvalidMessageError: it counts for nobody."""
        circle = self.circle
        check_place(inner.header, segment_no=circle.segment_no, primary_segment_id=circle.segment_id())
        check_epoch(inner.header, epoch=circle.group.epoch)
        if inner.header.kind != Kind.MLS:
            return Step.REFUSED
        own = log.find_own(circle.tx, circle.id, inner.hash)
        if own is not None and own.kind == outgoing.OWN_PAYLOAD:
            self._count_own(own, place)
            return Step.REFUSED
        message, _ = rules.check_entry(inner.header, inner.body, circle.group)
        opened = circle.group.open(message)
        rules.check_v3(opened)
        if is_copied(circle, opened, own):
            self._stop_sending()
        if own is not None and own.kind == outgoing.OWN_PROPOSAL:
            log.mark_read_back(circle.tx, own)
        return self._count_opened(opened, inner, entry, place)

    def _count_own(self, own: OwnEntryRow, place: Position) -> None:
        """Count our own payload: we cannot decrypt it, and need not."""
        circle = self.circle
        payload = outgoing.take_counted(circle, own.ref)
        if payload is not None:
            author = circle.member_of(circle.group.own_index)
            counting.count_payload(circle, author, payload, seq=place.seq, now=self.now)
            events.add(circle.tx, "sent", circle=circle.id, at=self.now, post=own.ref)

    def _stop_sending(self) -> None:
        """Somebody sends with this device's keys (E24): say so, and never send with them again."""
        if self.circle.state is not State.COPIED:
            self.circle.move_to(State.COPIED)
            events.add(self.circle.tx, "copied", circle=self.circle.id, at=self.now)

    def _count_opened(self, opened: Opened[Group], inner: Inner, entry: Entry, place: Position) -> Step:
        circle, body = self.circle, opened.body
        author = circle.member_of(opened.sender)
        counting.compare_place(circle, author.member_pk, inner.header.segment_no, inner.header.parent, now=self.now)
        if isinstance(body, Commit):
            return following.follow_commit(circle, opened, inner, entry=entry.data, place=place, now=self.now)
        if isinstance(body, bytes):
            # Its key is used up even if what is inside counts for nobody.
            circle.group = opened.group
            counting.count_payload(circle, author, body, seq=place.seq, now=self.now)
        else:
            circle.group = circle.group.process_proposal(opened)
            events.add(circle.tx, "proposal", circle=circle.id, at=self.now, member=author.member_pk)
        return Step.REFUSED


def is_copied(circle: Circle, opened: Opened[Group], own: OwnEntryRow | None) -> bool:
    """Answer whether an entry of our own leaf is none that this device made (E24)."""
    return own is None and opened.sender == circle.group.own_index


def without_padding(inner: Inner) -> bytes:
    """Return inner bytes without the zeros after the body: ``entries.build_inner`` puts them back."""
    return inner.data[: HEADER_BYTES + inner.header.body_len]
