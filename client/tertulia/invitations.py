"""The coordinator's side of an invitation: the link, the requests that come in on it, the decision about them.

docs/protocol, "Invitations". A link is for one person. Everything here takes effect by what is stored first, so that
every step can be broken off and is taken up by :func:`work_on_invitations`, which every sync calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tertulia.runtime import Runtime
from tertulia_protocol.circle.history import HistoryRange
from tertulia_protocol.circle.invitation import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationView:
    """An invitation of this device. ``state``: open, used, withdrawn or expired."""

    anchor: bytes
    """Its id, 32 bytes."""
    state: str
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
    numbers: tuple[int, int, int, int] = field(repr=False)
    words: tuple[str, str, str, str] = field(repr=False)
    language: Language
    received_at: int
    others: int
    """Other requests on the same link, decided ones included: above 0 warn that the link was used more than once."""


async def invite(runtime: Runtime, circle_id: bytes, *, days: int = 7, language: Language = Language.ENGLISH) -> str:
    """Make an invitation for one person and return its link, a secret that is not kept.

    :raises NotAllowedError: no coordinator. :raises PaymentError: this device has no enrolment code, or it is used up.
    :raises TransportError: the relay cannot be reached; nothing is left of it.
    """
    raise NotImplementedError


async def list_invitations(runtime: Runtime, circle_id: bytes) -> tuple[InvitationView, ...]:
    """Return the invitations that were made on this device, oldest first."""
    raise NotImplementedError


async def withdraw(runtime: Runtime, circle_id: bytes, anchor: bytes) -> None:
    """Close a link: its card is deleted, later requests are not looked at.

    :raises InvitationNotFoundError: none that is open.
    """
    raise NotImplementedError


async def list_requests(runtime: Runtime, circle_id: bytes) -> tuple[RequestView, ...]:
    """Return the requests that wait for a decision, oldest first. The numbers of a new one take about a second."""
    raise NotImplementedError


async def approve(
    runtime: Runtime, circle_id: bytes, request_hash: bytes, *, words: Sequence[str], history: HistoryRange
) -> None:
    """Add whoever asked, once the words that it read out were compared; return when it is in the circle.

    :param words: the four words or numbers as they were heard. :param history: what is given of the time before.
    :raises RequestNotFoundError: none that waits. :raises WordsDifferError: nothing was sent.
    :raises NotAllowedError: no coordinator, or more history than the circle allows.
    :raises CircleFullError: no room. :raises TransportError: it was stored; the next sync goes on with it.
    """
    raise NotImplementedError


async def decline(runtime: Runtime, circle_id: bytes, request_hash: bytes) -> None:
    """Refuse a request. Nothing is sent; the link stays open. :raises RequestNotFoundError: none that waits."""
    raise NotImplementedError


async def work_on_invitations(runtime: Runtime, circle_id: bytes) -> int:
    """Read the request boxes, close what has expired, go on with approvals and answers. Part of every sync.

    Returns the number of new requests (event ``request`` for each). :raises TransportError: the next sync goes on.
    """
    raise NotImplementedError
