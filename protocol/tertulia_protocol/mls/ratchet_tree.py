"""The ratchet tree as a value (RFC 9420 sections 4.1, 7.1, 7.7, 7.8): nodes, resolutions, adding and removing leaves.

A :class:`RatchetTree` never changes. A change is made on a :class:`TreeEditor`, which copies three lists of pointers
(microseconds at 1,000 members) and shares every node with the tree it came from. Tree hashes that were computed before
stay known wherever nothing below them changed.

The tree is always full: a group of 5 leaves has 8 places, the last three blank. Nodes have one index whatever the size
of the tree, so that growing and truncating only touch the end of the list.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from tertulia_protocol.codec import Reader, Writer
from tertulia_protocol.errors import DecodeError, RuleError, UsageError
from tertulia_protocol.mls.leaf_node import LeafNode
from tertulia_protocol.mls.tree_math import (
    LeafIndex,
    NodeIndex,
    direct_path,
    leaf_to_node,
    left,
    level,
    right,
    root,
    sibling,
)
from tertulia_protocol.mls.tree_nodes import Node, NodeStore, ParentNode, decode_node, encode_optional_node

MAX_NODES = 2 * 2**16 - 1
"""Of 65,536 places for leaves: far more than a circle may ever have."""

__all__ = ["Node", "ParentNode", "PathStep", "RatchetTree", "TreeEditor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStep:
    """One node of a filtered direct path and its child that is not on the path (RFC 9420 section 4.1.2)."""

    node: NodeIndex
    copath: NodeIndex


class RatchetTree:
    """The public half of a group's tree: an immutable value; two are equal when all their nodes are."""

    __slots__ = ("_store",)

    def __init__(self, nodes: Sequence[Node | None]) -> None:
        """Fill up ``nodes`` with blanks to the next full tree.

        :param nodes: leaves at even places, parents at odd ones, None where blank.
        :raises UsageError: all nodes are blank.
        """
        if not any(nodes):
            raise UsageError("a tree has at least one member")
        self._store = NodeStore.of(nodes)

    @classmethod
    def of_store(cls, store: NodeStore) -> Self:
        """Return a tree over ``store``, which nobody may change from now on."""
        tree = object.__new__(cls)
        tree._store = store
        return tree

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read the ratchet_tree extension's ``optional<Node>`` vector (section 12.4.3.3). :raises DecodeError: bad."""
        nodes = reader.vector(_NodeReader())
        check_last_node(nodes)
        check_node_types(nodes)
        return cls(nodes)

    def encode(self, writer: Writer) -> None:
        """Append the wire form: all nodes up to the last that is not blank."""
        nodes = self._store.nodes
        last = max(index for index, node in enumerate(nodes) if node is not None)
        inner = Writer()
        for node in nodes[: last + 1]:
            encode_optional_node(inner, node)
        writer.opaque(inner.getvalue())

    def __eq__(self, other: object) -> bool:
        return self._store.nodes == other._store.nodes if isinstance(other, RatchetTree) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # nobody needs a tree as a key, and hashing one would be slow

    def __repr__(self) -> str:
        return f"RatchetTree(members={sum(1 for _ in self.leaves())}, size={self.size})"

    @property
    def size(self) -> int:
        """Return the number of places for leaves, blank ones included: a power of two."""
        return self._store.size

    @property
    def root(self) -> NodeIndex:
        """Return the index of the root."""
        return root(self.size)

    def node(self, index: NodeIndex) -> Node | None:
        """Return a node, None where blank. :raises IndexError: outside the tree."""
        return self._store.nodes[index]

    def parent_node(self, index: NodeIndex) -> ParentNode | None:
        """Return an inner node, None where blank. :raises UsageError: ``index`` is that of a leaf."""
        node = self._store.nodes[index]
        if isinstance(node, LeafNode):
            raise UsageError(f"node {index} is a leaf")
        return node

    def leaf(self, index: LeafIndex) -> LeafNode | None:
        """Return the leaf of a member, None where blank or outside the tree."""
        return self._store.leaf(index)

    def leaves(self) -> Iterator[tuple[LeafIndex, LeafNode]]:
        """Yield the members from left to right."""
        for index, node in enumerate(self._store.nodes[::2]):
            if isinstance(node, LeafNode):
                yield LeafIndex(index), node

    def parents(self) -> Iterator[tuple[NodeIndex, ParentNode]]:
        """Yield the inner nodes that are not blank from left to right."""
        for index, node in enumerate(self._store.nodes[1::2]):
            if isinstance(node, ParentNode):
                yield NodeIndex(2 * index + 1), node

    def nodes(self) -> Iterator[tuple[NodeIndex, Node]]:
        """Yield all nodes that are not blank from left to right."""
        for index, node in enumerate(self._store.nodes):
            if node is not None:
                yield NodeIndex(index), node

    def changed_nodes(self, before: RatchetTree) -> Iterator[tuple[NodeIndex, Node | None]]:
        """Yield every node that is not the very same object as in ``before``, with None where it is blank now."""
        old = before._store.nodes
        for index in range(max(len(old), len(self._store.nodes))):
            now = self._store.nodes[index] if index < len(self._store.nodes) else None
            if now is not (old[index] if index < len(old) else None):
                yield NodeIndex(index), now

    def resolution(self, index: NodeIndex) -> tuple[NodeIndex, ...]:
        """Return the nodes that together reach every member below ``index`` (RFC 9420 section 4.1.1)."""
        nodes, found, waiting = self._store.nodes, [], [index]
        while waiting:
            place = waiting.pop()
            node = nodes[place]
            if node is not None:
                found.append(place)
                if isinstance(node, ParentNode):
                    found.extend(map(leaf_to_node, node.unmerged_leaves))
            elif level(place):
                waiting += (right(place), left(place))
        return tuple(found)

    def is_empty_below(self, index: NodeIndex) -> bool:
        """Answer whether the resolution of ``index`` is empty: it and all below it are blank."""
        return self._store.is_empty_below(index)

    def path_steps(self, leaf: LeafIndex) -> tuple[PathStep, ...]:
        """Return the filtered direct path of a leaf from below to the root, with the copath beside it."""
        steps, below = [], leaf_to_node(leaf)
        for place in direct_path(below, self.size):
            beside = sibling(below, self.size)
            if not self.is_empty_below(beside):
                steps.append(PathStep(node=place, copath=beside))
            below = place
        return tuple(steps)

    def filtered_direct_path(self, leaf: LeafIndex) -> tuple[NodeIndex, ...]:
        """Return the nodes of the direct path whose copath child reaches anybody (RFC 9420 section 4.1.2)."""
        return tuple(step.node for step in self.path_steps(leaf))

    def has_encryption_key(self, key: bytes) -> bool:
        """Answer whether any node has this HPKE public key."""
        return key in self._store.encryption_keys

    def has_signature_key(self, key: bytes) -> bool:
        """Answer whether any leaf has this signature public key."""
        return key in self._store.signature_keys

    def has_unique_encryption_keys(self) -> bool:
        """Answer whether no two nodes have the same HPKE public key."""
        return len(self._store.encryption_keys) == sum(self._store.encryption_keys.values())

    def has_unique_signature_keys(self) -> bool:
        """Answer whether no two leaves have the same signature public key."""
        return len(self._store.signature_keys) == sum(self._store.signature_keys.values())

    def hash_cache(self, suite_id: int) -> list[bytes | None]:
        """Return the known tree hashes by node index, for ``tree_hash`` to read and fill in.

        Where a place is None, all places above it are None.
        """
        store = self._store
        if store.hash_suite != suite_id:
            store.hash_suite, store.hashes = suite_id, [None] * len(store.nodes)
        return store.hashes

    def edit(self) -> TreeEditor:
        """Return an editor that starts from this tree."""
        return TreeEditor(self._store.copy())

    def add_leaf(self, leaf: LeafNode) -> tuple[RatchetTree, LeafIndex]:
        """Return the tree with one more leaf, and where it stands (see :meth:`TreeEditor.add_leaf`)."""
        editor = self.edit()
        index = editor.add_leaf(leaf)
        return editor.freeze(), index

    def update_leaf(self, index: LeafIndex, leaf: LeafNode) -> RatchetTree:
        """Return the tree with another leaf in a member's place (see :meth:`TreeEditor.update_leaf`)."""
        editor = self.edit()
        editor.update_leaf(index, leaf)
        return editor.freeze()

    def remove_leaf(self, index: LeafIndex) -> RatchetTree:
        """Return the tree without a member (see :meth:`TreeEditor.remove_leaf`)."""
        editor = self.edit()
        editor.remove_leaf(index)
        return editor.freeze()

    def apply_path(self, index: LeafIndex, leaf: LeafNode, path: Mapping[NodeIndex, ParentNode]) -> RatchetTree:
        """Return the tree with a member's new leaf and path (see :meth:`TreeEditor.apply_path`)."""
        editor = self.edit()
        editor.apply_path(index, leaf, path)
        return editor.freeze()


