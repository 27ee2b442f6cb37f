"""The joiner's side: from a link to a member of a circle (docs/protocol, "Joining").

Nothing that comes back is believed before it was checked; the keys of the request are deleted with the first state of
the circle. Every step is stored first; :func:`work_on_joins`, which every sync calls, takes up what was broken off.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tertulia.runtime import Runtime
from tertulia_protocol.circle.invitation import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class CardView:
    """What a link says before anything is sent: no names, neither of the circle nor of anybody in it."""

    anchor: bytes
    lineage_id: bytes
    """The circle's id; the circle itself is believed once the answer was checked."""
    inviter: bytes
    """The coordinator's member_pk."""
    coordinators: int
    relay_uri: str
    expires_day: int
    language: Language


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinView:
    """A request of this profile, and what its owner reads out to the coordinator."""

    anchor: bytes
    circle_id: bytes
    state: str
    """prepared (not at the relay yet), requested, history (member; the past is being fetched), expired."""
    name: str = field(repr=False)
    relay_uri: str
    numbers: tuple[int, int, int, int] = field(repr=False)
    words: tuple[str, str, str, str] = field(repr=False)
    language: Language
    created_at: int
    expires_day: int


async def look_at_link(runtime: Runtime, link: str) -> CardView:
    """Fetch and check the card that a link leads to. Nothing is stored, nobody but the relay learns of it.

    :raises LinkError: no valid link. :raises UsedLinkError: used, expired or withdrawn.
    :raises WrongRelayError: the relay is not the one of the card. :raises TransportError: it cannot be reached.
    """
    raise NotImplementedError


async def request_to_join(runtime: Runtime, link: str, *, name: str) -> JoinView:
    """Ask to join, and return the words to read out. The same link again: the same request, sent once more.

    :param name: who this person wants to be in the circle. :raises AlreadyMemberError: already in it.
    Raises what :func:`look_at_link` raises.
    """
    raise NotImplementedError


async def list_joins(runtime: Runtime) -> tuple[JoinView, ...]:
    """Return the requests of this profile that are not done, oldest first."""
    raise NotImplementedError


async def abandon(runtime: Runtime, anchor: bytes) -> None:
    """Forget a request and its keys. Whoever approves it afterwards adds nobody. Again: does nothing."""
    raise NotImplementedError


async def work_on_joins(runtime: Runtime) -> tuple[bytes, ...]:
    """Send requests, look for answers, fetch histories. Part of every sync, of no circle in particular.

    Returns the ids of circles that are new: sync them next (event ``joined`` for each; ``join.refused`` for an answer
    that does not hold). :raises TransportError: a relay cannot be reached; the next sync goes on.
    """
    raise NotImplementedError
