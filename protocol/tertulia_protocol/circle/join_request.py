"""The request to join: what the joiner sends to whoever invited it (docs/protocol, "Invitations").

It is sealed to the key of the invitation's card and signed with the key that the joiner will have in this circle. The
coordinator sees it, compares the four words and decides; nothing else leads into a circle.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Final, Self

from tertulia_protocol.circle.charter import required_capabilities
from tertulia_protocol.circle.identity import MemberCredential, check_not_after, member_of
from tertulia_protocol.circle.invitation import InvitePreamble
from tertulia_protocol.circle.kdf import expand
from tertulia_protocol.circle.leaf_rules import verify_leaf
from tertulia_protocol.circle.letters import PUBLIC_BYTES, join_info, open_letter, seal_letter
from tertulia_protocol.circle.primitives import XWING
from tertulia_protocol.circle.segments import box_config
from tertulia_protocol.codec import Reader, Writer, parse, serialize
from tertulia_protocol.errors import DecodeError, RuleError, UsageError
from tertulia_protocol.mls.ciphersuite import HYBRID
from tertulia_protocol.mls.key_package import KeyPackage, verify_key_package
from tertulia_protocol.mls.leaf_node import check_leaf_in_group
from tertulia_protocol.relay_api.records import SegmentConfig
from tertulia_protocol.signing import Label, SigningSeed, verify

SEED_BYTES: Final = 32
MAX_INTRO_BYTES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """What the joiner sends, sealed to the invitation's key. Its SHA-256 names it."""

    anchor: bytes
    key_package: KeyPackage
    reply_pk: bytes
    """X-Wing, 1216 bytes, made for this request."""
    reply_seed: bytes = field(repr=False)
    """Random; leads to the keys of the reply box."""
    intro: str = field(repr=False)
    """What the joiner says of itself to the coordinator."""
    signature: bytes = bytes(64)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises InvalidMessageError: malformed, or the key package is of another version."""
        return cls(
            anchor=reader.raw(32),
            key_package=KeyPackage.decode(reader),
            reply_pk=reader.raw(PUBLIC_BYTES),
            reply_seed=reader.raw(SEED_BYTES),
            intro=_read_intro(reader),
            signature=reader.raw(64),
        )

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: a field has another length."""
        writer.raw(self.to_be_signed())
        writer.fixed(self.signature, 64)

    def to_be_signed(self) -> bytes:
        """Return all fields before the signature."""
        writer = Writer()
        writer.fixed(self.anchor, 32)
        self.key_package.encode(writer)
        writer.fixed(self.reply_pk, PUBLIC_BYTES)
        writer.fixed(self.reply_seed, SEED_BYTES)
        writer.opaque(self.intro.encode())
        return writer.getvalue()

    def sign(self, member: SigningSeed) -> JoinRequest:
        """Return it with the member's signature."""
        return replace(self, signature=member.sign(Label.JOIN_REQUEST, self.to_be_signed()))

    def hash(self) -> bytes:
        """Return SHA-256 of the request as it is sent: how the answer names it, 32 bytes."""
        return hashlib.sha256(serialize(self)).digest()


def _read_intro(reader: Reader) -> str:
    data = reader.opaque()
    check_intro_length(data)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError("an introduction is not UTF-8") from error


def check_intro_length(data: bytes) -> None:
    """Check that an introduction is not too long. :raises DecodeError: more than ``MAX_INTRO_BYTES``."""
    if len(data) > MAX_INTRO_BYTES:
        raise DecodeError(f"an introduction of {len(data)} bytes")


@dataclass(frozen=True, slots=True)
class ReplyBox:
    """The mailbox for the answer: created by whoever answers, on the relay that the request came in on."""

    config: SegmentConfig
    append: SigningSeed
    read: SigningSeed


def reply_box(reply_seed: bytes) -> ReplyBox:
    """Return the reply box of a request's seed (32 bytes)."""
    append, read = SigningSeed(expand(reply_seed, b"tl1 box append")), SigningSeed(expand(reply_seed, b"tl1 box read"))
    return ReplyBox(box_config(append_vk=append.public_key, read_vk=read.public_key), append, read)


def seal_request(preamble: InvitePreamble, request: JoinRequest) -> bytes:
    """Return the letter for the request box. :raises UsageError: the introduction is too long."""
    if len(request.intro.encode()) > MAX_INTRO_BYTES:
        raise UsageError(f"an introduction has at most {MAX_INTRO_BYTES} bytes")
    return seal_letter(preamble.invite_pk, join_info(request.anchor), serialize(request))


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A join request that verified: what the coordinator decides about. ``data`` is the request as it was sent."""

    request: JoinRequest
    member: MemberCredential
    data: bytes = field(repr=False)


def open_request(
    letter: bytes, *, invite_private: bytes, anchor: bytes, lineage_id: bytes, now: int
) -> ReceivedRequest:
    """Open and check a letter of the request box. :param now: seconds since 1970.

    Everything is checked that the Add will need, before a person spends a thought on it.

    :raises InvalidMessageError: not for this invitation, malformed, its key package is not valid now, its leaf is not
        one of this circle, or it is not signed by the member whose key it shows.
    """
    data = open_letter(invite_private, join_info(anchor), letter)
    request = parse(JoinRequest, data)
    check_request_anchor(request, anchor)
    verify_key_package(HYBRID, request.key_package, now=now)
    leaf = request.key_package.leaf_node
    check_leaf_in_group(leaf, extensions=(required_capabilities().extension(),))
    verify_leaf(leaf, lineage_id=lineage_id)
    member = member_of(leaf)
    check_not_after(member, now)
    verify_request(request, member)
    check_reply_key(request)
    return ReceivedRequest(request, member, data)


def check_request_anchor(request: JoinRequest, anchor: bytes) -> None:
    """Check that a request is for this invitation. :raises RuleError: it is for another."""
    if request.anchor != anchor:
        raise RuleError("a join request for another invitation", rule="request.anchor")


def verify_request(request: JoinRequest, member: MemberCredential) -> None:
    """Check the joiner's signature. :raises AuthenticityError: it does not hold."""
    verify(member.member_pk, Label.JOIN_REQUEST, request.to_be_signed(), request.signature)


def check_reply_key(request: JoinRequest) -> None:
    """Check that an answer can be sealed. :raises DecodeError: the key is no X-Wing key."""
    XWING.kem.parse_public(request.reply_pk)
