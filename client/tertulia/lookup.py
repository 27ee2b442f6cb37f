"""From what a person typed to the rows of the store: circles, boards, posts, members, requests."""

from __future__ import annotations

from tertulia import boards
from tertulia.boards import BoardView, Delivery, MemberView, PostView
from tertulia.circle import Circle
from tertulia.errors import (
    AttachmentNotFoundError,
    BoardNotFoundError,
    CircleNeededError,
    CircleNotFoundError,
    FileNumberMissingError,
    MemberNotFoundError,
    NoCircleError,
    PostNotFoundError,
)
from tertulia.identifiers import Kind, public_id
from tertulia.resolve import Candidate, resolve
from tertulia.store import circles
from tertulia.store.circles import CircleRow
from tertulia.store.tx import Tx
from tertulia_protocol.content.types import Attachment


def find_circle(tx: Tx, text: str | None) -> CircleRow:
    """Return the circle of an identifier or alias; None: the only one.

    :raises CircleNotFoundError, AmbiguousError: none or several fit. :raises CircleNeededError: None, but several.
    """
    rows = circles.list_all(tx)
    if text is not None:
        found = [Candidate(row.id, row.alias, row) for row in rows]
        return resolve(Kind.CIRCLE, text, found, missing=CircleNotFoundError)
    check_one_circle(rows)
    return rows[0]


def check_one_circle(rows: list[CircleRow]) -> None:
    """Check that there is exactly one circle. :raises NoCircleError, CircleNeededError: there is not."""
    if not rows:
        raise NoCircleError
    if len(rows) > 1:
        names = (f"{public_id(Kind.CIRCLE, row.id)} ({row.alias})" for row in rows)
        raise CircleNeededError(candidates=", ".join(sorted(names)))


def find_board(tx: Tx, circle_id: bytes, text: str) -> BoardView:
    """Return a board by identifier or name. :raises BoardNotFoundError, AmbiguousError: none or several fit."""
    found = [Candidate(view.board_id, view.name, view) for view in boards.boards(tx, circle_id)]
    return resolve(Kind.BOARD, text, found, missing=BoardNotFoundError)


def find_post(tx: Tx, circle_id: bytes, text: str) -> PostView:
    """Return a topic or reply by identifier, or a topic by its title.

    :raises PostNotFoundError, AmbiguousError: none or several fit.
    """
    found = [Candidate(view.post_id, view.title or None, view) for view in boards.posts(tx, circle_id)]
    return resolve(Kind.POST, text, found, missing=PostNotFoundError)


def find_member(tx: Tx, circle: Circle, text: str) -> MemberView:
    """Return a member by identifier or name. :raises MemberNotFoundError, AmbiguousError: none or several fit."""
    found = [Candidate(view.member_pk, view.name or None, view) for view in boards.members(tx, circle) if view.devices]
    return resolve(Kind.MEMBER, text, found, missing=MemberNotFoundError)


def find_written(tx: Tx, circle_id: bytes, identifier: str) -> bytes | None:
    """Return the object id of a board or post of ours that was not read back yet; None: it was, or is not ours."""
    for board in boards.boards(tx, circle_id):
        if board.state is Delivery.WAITING and public_id(Kind.BOARD, board.board_id) == identifier:
            return board.board_id
    for post in boards.posts(tx, circle_id):
        if post.state is Delivery.WAITING and public_id(Kind.POST, post.post_id) == identifier:
            return post.post_id
    return None


def find_attachment(view: PostView, number: int | None) -> Attachment:
    """Return a file of a post by its number from 1 on; None: the only one.

    :raises AttachmentNotFoundError: there is none. :raises FileNumberMissingError: None, but there are several.
    """
    files = view.attachments
    if number is None and len(files) > 1:
        raise FileNumberMissingError(count=len(files))
    place = 1 if number is None else number
    if not 1 <= place <= len(files):
        raise AttachmentNotFoundError(name=place)
    return files[place - 1]
