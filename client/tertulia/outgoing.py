"""What leaves: payloads into the outbox, out of it as entries of the present epoch, exactly once (E6, E24, E32).

An item is *uploading* (its files are on their way; its payload is not made yet), *waiting*, or *sent* (the relay has
answered; it counts once it is read back, and then it is gone from here). Payload bytes never change once made; the
entry around them is made again when the epoch moved on before it counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tertulia import objects
from tertulia.circle import Circle
from tertulia.clock import Rng
from tertulia.errors import NotAcceptedError, NotAllowedError
from tertulia.relays import SegmentAddr
from tertulia.states import SENDING
from tertulia.store import content, log, outbox
from tertulia.store.log import OwnEntryRow
from tertulia.store.outbox import SENT, UPLOADING, WAITING, OutboxRow
from tertulia.store.tx import Tx
from tertulia_protocol.circle.aad import EntryAAD
from tertulia_protocol.circle.entries import InnerHeader, Kind, branch_tag, build_inner, log_id, parse_inner, wrap
from tertulia_protocol.circle.payload import AuthorState, Payload, PayloadType, build_payload
from tertulia_protocol.codec import serialize
from tertulia_protocol.content.change import Change, ContentObject, next_lamport
from tertulia_protocol.content.envelope import Envelope
from tertulia_protocol.content.kinds import Kind as ContentKind
from tertulia_protocol.content.merge import container_id
from tertulia_protocol.content.permissions import check_change, check_container_is_here
from tertulia_protocol.content.types import KINDS
from tertulia_protocol.errors import RuleError
from tertulia_protocol.mls.mls_message import MLSMessage
from tertulia_protocol.signing import SigningSeed

PERMISSIONS = frozenset({"C3", "C4", "C5", "C14"})
"""The rules of content about who may do what."""

OWN_PAYLOAD, OWN_COMMIT, OWN_PROPOSAL = "payload", "commit", "proposal"


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


# --- Into the outbox -------------------------------------------------------------------------------------------------


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

    A content envelope is checked and shown at once; it is ``waiting`` until it is read back (see ``boards``).
    With ``uploading`` it waits for :func:`release`: its place in the author's chain is given only then.
    ``circle`` is saved.

    :raises NotAllowedError: nothing may be written in this state, or not by this member.
    :raises NotAcceptedError: content that nobody would count.
    """
    circle.check_writable()
    payload, state = _make(circle, type=type, body=body, now=now, post_id=post_id, share=share)
    if type is PayloadType.POST:
        _show(circle, payload)
    number = outbox.next_number(tx, circle.id)
    outbox.add(
        tx,
        OutboxRow(
            circle=circle.id,
            number=number,
            post_id=post_id,
            state=UPLOADING if uploading else WAITING,
            type=type,
            payload=body if uploading else serialize(payload),
            share=int(share),
            created_at=now,
        ),
    )
    if not uploading:
        _keep(circle, payload, state)
    return number


def _make(  # noqa: PLR0913 - see enqueue
    circle: Circle,
    *,
    type: PayloadType,  # noqa: A002 - the payload's own word
    body: bytes,
    now: int,
    post_id: bytes,
    share: bool,
) -> tuple[Payload, AuthorState]:
    return build_payload(
        circle.own_author,
        type=type,
        post_id=post_id,
        lamport=next_lamport(seen=circle.row.lamport, segment_no=circle.segment_no),
        seen_segment=circle.segment_no,
        seen=circle.position,
        now=now,
        share=share,
        body=body,
    )


def _keep(circle: Circle, payload: Payload, state: AuthorState) -> None:
    circle.own_author = state
    circle.saw_lamport(payload.lamport)
    circle.save()


def release(tx: Tx, circle: Circle, post_id: bytes, *, now: int) -> None:
    """Let an item go whose files have all arrived at the relay. Again: does nothing. ``circle`` is saved."""
    row = outbox.get(tx, circle.id, post_id)
    if row is None or row.state != UPLOADING:
        return
    payload, state = _make(
        circle, type=PayloadType(row.type), body=row.payload, now=now, post_id=post_id, share=bool(row.share)
    )
    if payload.type == PayloadType.POST:
        _store_change(circle, payload, Envelope.decode(payload.body))
    # A new number: it leaves after what was released before it, as its place in the chain says.
    number = outbox.next_number(tx, circle.id)
    outbox.change(tx, circle.id, post_id, state=WAITING, payload=serialize(payload), number=number)
    _keep(circle, payload, state)


def _show(circle: Circle, payload: Payload) -> None:
    """Check a change as all others will, and show it here.

    :raises NotAllowedError: this member may not make it. :raises NotAcceptedError: nobody would count it.
    """
    envelope = Envelope.decode(payload.body)
    kind = KINDS[envelope.type]
    change = Change(
        envelope=envelope,
        member_pk=circle.member_pk,
        post_id=payload.post_id,
        lamport=payload.lamport,
        by_coordinator=circle.is_coordinator(),
    )
    existing = objects.load(circle.tx, circle.id, envelope.object_id)
    container = _container(circle, kind, change) if existing is None else None
    try:
        check_change(change, existing=None if existing is None else existing.object, container=container)
    except RuleError as error:
        if error.rule in PERMISSIONS:
            raise NotAllowedError from error
        raise NotAcceptedError(error.detail) from error
    _store_change(circle, payload, envelope)


def _container(circle: Circle, kind: ContentKind, change: Change) -> ContentObject | None:
    named = container_id(change)
    found = None if named is None else objects.load(circle.tx, circle.id, named)
    container = None if found is None else found.object
    check_container_is_here(kind, container)
    return container


