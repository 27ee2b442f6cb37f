"""What members said, as a person reads it: views of the objects that counted changes make.

Changes are merged by :mod:`tertulia_protocol.content.merge`; the order in which they arrive does not matter. Posts of
this device that were not read back yet are shown with ``state`` "waiting".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tertulia import objects
from tertulia.circle import Circle
from tertulia.objects import LoadedObject
from tertulia.store import content as stored
from tertulia.store.tx import Tx
from tertulia_protocol.circle.identity import member_of
from tertulia_protocol.content.kinds import Content
from tertulia_protocol.content.types import (
    BOARD,
    CIRCLE,
    KINDS,
    PROFILE,
    REPLY,
    TOPIC,
    Attachment,
    Board,
    Profile,
    Reply,
    Topic,
)
from tertulia_protocol.content.types import Circle as CircleContent

LINE_LENGTH = 120
"""How much of a post stands on one line, in characters."""


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
    """A topic or a reply, or a stub of something that needs a newer version. A retracted one has no content."""

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


def circle_name(tx: Tx, circle_id: bytes) -> str | None:
    """Return the circle's own name, None if it was not read yet."""
    found = objects.load(tx, circle_id, CIRCLE.object_id(member_pk=b"", post_id=b""))
    return found.object.content.name if found and isinstance(found.object.content, CircleContent) else None


def profiles(tx: Tx, circle_id: bytes) -> Mapping[bytes, Profile]:
    """Return the profiles of all who gave one, those who left included, by member_pk."""
    found: dict[bytes, Profile] = {}
    for row in stored.list_objects(tx, circle_id, PROFILE.name):
        content = objects.from_row(row).object.content
        if isinstance(content, Profile):
            found[row.author] = content
    return found


def names(tx: Tx, circle_id: bytes) -> Mapping[bytes, str]:
    """Return the names of all whose profile was read, those who left included, by member_pk."""
    return {member_pk: profile.display_name for member_pk, profile in profiles(tx, circle_id).items()}


def members(tx: Tx, circle: Circle) -> tuple[MemberView, ...]:
    """Return the members, coordinators first, then by name. :raises RemovedError: this device was removed."""
    known = profiles(tx, circle.id)
    devices: dict[bytes, int] = {}
    for each in circle.group.members():
        member_pk = member_of(each.leaf).member_pk
        devices[member_pk] = devices.get(member_pk, 0) + 1
    views = [_member(circle, member_pk, known.get(member_pk), devices=count) for member_pk, count in devices.items()]
    return tuple(sorted(views, key=lambda view: (not view.coordinator, view.name.casefold(), view.member_pk)))


def _member(circle: Circle, member_pk: bytes, profile: Profile | None, *, devices: int) -> MemberView:
    return MemberView(
        member_pk=member_pk,
        name=profile.display_name if profile else "",
        organisation=profile.organisation if profile else "",
        languages=profile.languages if profile else (),
        coordinator=circle.is_coordinator(member_pk),
        devices=devices,
        is_self=member_pk == circle.member_pk,
    )


def boards(tx: Tx, circle_id: bytes) -> tuple[BoardView, ...]:
    """Return the boards in the order of their creation; retracted ones are left out."""
    waiting = _waiting(tx, circle_id)
    found = []
    for row in stored.list_objects(tx, circle_id, BOARD.name):
        board = objects.from_row(row).object.content
        if isinstance(board, Board):
            found.append(_board(tx, circle_id, row.id, board, waiting=row.id in waiting))
    return tuple(found)


def _board(tx: Tx, circle_id: bytes, board_id: bytes, board: Board, *, waiting: bool) -> BoardView:
    last = stored.latest_on_board(tx, circle_id, board_id)
    return BoardView(
        board_id=board_id,
        name=board.name,
        description=board.description,
        announce_only=board.announce_only,
        topics=sum(not row.retracted for row in stored.list_objects(tx, circle_id, TOPIC.name, parent=board_id)),
        unread=stored.count_unread(tx, circle_id, board_id),
        last_author=None if last is None else last.author,
        last_minute=None if last is None else last.minute,
        last_line="" if last is None else _line(objects.from_row(last)),
        state=Delivery.WAITING if waiting else Delivery.SENT,
    )


def _line(loaded: LoadedObject) -> str:
    content = loaded.object.content
    if isinstance(content, Topic):
        return content.title
    text = content.body if isinstance(content, Reply) else ""
    return " ".join(text.split())[:LINE_LENGTH]


