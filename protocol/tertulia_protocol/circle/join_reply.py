"""The answer to a join request: what makes a member of the joiner (docs/protocol, "The reply").

The coordinator stores Welcome, tree and history with the commit before that is sent, completes the answer after the
commit was read back from the log, signs it, and sends the same bytes until the joiner's first message is seen.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Self

from tertulia_protocol.circle.attachment import BlobRef
from tertulia_protocol.circle.join_request import JoinRequest
from tertulia_protocol.circle.letters import reply_info, seal_letter
from tertulia_protocol.circle.segments import COORD_SECRET_LENGTH, SegAccess
from tertulia_protocol.codec import Reader, Writer, parse, serialize
from tertulia_protocol.mls.ciphersuite import HYBRID
from tertulia_protocol.mls.key_package import KeyPackage, key_package_ref
from tertulia_protocol.mls.welcome import Welcome, find_entry
from tertulia_protocol.relay_api.records import Position
from tertulia_protocol.signing import Label, SigningSeed


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBy:
    """A member's signature under an answer."""

    member_pk: bytes
    signature: bytes

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        return cls(member_pk=reader.raw(32), signature=reader.raw(64))

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: a field has another length."""
        writer.fixed(self.member_pk, 32)
        writer.fixed(self.signature, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordKey:
    """The coordinators' secret and its generation, for another device of a coordinator (E7)."""

    coord_gen: int
    secret: bytes = field(repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated."""
        return cls(coord_gen=reader.u32(), secret=reader.raw(COORD_SECRET_LENGTH))

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: the secret has not 32 bytes."""
        writer.u32(self.coord_gen)
        writer.fixed(self.secret, COORD_SECRET_LENGTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinReply:
    """What makes a member of the joiner (E13)."""

    request_hash: bytes
    welcome: bytes = field(repr=False)
    tree: BlobRef
    access: SegAccess
    segment_no: int
    position: Position
    """Of the commit that adds the joiner, or the start of the new segment if that commit hops."""
    history: BlobRef | None = None
    coord: CoordKey | None = None
    approvals: tuple[SignedBy, ...] = ()

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises InvalidMessageError: malformed."""
        return cls(
            request_hash=reader.raw(32),
            welcome=reader.opaque(),
            tree=BlobRef.decode(reader),
            access=SegAccess.decode(reader),
            segment_no=reader.u32(),
            position=Position.decode(reader),
            history=reader.optional(BlobRef.decode),
            coord=_read_coord(reader),
            approvals=reader.vector(SignedBy.decode),
        )

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: a field has another length."""
        writer.raw(self._before_approvals())
        writer.vector(self.approvals)

    def _before_approvals(self) -> bytes:
        writer = Writer()
        writer.fixed(self.request_hash, 32)
        writer.opaque(self.welcome)
        self.tree.encode(writer)
        self.access.encode(writer)
        writer.u32(self.segment_no)
        self.position.encode(writer)
        writer.optional(self.history)
        writer.opaque(b"" if self.coord is None else serialize(self.coord))
        return writer.getvalue()

    def to_be_signed(self) -> bytes:
        """Return SHA-256 of all fields before the approvals."""
        return hashlib.sha256(self._before_approvals()).digest()

    def approve(self, member: SigningSeed) -> JoinReply:
        """Return it with one more coordinator's signature."""
        signed = SignedBy(member_pk=member.public_key, signature=member.sign(Label.REPLY, self.to_be_signed()))
        return replace(self, approvals=(*self.approvals, signed))


def _read_coord(reader: Reader) -> CoordKey | None:
    data = reader.opaque()
    return parse(CoordKey, data) if data else None


def welcome_for(welcome: Welcome, key_package: KeyPackage) -> Welcome:
    """Return a Welcome with one joiner's secrets only: it fits a letter, and tells nobody how many joined.

    :raises RuleError: the key package is not among them.
    """
    return replace(welcome, secrets=(find_entry(welcome, key_package_ref(HYBRID, key_package)),))


def seal_reply(request: JoinRequest, reply: JoinReply) -> bytes:
    """Return the letter for the reply box. :raises UsageError: it is too long."""
    return seal_letter(request.reply_pk, reply_info(request.hash()), serialize(reply))
