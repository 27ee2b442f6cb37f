"""Payloads that count: from the log, or out of a history that a coordinator forwarded.

Whether a payload counts depends on the log alone, never on this device: all members keep the same set of changes.
"""

from __future__ import annotations

from tertulia import objects
from tertulia.circle import Circle
from tertulia.store import content, events, log
from tertulia.store.content import AuthorRow, KeptPayloadRow
from tertulia_protocol.circle.history import ForwardedPost
from tertulia_protocol.circle.identity import MemberCredential
from tertulia_protocol.circle.payload import AuthorState, Gap, Payload, PayloadType, compare
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.content.change import check_lamport
from tertulia_protocol.content.envelope import Envelope
from tertulia_protocol.errors import DecodeError, ReplayError
from tertulia_protocol.relay_api.records import Position


def count_payload(circle: Circle, author: MemberCredential, data: bytes, *, seq: int, now: int) -> None:
    """Count a payload that stands at ``seq`` of the current segment, in the present epoch.

    :raises InvalidMessageError: it counts for nobody.
    """
    payload = parse(Payload, data)
    check_lamport(payload.lamport, segment_no=circle.segment_no)
    own = (author.member_pk, author.device_id) == (circle.member_pk, circle.device_id)
    if payload.type == PayloadType.POST:
        _count_post(circle, author, payload, seq=seq, now=now, own=own)
    else:
        _keep_other(circle, author, payload, now=now)
    circle.saw_lamport(payload.lamport)
    _follow_author(circle, author, payload, now=now)
    _compare_seen(circle, author, payload, now=now)


def _count_post(  # noqa: PLR0913 - what the log says of a payload
    circle: Circle, author: MemberCredential, payload: Payload, *, seq: int, now: int, own: bool
) -> None:
    tx, envelope = circle.tx, Envelope.decode(payload.body)
    row = objects.change_row(
        circle.id,
        payload,
        envelope,
        member_pk=author.member_pk,
        device_id=author.device_id,
        by_coordinator=circle.is_coordinator(author.member_pk),
        segment_no=circle.segment_no,
        seq=seq,
    )
    known = content.get_change(tx, circle.id, author.member_pk, payload.post_id)
    # The first that counts stands (E18); what we wrote ourselves and show already has not counted before.
    check_first(is_known=known is not None and known.seq > 0)
    content.put_change(tx, row)
    is_new = objects.fold(
        tx, circle.id, envelope.object_id, unread=is_readable(envelope) and author.member_pk != circle.member_pk
    )
    events.add(
        tx,
        "post",
        circle=circle.id,
        at=now,
        type=envelope.type,
        object=envelope.object_id,
        member=author.member_pk,
        new=is_new,
        own=own,
    )


def is_readable(envelope: Envelope) -> bool:
    """Answer whether a person reads an object of this type one by one, so that it can be unread."""
    return envelope.type in ("topic", "reply")


def check_first(*, is_known: bool) -> None:
    """Check that a post counts for the first time: (member_pk, post_id) is taken by what counted first (E18).

    :raises ReplayError: it counted before.
    """
    if is_known:
        raise ReplayError("a post counted before")


def _keep_other(circle: Circle, author: MemberCredential, payload: Payload, *, now: int) -> None:
    """Keep a payload of another type whole: newer versions read it."""
    check_first(is_known=content.is_kept(circle.tx, circle.id, author.member_pk, payload.post_id))
    row = KeptPayloadRow(
        circle=circle.id,
        member_pk=author.member_pk,
        post_id=payload.post_id,
        type=payload.type,
        device_id=author.device_id,
        payload=serialize(payload),
    )
    content.keep_payload(circle.tx, row)
    if payload.type == PayloadType.HELLO:
        events.add(circle.tx, "hello", circle=circle.id, at=now, member=author.member_pk)


def _follow_author(circle: Circle, author: MemberCredential, payload: Payload, *, now: int) -> None:
    """Compare a payload with the author's chain: a relay that drops some is noticed (E18). Evidence only."""
    tx = circle.tx
    row = content.get_author(tx, circle.id, author.member_pk, author.device_id)
    before = None if row is None else AuthorState(row.author_seq, row.last)
    shown = compare(before, payload)
    if shown.gap in (Gap.MISSING, Gap.FORKED):
        events.add(
            tx,
            "gap" if shown.gap is Gap.MISSING else "author_forked",
            circle=circle.id,
            at=now,
            member=author.member_pk,
            missing=shown.missing,
        )
    after = (before or AuthorState()).next(payload)
    content.put_author(
        tx,
        AuthorRow(
            circle=circle.id,
            member_pk=author.member_pk,
            device_id=author.device_id,
            author_seq=after.author_seq,
            last=after.last_hash,
            lamport=max(payload.lamport, 0 if row is None else row.lamport),
            gaps=shown.missing + (0 if row is None else row.gaps),
        ),
    )


def _compare_seen(circle: Circle, author: MemberCredential, payload: Payload, *, now: int) -> None:
    compare_place(circle, author.member_pk, payload.seen_segment, payload.seen, now=now)


def compare_place(circle: Circle, member_pk: bytes, segment_no: int, place: Position, *, now: int) -> None:
    """Compare the place that a member says it has read with our chain there. It raises an alarm and decides nothing.

    A member can lie to frame the relay; only two signed heads accuse it (5.2).
    """
    chain = log.get_chain(circle.tx, circle.id, segment_no, place.seq)
    if chain is not None and chain != place.chain:
        events.add(circle.tx, "other_history", circle=circle.id, at=now, member=member_pk, segment=segment_no)


def count_forwarded(circle: Circle, post: ForwardedPost, *, forwarded_by: bytes) -> bool:
    """Take in one post of a history pack (checked by ``process_pack``); answer whether it was new.

    It is shown as forwarded: only the coordinator who made the pack vouches for it. What was read from the log stands.
    """
    payload = post.payload
    check_lamport(payload.lamport, segment_no=post.segment_no)
    if payload.type != PayloadType.POST:
        return False
    try:
        envelope = Envelope.decode(payload.body)
    except DecodeError:
        return False
    row = objects.change_row(
        circle.id,
        payload,
        envelope,
        member_pk=post.member_pk,
        device_id=post.device_id,
        by_coordinator=post.by_coordinator,
        segment_no=post.segment_no,
        seq=post.seq,
        forwarded_by=forwarded_by,
    )
    if not content.add_change(circle.tx, row):
        return False
    circle.saw_lamport(payload.lamport)
    objects.fold(circle.tx, circle.id, envelope.object_id)
    return True
