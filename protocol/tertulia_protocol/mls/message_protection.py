"""Message protection (RFC 9420 sections 6.2 and 6.3): membership tags, and the two layers of encryption.

Nothing that is opened here is verified: the caller looks up the sender's key and calls ``verify_framed_content``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from tertulia_protocol.codec import Reader, Writer, parse, serialize
from tertulia_protocol.errors import UsageError
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.framing import (
    AuthenticatedContent,
    ContentType,
    FramedContent,
    FramedContentAuthData,
    PrivateMessage,
    PublicMessage,
    SenderType,
    WireFormat,
    check_application_is_private,
    framed_content_tbs,
    member,
    read_content,
    write_content,
)
from tertulia_protocol.mls.group_context import GroupContext
from tertulia_protocol.mls.labeled import expand_with_label
from tertulia_protocol.mls.tree_math import LeafIndex

REUSE_GUARD_LENGTH: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderData:
    """Who sent a private message and with which key. ``reuse_guard`` has 4 bytes."""

    leaf_index: LeafIndex
    generation: int
    reuse_guard: bytes = field(repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: malformed."""
        return cls(
            leaf_index=LeafIndex(reader.u32()), generation=reader.u32(), reuse_guard=reader.raw(REUSE_GUARD_LENGTH)
        )

    def encode(self, writer: Writer) -> None:
        """Append the wire form. :raises ValueError: the reuse guard has not 4 bytes."""
        writer.u32(self.leaf_index)
        writer.u32(self.generation)
        writer.fixed(self.reuse_guard, REUSE_GUARD_LENGTH)


def protect_private(  # noqa: PLR0913 - each argument is one secret or one choice, and all are named
    suite: CipherSuite,
    ac: AuthenticatedContent,
    *,
    key: bytes,
    nonce: bytes,
    reuse_guard: bytes,
    sender_data_secret: bytes,
    generation: int,
    padding: int = 0,
) -> PrivateMessage:
    """Return content of a member, encrypted.

    :param key: the key of ``generation`` in the sender's ratchet, Nk bytes; ``nonce`` belongs to it, Nn bytes.
    :param reuse_guard: 4 fresh random bytes. :param padding: how many zero bytes to append.
    :raises UsageError: ``ac`` was signed for a public message. :raises RuleError: the sender is not a member.
    """
    check_wire_format(ac, WireFormat.PRIVATE_MESSAGE)
    content = ac.content
    sender = SenderData(leaf_index=content.sender.leaf_index, generation=generation, reuse_guard=reuse_guard)
    inner, outer = _prefix(content.group_id, content.epoch, content.content_type), Writer()
    plaintext = Writer()
    write_content(plaintext, content.content)
    ac.auth.encode(plaintext, content.content_type)
    plaintext.raw(bytes(padding))
    outer.raw(inner)
    outer.opaque(content.authenticated_data)
    ciphertext = suite.aead_seal(key, _guard(nonce, reuse_guard), outer.getvalue(), plaintext.getvalue())
    data_key, data_nonce = _sender_data_key(suite, sender_data_secret, ciphertext)
    return PrivateMessage(
        group_id=content.group_id,
        epoch=content.epoch,
        content_type=content.content_type,
        authenticated_data=content.authenticated_data,
        encrypted_sender_data=suite.aead_seal(data_key, data_nonce, inner, serialize(sender)),
        ciphertext=ciphertext,
    )


def open_sender_data(suite: CipherSuite, message: PrivateMessage, *, sender_data_secret: bytes) -> SenderData:
    """Return who claims to have sent a message and with which key.

    :raises AuthenticityError: not made with this epoch's secret. :raises DecodeError: malformed inside.
    """
    key, nonce = _sender_data_key(suite, sender_data_secret, message.ciphertext)
    aad = _prefix(message.group_id, message.epoch, message.content_type)
    return parse(SenderData, suite.aead_open(key, nonce, aad, message.encrypted_sender_data))


