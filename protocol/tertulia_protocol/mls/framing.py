"""Framing (RFC 9420 section 6): what is said, by whom, and the two envelopes in which it travels."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Self, TypeAlias

from tertulia_protocol.codec import CachedEncoding, Reader, Writer
from tertulia_protocol.errors import RuleError, UnsupportedError
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.commit import Commit
from tertulia_protocol.mls.extensions import MLS10
from tertulia_protocol.mls.group_context import GroupContext
from tertulia_protocol.mls.labeled import sign_with_label, verify_with_label
from tertulia_protocol.mls.proposals import Add, Proposal, decode_proposal, encode_proposal
from tertulia_protocol.mls.tree_math import LeafIndex

LABEL: Final = "FramedContentTBS"


class WireFormat(IntEnum):
    """What an MLSMessage holds (``uint16``)."""

    PUBLIC_MESSAGE = 1
    PRIVATE_MESSAGE = 2
    WELCOME = 3
    GROUP_INFO = 4
    KEY_PACKAGE = 5

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises UnsupportedError: unknown."""
        value = reader.u16()
        try:
            return cls(value)
        except ValueError as error:
            raise UnsupportedError(f"wire format {value:#06x}") from error


class ContentType(IntEnum):
    """What a message says (``uint8``)."""

    APPLICATION = 1
    PROPOSAL = 2
    COMMIT = 3

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises UnsupportedError: unknown."""
        value = reader.u8()
        try:
            return cls(value)
        except ValueError as error:
            raise UnsupportedError(f"content type {value}") from error


class SenderType(IntEnum):
    """Who says it (``uint8``)."""

    MEMBER = 1
    EXTERNAL = 2
    NEW_MEMBER_PROPOSAL = 3
    NEW_MEMBER_COMMIT = 4

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises UnsupportedError: unknown."""
        value = reader.u8()
        try:
            return cls(value)
        except ValueError as error:
            raise UnsupportedError(f"sender type {value}") from error


_INDEXED: Final = frozenset({SenderType.MEMBER, SenderType.EXTERNAL})


