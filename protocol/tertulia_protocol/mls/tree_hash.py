"""Tree hashes and parent hashes (RFC 9420 sections 7.8 and 7.9).

A tree remembers its hashes, so a commit hashes only what it changed; only the original sibling tree hashes of nodes
with unmerged leaves are computed anew.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from tertulia_protocol.codec import Writer
from tertulia_protocol.errors import RuleError
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.leaf_node import LeafNode
from tertulia_protocol.mls.ratchet_tree import ParentNode, RatchetTree
from tertulia_protocol.mls.tree_math import (
    LeafIndex,
    NodeIndex,
    is_leaf,
    leaf_to_node,
    leaves_below,
    left,
    node_to_leaf,
    right,
)

_NOBODY: frozenset[LeafIndex] = frozenset()


def tree_hash(suite: CipherSuite, tree: RatchetTree, node: NodeIndex | None = None) -> bytes:
    """Return the tree hash of a subtree, of the whole tree without ``node`` (RFC 9420 section 7.8): Nh bytes."""
    top = tree.root if node is None else node
    known = tree.hash_cache(suite.id)
    found = known[top]
    return _fill(suite, tree, known, top) if found is None else found


def original_tree_hash(
    suite: CipherSuite, tree: RatchetTree, node: NodeIndex, without: AbstractSet[LeafIndex]
) -> bytes:
    """Return the tree hash of a subtree as it was without some leaves (RFC 9420 section 7.9): Nh bytes."""
    places = leaves_below(node)
    here = frozenset(leaf for leaf in without if leaf in places)
    if not here:
        return tree_hash(suite, tree, node)
    if is_leaf(node):
        return _hash_leaf(suite, None, node_to_leaf(node))
    parent = tree.parent_node(node)
    left_hash = original_tree_hash(suite, tree, left(node), here)
    right_hash = original_tree_hash(suite, tree, right(node), here)
    return _hash_parent(suite, parent, left_hash, right_hash, without=here)


def parent_hash(suite: CipherSuite, tree: RatchetTree, parent: ParentNode, sibling: NodeIndex) -> bytes:
    """Return the parent hash that the node below ``parent`` on a path carries (RFC 9420 section 7.9): Nh bytes.

    :param parent: stands in the tree, or is about to. :param sibling: the child of its place that is not on the path.
    """
    writer = Writer()
    writer.opaque(parent.encryption_key)
    writer.opaque(parent.parent_hash)
    writer.opaque(original_tree_hash(suite, tree, sibling, frozenset(parent.unmerged_leaves)))
    return suite.hash(writer.getvalue())


def verify_parent_hashes(suite: CipherSuite, tree: RatchetTree) -> None:
    """Check that every inner node was set by a member below it (RFC 9420 section 7.9.2).

    The unmerged leaves must have been checked before. :raises RuleError: one was not.
    """
    for index, parent in tree.parents():
        below = (left(index), right(index))
        links = [find_link(tree, parent, child) for child in below]
        hashes = (
            (carried_parent_hash(tree, link), parent_hash(suite, tree, parent, sibling))
            for link, sibling in zip(links, reversed(below), strict=True)
            if link is not None
        )
        check_parent_hash_link(index, is_linked=any(carried == computed for carried, computed in hashes))


def find_link(tree: RatchetTree, parent: ParentNode, child: NodeIndex) -> NodeIndex | None:
    """Return the node below ``child`` that may have been set together with ``parent`` (RFC 9420 section 7.9.2).

    That is the node of the child's resolution which is left when the parent's unmerged leaves are taken away. None
    where this does not leave exactly one.
    """
    places = leaves_below(child)
    unmerged = {leaf_to_node(leaf) for leaf in parent.unmerged_leaves if leaf in places}
    resolution = tree.resolution(child)
    links = [place for place in resolution if place not in unmerged]
    return links[0] if links and is_only_link(len(resolution), len(unmerged)) else None


def is_only_link(resolved: int, unmerged: int) -> bool:
    """Answer whether all of a resolution but one node is unmerged above: else somebody is hidden at a parent."""
    return resolved == unmerged + 1


def carried_parent_hash(tree: RatchetTree, index: NodeIndex) -> bytes | None:
    """Return the parent hash that a node carries, None where it is a leaf that was not made by a commit."""
    node = tree.node(index)
    return node.parent_hash if node is not None else None


def check_parent_hash_link(index: NodeIndex, *, is_linked: bool) -> None:
    """Check that exactly one child's side names an inner node (RFC 9420 section 7.9.2). :raises RuleError: none."""
    if not is_linked:
        raise RuleError(f"no node below names node {index} in its parent hash", rule="RFC9420-7.9.2")


def _fill(suite: CipherSuite, tree: RatchetTree, known: list[bytes | None], node: NodeIndex) -> bytes:
    if is_leaf(node):
        leaf = node_to_leaf(node)
        value = _hash_leaf(suite, tree.leaf(leaf), leaf)
    else:
        low, high = left(node), right(node)
        left_hash = known[low] or _fill(suite, tree, known, low)
        right_hash = known[high] or _fill(suite, tree, known, high)
        value = _hash_parent(suite, tree.parent_node(node), left_hash, right_hash, without=_NOBODY)
    known[node] = value
    return value


def _hash_leaf(suite: CipherSuite, leaf: LeafNode | None, index: LeafIndex) -> bytes:
    writer = Writer()
    writer.u8(1)
    writer.u32(index)
    writer.optional(leaf)
    return suite.hash(writer.getvalue())


def _hash_parent(
    suite: CipherSuite,
    parent: ParentNode | None,
    left_hash: bytes,
    right_hash: bytes,
    *,
    without: AbstractSet[LeafIndex],
) -> bytes:
    if parent is not None and without:
        kept = tuple(leaf for leaf in parent.unmerged_leaves if leaf not in without)
        parent = ParentNode(encryption_key=parent.encryption_key, parent_hash=parent.parent_hash, unmerged_leaves=kept)
    writer = Writer()
    writer.u8(2)
    writer.optional(parent)
    writer.opaque(left_hash)
    writer.opaque(right_hash)
    return suite.hash(writer.getvalue())
