"""Requests to join and the decision about them: words compared by a person, then an approval or none (E15)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from tertulia import replies
from tertulia.blobs import work
from tertulia.circle import Circle
from tertulia.errors import (
    CircleFullError,
    InvitationNotFoundError,
    NotAllowedError,
    RequestNotFoundError,
)
from tertulia.links import InvitationState, RequestState, check_coordinator, close, count_requests, decide, delete_cards
from tertulia.runtime import Runtime
from tertulia.store import invitations as rows
from tertulia.store.invitations import InvitationRow, JoinRequestRow
from tertulia.store.tx import Tx
from tertulia.words import check_words, pack_numbers, unpack_numbers, words_of
from tertulia_protocol.circle.charter import HistoryMode, Policy
from tertulia_protocol.circle.history import HistoryRange
from tertulia_protocol.circle.identity import ban_hash, check_not_after, member_of
from tertulia_protocol.circle.invitation import Language
from tertulia_protocol.circle.join_request import JoinRequest
from tertulia_protocol.circle.sas import Sas, sas_numbers
from tertulia_protocol.codec import parse
from tertulia_protocol.errors import InvalidMessageError, UsageError
from tertulia_protocol.relay_api.addresses import RelayAddr


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
        others=count_requests(tx, row.circle, row.anchor) - 1,
    )


def _language(tx: Tx, anchor: bytes) -> Language:
    row = rows.get(tx, anchor)
    return Language.ENGLISH if row is None else Language[row.language.upper()]


def _get_waiting(tx: Tx, circle_id: bytes, request_hash: bytes) -> JoinRequestRow:
    row = rows.get_request(tx, request_hash)
    if row is None or row.circle != circle_id or row.state != RequestState.WAITING.value:
        raise RequestNotFoundError(name=request_hash.hex())
    return row


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
    await runtime.store.run(lambda tx: decline_rest(tx, circle_id))
    await replies.send_replies(runtime, circle_id)
    await delete_cards(runtime, circle_id)
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
    check_open(invitation)
    relay = parse(RelayAddr, invitation.relay)
    member_pk = replies.begin(tx, circle_id, row.request, relay=relay, history=history, now=now)
    decide(tx, request_hash, RequestState.APPROVED)
    rows.change(tx, row.anchor, state=InvitationState.USED.value)
    return member_pk


def check_open(invitation: InvitationRow) -> None:
    """Check that nobody was let in on this link before (E15). :raises NotAllowedError: somebody was."""
    if invitation.state not in (InvitationState.OPEN.value, InvitationState.EXPIRED.value):
        raise NotAllowedError("another request on the same link was approved")


def decline_rest(tx: Tx, circle_id: bytes) -> None:
    """Decline what waits on links that were used, once the one who was approved is in the circle."""
    adding = replies.anchors_of_adding(tx, circle_id)
    for row in rows.list_of(tx, circle_id):
        if row.state == InvitationState.USED.value and row.anchor not in adding:
            close(tx, row, InvitationState.USED)


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
        decide(tx, _get_waiting(tx, circle_id, request_hash).hash, RequestState.DECLINED)

    await runtime.store.run(refuse)