class _NodeReader:
    """Reads one node after the other and stops where a tree is too large."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, reader: Reader) -> Node | None:
        self._count += 1
        check_node_count(self._count)
        return reader.optional(decode_node)


class TreeEditor:
    """Changes to a copy of a tree; :meth:`freeze` ends it."""

    __slots__ = ("_first_blank", "_store")

    def __init__(self, store: NodeStore) -> None:
        """Take ``store`` over: :meth:`RatchetTree.edit` passes a copy of its own."""
        self._store = store
        self._first_blank = 0

    def __repr__(self) -> str:
        return f"TreeEditor(size={self._store.size})"

    def freeze(self) -> RatchetTree:
        """Return the tree as edited. The editor cannot be used any more."""
        tree = RatchetTree.of_store(self._store)
        del self._store
        return tree

    def add_leaf(self, leaf: LeafNode) -> LeafIndex:
        """Put a leaf into the leftmost blank place (RFC 9420 sections 7.7 and 12.1.1) and return that place.

        Where there is none the tree doubles. The leaf becomes unmerged at every inner node above that is not blank.
        """
        index = self._find_blank()
        store, place = self._store, leaf_to_node(index)
        store.put(place, leaf)
        for above in direct_path(place, store.size):
            node = store.nodes[above]
            if isinstance(node, ParentNode):
                unmerged = list(node.unmerged_leaves)
                insort(unmerged, index)
                store.put(above, replace(node, unmerged_leaves=tuple(unmerged)))
        return index

    def update_leaf(self, index: LeafIndex, leaf: LeafNode) -> None:
        """Replace a member's leaf and blank the direct path (RFC 9420 section 12.1.2). :raises RuleError: no leaf."""
        store = self._store
        check_member(store.leaf(index), index)
        store.put(leaf_to_node(index), leaf)
        self._blank_path(index)

    def remove_leaf(self, index: LeafIndex) -> None:
        """Blank a leaf and its direct path, then truncate (RFC 9420 sections 7.7 and 12.1.3).

        :raises RuleError: there is no leaf in this place.
        :raises UsageError: it is the only one.
        """
        store = self._store
        check_member(store.leaf(index), index)
        store.put(leaf_to_node(index), None)
        self._blank_path(index)
        self._truncate()
        self._first_blank = min(self._first_blank, index)

    def apply_path(self, index: LeafIndex, leaf: LeafNode, path: Mapping[NodeIndex, ParentNode]) -> None:
        """Set a member's leaf and its direct path: ``path``, blank elsewhere (RFC 9420 section 7.5).

        :raises RuleError: there is no leaf in this place.
        """
        store = self._store
        check_member(store.leaf(index), index)
        store.put(leaf_to_node(index), leaf)
        for place in direct_path(leaf_to_node(index), store.size):
            store.put(place, path.get(place))

    def _find_blank(self) -> LeafIndex:
        nodes = self._store.nodes
        for place in range(2 * self._first_blank, len(nodes), 2):
            if nodes[place] is None:
                break
        else:
            place = len(nodes) + 1
            self._store.double()
        self._first_blank = place // 2
        return LeafIndex(self._first_blank)

    def _truncate(self) -> None:
        store = self._store
        while store.size > 1 and store.is_empty_below(right(root(store.size))):
            store.halve()
        if store.is_empty_below(root(store.size)):
            raise UsageError("the last member cannot be removed")

    def _blank_path(self, index: LeafIndex) -> None:
        for place in direct_path(leaf_to_node(index), self._store.size):
            self._store.put(place, None)


