"""A ratchet tree with everybody's private keys, and nothing of a group around it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.commit import UpdatePath
from tertulia_protocol.mls.leaf_node import LeafNode, LeafNodeSource
from tertulia_protocol.mls.ratchet_tree import ParentNode, RatchetTree
from tertulia_protocol.mls.tree_hash import tree_hash
from tertulia_protocol.mls.tree_math import LeafIndex, NodeIndex, direct_path, leaf_to_node
from tertulia_protocol.mls.treekem import (
    CreatedPath,
    PrivateKeys,
    create_path,
    decrypt_path,
    join_path,
    merge_path,
    prune_private_keys,
)
from tests.support.mls import make_bundle, seeded_rng

GROUP_ID = b"a tree of tests"


class TreeWorld:
    """A tree and its members; every member's keys are kept as that member would keep them."""

    def __init__(self, suite: CipherSuite, size: int, *, seed: str = "tree") -> None:
        """Start with ``size`` members and all inner nodes blank."""
        self.suite = suite
        self.rng = seeded_rng(seed)
        self.seed = seed
        self.made = 0
        self.seeds: dict[LeafIndex, bytes] = {}
        self.keys: dict[LeafIndex, PrivateKeys] = {}
        leaf, encryption, signature = self.new_member()
        self.tree = RatchetTree([leaf])
        self._seat(LeafIndex(0), encryption, signature)
        for _ in range(size - 1):
            self.add()

    def new_member(self) -> tuple[LeafNode, bytes, bytes]:
        """Return a key package's leaf and its two private keys."""
        self.made += 1
        bundle = make_bundle(self.suite, f"{self.seed} {self.made}")
        return bundle.key_package.leaf_node, bundle.encryption_private, bundle.signature_private

    def add(self) -> LeafIndex:
        """Add a member without a path."""
        leaf, encryption, signature = self.new_member()
        self.tree, index = self.tree.add_leaf(leaf)
        self._seat(index, encryption, signature)
        return index

    def remove(self, index: LeafIndex) -> None:
        """Remove a member without a path."""
        self.tree = self.tree.remove_leaf(index)
        del self.keys[index], self.seeds[index]
        self.keys = {me: prune_private_keys(self.tree, keys) for me, keys in self.keys.items()}

    def sign_leaf(self, sender: LeafIndex, key: bytes, parent_hash: bytes) -> LeafNode:
        """Return the leaf of ``sender`` as its commit would carry it."""
        old = self.tree.leaf(sender)
        assert old is not None
        leaf = replace(old, encryption_key=key, source=LeafNodeSource.COMMIT, lifetime=None, parent_hash=parent_hash)
        return leaf.sign(self.suite, self.seeds[sender], group_id=GROUP_ID, leaf_index=sender)

    def context(self, tree: RatchetTree) -> bytes:
        """Return what stands here for the provisional GroupContext."""
        return GROUP_ID + tree_hash(self.suite, tree)

    def create(self, sender: LeafIndex, added: Collection[LeafIndex] = ()) -> CreatedPath:
        """Make a path of ``sender``; nobody knows it yet."""
        return create_path(
            self.suite,
            self.tree,
            sender,
            new_leaf=lambda key, parent_hash: self.sign_leaf(sender, key, parent_hash),
            context=self.context,
            exclude=frozenset(added),
            rng=self.rng,
        )

    def decrypt(
        self, me: LeafIndex, sender: LeafIndex, path: UpdatePath, added: Collection[LeafIndex] = ()
    ) -> tuple[bytes, PrivateKeys]:
        """Let ``me`` read a path; nothing is kept."""
        tree = merge_path(self.suite, self.tree, sender, path, exclude=frozenset(added))
        return decrypt_path(
            self.suite,
            tree,
            sender=sender,
            me=me,
            update_path=path,
            private_keys=self.keys[me],
            context=self.context(tree),
            exclude=frozenset(added),
        )

    def commit(self, sender: LeafIndex, *, adds: int = 0, removes: Collection[LeafIndex] = ()) -> set[bytes]:
        """Let everybody follow a commit with a path. :returns: the commit secrets that they derive."""
        for index in removes:
            self.remove(index)
        added = [self.add() for _ in range(adds)]
        created = self.create(sender, added)
        path = parse(UpdatePath, serialize(created.update_path))
        keys, secrets = {sender: created.private_keys}, {created.commit_secret}
        for me in self.keys:
            if me in added:
                keys[me] = join_path(
                    self.suite,
                    created.tree,
                    me=me,
                    sender=sender,
                    path_secret=created.path_secret_for(sender, me),
                    leaf_private=self.keys[me][leaf_to_node(me)],
                )
            elif me != sender:
                secret, keys[me] = self.decrypt(me, sender, path, added)
                secrets.add(secret)
        self.tree, self.keys = created.tree, keys
        return secrets

    def check_keys(self) -> None:
        """Assert that every member has the private keys that it should have, and no others."""
        for me, keys in self.keys.items():
            expected = {leaf_to_node(me)}
            for index in direct_path(leaf_to_node(me), self.tree.size):
                node = self.tree.parent_node(index)
                if node is not None and me not in node.unmerged_leaves:
                    expected.add(index)
            assert set(keys) == expected
            for index, key in keys.items():
                node_here = self.tree.node(index)
                assert node_here is not None
                assert node_here.encryption_key == self.suite.public_key(key)

    def _seat(self, index: LeafIndex, encryption: bytes, signature: bytes) -> None:
        self.keys[index] = {leaf_to_node(index): encryption}
        self.seeds[index] = signature


def with_node(tree: RatchetTree, index: NodeIndex, node: LeafNode | ParentNode | None) -> RatchetTree:
    """Return a tree with any node replaced, right or wrong; nothing of the old one is remembered."""
    nodes = [tree.node(NodeIndex(place)) for place in range(2 * tree.size - 1)]
    nodes[index] = node
    return RatchetTree(nodes)


def warm_tree(suite: CipherSuite, size: int, *, seed: str = "tree") -> TreeWorld:
    """Return a world in which every member has sent a path, so that no inner node below a member is blank."""
    world = TreeWorld(suite, size, seed=seed)
    for index in list(world.keys):
        world.commit(index)
    return world
