"""tree-operations.json: what Add, Update and Remove do to a tree (RFC 9420 sections 7.7, 12.1.1 to 12.1.3)."""

from __future__ import annotations

import pytest

from tertulia_protocol.codec import Reader, parse, serialize
from tertulia_protocol.mls.ciphersuite import get_suite
from tertulia_protocol.mls.proposals import Add, Proposal, Remove, Update, decode_proposal
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.tree_hash import tree_hash
from tertulia_protocol.mls.tree_math import LeafIndex
from tests.support.vectors import load_vectors

COUNT = 5


def cases():
    return load_vectors("tree-operations")


def apply(tree: RatchetTree, proposal: Proposal, sender: LeafIndex) -> RatchetTree:
    if isinstance(proposal, Add):
        return tree.add_leaf(proposal.key_package.leaf_node)[0]
    if isinstance(proposal, Update):
        return tree.update_leaf(sender, proposal.leaf_node)
    assert isinstance(proposal, Remove)
    return tree.remove_leaf(proposal.removed)


def test_all_cases_are_here():
    assert len(cases()) == COUNT
    assert all(case["cipher_suite"] == 1 for case in cases())


@pytest.mark.parametrize("number", range(COUNT))
def test_a_proposal_leads_to_the_tree_of_the_vector(number):
    case = cases()[number]
    suite = get_suite(case["cipher_suite"])
    before_bytes = bytes.fromhex(case["tree_before"])
    before = parse(RatchetTree, before_bytes)
    assert tree_hash(suite, before).hex() == case["tree_hash_before"]
    reader = Reader(bytes.fromhex(case["proposal"]))
    after = apply(before, decode_proposal(reader), LeafIndex(case["proposal_sender"]))
    reader.expect_end()
    assert serialize(after).hex() == case["tree_after"]
    assert tree_hash(suite, after).hex() == case["tree_hash_after"]
    assert after == parse(RatchetTree, bytes.fromhex(case["tree_after"]))
    assert serialize(before) == before_bytes
    assert tree_hash(suite, before).hex() == case["tree_hash_before"]
