from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import AuthenticityError, DecodeError, RuleError
from tertulia_protocol.mls.ciphersuite import HYBRID, X25519_AES128, X25519_CHACHA20
from tertulia_protocol.mls.labeled import encrypt_with_label
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.tree_hash import tree_hash
from tertulia_protocol.mls.tree_validation import verify_tree
from tertulia_protocol.mls.treekem import decrypt_path, derive_path, join_path, link_path, merge_path, own_path
from tests.support.mls_tree import GROUP_ID, TreeWorld, warm_tree

SUITE = X25519_AES128


@pytest.fixture
def world():
    return warm_tree(SUITE, 6)


def refuse_path(world, sender, path, rule):
    before = serialize(world.tree)
    with pytest.raises(RuleError) as caught:
        merge_path(world.suite, world.tree, sender, path, exclude=frozenset())
    assert caught.value.code == "message.rule"
    assert caught.value.rule == rule
    assert serialize(world.tree) == before


def with_keys(world, sender, path, *, leaf=None, nodes=None):
    """Return a path whose keys were chosen by its author, with the parent hash and signature that fit them."""
    leaf_key = leaf or path.leaf_node.encryption_key
    keys = [node.encryption_key for node in path.nodes]
    keys = [(nodes or {}).get(place, key) for place, key in enumerate(keys)]
    changed = tuple(replace(node, encryption_key=key) for node, key in zip(path.nodes, keys, strict=True))
    steps = world.tree.path_steps(sender)
    _, parent_hash = link_path(world.suite, world.tree, steps, keys)
    return replace(path, leaf_node=world.sign_leaf(sender, leaf_key, parent_hash), nodes=changed)


def with_node(path, place, **changes):
    nodes = list(path.nodes)
    nodes[place] = replace(nodes[place], **changes)
    return replace(path, nodes=tuple(nodes))


@pytest.mark.parametrize("suite", [SUITE, X25519_CHACHA20, HYBRID], ids=lambda suite: suite.name)
@pytest.mark.parametrize("seed", range(4))
def test_everybody_agrees_through_a_history_of_commits(suite, seed):
    choose = random.Random(f"{suite.name} {seed}")  # noqa: S311 - repeatable, nothing secret
    world = TreeWorld(suite, choose.randint(1, 6), seed=str(seed))
    for _ in range(8):
        members = sorted(world.keys)
        sender = choose.choice(members)
        others = [index for index in members if index != sender]
        kind = choose.random()
        if kind < 0.2:
            world.add()
        elif kind < 0.4 and others:
            world.remove(choose.choice(others))
        else:
            removes = choose.sample(others, min(len(others), choose.randint(0, 2)))
            assert len(world.commit(sender, adds=choose.randint(0, 3), removes=removes)) == 1
        world.check_keys()
        verify_tree(suite, world.tree, group_id=GROUP_ID)
        fresh = parse(RatchetTree, serialize(world.tree))
        assert fresh == world.tree
        assert tree_hash(suite, fresh) == tree_hash(suite, world.tree)


def test_a_path_of_the_only_member_has_no_nodes():
    world = TreeWorld(SUITE, 1)
    created = world.create(0)
    assert created.update_path.nodes == ()
    assert created.update_path.leaf_node.parent_hash == b""
    assert created.commit_secret == created.first_path_secret
    assert merge_path(SUITE, world.tree, 0, created.update_path, exclude=frozenset()) == created.tree


def test_new_members_get_no_ciphertext_and_join_by_their_path_secret(world):
    added = [world.add(), world.add()]
    created = world.create(0, added)
    assert [len(node.encrypted_path_secret) for node in created.update_path.nodes] == [1, 1, 1]
    keys = join_path(
        SUITE,
        created.tree,
        me=added[0],
        sender=0,
        path_secret=created.path_secret_for(0, added[0]),
        leaf_private=world.keys[added[0]][2 * added[0]],
    )
    assert set(keys) == {12, 7}
    assert keys[7] == created.private_keys[7]


