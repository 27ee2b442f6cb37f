"""Choosing what to show, and what a person decides about it in this profile alone: aliases, what was read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tertulia import boards, invitations, results, views
from tertulia.boards import MemberView, PostView
from tertulia.circle import Circle
from tertulia.errors import AliasTakenError, CodeError, RemovedFromCircleError, RequestNotFoundError
from tertulia.identifiers import Kind
from tertulia.lookup import find_board, find_circle, find_member, find_post, find_written
from tertulia.resolve import Candidate, resolve, same_name
from tertulia.runtime import Runtime
from tertulia.store import circles
from tertulia.store.circles import CircleRow
from tertulia.store.tx import Tx
from tertulia_protocol.circle.charter import HistoryMode
from tertulia_protocol.circle.history import HistoryRange
from tertulia_protocol.errors import DecodeError, UsageError
from tertulia_protocol.relay_api.addresses import Enrolment

MAX_HISTORY_DAYS = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which posts to show: all conditions hold. ``limit`` keeps the newest of them."""

    board: str | None = None
    topic: str | None = None
    unread: bool = False
    since: datetime | None = None
    limit: int | None = None


def read(tx: Tx, circle_id: bytes, choice: Choice) -> tuple[results.Post, ...]:
    """Return the chosen posts: topics in the order of the merge, each followed by its replies."""
    return tuple(views.post(view) for view in _chosen(tx, circle_id, choice))


def read_and_mark(tx: Tx, circle_id: bytes, choice: Choice) -> tuple[results.Post, ...]:
    """Return the chosen posts as they were, and mark them as read."""
    chosen = _chosen(tx, circle_id, choice)
    boards.mark_read(tx, circle_id, tuple(view.post_id for view in chosen))
    return tuple(views.post(view) for view in chosen)


def _chosen(tx: Tx, circle_id: bytes, choice: Choice) -> list[PostView]:
    found = [view for view in _placed(tx, circle_id, choice) if _fits(view, choice)]
    if choice.limit is None or len(found) <= choice.limit:
        return found
    age = {view.post_id: place for place, view in enumerate(boards.posts(tx, circle_id))}
    newest = sorted((view.post_id for view in found), key=lambda one: age.get(one, -1), reverse=True)
    kept = frozenset(newest[: choice.limit])
    return [view for view in found if view.post_id in kept]


def _placed(tx: Tx, circle_id: bytes, choice: Choice) -> Iterator[PostView]:
    board_id = None if choice.board is None else find_board(tx, circle_id, choice.board).board_id
    if choice.topic is not None:
        named = find_post(tx, circle_id, choice.topic)
        topic_ids = [named.topic_id or named.post_id]
    else:
        topic_ids = [view.post_id for view in boards.topics(tx, circle_id, board_id=board_id)]
    for topic_id in topic_ids:
        view = boards.topic(tx, circle_id, topic_id)
        if view is not None and board_id in {None, view.topic.board_id}:
            yield view.topic
            yield from view.replies


def _fits(view: PostView, choice: Choice) -> bool:
    if choice.unread and not view.unread:
        return False
    return choice.since is None or view.minute * views.MINUTE >= choice.since.timestamp()


def delivery(tx: Tx, circle_id: bytes, identifier: str) -> str:
    """Return how far a board or post of ours is, by its whole identifier."""
    written = find_written(tx, circle_id, identifier)
    return "sent" if written is None else views.delivery(tx, circle_id, written)


# --- Circles and members --------------------------------------------------------------------------------------------


def rename(tx: Tx, row: CircleRow, alias: str) -> results.CircleSummary:
    """Give a circle another alias, a checked name. :raises AliasTakenError: another one has it."""
    check_alias_free(tx, row.id, alias)
    circles.change(tx, row.id, alias=alias)
    return views.circle_summary(tx, find_circle(tx, alias))


def check_alias_free(tx: Tx, circle_id: bytes, alias: str) -> None:
    """Check that no other circle of the profile is called so. :raises AliasTakenError: one is."""
    for row in circles.list_all(tx):
        if row.id != circle_id and same_name(row.alias) == same_name(alias):
            raise AliasTakenError(name=alias)


def entered(tx: Tx, circle: str | None) -> Circle:
    """Return a circle that this device is in. :raises RemovedFromCircleError: it is so no more."""
    loaded = Circle.load(tx, find_circle(tx, circle).id)
    check_entered(loaded)
    return loaded


def check_entered(circle: Circle) -> None:
    """Check that this device is in a circle. :raises RemovedFromCircleError: it is so no more."""
    if not views.is_member(circle):
        raise RemovedFromCircleError


def member(tx: Tx, circle: str | None, text: str) -> MemberView:
    """Return a member of a circle by identifier or name."""
    return find_member(tx, entered(tx, circle), text)


# --- Requests -------------------------------------------------------------------------------------------------------


async def waiting_request(runtime: Runtime, circle_id: bytes, text: str) -> invitations.RequestView:
    """Return a request that waits for a decision, by identifier or name. :raises RequestNotFoundError: none."""
    views_ = await invitations.list_requests(runtime, circle_id)
    found = [Candidate(one.request_hash, one.name or None, one) for one in views_]
    return resolve(Kind.REQUEST, text, found, missing=RequestNotFoundError)


def history_range(choice: int | Literal["none", "all"]) -> HistoryRange:
    """Return a choice of history as it is stored. :raises UsageError: no number of days that makes sense."""
    if choice == "none":
        return HistoryRange(HistoryMode.NONE)
    if choice == "all":
        return HistoryRange(HistoryMode.ALL)
    if not 1 <= choice <= MAX_HISTORY_DAYS:
        raise UsageError(f"a history of {choice} days")
    return HistoryRange(HistoryMode.DAYS, choice)


# --- Secrets that are typed -----------------------------------------------------------------------------------------


def parse_code(text: str) -> Enrolment:
    """Return what an enrolment string says. :raises CodeError: it says nothing. The error does not repeat it."""
    try:
        return Enrolment.from_string(text)
    except DecodeError as error:
        raise CodeError from error