@dataclass(frozen=True, slots=True)
class Sender:
    """A sender. ``index`` is the leaf of a member or the place of an external sender; others have None."""

    type: SenderType
    index: int | None = None

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises InvalidMessageError: malformed or unknown."""
        kind = SenderType.decode(reader)
        return cls(kind, reader.u32() if kind in _INDEXED else None)

    def encode(self, writer: Writer) -> None:
        """Append the wire form. :raises ValueError: there is an index where none belongs, or none."""
        if (self.index is None) == (self.type in _INDEXED):
            raise ValueError(f"a sender of type {self.type.name} with index {self.index}")
        writer.u8(self.type)
        if self.index is not None:
            writer.u32(self.index)

    @property
    def leaf_index(self) -> LeafIndex:
        """Return the leaf of a member. :raises RuleError: the sender is not a member."""
        if self.type is not SenderType.MEMBER or self.index is None:
            raise RuleError("the sender is not a member", rule="RFC9420-6")
        return LeafIndex(self.index)


def member(index: LeafIndex) -> Sender:
    """Return the member at leaf ``index`` as a sender."""
    return Sender(SenderType.MEMBER, index)


Content: TypeAlias = bytes | Proposal | Commit


def content_type_of(content: Content) -> ContentType:
    """Return the type of some content."""
    if isinstance(content, bytes):
        return ContentType.APPLICATION
    return ContentType.COMMIT if isinstance(content, Commit) else ContentType.PROPOSAL


def read_content(reader: Reader, kind: ContentType) -> Content:
    """Read content of a known type. :raises InvalidMessageError: malformed or not supported."""
    if kind is ContentType.APPLICATION:
        return reader.opaque()
    return Commit.decode(reader) if kind is ContentType.COMMIT else decode_proposal(reader)


def write_content(writer: Writer, content: Content) -> None:
    """Append content without its type."""
    if isinstance(content, bytes):
        writer.opaque(content)
    elif isinstance(content, Commit):
        content.encode(writer)
    else:
        encode_proposal(content, writer)


@dataclass(frozen=True, slots=True, kw_only=True)
class FramedContent(CachedEncoding):
    """What is said, by whom, in which group and epoch."""

    group_id: bytes
    epoch: int
    sender: Sender
    authenticated_data: bytes = b""
    content: Content = field(repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises InvalidMessageError: malformed or not supported."""
        start = reader.position
        return cls(
            group_id=reader.opaque(),
            epoch=reader.u64(),
            sender=Sender.decode(reader),
            authenticated_data=reader.opaque(),
            content=read_content(reader, ContentType.decode(reader)),
        ).with_encoding(reader.since(start))

    def encode_fields(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.opaque(self.group_id)
        writer.u64(self.epoch)
        self.sender.encode(writer)
        writer.opaque(self.authenticated_data)
        writer.u8(self.content_type)
        write_content(writer, self.content)

    @property
    def content_type(self) -> ContentType:
        """Return what kind of content this is."""
        return content_type_of(self.content)


@dataclass(frozen=True, slots=True)
class FramedContentAuthData:
    """What proves the content: ``signature``, and for a commit ``confirmation_tag`` (Nh bytes), else None."""

    signature: bytes = field(repr=False)
    confirmation_tag: bytes | None = field(default=None, repr=False)

    @classmethod
    def decode(cls, reader: Reader, kind: ContentType) -> Self:
        """Read one that belongs to content of type ``kind``. :raises DecodeError: malformed."""
        return cls(reader.opaque(), reader.opaque() if kind is ContentType.COMMIT else None)

    def encode(self, writer: Writer, kind: ContentType) -> None:
        """Append the wire form. :raises ValueError: a commit without a confirmation tag, or something else with one."""
        check_confirmation_tag(self, kind)
        writer.opaque(self.signature)
        if self.confirmation_tag is not None:
            writer.opaque(self.confirmation_tag)


def check_confirmation_tag(auth: FramedContentAuthData, kind: ContentType) -> None:
    """Check that commits alone have a confirmation tag (RFC 9420 section 6.1). :raises ValueError: not so."""
    if (auth.confirmation_tag is None) == (kind is ContentType.COMMIT):
        raise ValueError("a confirmation tag belongs to commits and to nothing else")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatedContent:
    """Content with what proves it, independent of how it travelled."""

    wire_format: WireFormat
    content: FramedContent
    auth: FramedContentAuthData

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises InvalidMessageError: malformed or not supported."""
        wire_format = WireFormat.decode(reader)
        content = FramedContent.decode(reader)
        return cls(
            wire_format=wire_format,
            content=content,
            auth=FramedContentAuthData.decode(reader, content.content_type),
        )

    def encode(self, writer: Writer) -> None:
        """Append the wire form. :raises ValueError: the confirmation tag is missing or does not belong here."""
        writer.u16(self.wire_format)
        self.content.encode(writer)
        self.auth.encode(writer, self.content.content_type)

    def with_confirmation_tag(self, tag: bytes) -> AuthenticatedContent:
        """Return this commit with its confirmation tag, Nh bytes."""
        auth = FramedContentAuthData(self.auth.signature, tag)
        return AuthenticatedContent(wire_format=self.wire_format, content=self.content, auth=auth)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicMessage:
    """Content that everybody can read. ``membership_tag`` (Nh bytes) belongs to members; others have None."""

    content: FramedContent
    auth: FramedContentAuthData
    membership_tag: bytes | None = field(default=None, repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises InvalidMessageError: malformed or not supported."""
        content = FramedContent.decode(reader)
        return cls(
            content=content,
            auth=FramedContentAuthData.decode(reader, content.content_type),
            membership_tag=reader.opaque() if content.sender.type is SenderType.MEMBER else None,
        )

    def encode(self, writer: Writer) -> None:
        """Append the wire form. :raises ValueError: a tag is missing or does not belong here."""
        check_membership_tag_presence(self)
        self.content.encode(writer)
        self.auth.encode(writer, self.content.content_type)
        if self.membership_tag is not None:
            writer.opaque(self.membership_tag)

    @property
    def authenticated_content(self) -> AuthenticatedContent:
        """Return the content and what proves it; nothing is checked."""
        return AuthenticatedContent(wire_format=WireFormat.PUBLIC_MESSAGE, content=self.content, auth=self.auth)


def check_membership_tag_presence(message: PublicMessage) -> None:
    """Check that members alone have a membership tag (RFC 9420 section 6.2). :raises ValueError: not so."""
    if (message.membership_tag is None) == (message.content.sender.type is SenderType.MEMBER):
        raise ValueError("a membership tag belongs to members and to nobody else")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateMessage:
    """Content that only members can read. Its sender is always a member."""

    group_id: bytes
    epoch: int
    content_type: ContentType
    authenticated_data: bytes = b""
    encrypted_sender_data: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises InvalidMessageError: malformed or not supported."""
        return cls(
            group_id=reader.opaque(),
            epoch=reader.u64(),
            content_type=ContentType.decode(reader),
            authenticated_data=reader.opaque(),
            encrypted_sender_data=reader.opaque(),
            ciphertext=reader.opaque(),
        )

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.opaque(self.group_id)
        writer.u64(self.epoch)
        writer.u8(self.content_type)
        writer.opaque(self.authenticated_data)
        writer.opaque(self.encrypted_sender_data)
        writer.opaque(self.ciphertext)


_CONTEXT_SENDERS: Final = frozenset({SenderType.MEMBER, SenderType.NEW_MEMBER_COMMIT})


def framed_content_tbs(wire_format: WireFormat, content: FramedContent, context: GroupContext | None) -> bytes:
    """Return FramedContentTBS (RFC 9420 section 6.1). :raises ValueError: the group context is missing."""
    writer = Writer()
    writer.u16(MLS10)
    writer.u16(wire_format)
    content.encode(writer)
    if content.sender.type in _CONTEXT_SENDERS:
        if context is None:
            raise ValueError("what a member signs needs the group context")
        context.encode(writer)
    return writer.getvalue()


def sign_framed_content(
    suite: CipherSuite,
    private: bytes,
    *,
    wire_format: WireFormat,
    content: FramedContent,
    context: GroupContext | None,
) -> AuthenticatedContent:
    """Return signed content; a commit still lacks its confirmation tag.

    :param private: the 32-byte seed of the sender's signature key.
    :raises RuleError: this sender may not say this, or not in this wire format.
    """
    check_content(content, wire_format)
    signature = sign_with_label(suite, private, LABEL, framed_content_tbs(wire_format, content, context))
    return AuthenticatedContent(wire_format=wire_format, content=content, auth=FramedContentAuthData(signature))


def verify_framed_content(
    suite: CipherSuite, ac: AuthenticatedContent, *, public_key: bytes, context: GroupContext | None
) -> None:
    """Check who said it, whether they may, and their signature (RFC 9420 section 6.1).

    :param public_key: the signature key of the sender, who is found by ``ac.content.sender``.
    :raises RuleError: this sender may not say this, or not in this wire format.
    :raises AuthenticityError: the signature does not hold.
    """
    check_content(ac.content, ac.wire_format)
    verify_content_signature(suite, ac, public_key=public_key, context=context)


def verify_content_signature(
    suite: CipherSuite, ac: AuthenticatedContent, *, public_key: bytes, context: GroupContext | None
) -> None:
    """Check the signature alone. :raises AuthenticityError: it does not hold."""
    content = framed_content_tbs(ac.wire_format, ac.content, context)
    verify_with_label(suite, public_key, LABEL, content, ac.auth.signature)


def check_content(content: FramedContent, wire_format: WireFormat) -> None:
    """Check that this sender may say this in this wire format. :raises RuleError: it may not."""
    check_sender(content)
    check_application_is_private(content, wire_format)


def check_sender(content: FramedContent) -> None:
    """Check that those who are not members say only what they may (RFC 9420 section 6). :raises RuleError: more."""
    sender, said = content.sender.type, content.content
    allowed = {
        SenderType.MEMBER: True,
        SenderType.EXTERNAL: content.content_type is ContentType.PROPOSAL,
        SenderType.NEW_MEMBER_PROPOSAL: isinstance(said, Add),
        SenderType.NEW_MEMBER_COMMIT: isinstance(said, Commit),
    }
    if not allowed[sender]:
        raise RuleError(f"a sender of type {sender.name} may not say this", rule="RFC9420-6.1")


def check_application_is_private(content: FramedContent, wire_format: WireFormat) -> None:
    """Check that application data is encrypted (RFC 9420 section 6.2). :raises RuleError: it is not."""
    if content.content_type is ContentType.APPLICATION and wire_format is not WireFormat.PRIVATE_MESSAGE:
        raise RuleError("application data in a public message", rule="RFC9420-6.2")
