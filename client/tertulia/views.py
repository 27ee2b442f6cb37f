"""From the store to results: what a person is shown, with public identifiers and times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tertulia import boards, creating, identity, results
from tertulia.alarms import alarm_of
from tertulia.boards import BoardView, MemberView, PostView
from tertulia.circle import Circle
from tertulia.errors import CircleNotFoundError
from tertulia.identifiers import board_id, circle_id, invitation_id, member_id, post_id, request_id
from tertulia.invitations import NewInvitation, RequestView
from tertulia.joining import CardView, JoinState, JoinView
from tertulia.states import State
from tertulia.store import circles, outbox
from tertulia.store.circles import CircleRow
from tertulia.store.tx import Tx
from tertulia.sync import SyncResult
from tertulia.words import CODES
from tertulia_protocol.circle.invitation import DAY
from tertulia_protocol.content.types import Attachment
from tertulia_protocol.relay_api.addresses import RelayAddr

MINUTE = 60

WAITING = "waiting"
"""What an open request of ours is to a person: the answer is somebody else's to give."""


LAST_MOMENT = int(datetime(9999, 12, 30, tzinfo=UTC).timestamp())
"""The last time that is shown, which has a date in every zone. What others write can name later ones."""


def moment(seconds: int) -> datetime:
    """Return seconds since 1970 as a time, to the minute; for what is later than any date, the last."""
    known = min(seconds, LAST_MOMENT)
    return datetime.fromtimestamp(known - known % MINUTE, UTC)


def end_of_day(day: int) -> datetime:
    """Return the end of a day that is counted from 1970."""
    return moment((day + 1) * DAY)


def _or_none(kind: Callable[[bytes], str], raw: bytes | None) -> str | None:
    return None if raw is None else kind(raw)


# --- The profile ----------------------------------------------------------------------------------------------------


def status(tx: Tx, directory: Path, joins_: Sequence[JoinView]) -> results.Status:
    """Return the profile at a glance."""
    return results.Status(
        name=identity.profile_name(tx),
        directory=directory,
        circles=circle_list(tx),
        joins=tuple(joining(view) for view in joins_),
    )


def sync_report(tx: Tx, done: Sequence[SyncResult], joins_: Sequence[JoinView]) -> results.SyncReport:
    """Return how a sync ended."""
    return results.SyncReport(
        circles=tuple(_circle_sync(tx, one) for one in done),
        joins=tuple(joining(view) for view in joins_),
    )


def _circle_sync(tx: Tx, done: SyncResult) -> results.CircleSync:
    return results.CircleSync(
        id=circle_id(done.circle_id),
        alias=circle_row(tx, done.circle_id).alias,
        state=done.state.value,
        at_head=done.at_head,
        received=done.received,
        waiting=done.waiting,
        error=done.error or alarm_of(done.state),
    )


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
        waiting=waiting(tx, row.id),
        coordinator=here and circle.is_coordinator(),
    )


def circle_details(tx: Tx, row: CircleRow) -> results.CircleDetails:
    """Return all about a circle."""
    circle = Circle.load(tx, row.id)
    here = is_member(circle)
    short = circle_summary(tx, row)
    relays = [RelayAddr(relay_pk=one.relay_pk, uri=one.uri) for one in circle.charter.transport.relays] if here else []
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
        relays=tuple(results.Relay(card=relay.card(), uri=relay.uri) for relay in relays),
        segment=row.segment_no,
        epoch=circle.group.epoch if here else None,
        authenticator=circle.group.epoch_authenticator.hex() if here else None,
        joined_at=moment(row.joined_at),
        synced_at=moment(row.synced_at) if row.synced_at else None,
    )


def is_member(circle: Circle) -> bool:
    """Answer whether this device is in the circle: whether it has the group's keys."""
    return circle.state is not State.REMOVED


def waiting(tx: Tx, circle: bytes) -> int:
    """Return how many items of the outbox were not read back yet."""
    return len(outbox.list_all(tx, circle))


