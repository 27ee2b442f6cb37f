from __future__ import annotations

from dataclasses import replace

import pytest

from tertulia_protocol.codec import serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError, RuleError
from tertulia_protocol.mls.ciphersuite import HYBRID, X25519_AES128
from tertulia_protocol.mls.tree_validation import verify_tree, verify_unique_keys, verify_unmerged_leaves
from tests.support.mls_tree import GROUP_ID, TreeWorld, warm_tree, with_node

SUITE = X25519_AES128


@pytest.fixture(scope="module")
def world():
    """Eight members who all sent a path; 2 and 6 were replaced, and are unmerged at 3, 5 and 7 or 11, 13 and 7."""
    world = warm_tree(SUITE, 8)
    world.commit(0, removes=(2, 6))
    world.commit(3)
    world.commit(7)
    world.add()
    world.add()
    return world


def unmerged(world):
    return {index: parent.unmerged_leaves for index, parent in world.tree.parents()}


def forge(world, index, *leaves):
    parent = world.tree.parent_node(index)
    return with_node(world.tree, index, replace(parent, unmerged_leaves=leaves))


def refuse(check, tree, rule):
    before = serialize(tree)
    with pytest.raises(RuleError) as caught:
        check(tree)
    assert caught.value.code == "message.rule"
    assert caught.value.rule == rule
    assert serialize(tree) == before
    with pytest.raises((RuleError, AuthenticityError)):
        verify_tree(SUITE, tree, group_id=GROUP_ID)


def test_the_tree_itself_is_valid(world):
    assert unmerged(world) == {1: (), 3: (2,), 7: (2, 6), 9: (), 11: (6,)}
    verify_tree(SUITE, world.tree, group_id=GROUP_ID)


@pytest.mark.parametrize("suite", [SUITE, HYBRID], ids=lambda suite: suite.name)
def test_trees_stay_valid_through_commits(suite):
    world = warm_tree(suite, 4)
    world.commit(1, adds=3)
    world.commit(5, removes=(0, 2))
    verify_tree(suite, world.tree, group_id=GROUP_ID)


@pytest.mark.parametrize("leaves", [(6, 2), (2, 2, 6), (2, 6, 6)])
def test_unmerged_leaves_out_of_order_are_refused(world, leaves):
    refuse(verify_unmerged_leaves, forge(world, 7, *leaves), "RFC9420-7.1")


def test_an_unmerged_leaf_elsewhere_in_the_tree_is_refused(world):
    refuse(verify_unmerged_leaves, forge(world, 3, 2, 5), "RFC9420-12.4.3.1")


def test_an_unmerged_leaf_outside_the_tree_is_refused(world):
    refuse(verify_unmerged_leaves, forge(world, 7, 2, 6, 4000000000), "RFC9420-12.4.3.1")


def test_a_blank_unmerged_leaf_is_refused(world):
    refuse(verify_unmerged_leaves, with_node(world.tree, 4, None), "RFC9420-12.4.3.1")


def test_a_leaf_that_is_merged_in_between_is_refused(world):
    refuse(verify_unmerged_leaves, forge(world, 3), "RFC9420-12.4.3.1")


def test_a_leaf_that_is_left_out_above_is_refused_by_its_parent_hash(world):
    tree = forge(world, 7, 2)
    verify_unmerged_leaves(tree)
    with pytest.raises(RuleError, match=r"7\.9\.2"):
        verify_tree(SUITE, tree, group_id=GROUP_ID)


def test_two_leaves_with_one_encryption_key_are_refused(world):
    leaf = replace(world.tree.leaf(1), encryption_key=world.tree.leaf(0).encryption_key)
    refuse(verify_unique_keys, with_node(world.tree, 2, leaf), "RFC9420-7.3")


def test_a_parent_with_the_encryption_key_of_a_leaf_is_refused(world):
    parent = replace(world.tree.parent_node(1), encryption_key=world.tree.leaf(5).encryption_key)
    refuse(verify_unique_keys, with_node(world.tree, 1, parent), "RFC9420-7.3")


def test_two_leaves_with_one_signature_key_are_refused(world):
    leaf = replace(world.tree.leaf(1), signature_key=world.tree.leaf(0).signature_key)
    refuse(verify_unique_keys, with_node(world.tree, 2, leaf), "RFC9420-7.3")


@pytest.mark.parametrize("key", [b"", b"k" * 31, b"k" * 33])
def test_a_parent_key_of_another_length_is_refused(world, key):
    tree = with_node(world.tree, 7, replace(world.tree.parent_node(7), encryption_key=key))
    with pytest.raises(DecodeError):
        verify_tree(SUITE, tree, group_id=GROUP_ID)


def test_a_leaf_with_a_wrong_signature_is_refused():
    world = TreeWorld(SUITE, 3)
    world.commit(0)
    leaf = world.tree.leaf(1)
    tree = with_node(world.tree, 2, replace(leaf, signature=bytes((leaf.signature[0] ^ 1,)) + leaf.signature[1:]))
    with pytest.raises(AuthenticityError) as caught:
        # Alone in its half the leaf is in nobody's parent hash, so that only the signature can tell.
        verify_tree(SUITE, with_node(with_node(tree, 1, None), 3, None), group_id=GROUP_ID)
    assert caught.value.code == "message.authenticity"


def test_a_committed_leaf_of_another_group_or_place_is_refused():
    world = TreeWorld(SUITE, 2)
    world.commit(0)
    verify_tree(SUITE, world.tree, group_id=GROUP_ID)
    with pytest.raises(AuthenticityError):
        verify_tree(SUITE, world.tree, group_id=b"another group")