def _store_change(circle: Circle, payload: Payload, envelope: Envelope) -> None:
    """Keep a change of ours that does not count yet: seq 0."""
    row = objects.change_row(
        circle.id,
        payload,
        envelope,
        member_pk=circle.member_pk,
        device_id=circle.device_id,
        by_coordinator=circle.is_coordinator(),
        segment_no=circle.segment_no,
        seq=0,
    )
    content.put_change(circle.tx, row)
    objects.fold(circle.tx, circle.id, envelope.object_id)


# --- Out of the outbox -----------------------------------------------------------------------------------------------


def next_entries(tx: Tx, circle_id: bytes, *, rng: Rng, limit: int = 1) -> tuple[OutgoingEntry, ...]:
    """Return the oldest waiting items as entries of the present epoch, made and stored now where they must be.

    None at all: nothing waits, or nothing may be sent in this state.
    """
    circle = Circle.load(tx, circle_id)
    if circle.state not in SENDING:
        return ()
    return tuple(_next_entry(circle, row, rng) for row in outbox.oldest(tx, circle_id, WAITING, limit=limit))


def _next_entry(circle: Circle, row: OutboxRow, rng: Rng) -> OutgoingEntry:
    # What is stored is of this epoch (see renew): the same bytes are sent however often it takes (E32).
    inner = _encrypt(circle, row, rng) if row.inner is None else row.inner
    return OutgoingEntry(
        number=row.number,
        post_id=row.post_id,
        segment=circle.segment(),
        key=circle.access.relays[0].append_key,
        data=wrap(parse_inner(inner), keys=circle.access.relays[0], segment_id=circle.segment_id()),
    )


def build_header(circle: Circle, *, flags: int = 0, rsv: bytes = bytes(12)) -> InnerHeader:
    """Return the header of an entry of this device, here and now. The body's length is set later."""
    group = circle.group
    return InnerHeader(
        kind=Kind.MLS,
        flags=flags,
        segment_no=circle.segment_no,
        epoch=group.epoch,
        branch_tag=branch_tag(circle.access.tag_key, epoch=group.epoch, epoch_authenticator=group.epoch_authenticator),
        parent=circle.position,
        body_len=0,
        log_id=log_id(circle.segment_id()),
        rsv=rsv,
    )


def _encrypt(circle: Circle, row: OutboxRow, rng: Rng) -> bytes:
    """Make the entry and keep, in one transaction, the ratchet, the bytes, and the hash they are known by (E24)."""
    header = build_header(circle)
    aad = serialize(EntryAAD(header_hash=header.hash()))
    message, group = circle.group.encrypt(row.payload, authenticated_data=aad, rng=rng)
    inner = build_inner(header, serialize(MLSMessage(message)))
    circle.group = group
    circle.save()
    remember_own(circle, inner.hash, OWN_PAYLOAD, row.post_id)
    outbox.change(
        circle.tx,
        circle.id,
        row.post_id,
        inner=inner.data,
        inner_epoch=group.epoch,
        segment_no=circle.segment_no,
        seq=None,
    )
    return inner.data


def remember_own(circle: Circle, inner_hash: bytes, kind: str, ref: bytes) -> None:
    """Keep the hash by which an entry of this device is known again (E24), before it leaves."""
    row = OwnEntryRow(circle=circle.id, inner_hash=inner_hash, kind=kind, ref=ref, segment_no=circle.segment_no)
    log.add_own(circle.tx, row)


def mark_sent(tx: Tx, circle_id: bytes, post_id: bytes, *, seq: int) -> None:
    """Note that the relay answered OK or DUP with ``seq``. It proves nothing; reading back does (E3)."""
    row = outbox.get(tx, circle_id, post_id)
    if row is not None and row.state == WAITING:
        outbox.change(tx, circle_id, post_id, state=SENT, seq=seq)


# --- Read back -------------------------------------------------------------------------------------------------------


def take_counted(circle: Circle, post_id: bytes) -> bytes | None:
    """Take an item out that was read back and counts; return its payload. None: it counted before (a replay)."""
    row = outbox.get(circle.tx, circle.id, post_id)
    if row is None or row.state == UPLOADING:
        return None
    outbox.remove(circle.tx, circle.id, post_id)
    return row.payload


def renew(circle: Circle) -> None:
    """Let everything that did not count before the epoch moved on be made again (E6). Call it after the merge."""
    for row in outbox.list_all(circle.tx, circle.id):
        if row.inner is not None:
            outbox.change(
                circle.tx,
                circle.id,
                row.post_id,
                state=WAITING,
                inner=None,
                inner_epoch=None,
                segment_no=None,
                seq=None,
            )


def send_again(circle: Circle) -> None:
    """Let those items wait again that the relay said it had, and that were not there when we read so far."""
    for row in outbox.list_all(circle.tx, circle.id):
        if row.state == SENT and is_passed(row, circle):
            outbox.change(circle.tx, circle.id, row.post_id, state=WAITING, seq=None)


def is_passed(row: OutboxRow, circle: Circle) -> bool:
    """Answer whether the log was read beyond where the relay said that an item stands."""
    return row.segment_no != circle.segment_no or row.seq is None or row.seq <= circle.position.seq


def count_waiting(tx: Tx, circle_id: bytes) -> int:
    """Return how many items were not read back yet."""
    return len(outbox.list_all(tx, circle_id))


def is_waiting(tx: Tx, circle_id: bytes, post_id: bytes) -> bool:
    """Answer whether an item was not read back yet."""
    return outbox.get(tx, circle_id, post_id) is not None


def current_segment(tx: Tx, circle_id: bytes) -> SegmentAddr:
    """Return where entries go now."""
    return Circle.load(tx, circle_id).segment()
