"""Where the nodes of a tree stand (RFC 9420 section 4.1 and appendix C): arithmetic on indices, nothing else.

Leaves are the even node indices; the number of leaves is always a power of two. Functions that need no tree size
take none: the tree is full, so a node's children and sibling do not depend on it.
"""

from __future__ import annotations

from typing import NewType

LeafIndex = NewType("LeafIndex", int)
NodeIndex = NewType("NodeIndex", int)


def node_width(n_leaves: int) -> int:
    """Return how many nodes a tree of ``n_leaves`` leaves has."""
    return 0 if n_leaves == 0 else 2 * n_leaves - 1


def padded_size(n_leaves: int) -> int:
    """Return the smallest power of two of at least ``n_leaves``: how many leaves the full tree has."""
    return 1 if n_leaves <= 1 else 1 << (n_leaves - 1).bit_length()


def level(node: NodeIndex) -> int:
    """Return the height of a node above the leaves, which are at 0."""
    return (~node & (node + 1)).bit_length() - 1


def is_leaf(node: NodeIndex) -> bool:
    """Answer whether a node is a leaf."""
    return node & 1 == 0


def leaf_to_node(leaf: LeafIndex) -> NodeIndex:
    """Return the node index of a leaf."""
    return NodeIndex(2 * leaf)


def node_to_leaf(node: NodeIndex) -> LeafIndex:
    """Return the leaf index of a node. :raises ValueError: it is a parent."""
    if node & 1:
        raise ValueError(f"node {node} is not a leaf")
    return LeafIndex(node >> 1)


def root(n_leaves: int) -> NodeIndex:
    """Return the root of a tree of ``n_leaves`` leaves, a power of two."""
    return NodeIndex(n_leaves - 1)


def left(node: NodeIndex) -> NodeIndex:
    """Return the left child. :raises ValueError: a leaf has none."""
    return NodeIndex(node ^ (1 << (_level_of_parent(node) - 1)))


def right(node: NodeIndex) -> NodeIndex:
    """Return the right child. :raises ValueError: a leaf has none."""
    return NodeIndex(node ^ (3 << (_level_of_parent(node) - 1)))


def _level_of_parent(node: NodeIndex) -> int:
    height = level(node)
    if height == 0:
        raise ValueError(f"leaf node {node} has no children")
    return height


def parent(node: NodeIndex, n_leaves: int) -> NodeIndex:
    """Return the parent. :raises ValueError: the root has none."""
    if node == root(n_leaves):
        raise ValueError("the root has no parent")
    height = level(node)
    return NodeIndex((node | (1 << height)) & ~(1 << (height + 1)))


def sibling(node: NodeIndex, n_leaves: int) -> NodeIndex:
    """Return the other child of the parent. :raises ValueError: the root has none."""
    if node == root(n_leaves):
        raise ValueError("the root has no sibling")
    return NodeIndex(node ^ (2 << level(node)))


def direct_path(node: NodeIndex, n_leaves: int) -> tuple[NodeIndex, ...]:
    """Return the parents of a node, from its own up to the root."""
    top = root(n_leaves)
    path: list[NodeIndex] = []
    while node != top:
        height = level(node)
        node = NodeIndex((node | (1 << height)) & ~(1 << (height + 1)))
        path.append(node)
    return tuple(path)


def copath(node: NodeIndex, n_leaves: int) -> tuple[NodeIndex, ...]:
    """Return the siblings of a node and of its direct path but the root, from below."""
    if node == root(n_leaves):
        return ()
    below = (node, *direct_path(node, n_leaves)[:-1])
    return tuple(NodeIndex(x ^ (2 << level(x))) for x in below)


def common_ancestor(one: NodeIndex, other: NodeIndex) -> NodeIndex:
    """Return the lowest node above both or equal to one of them."""
    height, higher = sorted((level(one), level(other)))
    if one >> (higher + 1) == other >> (higher + 1) and height <= higher:
        return one if level(one) == higher else other
    shift = higher
    while one >> shift != other >> shift:
        shift += 1
    return NodeIndex(((one >> shift) << shift) + (1 << (shift - 1)) - 1)


def leaves_below(node: NodeIndex) -> range:
    """Return the indices of the leaves of a subtree."""
    span = (1 << level(node)) - 1
    return range((node - span) // 2, (node + span) // 2 + 1)
