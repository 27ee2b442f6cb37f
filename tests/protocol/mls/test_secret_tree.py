"""The secret tree: a key is given once, what gave it is gone, and what is kept is bounded and stored in small rows."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tertulia_protocol.errors import DecodeError, ReplayError, RuleError, UsageError
from tertulia_protocol.mls.ciphersuite import HYBRID, X25519_CHACHA20
from tertulia_protocol.mls.labeled import derive_tree_secret, expand_with_label
from tertulia_protocol.mls.secret_tree import (
    MAX_GENERATION,
    Ratchet,
    RatchetKind,
    RatchetLimits,
    SecretTree,
)
from tertulia_protocol.mls.tree_math import LeafIndex, direct_path, leaf_to_node, left, right, root

SECRET = bytes(range(32))
HANDSHAKE, APPLICATION = RatchetKind.HANDSHAKE, RatchetKind.APPLICATION
ME, PEER = LeafIndex(1), LeafIndex(5)
LIMITS = RatchetLimits(max_forward=20, max_skipped=4)


def new_tree(n_leaves: int = 8, own_leaf: LeafIndex = ME) -> SecretTree:
    return SecretTree.create(HYBRID, SECRET, n_leaves=n_leaves, own_leaf=own_leaf)


def reload(tree: SecretTree) -> SecretTree:
    return SecretTree.load(tree.rows(), suite=tree.suite, n_leaves=tree.n_leaves, own_leaf=tree.own_leaf)


def node_secrets(leaf: LeafIndex, n_leaves: int = 8) -> list[bytes]:
    """The secrets from the root down to a leaf, derived here once more."""
    secret, node, target = SECRET, root(n_leaves), leaf_to_node(leaf)
    secrets = [secret]
    while node != target:
        side = b"left" if target < node else b"right"
        node = left(node) if target < node else right(node)
        secret = expand_with_label(HYBRID, secret, "tree", side, 32)
        secrets.append(secret)
    return secrets


def ratchet_secrets(leaf: LeafIndex, kind: RatchetKind, count: int) -> list[bytes]:
    secrets = [expand_with_label(HYBRID, node_secrets(leaf)[-1], kind.value, b"", 32)]
    for generation in range(count - 1):
        secrets.append(derive_tree_secret(HYBRID, secrets[-1], "secret", generation, 32))
    return secrets


def reachable(tree: SecretTree) -> set[bytes]:
    """All byte strings that the tree still refers to."""
    seen: set[int] = set()
    waiting: list[object] = [tree._top]
    found: set[bytes] = set()
    while waiting:
        item = waiting.pop()
        if isinstance(item, bytes):
            found.add(item)
        elif not isinstance(item, type) and id(item) not in seen:
            seen.add(id(item))
            waiting += gc.get_referents(item)
    return found


def holds(tree: SecretTree, secret: bytes) -> bool:
    return secret in reachable(tree) or any(secret in row for row in tree.rows().values())


def test_consumed_secrets_are_gone():
    tree = new_tree()
    for spent in node_secrets(ME):
        assert not holds(tree, spent)
    assert holds(tree, node_secrets(PEER)[1])

    taken = tree.key_for(PEER, APPLICATION, 2)
    for spent in [*node_secrets(PEER), *ratchet_secrets(PEER, APPLICATION, 3), taken.key, taken.nonce]:
        assert not holds(taken.tree, spent)
    assert holds(taken.tree, ratchet_secrets(PEER, APPLICATION, 4)[3])
    assert holds(taken.tree, ratchet_secrets(PEER, HANDSHAKE, 1)[0])

    late = taken.tree.key_for(PEER, APPLICATION, 0)
    assert holds(taken.tree, late.key)
    assert not holds(late.tree, late.key)
    own = late.tree.next_own(APPLICATION)
    for spent in [ratchet_secrets(ME, APPLICATION, 1)[0], own.key, own.nonce]:
        assert not holds(own.tree, spent)


@pytest.mark.parametrize("kind", RatchetKind)
def test_a_key_is_given_once(kind: RatchetKind):
    tree = new_tree().key_for(PEER, kind, 3).tree
    for generation in (3, 1, 0, 2):
        if generation != 3:
            tree = tree.key_for(PEER, kind, generation).tree
        for again in (tree, reload(tree)):
            before = again.rows()
            with pytest.raises(ReplayError) as caught:
                again.key_for(PEER, kind, generation)
            assert caught.value.code == "message.replay"
            assert again.rows() == before


def test_our_own_keys_are_not_given_to_read_with():
    tree = new_tree().next_own(APPLICATION).tree
    with pytest.raises(ReplayError):
        tree.key_for(ME, APPLICATION, 0)


def test_the_two_ratchets_of_a_member_and_those_of_others_are_apart():
    tree = new_tree()
    keys = {tree.key_for(LeafIndex(leaf), kind, 0)[:2] for leaf in range(8) for kind in RatchetKind}
    assert len(keys) == 16
    taken = tree.key_for(PEER, APPLICATION, 0).tree
    assert taken.key_for(PEER, HANDSHAKE, 0).key == tree.key_for(PEER, HANDSHAKE, 0).key


def test_a_generation_too_far_ahead_is_refused():
    tree = new_tree().key_for(PEER, APPLICATION, 0, limits=LIMITS).tree
    before = tree.rows()
    tree.key_for(PEER, APPLICATION, 21, limits=LIMITS)
    for generation in (22, MAX_GENERATION):
        with pytest.raises(RuleError) as caught:
            tree.key_for(PEER, APPLICATION, generation, limits=LIMITS)
        assert caught.value.code == "message.rule"
        assert tree.rows() == before


def test_skipped_keys_are_bounded_and_the_newest_stay():
    tree = new_tree()
    for generation in (10, 13, 30):
        tree = tree.key_for(PEER, APPLICATION, generation, limits=LIMITS).tree
    assert max(len(row) for row in tree.rows().values()) <= 8 + 33 + 1 + 4 * (4 + 17 + 13) + 1
    for generation in (9, 11, 12, 25):
        with pytest.raises(ReplayError):
            tree.key_for(PEER, APPLICATION, generation, limits=LIMITS)
    expected = new_tree()
    for generation in (26, 27, 28, 29):
        key = expected.key_for(PEER, APPLICATION, generation).key
        assert tree.key_for(PEER, APPLICATION, generation, limits=LIMITS).key == key


def test_old_and_new_skipped_keys_share_the_bound():
    tree = new_tree()
    for generation in (3, 6):
        tree = tree.key_for(PEER, APPLICATION, generation, limits=LIMITS).tree
    with pytest.raises(ReplayError):
        tree.key_for(PEER, APPLICATION, 0, limits=LIMITS)
    for generation in (1, 2, 4, 5):
        tree = tree.key_for(PEER, APPLICATION, generation, limits=LIMITS).tree


def test_without_skipped_keys_messages_are_read_in_order():
    limits = RatchetLimits(max_forward=5, max_skipped=0)
    tree = new_tree().key_for(PEER, APPLICATION, 2, limits=limits).tree
    for generation in (0, 1, 2):
        with pytest.raises(ReplayError):
            tree.key_for(PEER, APPLICATION, generation, limits=limits)
    assert tree.key_for(PEER, APPLICATION, 3, limits=limits).key == new_tree().key_for(PEER, APPLICATION, 3).key


@pytest.mark.parametrize("leaf", [8, 9, 2**32 - 1])
def test_a_leaf_outside_of_the_tree_is_refused(leaf: int):
    tree = new_tree()
    with pytest.raises(RuleError) as caught:
        tree.key_for(LeafIndex(leaf), APPLICATION, 0)
    assert caught.value.code == "message.rule"


def test_an_epoch_has_a_last_key():
    tree = new_tree()
    last = tree._with(ME, APPLICATION, Ratchet(MAX_GENERATION, SECRET)).next_own(APPLICATION)
    assert last.generation == MAX_GENERATION
    with pytest.raises(UsageError) as caught:
        last.tree.next_own(APPLICATION)
    assert caught.value.code == "usage"
    assert reload(last.tree).rows() == last.tree.rows()


def test_sending_writes_one_small_row_whatever_the_size():
    for n_leaves in (1, 2, 200, 1000):
        tree = new_tree(n_leaves, LeafIndex(0))
        for _ in range(3):
            own = tree.next_own(APPLICATION)
            puts, deletes = own.tree.changed_rows(tree)
            assert deletes == set()
            assert puts.keys() == {"ratchet/0/application"}
            assert len(puts["ratchet/0/application"]) < 50
            tree = own.tree


def test_a_first_message_replaces_the_secrets_above_its_sender():
    tree = new_tree()
    puts, deletes = tree.key_for(PEER, HANDSHAKE, 0).tree.changed_rows(tree)
    assert deletes == {"secret/11"}
    assert puts.keys() == {"secret/8", "secret/13", "ratchet/5/handshake", "ratchet/5/application"}
    assert direct_path(leaf_to_node(PEER), 8) == (9, 11, 7)


def test_a_tree_of_another_size_replaces_all_rows():
    old, new = new_tree(8), new_tree(2)
    puts, deletes = new.changed_rows(old)
    stored = {**{name: row for name, row in old.rows().items() if name not in deletes}, **puts}
    assert stored == new.rows()


def test_missing_and_damaged_rows_are_found():
    rows = new_tree().key_for(PEER, APPLICATION, 0).tree.rows()
    for name in rows:
        rest = {other: row for other, row in rows.items() if other != name}
        with pytest.raises(DecodeError):
            SecretTree.load(rest, suite=HYBRID, n_leaves=8, own_leaf=ME)
    damaged = {**rows, "ratchet/5/application": rows["ratchet/5/application"][:-1]}
    with pytest.raises(DecodeError):
        SecretTree.load(damaged, suite=HYBRID, n_leaves=8, own_leaf=ME)


def test_secrets_are_not_shown():
    tree = X25519_CHACHA20
    shown = repr(new_tree().key_for(PEER, APPLICATION, 3).tree)
    assert "b'" not in shown
    assert 'b"' not in shown
    shown = repr(Ratchet(3, SECRET).forward(tree, 5, 4))
    assert shown == "Ratchet(generation=5)"


def steps() -> st.SearchStrategy[list[tuple[int, RatchetKind, int | None]]]:
    """Leaf, ratchet, generation; None sends a message of ours."""
    generation = st.one_of(st.none(), st.integers(0, 40))
    return st.lists(st.tuples(st.integers(0, 4), st.sampled_from(RatchetKind), generation), max_size=25)


def all_keys(leaf: int, kind: RatchetKind) -> Iterator[tuple[bytes, bytes]]:
    ratchet = Ratchet(0, ratchet_secrets(LeafIndex(leaf), kind, 1)[0])
    while True:
        key, nonce, ratchet = ratchet.step(HYBRID)
        yield key, nonce


def take(tree: SecretTree, leaf: int, kind: RatchetKind, generation: int | None) -> tuple[int, int, bytes, SecretTree]:
    if generation is None:
        own = tree.next_own(kind)
        return ME, own.generation, own.key, own.tree
    taken = tree.key_for(LeafIndex(leaf), kind, generation, limits=LIMITS)
    return leaf, generation, taken.key, taken.tree


@settings(deadline=None, max_examples=60)
@given(steps())
def test_any_order_of_messages(taken: list[tuple[int, RatchetKind, int | None]]):
    tree = new_tree(5)
    stored = tree.rows()
    used: set[tuple[int, RatchetKind, int]] = set()
    keys: set[bytes] = set()
    for wanted_leaf, kind, wanted_generation in taken:
        try:
            leaf, generation, key, after = take(tree, wanted_leaf, kind, wanted_generation)
        except (ReplayError, RuleError) as error:
            event(error.code)
            assert tree.rows() == stored
            continue
        event("a key was given")
        assert (leaf, kind, generation) not in used
        assert key not in keys
        used.add((leaf, kind, generation))
        keys.add(key)
        ratchet = after._split_to(LeafIndex(leaf)).rows()[f"ratchet/{leaf}/{kind.value}"]
        assert key not in ratchet
        puts, deletes = after.changed_rows(tree)
        stored = {**{name: row for name, row in stored.items() if name not in deletes}, **puts}
        assert stored == after.rows()
        tree = reload(after)
        assert tree.rows() == stored
    generations = {(leaf, kind): {g for n, k, g in used if (n, k) == (leaf, kind)} for leaf, kind, _ in used}
    expected: set[bytes] = set()
    for (leaf, kind), wanted in generations.items():
        for number, (key, _) in zip(range(max(wanted) + 1), all_keys(leaf, kind), strict=False):
            expected |= {key} if number in wanted else set()
    assert expected == keys


def test_a_repr_shows_no_key():
    tree = new_tree()
    own, key = tree.next_own(APPLICATION), tree.key_for(PEER, APPLICATION, 0)
    secrets = (*tree.rows().values(), *key.tree.rows().values(), own.key, own.nonce, key.key, key.nonce)
    for shown in map(repr, (tree, tree._top, own, key, key.tree._top)):
        assert not any(repr(secret)[2:-1] in shown or secret.hex() in shown for secret in secrets)
