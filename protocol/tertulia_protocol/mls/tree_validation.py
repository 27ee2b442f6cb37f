"""What must hold of a whole tree: for whoever joins with it, and after every commit (RFC 9420 12.4.3.1, 7.1, 7.3).

One function per rule. A tree that :func:`verify_tree` accepts keeps to the rules by the way commits change it, but for
the uniqueness of keys, which :func:`verify_unique_keys` checks again without looking at every node.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from itertools import pairwise

from tertulia_protocol.errors import RuleError
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.leaf_node import verify_leaf_signature
from tertulia_protocol.mls.ratchet_tree import ParentNode, RatchetTree
from tertulia_protocol.mls.tree_hash import verify_parent_hashes
from tertulia_protocol.mls.tree_math import LeafIndex, NodeIndex, direct_path, leaf_to_node, leaves_below

_UNMERGED = "RFC9420-12.4.3.1"


def verify_tree(suite: CipherSuite, tree: RatchetTree, *, group_id: bytes) -> None:
    """Check all of a received tree but the content of its leaves (``leaf_node.check_leaf``) and its tree hash.

    :raises RuleError: a rule is broken. :raises AuthenticityError: the signature of a leaf does not hold.
    :raises DecodeError: a key is not one of the suite.
    """
    verify_unique_keys(tree)
    verify_unmerged_leaves(tree)
    for _, parent in tree.parents():
        check_parent_key(suite, parent)
    verify_parent_hashes(suite, tree)
    for index, leaf in tree.leaves():
        verify_leaf_signature(suite, leaf, group_id=group_id, leaf_index=index)


def verify_unique_keys(tree: RatchetTree) -> None:
    """Check that no key stands in two nodes of the tree (RFC 9420 sections 7.3 and 12.4.3.1).

    :raises RuleError: one does.
    """
    check_unique_encryption_keys(tree)
    check_unique_signature_keys(tree)


def check_unique_encryption_keys(tree: RatchetTree) -> None:
    """Check that no two nodes have the same HPKE key. :raises RuleError: two have."""
    if not tree.has_unique_encryption_keys():
        raise RuleError("two nodes have the same encryption key", rule="RFC9420-7.3")


def check_unique_signature_keys(tree: RatchetTree) -> None:
    """Check that no two leaves have the same signature key. :raises RuleError: two have."""
    if not tree.has_unique_signature_keys():
        raise RuleError("two leaves have the same signature key", rule="RFC9420-7.3")


def check_parent_key(suite: CipherSuite, parent: ParentNode) -> None:
    """Check that a parent's key is one of the suite. :raises DecodeError: it is not."""
    suite.check_hpke_public_key(parent.encryption_key)


def verify_unmerged_leaves(tree: RatchetTree) -> None:
    """Check the unmerged leaves of every inner node (RFC 9420 sections 7.1 and 12.4.3.1).

    :raises RuleError: they are not sorted, no members below the node, or missing at a node in between.
    """
    unmerged: dict[NodeIndex, frozenset[LeafIndex]] = {}
    for index, parent in tree.parents():
        check_unmerged_sorted(index, parent)
        check_unmerged_below(index, parent)
        check_unmerged_members(tree, parent)
        unmerged[index] = frozenset(parent.unmerged_leaves)
    for leaf in frozenset().union(*unmerged.values()):
        check_unmerged_between(tree, unmerged, leaf)


def check_unmerged_sorted(index: NodeIndex, parent: ParentNode) -> None:
    """Check that unmerged leaves stand in increasing order, each once. :raises RuleError: they do not."""
    leaves = parent.unmerged_leaves
    if any(one >= next_one for one, next_one in pairwise(leaves)):
        raise RuleError(f"the unmerged leaves of node {index} are not in order", rule="RFC9420-7.1")


def check_unmerged_below(index: NodeIndex, parent: ParentNode) -> None:
    """Check that unmerged leaves are descendants of their node. :raises RuleError: one is not."""
    places = leaves_below(index)
    if any(leaf not in places for leaf in parent.unmerged_leaves):
        raise RuleError(f"an unmerged leaf of node {index} is not below it", rule=_UNMERGED)


def check_unmerged_members(tree: RatchetTree, parent: ParentNode) -> None:
    """Check that unmerged leaves are not blank. :raises RuleError: one is."""
    for leaf in parent.unmerged_leaves:
        if tree.leaf(leaf) is None:
            raise RuleError(f"the unmerged leaf {leaf} is blank", rule=_UNMERGED)


def check_unmerged_between(
    tree: RatchetTree, unmerged: Mapping[NodeIndex, AbstractSet[LeafIndex]], leaf: LeafIndex
) -> None:
    """Check that every inner node below one that lists ``leaf`` lists it too. :raises RuleError: one does not.

    :param unmerged: the unmerged leaves of every inner node that is not blank.
    """
    is_missing = False
    for index in direct_path(leaf_to_node(leaf), tree.size):
        if index in unmerged:
            is_listed = leaf in unmerged[index]
            if is_listed and is_missing:
                raise RuleError(f"leaf {leaf} is unmerged at node {index} but not below it", rule=_UNMERGED)
            is_missing |= not is_listed