def test_an_own_path_is_derived_again_from_its_first_secret(world):
    created = world.create(2)
    commit_secret, keys = own_path(SUITE, world.tree, 2, created.first_path_secret)
    assert commit_secret == created.commit_secret
    assert {**keys, 4: created.leaf_private} == created.private_keys


def test_a_removed_member_can_read_nothing(world):
    keys = world.keys[5]
    world.remove(5)
    created = world.create(0)
    with pytest.raises(RuleError, match="nothing that we can decrypt"):
        decrypt_path(
            SUITE,
            created.tree,
            sender=0,
            me=5,
            update_path=created.update_path,
            private_keys=keys,
            context=world.context(created.tree),
            exclude=frozenset(),
        )


@pytest.mark.parametrize("change", ["shorter", "longer"])
def test_a_path_of_another_length_is_refused(world, change):
    path = world.create(0).update_path
    nodes = path.nodes[:-1] if change == "shorter" else (*path.nodes, path.nodes[-1])
    refuse_path(world, 0, replace(path, nodes=nodes), "RFC9420-7.5")


@pytest.mark.parametrize("change", ["fewer", "more"])
def test_a_path_node_with_another_number_of_ciphertexts_is_refused(world, change):
    path = world.create(0).update_path
    (only,) = path.nodes[1].encrypted_path_secret
    ciphertexts = () if change == "fewer" else (only, only)
    refuse_path(world, 0, with_node(path, 1, encrypted_path_secret=ciphertexts), "RFC9420-7.6")


def test_a_path_with_a_ciphertext_for_a_new_member_is_refused(world):
    added = world.add()
    path = world.create(0).update_path
    with pytest.raises(RuleError) as caught:
        merge_path(SUITE, world.tree, 0, path, exclude=frozenset((added,)))
    assert caught.value.rule == "RFC9420-7.6"


@pytest.mark.parametrize("key", [b"", b"k" * 31, b"k" * 33, bytes(32)])
def test_a_path_key_that_is_none_is_refused(world, key):
    path = with_keys(world, 0, world.create(0).update_path, nodes={1: key})
    before = serialize(world.tree)
    with pytest.raises(DecodeError):
        merge_path(SUITE, world.tree, 0, path, exclude=frozenset())
    assert serialize(world.tree) == before


def test_a_path_that_keeps_its_leaf_key_is_refused(world):
    path = world.create(0).update_path
    old = world.tree.leaf(0).encryption_key
    refuse_path(world, 0, with_keys(world, 0, path, leaf=old), "RFC9420-12.4.2")


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("node", [2, 7, 9])
def test_a_path_with_a_key_of_the_tree_is_refused(world, place, node):
    key = world.tree.node(node).encryption_key
    path = with_keys(world, 0, world.create(0).update_path, nodes={place: key})
    refuse_path(world, 0, path, "RFC9420-12.4.2-unused")


def test_a_path_leaf_with_the_key_of_another_leaf_is_refused(world):
    path = with_keys(world, 0, world.create(0).update_path, leaf=world.tree.leaf(3).encryption_key)
    refuse_path(world, 0, path, "RFC9420-12.4.2-unused")


def test_a_path_with_one_key_twice_is_refused(world):
    path = world.create(0).update_path
    twice = path.nodes[0].encryption_key
    refuse_path(world, 0, with_keys(world, 0, path, nodes={2: twice}), "RFC9420-12.4.2-distinct")
    refuse_path(world, 0, with_keys(world, 0, path, leaf=twice), "RFC9420-12.4.2-distinct")


@pytest.mark.parametrize("parent_hash", [b"", b"\1" * 32])
def test_a_path_leaf_with_a_wrong_parent_hash_is_refused(world, parent_hash):
    path = world.create(0).update_path
    leaf = world.sign_leaf(0, path.leaf_node.encryption_key, parent_hash)
    refuse_path(world, 0, replace(path, leaf_node=leaf), "RFC9420-7.9.2")


def test_a_path_leaf_with_the_signature_key_of_another_is_refused(world):
    path = world.create(0).update_path
    leaf = replace(path.leaf_node, signature_key=world.tree.leaf(1).signature_key)
    refuse_path(world, 0, replace(path, leaf_node=leaf), "RFC9420-7.3")


