"""What members said, as a person reads it: objects made of counted changes, and views of them.

Changes are merged by :mod:`tertulia_protocol.content.merge`; the order in which they arrive does not matter. Posts of
this device that were not read back yet are shown with ``state`` "waiting".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tertulia.circle import Circle
from tertulia.clock import Rng
from tertulia.store.tx import Tx
from tertulia_protocol.content.kinds import Content
from tertulia_protocol.content.types import Attachment


class Delivery(StrEnum):
    """Whether a post has been read back from the log."""

    WAITING = "waiting"
    SENT = "sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberView:
    """A member as the circle knows it. Names can be chosen freely; ``member_pk`` cannot."""

    member_pk: bytes
    name: str
    organisation: str
    languages: tuple[str, ...]
    coordinator: bool
    devices: int
    """0: no longer a member."""
    is_self: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardView:
    """A board with its last line and the number of unread topics and replies."""

    board_id: bytes
    name: str
    description: str
    announce_only: bool
    topics: int
    unread: int
    last_author: bytes | None
    last_minute: int | None
    last_line: str
    state: Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class PostView:
    """A topic or a reply. A stub (``content`` is ``Unknown``) needs a newer version; a retracted one has no content."""

    post_id: bytes
    """The 16-byte id of the object."""
    type: str
    board_id: bytes | None
    topic_id: bytes | None
    """The topic of a reply."""
    parent_id: bytes | None
    """The reply or topic that a reply answers."""
    author: bytes
    author_name: str
    minute: int
    title: str
    body: str = field(repr=False)
    lang: str | None
    attachments: tuple[Attachment, ...]
    edited: bool
    retracted: bool
    stub: bool
    unread: bool
    forwarded_by: bytes | None
    """Who gave this post to us in a history (E13); None: we read it in the log."""
    state: Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicView:
    """A topic and its replies, in the order of the merge."""

    topic: PostView
    replies: tuple[PostView, ...]
    unread: int


# --- Writing: each returns the 16-byte id of the object; it is in the outbox afterwards ------------------------------


def post_circle_name(tx: Tx, circle: Circle, name: str, *, now: int, rng: Rng) -> bytes:
    """Name the circle. :raises NotAllowedError, RuleError: see ``outgoing.enqueue``."""
    raise NotImplementedError


def post_profile(  # noqa: PLR0913 - the fields of a profile
    tx: Tx,
    circle: Circle,
    *,
    display_name: str,
    organisation: str = "",
    languages: tuple[str, ...] = (),
    now: int,
    rng: Rng,
) -> bytes:
    """Say who one is in this circle."""
    raise NotImplementedError


def create_board(  # noqa: PLR0913 - the fields of a board
    tx: Tx,
    circle: Circle,
    *,
    name: str,
    description: str = "",
    announce_only: bool = False,
    now: int,
    rng: Rng,
) -> bytes:
    """Open a board."""
    raise NotImplementedError


def create_topic(  # noqa: PLR0913 - the fields of a topic
    tx: Tx,
    circle: Circle,
    *,
    board_id: bytes,
    title: str,
    body: str,
    lang: str | None = None,
    attachments: tuple[Attachment, ...] = (),
    uploading: bool = False,
    now: int,
    rng: Rng,
) -> bytes:
    """Open a topic on a board. With ``uploading`` it waits for ``outgoing.release`` (see :func:`post_id_of`)."""
    raise NotImplementedError


def create_reply(  # noqa: PLR0913 - the fields of a reply
    tx: Tx,
    circle: Circle,
    *,
    to: bytes,
    body: str,
    lang: str | None = None,
    attachments: tuple[Attachment, ...] = (),
    uploading: bool = False,
    now: int,
    rng: Rng,
) -> bytes:
    """Answer a topic or a reply (16-byte id)."""
    raise NotImplementedError


def post_id_of(tx: Tx, circle_id: bytes, object_id: bytes) -> bytes | None:
    """Return the ``post_id`` (16 bytes) of the outbox item that creates an object; None: nothing waits."""
    raise NotImplementedError


# --- Reading ---------------------------------------------------------------------------------------------------------


def circle_name(tx: Tx, circle_id: bytes) -> str | None:
    """Return the circle's own name, None if it was not read yet."""
    raise NotImplementedError


def members(tx: Tx, circle: Circle) -> tuple[MemberView, ...]:
    """Return the members, coordinators first, then by name."""
    raise NotImplementedError


def names(tx: Tx, circle_id: bytes) -> Mapping[bytes, str]:
    """Return the names of all whose profile was read, those who left included, by member_pk."""
    raise NotImplementedError


def boards(tx: Tx, circle_id: bytes) -> tuple[BoardView, ...]:
    """Return the boards in the order of their creation."""
    raise NotImplementedError


def topics(tx: Tx, circle_id: bytes, *, board_id: bytes | None = None) -> tuple[PostView, ...]:
    """Return the topics of a board, or of all, in the order of the merge. Topics of boards not here come last."""
    raise NotImplementedError


def topic(tx: Tx, circle_id: bytes, topic_id: bytes) -> TopicView | None:
    """Return a topic with its replies."""
    raise NotImplementedError


def post(tx: Tx, circle_id: bytes, post_id: bytes) -> PostView | None:
    """Return one topic or reply."""
    raise NotImplementedError


def posts(tx: Tx, circle_id: bytes) -> tuple[PostView, ...]:
    """Return all topics and replies in the order of the merge."""
    raise NotImplementedError


def content(tx: Tx, circle_id: bytes, object_id: bytes) -> Content | None:
    """Return the content of any object."""
    raise NotImplementedError


def unread(tx: Tx, circle_id: bytes) -> int:
    """Return how many topics and replies of others were not marked as read."""
    raise NotImplementedError


def mark_read(tx: Tx, circle_id: bytes, object_ids: tuple[bytes, ...]) -> int:
    """Mark topics and replies as read; return how many were unread."""
    raise NotImplementedError
