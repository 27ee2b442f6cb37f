"""The coordinator's side of invitations: the links, the requests that come in on them, the decisions about them.

docs/protocol, "Invitations". A link is for one person. Everything takes effect by what is stored first, so that every
step can be broken off and is taken up by :func:`work_on_invitations`, which every sync calls. What people do is in
``links`` and ``deciding``; it is all named here.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from tertulia import replies
from tertulia.circle import Circle
from tertulia.deciding import RequestView, approve, decline, decline_rest, list_requests
from tertulia.errors import (
    RelayGoneError,
)
from tertulia.links import (
    InvitationState,
    InvitationView,
    NewInvitation,
    RequestState,
    close,
    count_requests,
    delete_cards,
    invite,
    list_invitations,
    withdraw,
)
from tertulia.relays import ReadResult, SegmentAddr
from tertulia.runtime import Runtime
from tertulia.store import events
from tertulia.store import invitations as rows
from tertulia.store.invitations import InvitationRow, JoinRequestRow
from tertulia.store.tx import Tx
from tertulia.transport.interface import Purpose
from tertulia_protocol.circle.invitation import Invitation
from tertulia_protocol.circle.join_request import ReceivedRequest, open_request
from tertulia_protocol.codec import parse
from tertulia_protocol.content.text import clean_name
from tertulia_protocol.content.types import MAX_NAME
from tertulia_protocol.errors import InvalidMessageError
from tertulia_protocol.relay_api.addresses import RelayAddr

__all__ = [
    "InvitationState",
    "InvitationView",
    "NewInvitation",
    "RequestState",
    "RequestView",
    "approve",
    "decline",
    "invite",
    "list_invitations",
    "list_requests",
    "withdraw",
    "work_on_invitations",
]

MAKING_SECONDS: Final = 3600
"""After how long an invitation that is still being made was broken off."""


async def work_on_invitations(runtime: Runtime, circle_id: bytes) -> int:
    """Read the request boxes, close what has expired, go on with approvals and answers. Part of every sync.

    Returns the number of new requests (event ``request`` for each). :raises TransportError: the next sync goes on.
    """
    new = 0
    for row in await runtime.store.run(lambda tx: _tidy(tx, circle_id, now=runtime.clock.now())):
        new += await _read_box(runtime, row)
        if runtime.clock.now() >= row.expires_at:
            await runtime.store.run(partial(rows.change, anchor=row.anchor, state=InvitationState.EXPIRED.value))
    await replies.work_on_replies(runtime, circle_id)
    await runtime.store.run(lambda tx: decline_rest(tx, circle_id))
    await delete_cards(runtime, circle_id)
    return new


def _tidy(tx: Tx, circle_id: bytes, *, now: int) -> list[InvitationRow]:
    """Close what has expired, or all where this person no longer is a coordinator; return whose boxes to read (E14).

    The box of a link that has just expired is read once more, and who asked in time can still be let in.
    """
    _drop_unfinished(tx, circle_id, now=now)
    found = [row for row in rows.list_of(tx, circle_id) if row.state == InvitationState.OPEN.value]
    if found and not is_inviter(tx, circle_id):
        for row in found:
            close(tx, row, InvitationState.WITHDRAWN)
        return []
    return found


def is_inviter(tx: Tx, circle_id: bytes) -> bool:
    """Answer whether this person may still let somebody in."""
    return Circle.load(tx, circle_id).is_coordinator()


def _drop_unfinished(tx: Tx, circle_id: bytes, *, now: int) -> None:
    """Close invitations whose making was broken off: their card may be at the relay, but nobody has the link."""
    for row in rows.list_of(tx, circle_id):
        if row.state == InvitationState.MAKING.value and now - row.created_at > MAKING_SECONDS:
            rows.change(tx, row.anchor, state=InvitationState.WITHDRAWN.value)


async def _read_box(runtime: Runtime, row: InvitationRow) -> int:
    invitation = parse(Invitation, row.secrets)
    box = SegmentAddr(relay=parse(RelayAddr, row.relay), segment_id=row.box_id)
    seq, new, more = row.box_seq, 0, True
    while more:
        try:
            result = await runtime.relays.read(box, key=invitation.read_key, after_seq=seq, purpose=Purpose.INVITATION)
        except RelayGoneError:
            await runtime.store.run(partial(rows.change, anchor=row.anchor, state=InvitationState.EXPIRED.value))
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
        others = count_requests(tx, row.circle, row.anchor) - 1
        events.add(tx, "request", circle=row.circle, at=now, request=request.hash(), others=others)
    return added
