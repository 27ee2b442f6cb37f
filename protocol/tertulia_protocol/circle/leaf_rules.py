"""What a leaf of a circle must be, and what all leaves together must be: rules V8 and V9 (docs/protocol, "Commits").

Every function here is one check. They look at leaves and the Charter alone, so that all members come to one answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Final

from tertulia_protocol.circle.charter import REFRESH_TYPE, Charter
from tertulia_protocol.circle.identity import MemberCredential, ban_hash, member_of, verify_credential
from tertulia_protocol.errors import InvalidMessageError, RuleError
from tertulia_protocol.mls.leaf_node import LeafNode
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.tree_math import LeafIndex

V8: Final = "V8"
V9: Final = "V9"
MAX_LEAF_BYTES: Final = 2048
"""A leaf of the hybrid suite has about 1500 bytes. Without a bound one member could make the tree so large that no
commit fits into an entry any more (E25)."""


def verify_leaf(leaf: LeafNode, *, lineage_id: bytes, refresh: bool = False) -> MemberCredential:
    """Check one leaf by itself (V8) and return whose it is. :param refresh: whether it is the path of a refresh (E5).

    :raises InvalidMessageError: the credential does not bind this leaf to a member, or the leaf is not of a circle.
    """
    check_leaf_size(leaf)
    check_leaf_capabilities(leaf)
    if not refresh:
        check_leaf_extensions(leaf)
    return verify_credential(leaf.credential, leaf_signature_key=leaf.signature_key, lineage_id=lineage_id)


def check_leaf_size(leaf: LeafNode) -> None:
    """Check that a leaf is not blown up. :raises RuleError: it has more than ``MAX_LEAF_BYTES``."""
    if len(leaf.encoding) > MAX_LEAF_BYTES:
        raise RuleError(f"a leaf of {len(leaf.encoding)} bytes", rule=V8)


def check_leaf_capabilities(leaf: LeafNode) -> None:
    """Check that a leaf lists 0xFA11, which refreshes put into leaves (E5). :raises RuleError: it does not.

    MLS checks that it lists 0xFA10, which is required of all.
    """
    if not leaf.capabilities.supports_extension(REFRESH_TYPE):
        raise RuleError("a leaf does not list the extension of refreshes", rule=V8)


def check_leaf_extensions(leaf: LeafNode) -> None:
    """Check that a leaf carries no extension: 0xFA11 stands in the path of a refresh only (E5).

    Whoever may carry it elsewhere could spend or renew the right to refresh as it likes.

    :raises RuleError: it carries one.
    """
    if leaf.extensions:
        raise RuleError(f"a leaf carries extension {leaf.extensions[0].type:#06x}", rule=V8)


def check_same_device(old: MemberCredential, new: MemberCredential) -> None:
    """Check that a leaf stays whose it was: an Update or a path cannot turn one device into another.

    :raises RuleError: member or device changes.
    """
    if old.device != new.device:
        raise RuleError("a leaf changes its member or device", rule=V8)


def is_valid_update(tree: RatchetTree, sender: LeafIndex, leaf: LeafNode, *, lineage_id: bytes) -> bool:
    """Answer whether an Update passes V8. A committer leaves out those that do not: one would spoil its commit."""
    old = tree.leaf(sender)
    if old is None:
        return False
    try:
        check_same_device(member_of(old), verify_leaf(leaf, lineage_id=lineage_id))
    except InvalidMessageError:
        return False
    return True


def members_gone(tree: RatchetTree, leaves: Collection[LeafIndex]) -> frozenset[bytes]:
    """Return the member_pks that have no leaf besides these. :param leaves: of members of ``tree``."""
    gone = {member_of(leaf).member_pk for index, leaf in tree.leaves() if index in leaves}
    return frozenset(gone - {member_of(leaf).member_pk for index, leaf in tree.leaves() if index not in leaves})


def verify_all_leaves(tree: RatchetTree, charter: Charter) -> None:
    """Check every leaf by itself, as a joiner and V16 do. :raises InvalidMessageError: one is not valid."""
    for _, leaf in tree.leaves():
        verify_leaf(leaf, lineage_id=charter.lineage_id, refresh=is_refresh_leaf(leaf))


def is_refresh_leaf(leaf: LeafNode) -> bool:
    """Answer whether a leaf that stands in the tree came there by a refresh: it carries 0xFA11 and nothing else."""
    return tuple(extension.type for extension in leaf.extensions) == (REFRESH_TYPE,)


def check_signature_keys(tree: RatchetTree) -> None:
    """Check that no two leaves share a signature key (V9). MLS checks it before. :raises RuleError: two do."""
    if not tree.has_unique_signature_keys():
        raise RuleError("two leaves share a signature key", rule=V9)


def check_devices_differ(tree: RatchetTree) -> None:
    """Check that no device stands in the tree twice (V9). :raises RuleError: one does.

    Who is re-added must be removed by the same commit; otherwise the old leaf would stay and read on.
    """
    devices = [member_of(leaf).device for _, leaf in tree.leaves()]
    if len(devices) != len(set(devices)):
        raise RuleError("a device stands in the tree twice", rule=V9)


def check_max_devices(tree: RatchetTree, charter: Charter) -> None:
    """Check that no member has more leaves than the circle allows (V9). :raises RuleError: somebody has."""
    leaves = Counter(member_of(leaf).member_pk for _, leaf in tree.leaves())
    if max(leaves.values()) > charter.policy.max_devices:
        raise RuleError(f"a member has {max(leaves.values())} devices", rule=V9)


def check_max_leaves(tree: RatchetTree, charter: Charter) -> None:
    """Check that the circle has no more leaves than it allows (V9). :raises RuleError: it has."""
    count = sum(1 for _ in tree.leaves())
    if count > charter.policy.max_leaves:
        raise RuleError(f"{count} leaves where {charter.policy.max_leaves} are allowed", rule=V9)


def check_no_banned(tree: RatchetTree, charter: Charter) -> None:
    """Check that nobody is in the tree who is banned (V9). :raises RuleError: somebody is."""
    banned = frozenset(charter.banned)
    if any(ban_hash(member_of(leaf).member_pk) in banned for _, leaf in tree.leaves()):
        raise RuleError("a banned member is in the circle", rule=V9)


def check_leaves_together(tree: RatchetTree, charter: Charter) -> None:
    """Check all of V9. :raises RuleError: one rule is broken."""
    check_signature_keys(tree)
    check_devices_differ(tree)
    check_max_devices(tree, charter)
    check_max_leaves(tree, charter)
    check_no_banned(tree, charter)