def circle_row(tx: Tx, circle: bytes) -> CircleRow:
    """Return the row of a circle. :raises CircleNotFoundError: there is none."""
    row = circles.get(tx, circle)
    if row is None:
        raise CircleNotFoundError(name=circle_id(circle))
    return row


def circle_if_joined(tx: Tx, identifier: str) -> results.NewCircle | None:
    """Return the circle of an identifier, if this profile is in it."""
    rows = [row for row in circles.list_all(tx) if circle_id(row.id) == identifier]
    return new_circle(tx, rows[0].id) if rows else None


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


def request(view: RequestView) -> results.Request:
    """Return a request to join. The words stay out: whoever asks reads them out."""
    return results.Request(
        id=request_id(view.request_hash),
        invitation=invitation_id(view.anchor),
        member=member_id(view.member_pk),
        name=view.name,
        received_at=moment(view.received_at),
        others=view.others,
    )


def invited(view: CardView) -> results.Invited:
    """Return what an invitation says."""
    return results.Invited(
        circle=circle_id(view.lineage_id),
        inviter=member_id(view.inviter),
        coordinators=view.coordinators,
        relay=view.relay.card(),
        expires_at=end_of_day(view.expires_day),
        language=CODES[view.language],
    )


def joining(view: JoinView) -> results.Joining:
    """Return a request of ours."""
    return results.Joining(
        id=request_id(view.request_hash),
        circle=circle_id(view.circle_id),
        state=WAITING if view.state is JoinState.REQUESTED else view.state.value,
        words=view.words,
        numbers=tuple(f"{number:04}" for number in view.numbers),
        expires_at=end_of_day(view.expires_day),
    )


def new_invitation(circle: bytes, made: NewInvitation) -> results.NewInvitation:
    """Return an invitation that was just made."""
    return results.NewInvitation(
        id=invitation_id(made.anchor),
        circle=circle_id(circle),
        link=made.link,
        expires_at=end_of_day(made.expires_day),
    )


def approved(circle: bytes, view: RequestView) -> results.Approved:
    """Return a request that was approved."""
    return results.Approved(
        id=request_id(view.request_hash), circle=circle_id(circle), member=member_id(view.member_pk)
    )


def declined(circle: bytes, view: RequestView) -> results.Declined:
    """Return a request that was declined."""
    return results.Declined(id=request_id(view.request_hash), circle=circle_id(circle))


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


# --- What was just made ---------------------------------------------------------------------------------------------


def new_circle(tx: Tx, circle: bytes) -> results.NewCircle:
    """Return a circle that was founded or joined."""
    return results.NewCircle(id=circle_id(circle), alias=circle_row(tx, circle).alias)


def new_board(tx: Tx, circle: bytes, board: bytes) -> results.NewBoard:
    """Return a board that was just opened."""
    return results.NewBoard(id=board_id(board), circle=circle_id(circle), state=delivery(tx, circle, board))


def new_post(tx: Tx, circle: bytes, written: bytes) -> results.NewPost:
    """Return a post that was just written."""
    return results.NewPost(id=post_id(written), circle=circle_id(circle), state=delivery(tx, circle, written))


def delivery(tx: Tx, circle: bytes, object_id: bytes) -> str:
    """Return how far something of ours is: ``uploading``, ``waiting``, or ``sent`` once it was read back."""
    written = creating.post_id_of(tx, circle, object_id)
    row = None if written is None else outbox.get(tx, circle, written)
    if row is None:
        return outbox.SENT
    return outbox.UPLOADING if row.state == outbox.UPLOADING else outbox.WAITING


def removed(circle: bytes, view: MemberView, epoch: int) -> results.Removed:
    """Return a member that was removed."""
    return results.Removed(id=member_id(view.member_pk), name=view.name or None, circle=circle_id(circle), epoch=epoch)
