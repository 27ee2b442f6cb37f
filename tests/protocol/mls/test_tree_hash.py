from __future__ import annotations

from dataclasses import replace

import pytest

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import RuleError
from tertulia_protocol.mls.ciphersuite import X25519_AES128
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.tree_hash import find_link, original_tree_hash, tree_hash, verify_parent_hashes
from tests.support.mls_tree import TreeWorld, warm_tree, with_node

SUITE = X25519_AES128


class CountingSuite:
    """A suite that counts how often it hashes."""

    def __init__(self) -> None:
        self.id = SUITE.id
        self.count = 0

    def hash(self, data: bytes) -> bytes:
        self.count += 1
        return SUITE.hash(data)


def test_only_what_changed_is_hashed_again():
    world = TreeWorld(SUITE, 128)
    counting = CountingSuite()
    tree_hash(counting, world.tree)
    assert counting.count == 255
    changed = world.tree.update_leaf(5, world.new_member()[0])
    tree_hash(counting, changed)
    assert counting.count == 255 + 8
    tree_hash(counting, changed)
    tree_hash(counting, world.tree)
    assert counting.count == 255 + 8


def test_a_grown_and_a_truncated_tree_keep_their_hashes():
    world = TreeWorld(SUITE, 64)
    counting = CountingSuite()
    tree_hash(counting, world.tree)
    grown, index = world.tree.add_leaf(world.new_member()[0])
    counting.count = 0
    tree_hash(counting, grown)
    assert counting.count == 128
    counting.count = 0
    assert tree_hash(counting, grown.remove_leaf(index)) == tree_hash(SUITE, world.tree)
    assert counting.count == 0


def test_hashes_of_one_suite_are_not_given_to_another():
    world = TreeWorld(SUITE, 3)
    first = tree_hash(SUITE, world.tree)
    other = CountingSuite()
    other.id = 0xFFFF
    assert tree_hash(other, world.tree) == first
    assert other.count == 7


def test_the_original_hash_is_that_of_the_tree_before_the_leaves_came():
    world = warm_tree(SUITE, 6)
    before = world.tree
    for _ in range(2):
        world.add()
    after = world.tree
    assert tree_hash(SUITE, after) != tree_hash(SUITE, before)
    assert original_tree_hash(SUITE, after, after.root, frozenset((6, 7))) == tree_hash(SUITE, before)
    assert original_tree_hash(SUITE, after, 3, frozenset((6, 7))) == tree_hash(SUITE, before, 3)


@pytest.mark.parametrize("size", [2, 3, 5, 8, 13])
def test_trees_that_commits_made_are_linked(size):
    world = warm_tree(SUITE, size)
    world.add()
    world.commit(0, adds=2)
    verify_parent_hashes(SUITE, parse(RatchetTree, serialize(world.tree)))


def test_a_parent_that_nobody_below_names_is_refused():
    world = warm_tree(SUITE, 8)
    before = serialize(world.tree)
    for index, parent in world.tree.parents():
        key = bytes((parent.encryption_key[0] ^ 1,)) + parent.encryption_key[1:]
        forged = with_node(world.tree, index, replace(parent, encryption_key=key))
        with pytest.raises(RuleError) as caught:
            verify_parent_hashes(SUITE, forged)
        assert caught.value.code == "message.rule"
        assert caught.value.rule == "RFC9420-7.9.2"
    assert serialize(world.tree) == before


def test_a_changed_parent_hash_a_changed_sibling_and_a_missing_child_are_refused():
    world = warm_tree(SUITE, 8)
    lower = world.tree.parent_node(11)
    other = with_node(world.tree, 11, replace(lower, parent_hash=b"\1" * 32))
    beside = with_node(world.tree, 0, replace(world.tree.leaf(0), signature=b"\1" * 64))
    blank = with_node(with_node(world.tree, 11, None), 3, None)
    for forged in (other, beside, blank):
        with pytest.raises(RuleError):
            verify_parent_hashes(SUITE, forged)


def test_a_link_needs_the_unmerged_leaves_of_the_resolution():
    world = warm_tree(SUITE, 7)
    world.add()
    root = world.tree.parent_node(7)
    assert root.unmerged_leaves == (7,)
    assert find_link(world.tree, root, 11) == 11
    assert find_link(world.tree, replace(root, unmerged_leaves=()), 11) is None
    assert find_link(world.tree, replace(root, unmerged_leaves=(6, 7)), 11) is None
