"""Proposals (RFC 9420 section 12.1): changes of a group, which a commit makes effective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self, TypeAlias

from tertulia_protocol.codec import Reader, Struct, Writer, serialize
from tertulia_protocol.errors import UnsupportedError
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.extensions import Extension, read_extensions
from tertulia_protocol.mls.key_package import KeyPackage
from tertulia_protocol.mls.labeled import ref_hash
from tertulia_protocol.mls.leaf_node import LeafNode
from tertulia_protocol.mls.psk import PreSharedKeyID
from tertulia_protocol.mls.tree_math import LeafIndex

REFERENCE_LABEL: Final = b"MLS 1.0 Proposal Reference"

_BY_VALUE: Final = 1
_BY_REFERENCE: Final = 2


@dataclass(frozen=True, slots=True)
class Add:
    """Add a client."""

    type: ClassVar[int] = 1
    key_package: KeyPackage

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises InvalidMessageError: malformed or not supported."""
        return cls(KeyPackage.decode(reader))

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        self.key_package.encode(writer)


@dataclass(frozen=True, slots=True)
class Update:
    """Replace the sender's own leaf."""

    type: ClassVar[int] = 2
    leaf_node: LeafNode

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises InvalidMessageError: malformed or not supported."""
        return cls(LeafNode.decode(reader))

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        self.leaf_node.encode(writer)


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the member at leaf ``removed``."""

    type: ClassVar[int] = 3
    removed: LeafIndex

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: malformed."""
        return cls(LeafIndex(reader.u32()))

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u32(self.removed)


@dataclass(frozen=True, slots=True)
class PreSharedKey:
    """Mix a pre-shared key into the key schedule."""

    type: ClassVar[int] = 4
    psk_id: PreSharedKeyID

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises InvalidMessageError: malformed or not supported."""
        return cls(PreSharedKeyID.decode(reader))

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        self.psk_id.encode(writer)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReInit:
    """Close the group in favour of a new one. Read, but never carried out."""

    type: ClassVar[int] = 5
    group_id: bytes
    version: int
    cipher_suite: int
    extensions: tuple[Extension, ...]

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises InvalidMessageError: malformed."""
        return cls(
            group_id=reader.opaque(),
            version=reader.u16(),
            cipher_suite=reader.u16(),
            extensions=read_extensions(reader),
        )

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.opaque(self.group_id)
        writer.u16(self.version)
        writer.u16(self.cipher_suite)
        writer.vector(self.extensions)


@dataclass(frozen=True, slots=True)
class ExternalInit:
    """The key of a commit from outside. Read, but never carried out."""

    type: ClassVar[int] = 6
    kem_output: bytes

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: malformed."""
        return cls(reader.opaque())

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.opaque(self.kem_output)


@dataclass(frozen=True, slots=True)
class GroupContextExtensions:
    """Replace all extensions of the group."""

    type: ClassVar[int] = 7
    extensions: tuple[Extension, ...]

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises InvalidMessageError: malformed."""
        return cls(read_extensions(reader))

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.vector(self.extensions)


Proposal: TypeAlias = Add | Update | Remove | PreSharedKey | ReInit | ExternalInit | GroupContextExtensions

_KINDS: Final[dict[int, type[Proposal]]] = {
    kind.type: kind for kind in (Add, Update, Remove, PreSharedKey, ReInit, ExternalInit, GroupContextExtensions)
}


def decode_proposal(reader: Reader) -> Proposal:
    """Read the type and then the proposal. :raises UnsupportedError: of an unknown type: its end cannot be known."""
    kind = reader.u16()
    found = _KINDS.get(kind)
    if found is None:
        raise UnsupportedError(f"proposal type {kind:#06x}")
    return found.decode(reader)


def encode_proposal(proposal: Proposal, writer: Writer) -> None:
    """Append the type and then the proposal."""
    writer.u16(proposal.type)
    proposal.encode(writer)


def serialize_proposal(proposal: Proposal) -> bytes:
    """Return the type and then the proposal."""
    writer = Writer()
    encode_proposal(proposal, writer)
    return writer.getvalue()


def parse_proposal(data: bytes) -> Proposal:
    """Read exactly one proposal with its type. :raises InvalidMessageError: malformed or not supported."""
    reader = Reader(data)
    proposal = decode_proposal(reader)
    reader.expect_end()
    return proposal


@dataclass(frozen=True, slots=True)
class ProposalOrRef:
    """One entry of a commit: a proposal by value, or the ProposalRef (Nh bytes) of one that was sent before."""

    content: Proposal | bytes

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises UnsupportedError: an unknown kind of entry or of proposal."""
        kind = reader.u8()
        if kind == _BY_VALUE:
            return cls(decode_proposal(reader))
        if kind == _BY_REFERENCE:
            return cls(reader.opaque())
        raise UnsupportedError(f"an entry of type {kind} in a commit")

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        if isinstance(self.content, bytes):
            writer.u8(_BY_REFERENCE)
            writer.opaque(self.content)
        else:
            writer.u8(_BY_VALUE)
            encode_proposal(self.content, writer)


def proposal_ref(suite: CipherSuite, authenticated_content: Struct) -> bytes:
    """Return the ProposalRef, Nh bytes: a hash of the proposal's whole AuthenticatedContent (RFC 9420 section 5.2)."""
    return ref_hash(suite, REFERENCE_LABEL, serialize(authenticated_content))