def topics(tx: Tx, circle_id: bytes, *, board_id: bytes | None = None) -> tuple[PostView, ...]:
    """Return the topics of a board, or of all, in the order of the merge."""
    view = _Viewer(tx, circle_id)
    return tuple(
        view.post(objects.from_row(row)) for row in stored.list_objects(tx, circle_id, TOPIC.name, parent=board_id)
    )


def topic(tx: Tx, circle_id: bytes, topic_id: bytes) -> TopicView | None:
    """Return a topic with its replies."""
    found = objects.load(tx, circle_id, topic_id)
    if found is None or found.object.type != TOPIC.name:
        return None
    view = _Viewer(tx, circle_id)
    replies = tuple(
        view.post(objects.from_row(row), board_id=found.parent)
        for row in stored.list_objects(tx, circle_id, REPLY.name, parent=topic_id)
    )
    shown = view.post(found)
    return TopicView(topic=shown, replies=replies, unread=sum(each.unread for each in (shown, *replies)))


def post(tx: Tx, circle_id: bytes, post_id: bytes) -> PostView | None:
    """Return one topic or reply, or the stub of something else that stands among them."""
    found = objects.load(tx, circle_id, post_id)
    if found is None or found.object.type in (CIRCLE.name, BOARD.name, PROFILE.name):
        return None
    return _Viewer(tx, circle_id).post(found)


def posts(tx: Tx, circle_id: bytes) -> tuple[PostView, ...]:
    """Return all topics and replies in the order of the merge, and the stubs of types that are not known here."""
    rows = [
        *stored.list_objects(tx, circle_id, TOPIC.name),
        *stored.list_objects(tx, circle_id, REPLY.name),
        *stored.list_other(tx, circle_id, KINDS.names()),
    ]
    view = _Viewer(tx, circle_id)
    rows.sort(key=lambda row: (row.lamport, row.author, row.id))
    return tuple(view.post(objects.from_row(row)) for row in rows)


def content(tx: Tx, circle_id: bytes, object_id: bytes) -> Content | None:
    """Return the content of any object; None if it is not here or was retracted."""
    found = objects.load(tx, circle_id, object_id)
    return None if found is None else found.object.content


def unread(tx: Tx, circle_id: bytes) -> int:
    """Return how many topics and replies of others were not marked as read."""
    return stored.count_unread(tx, circle_id)


def mark_read(tx: Tx, circle_id: bytes, object_ids: tuple[bytes, ...]) -> int:
    """Mark topics and replies as read; return how many were unread."""
    return sum(stored.mark_read(tx, circle_id, object_id) for object_id in object_ids)


def _waiting(tx: Tx, circle_id: bytes) -> frozenset[bytes]:
    return frozenset(row.object_id for row in stored.own_uncounted(tx, circle_id))


class _Viewer:
    """Makes views with what all of them need, read once."""

    def __init__(self, tx: Tx, circle_id: bytes) -> None:
        self._tx = tx
        self._circle_id = circle_id
        self._names = names(tx, circle_id)
        self._waiting = _waiting(tx, circle_id)

    def post(self, loaded: LoadedObject, *, board_id: bytes | None = None) -> PostView:
        item, shown = loaded.object, loaded.object.content
        written = shown if isinstance(shown, Topic | Reply) else None
        is_reply = item.type == REPLY.name
        return PostView(
            post_id=item.object_id,
            type=item.type,
            board_id=(board_id or self._board_of(loaded.parent)) if is_reply else loaded.parent or None,
            topic_id=loaded.parent if is_reply else None,
            parent_id=(shown.parent or loaded.parent) if isinstance(shown, Reply) else None,
            author=item.creator or b"",
            author_name=self._names.get(item.creator or b"", ""),
            minute=loaded.minute,
            title=shown.title if isinstance(shown, Topic) else "",
            body=written.body if written else "",
            lang=written.lang if written else None,
            attachments=written.attachments if written else (),
            edited=item.edited,
            retracted=item.retracted,
            stub=item.is_stub,
            unread=loaded.unread,
            forwarded_by=loaded.forwarded_by,
            state=Delivery.WAITING if item.object_id in self._waiting else Delivery.SENT,
        )

    def _board_of(self, topic_id: bytes) -> bytes | None:
        row = stored.get_object(self._tx, self._circle_id, topic_id)
        return row.parent if row is not None and row.parent else None