def open_private(
    suite: CipherSuite, message: PrivateMessage, *, sender: SenderData, key: bytes, nonce: bytes
) -> AuthenticatedContent:
    """Return the content of a private message; its signature is still to be verified.

    :param key: the key of ``sender.generation`` in the ratchet of ``sender.leaf_index`` for this kind of content.
    :raises AuthenticityError: not sealed with this key, or changed.
    :raises InvalidMessageError: malformed inside.
    """
    aad = Writer()
    aad.raw(_prefix(message.group_id, message.epoch, message.content_type))
    aad.opaque(message.authenticated_data)
    plaintext = suite.aead_open(key, _guard(nonce, sender.reuse_guard), aad.getvalue(), message.ciphertext)
    reader = Reader(plaintext)
    content = FramedContent(
        group_id=message.group_id,
        epoch=message.epoch,
        sender=member(sender.leaf_index),
        authenticated_data=message.authenticated_data,
        content=read_content(reader, message.content_type),
    )
    auth = FramedContentAuthData.decode(reader, message.content_type)
    check_padding(reader)
    return AuthenticatedContent(wire_format=WireFormat.PRIVATE_MESSAGE, content=content, auth=auth)


def protect_public(
    suite: CipherSuite, ac: AuthenticatedContent, *, membership_key: bytes, context: GroupContext
) -> PublicMessage:
    """Return content in the open, with a membership tag if its sender is a member.

    :raises UsageError: ``ac`` was signed for a private message. :raises RuleError: it is application data.
    """
    check_wire_format(ac, WireFormat.PUBLIC_MESSAGE)
    check_application_is_private(ac.content, ac.wire_format)
    tag = None
    if ac.content.sender.type is SenderType.MEMBER:
        tag = membership_tag(suite, ac, membership_key=membership_key, context=context)
    return PublicMessage(content=ac.content, auth=ac.auth, membership_tag=tag)


def open_public(
    suite: CipherSuite, message: PublicMessage, *, membership_key: bytes, context: GroupContext
) -> AuthenticatedContent:
    """Return the content of a public message; its signature is still to be verified.

    :raises RuleError: it is application data. :raises AuthenticityError: the membership tag does not hold.
    """
    ac = message.authenticated_content
    check_application_is_private(ac.content, ac.wire_format)
    if ac.content.sender.type is SenderType.MEMBER:
        verify_membership_tag(suite, message, membership_key=membership_key, context=context)
    return ac


def membership_tag(
    suite: CipherSuite, ac: AuthenticatedContent, *, membership_key: bytes, context: GroupContext
) -> bytes:
    """Return the tag, Nh bytes, which only members can make (RFC 9420 section 6.2)."""
    writer = Writer()
    writer.raw(framed_content_tbs(ac.wire_format, ac.content, context))
    ac.auth.encode(writer, ac.content.content_type)
    return suite.mac(membership_key, writer.getvalue())


def verify_membership_tag(
    suite: CipherSuite, message: PublicMessage, *, membership_key: bytes, context: GroupContext
) -> None:
    """Check that a member made this message (RFC 9420 section 6.2). :raises AuthenticityError: it was not."""
    writer = Writer()
    writer.raw(framed_content_tbs(WireFormat.PUBLIC_MESSAGE, message.content, context))
    message.auth.encode(writer, message.content.content_type)
    suite.verify_mac(membership_key, writer.getvalue(), message.membership_tag or b"")


def check_wire_format(ac: AuthenticatedContent, wire_format: WireFormat) -> None:
    """Check that content travels as it was signed: the signature covers it. :raises UsageError: it does not."""
    if ac.wire_format is not wire_format:
        raise UsageError(f"content was signed for {ac.wire_format.name}, not for {wire_format.name}")


def check_padding(reader: Reader) -> None:
    """Check that only zero bytes are left: padding is no channel (RFC 9420 section 6.3.1). :raises DecodeError: not."""
    reader.expect_zeros()


def _prefix(group_id: bytes, epoch: int, kind: ContentType) -> bytes:
    """Return SenderDataAAD, with which PrivateContentAAD begins too."""
    writer = Writer()
    writer.opaque(group_id)
    writer.u64(epoch)
    writer.u8(kind)
    return writer.getvalue()


def _guard(nonce: bytes, reuse_guard: bytes) -> bytes:
    """Return the nonce with its first 4 bytes XORed: a restored backup does not reuse it (RFC 9420 section 6.3.1)."""
    head = int.from_bytes(nonce[:REUSE_GUARD_LENGTH], "big") ^ int.from_bytes(reuse_guard, "big")
    return head.to_bytes(REUSE_GUARD_LENGTH, "big") + nonce[REUSE_GUARD_LENGTH:]


def _sender_data_key(suite: CipherSuite, secret: bytes, ciphertext: bytes) -> tuple[bytes, bytes]:
    sample = ciphertext[: suite.Nh]
    return (
        expand_with_label(suite, secret, "key", sample, suite.Nk),
        expand_with_label(suite, secret, "nonce", sample, suite.Nn),
    )
