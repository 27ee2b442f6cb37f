"""The coordinator's side of an invitation: the link, the requests that come in on it, the decision about them.

docs/protocol, "Invitations". A link is for one person. Everything here takes effect by what is stored first, so that
every step can be broken off and is taken up by :func:`work_on_invitations`, which every sync calls.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Final

from tertulia import replies
from tertulia.blobs import delete_secret, work
from tertulia.circle import Circle
from tertulia.errors import (
    CircleFullError,
    InvitationNotFoundError,
    NotAllowedError,
    RelayGoneError,
    RequestNotFoundError,
)
from tertulia.relays import ReadResult, SegmentAddr
from tertulia.runtime import Runtime
from tertulia.store import events
from tertulia.store import invitations as rows
from tertulia.store.invitations import InvitationRow, JoinRequestRow
from tertulia.store.tx import Tx
from tertulia.transport.interface import Purpose
from tertulia.words import check_words, known_language, words_of
from tertulia_protocol.circle.charter import HistoryMode, Policy
from tertulia_protocol.circle.history import HistoryRange
from tertulia_protocol.circle.identity import ban_hash, check_not_after, member_of
from tertulia_protocol.circle.invitation import DAY, Card, Invitation, Language, build_invitation
from tertulia_protocol.circle.join_request import JoinRequest, ReceivedRequest, open_request
from tertulia_protocol.circle.sas import Sas, sas_numbers
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.content.text import clean_name
from tertulia_protocol.content.types import MAX_NAME
from tertulia_protocol.errors import InvalidMessageError, UsageError
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.relay_api.records import Position
from tertulia_protocol.relay_api.requests import Payment

MAX_DAYS: Final = 28
"""How long a link can be good: its box and card stay at the relay for 30 days."""

CARD_TTL: Final = 1
"""The life class of cards: 30 days, as of request boxes."""


class InvitationState(StrEnum):
    """What can still come of an invitation."""

    MAKING = "making"
    """Box and card are not at the relay yet: nobody was given the link."""
    OPEN = "open"
    USED = "used"
    """A request was approved, which closed the link."""
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class RequestState(StrEnum):
    """What became of a request. What it said is deleted with the decision (E40)."""

    WAITING = "waiting"
    APPROVED = "approved"
    DECLINED = "declined"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInvitation:
    """An invitation that was made. The link is a secret for one person."""

    anchor: bytes
    """Its id, 32 bytes."""
    link: str = field(repr=False)
    expires_day: int
    """Days since 1970; the last day on which the link is good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationView:
    """An invitation of this device."""

    anchor: bytes
    """Its id, 32 bytes."""
    state: InvitationState
    created_at: int
    expires_day: int
    """Days since 1970; the last day on which the link is good."""
    requests: int
    """How many requests ever came in on it: more than one means that the link was passed on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestView:
    """A request that waits for a decision, and what has to be compared by voice before it is approved."""

    request_hash: bytes
    """Its id, 32 bytes."""
    anchor: bytes
    """The invitation it came in on."""
    member_pk: bytes
    name: str = field(repr=False)
    """What the one who asks says of itself. Proves nothing."""
    numbers: Sas = field(repr=False)
    words: tuple[str, str, str, str] = field(repr=False)
    language: Language
    received_at: int
    others: int
    """Other requests on the same link, decided ones included: above 0 warn that the link was used more than once."""


# --- Links ---------------------------------------------------------------------------------------------------------


async def invite(
    runtime: Runtime, circle_id: bytes, *, days: int = 7, language: Language = Language.ENGLISH
) -> NewInvitation:
    """Make an invitation for one person and return it with its link.

    :raises NotAllowedError: no coordinator. :raises PaymentError: this device has no enrolment code, or it is used up.
    :raises UsageError: too many days. :raises TransportError: the relay cannot be reached; nobody has the link.
    """
    check_days(days)
    payment = await runtime.store.read(lambda tx: replies.payment_of(tx, circle_id))
    expires_day = runtime.clock.now() // DAY + days
    invitation, card = await runtime.store.run(
        lambda tx: _make(tx, circle_id, expires_day=expires_day, language=language, runtime=runtime)
    )
    await _publish(runtime, circle_id, invitation, card=card, payment=payment)
    anchor = invitation.link.anchor
    await runtime.store.run(lambda tx: rows.change(tx, anchor, state=InvitationState.OPEN.value))
    return NewInvitation(anchor=anchor, link=invitation.link.to_string(), expires_day=expires_day)


def check_days(days: int) -> None:
    """Check how long a link is to be good. :raises UsageError: longer than its box stays at the relay."""
    if not 1 <= days <= MAX_DAYS:
        raise UsageError(f"an invitation is good for 1 to {MAX_DAYS} days")


def check_coordinator(circle: Circle) -> None:
    """Check that this person may invite and decide. :raises NotAllowedError: it is no coordinator."""
    if not circle.is_coordinator():
        raise NotAllowedError("only coordinators invite and approve")


def _make(
    tx: Tx, circle_id: bytes, *, expires_day: int, language: Language, runtime: Runtime
) -> tuple[Invitation, Card]:
    circle = Circle.load(tx, circle_id)
    check_coordinator(circle)
    relays = [RelayAddr(relay_pk=ref.relay_pk, uri=ref.uri) for ref in circle.charter.transport.relays]
    invitation, card = build_invitation(
        inviter=circle.member,
        lineage_id=circle_id,
        approvers=[coordinator.member_pk for coordinator in circle.charter.coordinators],
        relays=relays,
        expires_day=expires_day,
        language=language,
        rng=runtime.rng,
    )
    rows.add(tx, _row(invitation, circle_id, now=runtime.clock.now()))
    return invitation, card


def _row(invitation: Invitation, circle_id: bytes, *, now: int) -> InvitationRow:
    preamble = invitation.preamble
    start = Position.start(preamble.request_box_id)
    return InvitationRow(
        anchor=invitation.link.anchor,
        circle=circle_id,
        state=InvitationState.MAKING.value,
        language=known_language(preamble.language).name.lower(),
        created_at=now,
        expires_at=(preamble.expires_day + 1) * DAY,
        secrets=serialize(invitation),
        preamble=serialize(preamble),
        relay=serialize(preamble.relays[0]),
        box_id=preamble.request_box_id,
        box_seq=start.seq,
        box_chain=start.chain,
    )


async def _publish(runtime: Runtime, circle_id: bytes, invitation: Invitation, *, card: Card, payment: Payment) -> None:
    preamble = invitation.preamble
    secret = await runtime.store.read(lambda tx: delete_secret(Circle.load(tx, circle_id).member, card.anchor))
    await runtime.relays.create(preamble.relays[0], preamble.request_box, payment, purpose=Purpose.INVITATION)
    await runtime.relays.put_blob(
        preamble.relays[0],
        card.blob,
        payment=payment,
        delete_hash=hashlib.sha256(secret).digest(),
        ttl_class=CARD_TTL,
        stream_key=card.anchor,
    )


async def list_invitations(runtime: Runtime, circle_id: bytes) -> tuple[InvitationView, ...]:
    """Return the invitations that were made on this device, oldest first."""
    return await runtime.store.read(
        lambda tx: tuple(
            _view(tx, row) for row in rows.list_of(tx, circle_id) if row.state != InvitationState.MAKING.value
        )
    )


def _view(tx: Tx, row: InvitationRow) -> InvitationView:
    return InvitationView(
        anchor=row.anchor,
        state=InvitationState(row.state),
        created_at=row.created_at,
        expires_day=row.expires_at // DAY - 1,
        requests=_count(tx, row.circle, row.anchor),
    )


def _count(tx: Tx, circle_id: bytes, anchor: bytes) -> int:
    return sum(row.anchor == anchor for row in rows.list_requests(tx, circle_id))


async def withdraw(runtime: Runtime, circle_id: bytes, anchor: bytes) -> None:
    """Close a link: its card is deleted, later requests are not looked at.

    :raises InvitationNotFoundError: none that is open. :raises TransportError: closed, but the card is still there.
    """
    await runtime.store.run(lambda tx: _withdraw(tx, circle_id, anchor))
    await _delete_cards(runtime, circle_id)


def _withdraw(tx: Tx, circle_id: bytes, anchor: bytes) -> None:
    row = rows.get(tx, anchor)
    if row is None or row.circle != circle_id or row.state != InvitationState.OPEN.value:
        raise InvitationNotFoundError(name=anchor.hex())
    _close(tx, row, InvitationState.WITHDRAWN)


def _close(tx: Tx, row: InvitationRow, state: InvitationState) -> None:
    """Close a link and decline what still waits on it."""
    rows.change(tx, row.anchor, state=state.value)
    for request in rows.list_requests(tx, row.circle):
        if request.anchor == row.anchor and request.state == RequestState.WAITING.value:
            _decide(tx, request.hash, RequestState.DECLINED)


async def _delete_cards(runtime: Runtime, circle_id: bytes) -> None:
    """Delete the cards of closed links, and then their keys."""
    member = await runtime.store.read(lambda tx: Circle.load(tx, circle_id).member)
    done = (InvitationState.USED.value, InvitationState.WITHDRAWN.value, InvitationState.EXPIRED.value)
    for row in await runtime.store.read(lambda tx: rows.list_of(tx, circle_id)):
        if row.state in done and row.secrets:
            relay = parse(RelayAddr, row.relay)
            secret = delete_secret(member, row.anchor)
            await runtime.relays.delete_blob(relay, row.anchor, secret, stream_key=row.anchor)
            await runtime.store.run(partial(rows.change, anchor=row.anchor, secrets=b""))


# --- Requests ------------------------------------------------------------------------------------------------------


async def list_requests(runtime: Runtime, circle_id: bytes) -> tuple[RequestView, ...]:
    """Return the requests that wait for a decision, oldest first. The numbers of a new one take about a second."""
    for row in await runtime.store.read(lambda tx: _waiting(tx, circle_id)):
        if not row.sas:
            await _find_numbers(runtime, row)
    return await runtime.store.read(
        lambda tx: tuple(_request_view(tx, row) for row in _waiting(tx, circle_id) if row.sas)
    )


def _waiting(tx: Tx, circle_id: bytes) -> list[JoinRequestRow]:
    return [row for row in rows.list_requests(tx, circle_id) if row.state == RequestState.WAITING.value]


async def _find_numbers(runtime: Runtime, row: JoinRequestRow) -> Sas:
    numbers = await work(runtime, lambda: sas_numbers(row.anchor, row.request))
    await runtime.store.run(partial(rows.change_request, request_hash=row.hash, sas=pack_numbers(numbers)))
    return numbers


def pack_numbers(numbers: Sas) -> bytes:
    """Return four numbers as they are stored, 8 bytes."""
    return b"".join(number.to_bytes(2, "big") for number in numbers)


def unpack_numbers(data: bytes) -> Sas:
    """Return four numbers that were stored."""
    first, second, third, fourth = (int.from_bytes(data[i : i + 2], "big") for i in range(0, 8, 2))
    return first, second, third, fourth


def _request_view(tx: Tx, row: JoinRequestRow) -> RequestView:
    request = parse(JoinRequest, row.request)
    language, numbers = _language(tx, row.anchor), unpack_numbers(row.sas)
    return RequestView(
        request_hash=row.hash,
        anchor=row.anchor,
        member_pk=member_of(request.key_package.leaf_node).member_pk,
        name=row.name,
        numbers=numbers,
        words=words_of(numbers, language),
        language=language,
        received_at=row.received_at,
        others=_count(tx, row.circle, row.anchor) - 1,
    )


def _language(tx: Tx, anchor: bytes) -> Language:
    row = rows.get(tx, anchor)
    return Language.ENGLISH if row is None else Language[row.language.upper()]


def _get_waiting(tx: Tx, circle_id: bytes, request_hash: bytes) -> JoinRequestRow:
    row = rows.get_request(tx, request_hash)
    if row is None or row.circle != circle_id or row.state != RequestState.WAITING.value:
        raise RequestNotFoundError(name=request_hash.hex())
    return row


def _decide(tx: Tx, request_hash: bytes, state: RequestState) -> None:
    rows.change_request(tx, request_hash, state=state.value, request=b"", name="", sas=b"")


# --- Decisions -----------------------------------------------------------------------------------------------------


async def approve(
    runtime: Runtime, circle_id: bytes, request_hash: bytes, *, words: Sequence[str], history: HistoryRange
) -> bytes:
    """Add whoever asked, once the words that it read out were compared; return its member_pk when it is in the circle.

    :param words: the four words or numbers as they were heard. :param history: what is given of the time before.
    :raises RequestNotFoundError: none that waits. :raises WordsDifferError: nothing was sent.
    :raises NotAllowedError: no coordinator, or banned, or more history than the circle allows.
    :raises CircleFullError: no room. :raises TransportError: it was stored; the next sync goes on with it.
    """
    row = await runtime.store.read(lambda tx: _get_waiting(tx, circle_id, request_hash))
    numbers = unpack_numbers(row.sas) if row.sas else await _find_numbers(runtime, row)
    await runtime.store.read(lambda tx: check_words(words, numbers=numbers, language=_language(tx, row.anchor)))
    member_pk = await runtime.store.run(
        lambda tx: _approve(tx, circle_id, request_hash, history=history, runtime=runtime)
    )
    try:
        await replies.add_joiner(runtime, circle_id, request_hash)
    except (UsageError, InvalidMessageError):
        await runtime.store.run(lambda tx: _take_back(tx, row))
        raise
    await replies.send_replies(runtime, circle_id)
    await _delete_cards(runtime, circle_id)
    return member_pk


def _approve(tx: Tx, circle_id: bytes, request_hash: bytes, *, history: HistoryRange, runtime: Runtime) -> bytes:
    """Note the decision: the request becomes an answer under way, and its link is closed."""
    row, circle = _get_waiting(tx, circle_id, request_hash), Circle.load(tx, circle_id)
    request, now = parse(JoinRequest, row.request), runtime.clock.now()
    check_coordinator(circle)
    check_history(circle.charter.policy, history)
    check_addable(circle, request, now=now)
    replies.payment_of(tx, circle_id)
    invitation = rows.get(tx, row.anchor)
    if invitation is None:
        raise InvitationNotFoundError(name=row.anchor.hex())
    relay = parse(RelayAddr, invitation.relay)
    member_pk = replies.begin(tx, circle_id, row.request, relay=relay, history=history, now=now)
    _decide(tx, request_hash, RequestState.APPROVED)
    _close(tx, invitation, InvitationState.USED)
    return member_pk


def _take_back(tx: Tx, row: JoinRequestRow) -> None:
    """Undo an approval whose commit cannot be made: the request waits again, and its link is open again."""
    rows.remove_reply(tx, row.hash)
    rows.change_request(tx, row.hash, state=row.state, request=row.request, name=row.name)
    rows.change(tx, row.anchor, state=InvitationState.OPEN.value)


def check_history(policy: Policy, chosen: HistoryRange) -> None:
    """Check that the circle allows to give that much of the past. :raises NotAllowedError: it does not."""
    allowed = {
        HistoryMode.NONE: True,
        HistoryMode.DAYS: policy.history_mode == HistoryMode.ALL
        or (policy.history_mode == HistoryMode.DAYS and chosen.days <= policy.history_days),
        HistoryMode.ALL: policy.history_mode == HistoryMode.ALL,
    }
    if not allowed[chosen.mode]:
        raise NotAllowedError("the circle does not allow to give so much history")


def check_addable(circle: Circle, request: JoinRequest, *, now: int) -> None:
    """Check that whoever asks may be added. :raises NotAllowedError: banned. :raises CircleFullError: no room.

    :raises RuleError: its credential is over, or lasts too long.
    """
    member = member_of(request.key_package.leaf_node)
    check_not_after(member, now)
    check_not_banned(circle, member.member_pk)
    check_room(circle, member.member_pk)


def check_not_banned(circle: Circle, member_pk: bytes) -> None:
    """Check that the circle has not banned a member. :raises NotAllowedError: it has."""
    if ban_hash(member_pk) in circle.charter.banned:
        raise NotAllowedError("this member was removed for good")


def check_room(circle: Circle, member_pk: bytes) -> None:
    """Check that there is room for one more leaf. :raises CircleFullError: there is none."""
    policy = circle.charter.policy
    leaves = len(circle.group.members())
    if leaves >= policy.max_leaves or len(circle.leaves_of(member_pk)) >= policy.max_devices:
        raise CircleFullError


async def decline(runtime: Runtime, circle_id: bytes, request_hash: bytes) -> None:
    """Refuse a request. Nothing is sent; the link stays open. :raises RequestNotFoundError: none that waits."""

    def refuse(tx: Tx) -> None:
        check_coordinator(Circle.load(tx, circle_id))
        _decide(tx, _get_waiting(tx, circle_id, request_hash).hash, RequestState.DECLINED)

    await runtime.store.run(refuse)


# --- Part of every sync --------------------------------------------------------------------------------------------


async def work_on_invitations(runtime: Runtime, circle_id: bytes) -> int:
    """Read the request boxes, close what has expired, go on with approvals and answers. Part of every sync.

    Returns the number of new requests (event ``request`` for each). :raises TransportError: the next sync goes on.
    """
    new = 0
    for row in await runtime.store.run(lambda tx: _tidy(tx, circle_id, now=runtime.clock.now())):
        new += await _read_box(runtime, row)
    await replies.work_on_replies(runtime, circle_id)
    await _delete_cards(runtime, circle_id)
    return new


def _tidy(tx: Tx, circle_id: bytes, *, now: int) -> list[InvitationRow]:
    """Close what has expired, or all where this person no longer is a coordinator; return what is still open (E14)."""
    found = [row for row in rows.list_of(tx, circle_id) if row.state == InvitationState.OPEN.value]
    if found and not Circle.load(tx, circle_id).is_coordinator():
        for row in found:
            _close(tx, row, InvitationState.WITHDRAWN)
        return []
    for row in found:
        if now >= row.expires_at:
            _close(tx, row, InvitationState.EXPIRED)
    return [row for row in found if now < row.expires_at]


async def _read_box(runtime: Runtime, row: InvitationRow) -> int:
    invitation = parse(Invitation, row.secrets)
    box = SegmentAddr(relay=parse(RelayAddr, row.relay), segment_id=row.box_id)
    seq, new, more = row.box_seq, 0, True
    while more:
        try:
            result = await runtime.relays.read(box, key=invitation.read_key, after_seq=seq, purpose=Purpose.INVITATION)
        except RelayGoneError:
            await runtime.store.run(lambda tx: _close(tx, row, InvitationState.EXPIRED))
            return new
        new += await runtime.store.run(
            partial(_take_letters, row=row, invitation=invitation, result=result, now=runtime.clock.now())
        )
        seq = result.entries[-1].seq if result.entries else seq
        more = bool(result.entries) and seq < result.head.position.seq
    return new


def _take_letters(tx: Tx, *, row: InvitationRow, invitation: Invitation, result: ReadResult, now: int) -> int:
    """Keep the requests that verify; what does not is passed over. Return how many are new."""
    new = 0
    for entry in result.entries:
        try:
            received = open_request(
                entry.data,
                invite_private=invitation.invite_private,
                anchor=row.anchor,
                lineage_id=row.circle,
                now=now,
            )
        except InvalidMessageError:
            continue
        new += _keep(tx, row, received, now=now)
    if result.entries:
        rows.change(tx, row.anchor, box_seq=result.entries[-1].seq)
    return new


def _keep(tx: Tx, row: InvitationRow, received: ReceivedRequest, *, now: int) -> bool:
    request = received.request
    added = rows.add_request(
        tx,
        JoinRequestRow(
            hash=request.hash(),
            anchor=row.anchor,
            circle=row.circle,
            state=RequestState.WAITING.value,
            request=received.data,
            name=clean_name(request.intro)[:MAX_NAME],
            sas=b"",
            received_at=now,
        ),
    )
    if added:
        others = _count(tx, row.circle, row.anchor) - 1
        events.add(tx, "request", circle=row.circle, at=now, request=request.hash(), others=others)
    return added
