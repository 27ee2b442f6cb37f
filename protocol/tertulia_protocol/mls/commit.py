"""Commits (RFC 9420 sections 7.6 and 12.4): the proposals that become effective, and new keys along a path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from tertulia_protocol.codec import CachedEncoding, Reader, Writer
from tertulia_protocol.mls.labeled import HPKECiphertext
from tertulia_protocol.mls.leaf_node import LeafNode
from tertulia_protocol.mls.proposals import ProposalOrRef


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatePathNode:
    """A new public key for one parent node, and its path secret for each node below that did not know it."""

    encryption_key: bytes
    encrypted_path_secret: tuple[HPKECiphertext, ...]

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises DecodeError: malformed."""
        return cls(encryption_key=reader.opaque(), encrypted_path_secret=reader.vector(HPKECiphertext.decode))

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.opaque(self.encryption_key)
        writer.vector(self.encrypted_path_secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatePath:
    """The committer's new leaf and the nodes of its filtered direct path, from the leaf up."""

    leaf_node: LeafNode
    nodes: tuple[UpdatePathNode, ...]

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises InvalidMessageError: malformed or not supported."""
        return cls(leaf_node=LeafNode.decode(reader), nodes=reader.vector(UpdatePathNode.decode))

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        self.leaf_node.encode(writer)
        writer.vector(self.nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit(CachedEncoding):
    """A step to the next epoch."""

    proposals: tuple[ProposalOrRef, ...]
    path: UpdatePath | None = None

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises InvalidMessageError: malformed or not supported."""
        start = reader.position
        return cls(
            proposals=reader.vector(ProposalOrRef.decode),
            path=reader.optional(UpdatePath.decode),
        ).with_encoding(reader.since(start))

    def encode_fields(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.vector(self.proposals)
        writer.optional(self.path)