def check_node_count(count: int) -> None:
    """Check that a received tree has no more nodes than any group of ours. :raises DecodeError: it has.

    A blank node is one byte on the wire, dozens in memory and two hashes: without a bound a file of some megabytes of
    zeros stops whoever joins for minutes.
    """
    if count > MAX_NODES:
        raise DecodeError(f"a ratchet tree of more than {MAX_NODES} nodes")


def check_last_node(nodes: Sequence[Node | None]) -> None:
    """Check that a received tree has nodes and ends with one that is not blank (RFC 9420 section 12.4.3.3).

    :raises DecodeError: it does not.
    """
    if not nodes or nodes[-1] is None:
        raise DecodeError("a ratchet tree ends with a blank node")


def check_node_types(nodes: Iterable[Node | None]) -> None:
    """Check that leaves stand in even places and parents in odd ones. :raises DecodeError: they do not."""
    for index, node in enumerate(nodes):
        if node is not None and isinstance(node, LeafNode) != (index % 2 == 0):
            raise DecodeError(f"node {index} of a ratchet tree has the wrong type")


def check_member(leaf: LeafNode | None, index: LeafIndex) -> None:
    """Check that a leaf stands in this place (RFC 9420 section 12.1.3). :raises RuleError: it is blank or outside."""
    if leaf is None:
        raise RuleError(f"leaf {index} is not a member", rule="RFC9420-12.1.3")