def test_a_path_secret_that_does_not_fit_its_public_keys_is_refused(world):
    created = world.create(0)
    other = world.create(0).update_path
    path = with_keys(world, 0, created.update_path, nodes={2: other.nodes[2].encryption_key})
    tree = merge_path(SUITE, world.tree, 0, path, exclude=frozenset())
    keys = dict(world.keys[4])
    # The author encrypts under the context of the tree that everybody gets, so that only the keys can tell.
    path = reencrypt(world, created, path, tree)
    with pytest.raises(RuleError) as caught:
        world.decrypt(4, 0, path)
    assert caught.value.rule == "RFC9420-7.5"
    assert world.keys[4] == keys


def reencrypt(world, created, path, tree):
    nodes = []
    for step, node in zip(world.tree.path_steps(0), path.nodes, strict=True):
        ciphertexts = tuple(
            encrypt_with_label(
                SUITE,
                world.tree.node(index).encryption_key,
                b"UpdatePathNode",
                world.context(tree),
                created.path_secrets[step.node],
            )
            for index in world.tree.resolution(step.copath)
        )
        nodes.append(replace(node, encrypted_path_secret=ciphertexts))
    return replace(path, nodes=tuple(nodes))


def test_a_path_under_another_context_or_damaged_cannot_be_read(world):
    path = world.create(0).update_path
    ciphertext = path.nodes[2].encrypted_path_secret[0]
    damaged = bytes((ciphertext.ciphertext[0] ^ 1,)) + ciphertext.ciphertext[1:]
    changed = with_node(path, 2, encrypted_path_secret=(replace(ciphertext, ciphertext=damaged),))
    with pytest.raises(AuthenticityError) as caught:
        world.decrypt(4, 0, changed)
    assert caught.value.code == "message.authenticity"
    tree = merge_path(SUITE, world.tree, 0, path, exclude=frozenset())
    with pytest.raises(AuthenticityError):
        decrypt_path(
            SUITE,
            tree,
            sender=0,
            me=4,
            update_path=path,
            private_keys=world.keys[4],
            context=b"another context",
            exclude=frozenset(),
        )


def test_a_joiner_refuses_a_path_secret_that_does_not_fit(world):
    me = world.add()
    created = world.create(0, [me])
    with pytest.raises(RuleError) as caught:
        join_path(SUITE, created.tree, me=me, sender=0, path_secret=b"s" * 32, leaf_private=b"l" * 32)
    assert caught.value.rule == "RFC9420-7.5"


def test_a_joiner_refuses_a_tree_in_which_it_lacks_a_key(world):
    me = world.add()
    leaf_private = world.keys[me][2 * me]
    joined = join_path(SUITE, world.tree, me=me, sender=0, path_secret=None, leaf_private=leaf_private)
    assert joined == {2 * me: leaf_private}
    created = world.create(0, [me])
    with pytest.raises(RuleError) as caught:
        join_path(SUITE, created.tree, me=me, sender=0, path_secret=None, leaf_private=leaf_private)
    assert caught.value.rule == "RFC9420-12.4.3.1"


def test_a_joiner_cannot_be_the_committer(world):
    with pytest.raises(RuleError):
        join_path(SUITE, world.tree, me=0, sender=0, path_secret=b"s" * 32, leaf_private=b"l" * 32)


def test_somebody_without_a_key_for_the_path_is_told_so(world):
    path = world.create(0).update_path
    world.keys[4] = {}
    with pytest.raises(RuleError, match="nothing that we can decrypt"):
        world.decrypt(4, 0, path)


def test_secrets_are_not_shown(world):
    created = world.create(0)
    assert created.commit_secret.hex() not in repr(created)
    assert repr(created.commit_secret) not in repr(created)
    assert repr(created.leaf_private) not in repr(created)
    secrets = derive_path(SUITE, (1, 3), b"s" * 32)
    assert repr(secrets) == "PathSecrets()"
