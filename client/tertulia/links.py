"""Links: making an invitation for one person, and closing it (docs/protocol, "Invitations")."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Final

from tertulia import replies
from tertulia.blobs import delete_secret
from tertulia.circle import Circle
from tertulia.errors import (
    InvitationNotFoundError,
    NotAllowedError,
)
from tertulia.identity import member_key
from tertulia.runtime import Runtime
from tertulia.store import invitations as rows
from tertulia.store.invitations import InvitationRow
from tertulia.store.tx import Tx
from tertulia.transport.interface import Purpose
from tertulia.words import known_language
from tertulia_protocol.circle.invitation import DAY, Card, Invitation, Language, build_invitation
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import UsageError
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


async def invite(
    runtime: Runtime, circle_id: bytes, *, days: int = 7, language: Language = Language.ENGLISH
) -> NewInvitation:
    """Make an invitation for one person and return it with its link.

    :raises NotAllowedError: no coordinator. :raises PaymentError: this device has no enrolment code, or it is used up.
    :raises UsageError: too many days. :raises TransportError: the relay cannot be reached; nobody has the link.
    """
    check_days(days)
    expires_day = runtime.clock.now() // DAY + days
    invitation, card, payment = await runtime.store.run(
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
) -> tuple[Invitation, Card, Payment]:
    circle = Circle.load(tx, circle_id)
    check_coordinator(circle)
    payment = replies.payment_of(tx, circle_id)
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
    return invitation, card, payment


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
    secret = await runtime.store.read(lambda tx: delete_secret(member_key(tx, circle_id), card.anchor))
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
        requests=count_requests(tx, row.circle, row.anchor),
    )


def count_requests(tx: Tx, circle_id: bytes, anchor: bytes) -> int:
    """Return how many requests ever verified on a link."""
    return sum(row.anchor == anchor for row in rows.list_requests(tx, circle_id))


async def withdraw(runtime: Runtime, circle_id: bytes, anchor: bytes) -> None:
    """Close a link: its card is deleted, later requests are not looked at.

    :raises InvitationNotFoundError: none that is open. :raises TransportError: closed, but the card is still there.
    """
    await runtime.store.run(lambda tx: _withdraw(tx, circle_id, anchor))
    await delete_cards(runtime, circle_id)


def _withdraw(tx: Tx, circle_id: bytes, anchor: bytes) -> None:
    row = rows.get(tx, anchor)
    if row is None or row.circle != circle_id or row.state != InvitationState.OPEN.value:
        raise InvitationNotFoundError(name=anchor.hex())
    close(tx, row, InvitationState.WITHDRAWN)


def close(tx: Tx, row: InvitationRow, state: InvitationState) -> None:
    """Close a link and decline what still waits on it."""
    rows.change(tx, row.anchor, state=state.value)
    for request in rows.list_requests(tx, row.circle):
        if request.anchor == row.anchor and request.state == RequestState.WAITING.value:
            decide(tx, request.hash, RequestState.DECLINED)


async def delete_cards(runtime: Runtime, circle_id: bytes) -> None:
    """Delete the cards of closed links, and then their keys."""
    member = await runtime.store.read(lambda tx: member_key(tx, circle_id))
    done = (InvitationState.USED.value, InvitationState.WITHDRAWN.value, InvitationState.EXPIRED.value)
    for row in await runtime.store.read(lambda tx: rows.list_of(tx, circle_id)):
        if row.state in done and row.secrets:
            relay = parse(RelayAddr, row.relay)
            secret = delete_secret(member, row.anchor)
            await runtime.relays.delete_blob(relay, row.anchor, secret, stream_key=row.anchor)
            await runtime.store.run(partial(rows.change, anchor=row.anchor, secrets=b""))


def decide(tx: Tx, request_hash: bytes, state: RequestState) -> None:
    """Note what became of a request, and delete what it said (E40)."""
    rows.change_request(tx, request_hash, state=state.value, request=b"", name="", sas=b"")
