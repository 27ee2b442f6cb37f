"""New objects of this person: each goes into the outbox, in the transaction of the caller.

Every function returns the 16-byte id of the object. Texts are taken as they are: :mod:`tertulia.posting` cleans them.
"""

from __future__ import annotations

from tertulia import objects, outgoing
from tertulia.circle import Circle
from tertulia.clock import Rng
from tertulia.errors import BoardNotFoundError, PostNotFoundError
from tertulia.store import content as stored
from tertulia.store.tx import Tx
from tertulia_protocol.circle.payload import POST_ID_BYTES, PayloadType
from tertulia_protocol.content.build import build_create
from tertulia_protocol.content.kinds import Content, Kind
from tertulia_protocol.content.types import (
    BOARD,
    CIRCLE,
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


def write(  # noqa: PLR0913 - what is written, where and when
    tx: Tx, circle: Circle, kind: Kind, content: Content, *, now: int, rng: Rng, uploading: bool = False
) -> bytes:
    """Create an object (or say its fields again where everybody has one) and return its id.

    :raises NotAllowedError: nothing may be written in this state. :raises RuleError: content that nobody would count.
    """
    post_id = rng(POST_ID_BYTES)
    envelope = build_create(kind, content, member_pk=circle.member_pk, post_id=post_id)
    outgoing.enqueue(
        tx,
        circle,
        type=PayloadType.POST,
        body=envelope.encode(),
        now=now,
        post_id=post_id,
        uploading=uploading,
    )
    return envelope.object_id


def post_circle_name(tx: Tx, circle: Circle, name: str, *, now: int, rng: Rng) -> bytes:
    """Name the circle."""
    return write(tx, circle, CIRCLE, CircleContent(name=name), now=now, rng=rng)


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
    profile = Profile(display_name=display_name, organisation=organisation, languages=languages)
    return write(tx, circle, PROFILE, profile, now=now, rng=rng)


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
    board = Board(name=name, description=description, announce_only=announce_only)
    return write(tx, circle, BOARD, board, now=now, rng=rng)


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
    """Open a topic on a board. With ``uploading`` it waits for ``outgoing.release`` (see :func:`post_id_of`).

    :raises BoardNotFoundError: there is no such board, or it was retracted.
    """
    found = objects.load(tx, circle.id, board_id)
    if found is None or found.object.type != BOARD.name or found.object.retracted:
        raise BoardNotFoundError(name=board_id.hex())
    topic = Topic(board=board_id, title=title, body=body, attachments=attachments, lang=lang)
    return write(tx, circle, TOPIC, topic, now=now, rng=rng, uploading=uploading)


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
    """Answer a topic or a reply (16-byte id). :raises PostNotFoundError: there is none, or it was retracted."""
    found = objects.load(tx, circle.id, to)
    if found is None or found.object.type not in (TOPIC.name, REPLY.name) or found.object.retracted:
        raise PostNotFoundError(name=to.hex())
    topic_id, parent = (to, None) if found.object.type == TOPIC.name else (found.parent, to)
    reply = Reply(topic=topic_id, parent=parent, body=body, attachments=attachments, lang=lang)
    return write(tx, circle, REPLY, reply, now=now, rng=rng, uploading=uploading)


def post_id_of(tx: Tx, circle_id: bytes, object_id: bytes) -> bytes | None:
    """Return the ``post_id`` (16 bytes) of the outbox item that creates an object; None: nothing waits."""
    waiting = (row for row in stored.own_uncounted(tx, circle_id) if row.object_id == object_id)
    return next((row.post_id for row in waiting), None)
