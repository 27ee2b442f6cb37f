"""The nodes of a ratchet tree and the list that holds them (RFC 9420 sections 7.1 and 12.4.3.3).

:class:`NodeStore` is what trees and editors share underneath: it changes, so only an editor's own copy is ever given
to code that writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

from tertulia_protocol.codec import Reader, Writer
from tertulia_protocol.errors import DecodeError
from tertulia_protocol.mls.leaf_node import LeafNode
from tertulia_protocol.mls.tree_math import (
    LeafIndex,
    NodeIndex,
    leaf_to_node,
    level,
    node_width,
    padded_size,
    parent,
    root,
)

_LEAF = 1
_PARENT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentNode:
    """An inner node that is not blank (RFC 9420 section 7.1)."""

    encryption_key: bytes
    parent_hash: bytes
    unmerged_leaves: tuple[LeafIndex, ...] = ()

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read a ParentNode. :raises DecodeError: malformed."""
        return cls(
            encryption_key=reader.opaque(),
            parent_hash=reader.opaque(),
            unmerged_leaves=reader.vector(lambda inner: LeafIndex(inner.u32())),
        )

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.opaque(self.encryption_key)
        writer.opaque(self.parent_hash)
        indices = b"".join(index.to_bytes(4, "big") for index in self.unmerged_leaves)
        writer.opaque(indices)


Node: TypeAlias = LeafNode | ParentNode


def decode_node(reader: Reader) -> Node:
    """Read a Node, its type before it. :raises DecodeError: malformed."""
    start = reader.position
    kind = reader.u8()
    if kind == _LEAF:
        return LeafNode.decode(reader)
    if kind == _PARENT:
        return ParentNode.decode(reader)
    raise DecodeError(f"a node has the type {kind}", position=start)


def encode_optional_node(writer: Writer, node: Node | None) -> None:
    """Append ``optional<Node>``."""
    if node is None:
        writer.u8(0)
        return
    writer.u8(1)
    writer.u8(_LEAF if isinstance(node, LeafNode) else _PARENT)
    node.encode(writer)


class NodeStore:
    """The nodes of a full tree by index, the tree hashes known so far, and how often each public key occurs.

    A key that occurs twice is an error, but one that validation reports. ``hashes`` belongs to the suite
    ``hash_suite``; above a hash that is not known none is.
    """

    __slots__ = ("encryption_keys", "hash_suite", "hashes", "nodes", "signature_keys")

    def __init__(self) -> None:
        """Make a store without nodes; :meth:`of` and :meth:`copy` fill it."""
        self.nodes: list[Node | None] = []
        self.hashes: list[bytes | None] = []
        self.hash_suite = 0
        self.encryption_keys: dict[bytes, int] = {}
        self.signature_keys: dict[bytes, int] = {}

    @classmethod
    def of(cls, nodes: Sequence[Node | None]) -> Self:
        """Return a store of ``nodes`` filled up with blanks to the next full tree."""
        store = cls()
        width = node_width(padded_size(len(nodes) // 2 + 1))
        store.nodes = [*nodes, *[None] * (width - len(nodes))]
        store.hashes = [None] * width
        for node in nodes:
            if node is not None:
                store._count_keys(node, 1)
        return store

    def copy(self) -> NodeStore:
        """Return a store of the same nodes that can be changed alone: five copies of pointers, no copy of a node."""
        store = NodeStore()
        store.nodes = self.nodes.copy()
        store.hashes = self.hashes.copy()
        store.hash_suite = self.hash_suite
        store.encryption_keys = self.encryption_keys.copy()
        store.signature_keys = self.signature_keys.copy()
        return store

    @property
    def size(self) -> int:
        """Return the number of places for leaves, blank ones included: a power of two."""
        return (len(self.nodes) + 1) // 2

    def leaf(self, index: LeafIndex) -> LeafNode | None:
        """Return a leaf, None where blank or outside the tree."""
        node = self.nodes[leaf_to_node(index)] if 0 <= index < self.size else None
        return node if isinstance(node, LeafNode) else None

    def is_empty_below(self, index: NodeIndex) -> bool:
        """Answer whether a node and all below it are blank: its resolution is empty."""
        reach = (1 << level(index)) - 1
        return not any(self.nodes[index - reach : index + reach + 1])

    def put(self, place: NodeIndex, node: Node | None) -> None:
        """Replace a node; the hashes that depend on it are forgotten."""
        old = self.nodes[place]
        if old is node:
            return
        if old is not None:
            self._count_keys(old, -1)
        if node is not None:
            self._count_keys(node, 1)
        self.nodes[place] = node
        self._forget_hashes(place)

    def double(self) -> None:
        """Give the tree a new root and a blank right half."""
        more = len(self.nodes) + 1
        self.nodes += [None] * more
        self.hashes += [None] * more

    def halve(self) -> None:
        """Take the left half, from a tree whose right half is blank."""
        self.put(root(self.size), None)
        kept = len(self.nodes) // 2
        del self.nodes[kept:]
        del self.hashes[kept:]

    def _forget_hashes(self, place: NodeIndex) -> None:
        top = root(self.size)
        while self.hashes[place] is not None:
            self.hashes[place] = None
            if place != top:
                place = parent(place, self.size)

    def _count_keys(self, node: Node, step: int) -> None:
        _count(self.encryption_keys, node.encryption_key, step)
        if isinstance(node, LeafNode):
            _count(self.signature_keys, node.signature_key, step)


def _count(counts: dict[bytes, int], key: bytes, step: int) -> None:
    number = counts.get(key, 0) + step
    if number:
        counts[key] = number
    else:
        del counts[key]
