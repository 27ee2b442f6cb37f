"""From the store to results: what a person is shown, with public identifiers and times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from tertulia import boards, results
from tertulia.boards import BoardView, Delivery, MemberView, PostView
from tertulia.circle import Circle
from tertulia.identifiers import board_id, circle_id, invitation_id, member_id, post_id, request_id
from tertulia.states import State
from tertulia.store import circles, invitations, joins, outbox
from tertulia.store.circles import CircleRow
from tertulia.store.invitations import JoinRequestRow
from tertulia.store.joins import JoiningRow
from tertulia.store.tx import Tx
from tertulia_protocol.content.types import Attachment

MINUTE = 60


def moment(seconds: int) -> datetime:
    """Return seconds since 1970 as a time, to the minute."""
    return datetime.fromtimestamp(seconds - seconds % MINUTE, UTC)


# --- Circles --------------------------------------------------------------------------------------------------------


def circle_summary(tx: Tx, row: CircleRow) -> results.CircleSummary:
    """Return a circle as it stands in a list."""
    circle = Circle.load(tx, row.id)
    here = is_member(circle)
    return results.CircleSummary(
        id=circle_id(row.id),
        alias=row.alias,
        name=boards.circle_name(tx, row.id),
        state=row.state,
        members=len(circle.members()) if here else None,
        unread=boards.unread(tx, row.id),
        waiting=outbox.count_waiting(tx, row.id),
        coordinator=here and circle.is_coordinator(),
    )


def circle_details(tx: Tx, row: CircleRow) -> results.CircleDetails:
    """Return all about a circle."""
    circle = Circle.load(tx, row.id)
    here = is_member(circle)
    short = circle_summary(tx, row)
    relays = circle.charter.relays if here else ()
    return results.CircleDetails(
        id=short.id,
        alias=short.alias,
        name=short.name,
        state=short.state,
        members=short.members,
        unread=short.unread,
        waiting=short.waiting,
        coordinator=short.coordinator,
        me=member_id(circle.member_pk),
        relays=tuple(results.Relay(card=relay.address.card(), uri=relay.uri) for relay in relays),
        segment=row.segment_no,
        epoch=circle.group.epoch if here else None,
        authenticator=circle.group.epoch_authenticator.hex() if here else None,
        joined_at=moment(row.joined_at),
        synced_at=moment(row.synced_at) if row.synced_at else None,
    )


def is_member(circle: Circle) -> bool:
    """Answer whether this device is in the circle: whether it has the group's keys."""
    return circle.state is not State.REMOVED


def circle_list(tx: Tx) -> tuple[results.CircleSummary, ...]:
    """Return all circles, the oldest first."""
    return tuple(circle_summary(tx, row) for row in circles.list_all(tx))


def member(view: MemberView) -> results.Member:
    """Return a member."""
    return results.Member(
        id=member_id(view.member_pk),
        name=view.name or None,
        organisation=view.organisation,
        languages=view.languages,
        coordinator=view.coordinator,
        devices=view.devices,
        me=view.is_self,
    )


# --- Invitations ----------------------------------------------------------------------------------------------------


def requests(tx: Tx, circle: bytes) -> tuple[results.Request, ...]:
    """Return the requests to join a circle."""
    rows = invitations.list_requests(tx, circle)
    return tuple(request(row, rows) for row in rows)


def request(row: JoinRequestRow, all_rows: Sequence[JoinRequestRow]) -> results.Request:
    """Return a request to join, beside the others of its invitation."""
    return results.Request(
        id=request_id(row.hash),
        invitation=invitation_id(row.anchor),
        name=row.name,
        state=row.state,
        received_at=moment(row.received_at),
        others=sum(one.anchor == row.anchor for one in all_rows) - 1,
    )


# --- Content --------------------------------------------------------------------------------------------------------


def board(view: BoardView) -> results.Board:
    """Return a board."""
    return results.Board(
        id=board_id(view.board_id),
        name=view.name,
        description=view.description,
        announce_only=view.announce_only,
        topics=view.topics,
        unread=view.unread,
        last_author=None if view.last_author is None else member_id(view.last_author),
        last_at=None if view.last_minute is None else moment(view.last_minute * MINUTE),
        last_line=view.last_line,
        state=view.state.value,
    )


def post(view: PostView) -> results.Post:
    """Return a topic or a reply."""
    return results.Post(
        id=post_id(view.post_id),
        type=view.type,
        board=_or_none(board_id, view.board_id),
        topic=_or_none(post_id, view.topic_id),
        parent=_or_none(post_id, view.parent_id),
        author=member_id(view.author),
        author_name=view.author_name or None,
        at=moment(view.minute * MINUTE),
        title=view.title,
        body=view.body,
        lang=view.lang,
        attachments=attachments(view.attachments),
        edited=view.edited,
        retracted=view.retracted,
        stub=view.stub,
        unread=view.unread,
        forwarded_by=_or_none(member_id, view.forwarded_by),
        state=view.state.value,
    )


def attachments(files: Iterable[Attachment]) -> tuple[results.Attachment, ...]:
    """Return the files of a post."""
    return tuple(
        results.Attachment(number=number, name=file.name, type=file.type, size=file.size, sha256=file.sha256.hex())
        for number, file in enumerate(files, start=1)
    )


def delivery(tx: Tx, circle: bytes, object_id: bytes) -> str:
    """Return whether an object was read back."""
    return (Delivery.SENT if boards.post_id_of(tx, circle, object_id) is None else Delivery.WAITING).value
