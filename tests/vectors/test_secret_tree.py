"""secret-tree, suites 1 and 3: the keys of every leaf, in order, out of order, and after a restart in between."""

from __future__ import annotations

import pytest

from tertulia_protocol.errors import ReplayError
from tertulia_protocol.mls.ciphersuite import SUITES
from tertulia_protocol.mls.message_protection import _sender_data_key
from tertulia_protocol.mls.secret_tree import RatchetKind, SecretTree
from tertulia_protocol.mls.tree_math import LeafIndex
from tests.support.vectors import load_vectors

CASES = 6
LEAVES = 2 * (1 + 8 + 32)
KINDS = [(RatchetKind.HANDSHAKE, "handshake"), (RatchetKind.APPLICATION, "application")]


@pytest.fixture(scope="module")
def cases():
    return [case for case in load_vectors("secret-tree") if case["cipher_suite"] in SUITES]


def new_tree(case) -> SecretTree:
    secret = bytes.fromhex(case["encryption_secret"])
    return SecretTree.create(SUITES[case["cipher_suite"]], secret, n_leaves=len(case["leaves"]), own_leaf=LeafIndex(0))


def test_the_number_of_cases(cases):
    assert len(cases) == CASES
    assert sum(len(case["leaves"]) for case in cases) == LEAVES


def test_sender_data_keys(cases):
    for case in cases:
        given = {name: bytes.fromhex(value) for name, value in case["sender_data"].items()}
        key, nonce = _sender_data_key(SUITES[case["cipher_suite"]], given["sender_data_secret"], given["ciphertext"])
        assert (key, nonce) == (given["key"], given["nonce"])


@pytest.mark.parametrize("backwards", [False, True])
def test_message_keys(cases, *, backwards: bool):
    for case in cases:
        tree = new_tree(case)
        for number, leaf in enumerate(case["leaves"]):
            assert [entry["generation"] for entry in leaf] == [0, 15]
            for entry in reversed(leaf) if backwards else leaf:
                for kind, name in KINDS:
                    taken = tree.key_for(LeafIndex(number), kind, entry["generation"])
                    assert (taken.key.hex(), taken.nonce.hex()) == (entry[f"{name}_key"], entry[f"{name}_nonce"])
                    tree = taken.tree
                    with pytest.raises(ReplayError):
                        tree.key_for(LeafIndex(number), kind, entry["generation"])
                tree = SecretTree.load(
                    tree.rows(), suite=tree.suite, n_leaves=len(case["leaves"]), own_leaf=tree.own_leaf
                )


def test_keys_to_send_with(cases):
    for case in cases:
        tree = new_tree(case)
        for kind, name in KINDS:
            keys = []
            for generation in range(16):
                own = tree.next_own(kind)
                assert own.generation == generation
                keys.append((own.key.hex(), own.nonce.hex()))
                tree = own.tree
            known = [(entry[f"{name}_key"], entry[f"{name}_nonce"]) for entry in case["leaves"][0]]
            assert [keys[0], keys[15]] == known
            assert len(set(keys)) == 16
