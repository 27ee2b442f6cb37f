"""The types of content: circle, board, topic, reply, profile. A new type is a struct and a :class:`Kind` here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from tertulia_protocol.content import text
from tertulia_protocol.content.envelope import OBJECT_ID_LENGTH
from tertulia_protocol.content.kinds import Content, FieldRule, Identity, Kind, Kinds, Place, Who
from tertulia_protocol.errors import RuleError

MAX_NAME = 100
MAX_TITLE = 200
MAX_DESCRIPTION = 2000
MAX_BODY_BYTES = 65536
MAX_ATTACHMENTS = 20
MAX_LANGUAGES = 16
MAX_REF = 4096
MAX_FILE_SIZE = 1 << 40

ObjectId = Annotated[bytes, msgspec.Meta(min_length=OBJECT_ID_LENGTH, max_length=OBJECT_ID_LENGTH)]


class Attachment(Content, frozen=True):
    """A file that belongs to a post: what it is called, what it is, and where its chunks are (``ref``, a BlobRef)."""

    name: str
    type: str
    size: Annotated[int, msgspec.Meta(ge=0, le=MAX_FILE_SIZE)]
    sha256: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    ref: Annotated[bytes, msgspec.Meta(min_length=1, max_length=MAX_REF)]


class Circle(Content, frozen=True):
    """What the circle is called."""

    name: str


class Board(Content, frozen=True):
    """A place for topics. On an announce-only board coordinators open the topics; everybody may reply."""

    name: str
    description: str = ""
    announce_only: bool = False


class Topic(Content, frozen=True):
    """What a discussion is about."""

    board: ObjectId
    title: str
    body: str = ""
    attachments: tuple[Attachment, ...] = ()
    lang: str | None = None


class Reply(Content, frozen=True):
    """An answer to a topic, or to another reply to it (``parent``)."""

    topic: ObjectId
    parent: ObjectId | None = None
    body: str = ""
    attachments: tuple[Attachment, ...] = ()
    lang: str | None = None


class Profile(Content, frozen=True):
    """How a member wants to be known in this circle."""

    display_name: str
    organisation: str = ""
    languages: tuple[str, ...] = ()


def check_name(name: str) -> None:
    """Check a name of 1 to 100 characters. :raises RuleError: C9, C10."""
    text.check_length(name, least=1, most=MAX_NAME)
    text.check_name(name)


def check_optional_name(name: str) -> None:
    """Check a name of up to 100 characters. :raises RuleError: C9, C10."""
    text.check_length(name, least=0, most=MAX_NAME)
    text.check_name(name)


def check_title(title: str) -> None:
    """Check a title of 1 to 200 characters. :raises RuleError: C9, C10."""
    text.check_length(title, least=1, most=MAX_TITLE)
    text.check_name(title)


def check_description(description: str) -> None:
    """Check a text of up to 2000 characters. :raises RuleError: C9, C11."""
    text.check_length(description, least=0, most=MAX_DESCRIPTION)
    text.check_body(description)


def check_body(body: str) -> None:
    """Check a text of up to 65536 bytes. :raises RuleError: C9, C11."""
    check_body_length(body)
    text.check_body(body)


def check_body_length(body: str) -> None:
    """Check the length of a body in bytes of UTF-8. :raises RuleError: C9."""
    if text.utf8_length(body) > MAX_BODY_BYTES:
        raise RuleError(f"a text of more than {MAX_BODY_BYTES} bytes", rule="C9")


def check_count(items: Sequence[object], *, most: int) -> None:
    """Check how many items a list has. :raises RuleError: C9."""
    if len(items) > most:
        raise RuleError(f"{len(items)} items where {most} may be", rule="C9")


def check_attachments(attachments: Sequence[Attachment]) -> None:
    """Check a post's files. :raises RuleError: C8, C9, C12."""
    check_count(attachments, most=MAX_ATTACHMENTS)
    for attachment in attachments:
        text.check_file_name(attachment.name)
        text.check_media_type(attachment.type)


def check_optional_language(tag: str | None) -> None:
    """Check the form of a language tag, if there is one. :raises RuleError: C8."""
    if tag is not None:
        text.check_language(tag)


def check_languages(tags: Sequence[str]) -> None:
    """Check a list of language tags. :raises RuleError: C8, C9."""
    check_count(tags, most=MAX_LANGUAGES)
    for tag in tags:
        text.check_language(tag)


_WRITTEN = {
    "body": FieldRule(change=Who.AUTHOR, check=check_body),
    "attachments": FieldRule(change=Who.AUTHOR, check=check_attachments),
    "lang": FieldRule(change=Who.AUTHOR, check=check_optional_language),
}

CIRCLE = Kind(
    name="circle",
    version=1,
    content=Circle,
    identity=Identity.CIRCLE,
    create=Who.COORDINATORS,
    retract=Who.NOBODY,
    fields={"name": FieldRule(change=Who.COORDINATORS, check=check_name)},
)

BOARD = Kind(
    name="board",
    version=1,
    content=Board,
    identity=Identity.POST,
    create=Who.COORDINATORS,
    retract=Who.COORDINATORS,
    fields={
        "name": FieldRule(change=Who.COORDINATORS, check=check_name),
        "description": FieldRule(change=Who.COORDINATORS, check=check_description),
        "announce_only": FieldRule(change=Who.NOBODY),
    },
)

TOPIC = Kind(
    name="topic",
    version=1,
    content=Topic,
    identity=Identity.POST,
    create=Who.MEMBERS,
    retract=Who.AUTHOR | Who.COORDINATORS,
    fields={
        "board": FieldRule(change=Who.NOBODY),
        "title": FieldRule(change=Who.AUTHOR, check=check_title),
        **_WRITTEN,
    },
    place=Place(field="board", container="board", closed_by="announce_only"),
)

REPLY = Kind(
    name="reply",
    version=1,
    content=Reply,
    identity=Identity.POST,
    create=Who.MEMBERS,
    retract=Who.AUTHOR | Who.COORDINATORS,
    fields={"topic": FieldRule(change=Who.NOBODY), "parent": FieldRule(change=Who.NOBODY), **_WRITTEN},
    place=Place(field="topic", container="topic"),
)

PROFILE = Kind(
    name="profile",
    version=1,
    content=Profile,
    identity=Identity.MEMBER,
    create=Who.AUTHOR,
    retract=Who.NOBODY,  # a retraction is final, and a member who stays needs a name again
    fields={
        "display_name": FieldRule(change=Who.AUTHOR, check=check_name),
        "organisation": FieldRule(change=Who.AUTHOR, check=check_optional_name),
        "languages": FieldRule(change=Who.AUTHOR, check=check_languages),
    },
)

KINDS = Kinds((CIRCLE, BOARD, TOPIC, REPLY, PROFILE))
"""The types that this version knows."""
