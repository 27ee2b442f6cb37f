"""treekem.json: paths read by every member, and paths that we create read by every other (sections 7.4 to 7.6)."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.mls.ciphersuite import CipherSuite, get_suite
from tertulia_protocol.mls.commit import UpdatePath
from tertulia_protocol.mls.group_context import GroupContext
from tertulia_protocol.mls.labeled import derive_secret
from tertulia_protocol.mls.leaf_node import LeafNode, LeafNodeSource, verify_leaf_signature
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.tree_hash import tree_hash
from tertulia_protocol.mls.tree_math import LeafIndex, NodeIndex, common_ancestor, leaf_to_node
from tertulia_protocol.mls.tree_validation import verify_tree
from tertulia_protocol.mls.treekem import PrivateKeys, create_path, decrypt_path, join_path, merge_path, own_path
from tests.support.vectors import load_vectors

COUNT = 22
PATHS = 124
SUITES = (1, 3)
NOBODY: frozenset[LeafIndex] = frozenset()


@dataclass(frozen=True)
class Case:
    suite: CipherSuite
    tree: RatchetTree
    context: GroupContext
    members: Mapping[LeafIndex, Mapping[str, Any]]
    paths: tuple[Mapping[str, Any], ...]

    def private_keys(self, me: LeafIndex) -> PrivateKeys:
        keys = {leaf_to_node(me): bytes.fromhex(self.members[me]["encryption_priv"])}
        for entry in self.members[me]["path_secrets"]:
            node_secret = derive_secret(self.suite, bytes.fromhex(entry["path_secret"]), b"node")
            keys[NodeIndex(entry["node"])] = self.suite.derive_key_pair(node_secret).private
        return keys

    def context_of(self, tree: RatchetTree) -> bytes:
        return serialize(replace(self.context, tree_hash=tree_hash(self.suite, tree)))


@cache
def cases() -> tuple[Case, ...]:
    return tuple(read(case) for case in load_vectors("treekem") if case["cipher_suite"] in SUITES)


def read(case) -> Case:
    suite = get_suite(case["cipher_suite"])
    tree = parse(RatchetTree, bytes.fromhex(case["ratchet_tree"]))
    context = GroupContext(
        cipher_suite=suite.id,
        group_id=bytes.fromhex(case["group_id"]),
        epoch=case["epoch"],
        tree_hash=tree_hash(suite, tree),
        confirmed_transcript_hash=bytes.fromhex(case["confirmed_transcript_hash"]),
    )
    members = {LeafIndex(member["index"]): member for member in case["leaves_private"]}
    return Case(suite, tree, context, members, tuple(case["update_paths"]))


def test_all_cases_are_here():
    assert len(cases()) == COUNT
    assert sum(len(case.paths) for case in cases()) == PATHS


@pytest.mark.parametrize("number", range(COUNT))
def test_the_private_keys_fit_the_tree(number):
    case = cases()[number]
    verify_tree(case.suite, case.tree, group_id=case.context.group_id)
    assert set(case.members) == {index for index, _ in case.tree.leaves()}
    for me in case.members:
        for index, key in case.private_keys(me).items():
            node = case.tree.node(index)
            assert node is not None
            assert case.suite.public_key(key) == node.encryption_key


@pytest.mark.parametrize("number", range(COUNT))
def test_every_member_reads_every_path(number):
    case = cases()[number]
    for entry in case.paths:
        sender = LeafIndex(entry["sender"])
        path = parse(UpdatePath, bytes.fromhex(entry["update_path"]))
        verify_leaf_signature(case.suite, path.leaf_node, group_id=case.context.group_id, leaf_index=sender)
        tree = merge_path(case.suite, case.tree, sender, path, exclude=NOBODY)
        assert tree_hash(case.suite, tree).hex() == entry["tree_hash_after"]
        verify_tree(case.suite, tree, group_id=case.context.group_id)
        for me in case.members:
            if me != sender:
                commit_secret, keys = decrypt_path(
                    case.suite,
                    tree,
                    sender=sender,
                    me=me,
                    update_path=path,
                    private_keys=case.private_keys(me),
                    context=case.context_of(tree),
                    exclude=NOBODY,
                )
                assert commit_secret.hex() == entry["commit_secret"]
                check_keys(case.suite, tree, me, keys)
                secret = bytes.fromhex(entry["path_secrets"][me])
                joined = join_path(
                    case.suite,
                    as_if_new(tree, me),
                    me=me,
                    sender=sender,
                    path_secret=secret,
                    leaf_private=keys[leaf_to_node(me)],
                )
                assert joined.items() <= keys.items()
                assert common_ancestor(leaf_to_node(me), leaf_to_node(sender)) in joined


@pytest.mark.parametrize("number", range(COUNT))
def test_every_member_reads_the_paths_that_we_create(number):
    case = cases()[number]
    rng = random.Random(number)  # noqa: S311 - repeatable
    for sender, member in case.members.items():
        old = case.tree.leaf(sender)
        assert old is not None

        def new_leaf(key: bytes, parent_hash: bytes, *, old=old, member=member, sender=sender) -> LeafNode:
            leaf = replace(
                old, encryption_key=key, source=LeafNodeSource.COMMIT, lifetime=None, parent_hash=parent_hash
            )
            seed = bytes.fromhex(member["signature_priv"])
            return leaf.sign(case.suite, seed, group_id=case.context.group_id, leaf_index=sender)

        created = create_path(
            case.suite,
            case.tree,
            sender,
            new_leaf=new_leaf,
            context=case.context_of,
            exclude=NOBODY,
            rng=rng.randbytes,
        )
        path = parse(UpdatePath, serialize(created.update_path))
        tree = merge_path(case.suite, case.tree, sender, path, exclude=NOBODY)
        assert tree == created.tree
        verify_tree(case.suite, tree, group_id=case.context.group_id)
        check_keys(case.suite, tree, sender, created.private_keys)
        again = own_path(case.suite, case.tree, sender, created.first_path_secret)
        assert again[0] == created.commit_secret
        assert {**again[1], leaf_to_node(sender): created.leaf_private} == created.private_keys
        for me in case.members:
            if me != sender:
                commit_secret, keys = decrypt_path(
                    case.suite,
                    tree,
                    sender=sender,
                    me=me,
                    update_path=path,
                    private_keys=case.private_keys(me),
                    context=case.context_of(tree),
                    exclude=NOBODY,
                )
                assert commit_secret == created.commit_secret
                check_keys(case.suite, tree, me, keys)


def check_keys(suite: CipherSuite, tree: RatchetTree, me: LeafIndex, keys: PrivateKeys) -> None:
    """Assert that ``keys`` are the private keys of all nodes at and above ``me`` where it is merged, and no others."""
    expected = {leaf_to_node(me)}
    for index, parent in tree.parents():
        if common_ancestor(leaf_to_node(me), index) == index and me not in parent.unmerged_leaves:
            expected.add(index)
    assert set(keys) == expected
    for index, key in keys.items():
        node = tree.node(index)
        assert node is not None
        assert suite.public_key(key) == node.encryption_key


def as_if_new(tree: RatchetTree, me: LeafIndex) -> RatchetTree:
    """Return the tree with ``me`` unmerged wherever a path secret alone does not reach."""
    nodes = [tree.node(NodeIndex(index)) for index in range(2 * tree.size - 1)]
    for index, parent in tree.parents():
        leaves = {*parent.unmerged_leaves, me}
        nodes[index] = replace(parent, unmerged_leaves=tuple(sorted(leaves)))
    return RatchetTree(nodes)
