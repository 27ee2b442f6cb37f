from __future__ import annotations

import time

import pytest

from tertulia_protocol.codec import Writer, parse, serialize
from tertulia_protocol.errors import DecodeError, RuleError, UsageError
from tertulia_protocol.mls.ciphersuite import X25519_AES128
from tertulia_protocol.mls.ratchet_tree import MAX_NODES, ParentNode, PathStep, RatchetTree
from tertulia_protocol.mls.tree_hash import tree_hash
from tertulia_protocol.mls.tree_nodes import encode_optional_node
from tests.support.mls_tree import TreeWorld, warm_tree

PARENT = ParentNode(encryption_key=b"p" * 32, parent_hash=b"")


def encode_nodes(*nodes):
    inner = Writer()
    for node in nodes:
        encode_optional_node(inner, node)
    writer = Writer()
    writer.opaque(inner.getvalue())
    return writer.getvalue()


@pytest.fixture
def world():
    return TreeWorld(X25519_AES128, 5)


def test_a_tree_of_five_has_eight_places(world):
    tree = world.tree
    assert tree.size == 8
    assert tree.root == 7
    assert [index for index, _ in tree.leaves()] == [0, 1, 2, 3, 4]
    assert tree.leaf(5) is None
    assert tree.leaf(8) is None
    assert tree.leaf(-1) is None
    assert parse(RatchetTree, serialize(tree)) == tree


def test_resolutions_of_blank_and_partly_merged_nodes(world):
    assert world.tree.resolution(7) == (0, 2, 4, 6, 8)
    assert world.tree.resolution(13) == ()
    world.commit(0)
    world.add()
    assert world.tree.resolution(7) == (7, 10)
    assert world.tree.resolution(11) == (8, 10)
    assert world.tree.resolution(3) == (3,)


def test_the_filtered_path_leaves_out_nodes_beside_nobody(world):
    assert world.tree.path_steps(4) == (PathStep(node=7, copath=3),)
    assert world.tree.filtered_direct_path(0) == (1, 3, 7)
    assert TreeWorld(X25519_AES128, 1).tree.path_steps(0) == ()


def test_a_new_leaf_takes_the_leftmost_blank_place_and_is_unmerged_above():
    world = warm_tree(X25519_AES128, 8)
    world.remove(1)
    world.remove(2)
    world.commit(0)
    assert world.add() == 1
    assert world.add() == 2
    assert [parent.unmerged_leaves for _, parent in world.tree.parents() if parent.unmerged_leaves] == [(1, 2), (1, 2)]
    assert world.add() == 8
    assert world.tree.size == 16


def test_one_editor_fills_several_places():
    world = TreeWorld(X25519_AES128, 8)
    editor = world.tree.edit()
    for index in (2, 5):
        editor.remove_leaf(index)
    assert [editor.add_leaf(world.new_member()[0]) for _ in range(3)] == [2, 5, 8]
    editor.remove_leaf(0)
    assert editor.add_leaf(world.new_member()[0]) == 0


def test_an_update_blanks_the_direct_path():
    world = warm_tree(X25519_AES128, 4)
    leaf = world.new_member()[0]
    after = world.tree.update_leaf(2, leaf)
    assert after.leaf(2) is leaf
    assert [index for index, _ in after.parents()] == [1]


def test_removing_truncates_and_never_the_last():
    world = TreeWorld(X25519_AES128, 9)
    assert world.tree.size == 16
    world.remove(8)
    assert world.tree.size == 8
    for index in (1, 2, 3, 4, 5, 6):
        world.remove(index)
    assert world.tree.size == 8
    world.remove(7)
    assert world.tree.size == 1
    with pytest.raises(UsageError):
        world.tree.remove_leaf(0)


def test_there_is_no_tree_without_members():
    with pytest.raises(UsageError):
        RatchetTree([None, None, None])


@pytest.mark.parametrize("index", [3, 8, 1000])
def test_a_blank_leaf_can_be_neither_removed_nor_updated(index):
    world = TreeWorld(X25519_AES128, 5)
    world.remove(3)
    before = serialize(world.tree)
    leaf = world.new_member()[0]
    for change in (
        lambda: world.tree.remove_leaf(index),
        lambda: world.tree.update_leaf(index, leaf),
        lambda: world.tree.apply_path(index, leaf, {}),
    ):
        with pytest.raises(RuleError) as caught:
            change()
        assert caught.value.code == "message.rule"
        assert caught.value.rule == "RFC9420-12.1.3"
    assert serialize(world.tree) == before


