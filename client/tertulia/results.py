"""What the methods of :class:`tertulia.client.Client` return: frozen, typed, without secrets (but a new link).

Identifiers are public ones (``c_...``, see :mod:`tertulia.identifiers`). Times are UTC, to the minute. A field named in
``unknown_when_none`` of its class is not known yet where it is None; any other None means that there is none. Fields
are only ever added.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from tertulia_protocol.errors import TertuliaError


class Result:
    """What all results have in common."""

    __slots__ = ()

    unknown_when_none: ClassVar[frozenset[str]] = frozenset()
    """The fields that are not known, and left out of JSON, where they are None."""


# --- The profile ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProfile(Result):
    """A profile that was made."""

    name: str
    directory: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CircleSummary(Result):
    """A circle in a list. ``alias`` is what this profile calls it; ``name`` what the circle calls itself."""

    id: str
    alias: str
    name: str | None
    state: str
    """One of :class:`tertulia.states.State`."""
    members: int | None
    """None once this device was removed: it no longer knows."""
    unread: int
    waiting: int
    """Posts of this device that were not read back yet."""
    coordinator: bool
    """Whether this person is a coordinator."""

    unknown_when_none: ClassVar[frozenset[str]] = frozenset({"name", "members"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay(Result):
    """A relay of a circle: its card holds its address and its key."""

    card: str
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CircleDetails(Result):
    """All about one circle."""

    id: str
    alias: str
    name: str | None
    state: str
    members: int | None
    unread: int
    waiting: int
    coordinator: bool
    me: str
    """This person's member id."""
    relays: tuple[Relay, ...]
    segment: int
    """How often the circle has moved to a new segment of its log."""
    epoch: int | None
    authenticator: str | None
    """The epoch authenticator in hex: equal for all members of one epoch, for comparing that they agree."""
    joined_at: datetime
    synced_at: datetime | None

    unknown_when_none: ClassVar[frozenset[str]] = frozenset({"name", "members", "epoch", "authenticator"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining(Result):
    """A request of ours to join a circle. ``words`` are read out to the inviter, who compares them."""

    id: str
    """The request's id, the same at the inviter."""
    circle: str
    state: str
    """``prepared`` until it is at the relay, ``waiting`` until it is answered, ``history`` while the past comes."""
    words: tuple[str, ...]
    numbers: tuple[str, ...]
    """The same as four numbers of four digits."""
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Invited(Result):
    """What an invitation link says before one accepts it: by whom, where, until when. No names: they can be forged."""

    circle: str
    inviter: str
    """The inviter's member id."""
    coordinators: int
    """How many people could approve requests when the invitation was made."""
    relay: str
    """The relay's card."""
    expires_at: datetime
    language: str
    """Of the four words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Result):
    """The profile at a glance."""

    name: str
    directory: Path
    circles: tuple[CircleSummary, ...]
    joins: tuple[Joining, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CircleSync(Result):
    """How a sync of one circle ended. ``error``: why it could not be finished, or what a person must know of it."""

    id: str
    alias: str
    state: str
    at_head: bool
    received: int
    """Entries read from the log."""
    waiting: int
    error: TertuliaError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport(Result):
    """How a sync ended."""

    circles: tuple[CircleSync, ...]
    joins: tuple[Joining, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Result):
    """Something that happened. ``token`` is where to resume; ``circle`` None: it concerns no circle."""

    event: str
    token: int
    circle: str | None
    at: datetime
    data: dict[str, Any] = field(default_factory=dict)


# --- Circles and members --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCircle(Result):
    """A circle that was founded."""

    id: str
    alias: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Member(Result):
    """A member. ``name`` is chosen by the member; ``id`` cannot be chosen."""

    id: str
    name: str | None
    organisation: str
    languages: tuple[str, ...]
    coordinator: bool
    devices: int
    me: bool

    unknown_when_none: ClassVar[frozenset[str]] = frozenset({"name"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed(Result):
    """A member that was removed; the removal was read back. ``epoch``: the first without the member."""

    id: str
    name: str | None
    circle: str
    epoch: int

    unknown_when_none: ClassVar[frozenset[str]] = frozenset({"name"})


# --- Invitations ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInvitation(Result):
    """An invitation. ``link`` is a secret for one person, to be handed over outside of Tertulia."""

    id: str
    circle: str
    link: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Result):
    """A request to join. The words are not shown: the person who asks reads them out, and ``approve`` compares."""

    id: str
    invitation: str
    member: str
    """The member id that it will have."""
    name: str
    """As the person who asks wrote it: anybody can write any name."""
    received_at: datetime
    others: int
    """How many other requests the same invitation got: more than 0 means that somebody else has the link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved(Result):
    """A request that was approved: its member is in the circle, and the answer is on its way."""

    id: str
    circle: str
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined(Result):
    """A request that was declined. Nothing was sent."""

    id: str
    circle: str


# --- Boards and posts -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBoard(Result):
    """A board that was made. ``state``: ``waiting`` until it was read back, then ``sent``."""

    id: str
    circle: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Board(Result):
    """A board. ``last_line``: the beginning of what was written last."""

    id: str
    name: str
    description: str
    announce_only: bool
    topics: int
    unread: int
    last_author: str | None
    last_at: datetime | None
    last_line: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPost(Result):
    """A post that is durable. ``state``: ``uploading`` or ``waiting`` in the outbox, ``sent`` once it was read back."""

    id: str
    circle: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment(Result):
    """A file of a post. ``name`` is the sender's and never used as a path."""

    number: int
    """From 1 on, for ``attachment_save``."""
    name: str
    type: str
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Post(Result):
    """A topic or a reply. ``stub``: it needs a newer version to be shown; ``retracted``: it has no content any more."""

    id: str
    type: str
    board: str | None
    topic: str | None
    """The topic of a reply."""
    parent: str | None
    """What a reply answers."""
    author: str
    author_name: str | None
    at: datetime
    title: str
    body: str = field(repr=False)
    lang: str | None
    attachments: tuple[Attachment, ...]
    edited: bool
    retracted: bool
    stub: bool
    unread: bool
    forwarded_by: str | None
    """Whoever gave us this post in a history; None: we read it ourselves."""
    state: str
    """``waiting`` until it was read back, then ``sent``."""

    unknown_when_none: ClassVar[frozenset[str]] = frozenset({"author_name"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedFile(Result):
    """A file that was saved and fits its hash."""

    path: Path
    size: int
    sha256: str