def test_a_tree_that_ends_with_a_blank_node_is_malformed(world):
    leaf = world.tree.leaf(0)
    assert parse(RatchetTree, encode_nodes(leaf)).size == 1
    with pytest.raises(DecodeError, match="ends with a blank"):
        parse(RatchetTree, encode_nodes(leaf, None, None))


def test_an_empty_tree_is_malformed():
    with pytest.raises(DecodeError):
        parse(RatchetTree, encode_nodes())


@pytest.mark.parametrize("place", [0, 1])
def test_a_node_in_the_wrong_place_is_malformed(world, place):
    nodes = [world.tree.leaf(0), None, world.tree.leaf(1)]
    nodes[place] = (PARENT, world.tree.leaf(2))[place]
    with pytest.raises(DecodeError, match="wrong type"):
        parse(RatchetTree, encode_nodes(*nodes))


def test_a_node_of_unknown_type_is_malformed():
    with pytest.raises(DecodeError, match="type 3"):
        parse(RatchetTree, bytes((2, 1, 3)))


def test_a_change_leaves_the_tree_before_and_its_hashes_alone():
    world = warm_tree(X25519_AES128, 8)
    tree = world.tree
    before, known = serialize(tree), tree_hash(X25519_AES128, tree)
    leaf = world.new_member()[0]
    for changed in (tree.add_leaf(leaf)[0], tree.update_leaf(3, leaf), tree.remove_leaf(7)):
        assert tree_hash(X25519_AES128, changed) == tree_hash(X25519_AES128, parse(RatchetTree, serialize(changed)))
        assert tree_hash(X25519_AES128, changed) != known
        assert changed != tree
    assert serialize(tree) == before
    assert tree_hash(X25519_AES128, tree) == known


def test_changed_nodes_are_those_that_an_update_touches():
    world = warm_tree(X25519_AES128, 8)
    leaf = world.new_member()[0]
    after = world.tree.update_leaf(2, leaf)
    assert dict(after.changed_nodes(world.tree)) == {4: leaf, 5: None, 3: None, 7: None}
    assert list(after.changed_nodes(after)) == []
    grown, _ = world.tree.add_leaf(leaf)
    assert set(dict(grown.changed_nodes(world.tree))) == {16}
    assert dict(world.tree.changed_nodes(grown)) == {16: None}


def test_keys_are_counted_through_every_change():
    world = TreeWorld(X25519_AES128, 3)
    leaf = world.tree.leaf(1)
    twice, index = world.tree.add_leaf(leaf)
    assert not twice.has_unique_encryption_keys()
    assert not twice.has_unique_signature_keys()
    once = twice.remove_leaf(index)
    assert once.has_unique_encryption_keys()
    assert once.has_unique_signature_keys()
    assert once.has_encryption_key(leaf.encryption_key)
    assert once.has_signature_key(leaf.signature_key)
    none = once.remove_leaf(1)
    assert not none.has_encryption_key(leaf.encryption_key)
    assert not none.has_signature_key(leaf.signature_key)


def test_a_parent_is_not_asked_of_a_leaf(world):
    with pytest.raises(UsageError):
        world.tree.parent_node(0)
    assert repr(world.tree) == "RatchetTree(members=5, size=8)"
    assert repr(world.tree.edit()) == "TreeEditor(size=8)"
    assert world.tree != "a tree"


def test_a_tree_of_too_many_nodes_is_refused_before_it_is_built(world):
    leaf = Writer()
    encode_optional_node(leaf, world.tree.leaf(0))
    for blanks, is_refused in ((MAX_NODES - 1, False), (MAX_NODES + 1, True), (1 << 22, True)):
        writer = Writer()
        writer.opaque(bytes(blanks) + leaf.getvalue())
        data, start = writer.getvalue(), time.process_time()
        if is_refused:
            with pytest.raises(DecodeError, match="more than"):
                parse(RatchetTree, data)
            assert time.process_time() - start < 1
        else:
            assert parse(RatchetTree, data).size == 2**16
