"""tree-validation.json: resolutions, tree hashes, parent hashes and signatures of whole trees (section 12.4.3.1)."""

from __future__ import annotations

import pytest

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.mls.ciphersuite import get_suite
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.tree_hash import tree_hash
from tertulia_protocol.mls.tree_math import NodeIndex
from tertulia_protocol.mls.tree_validation import verify_tree
from tests.support.vectors import load_vectors

COUNT = 28
SUITES = (1, 3)


def cases():
    return [case for case in load_vectors("tree-validation") if case["cipher_suite"] in SUITES]


def test_all_cases_are_here():
    assert len(cases()) == COUNT


@pytest.mark.parametrize("number", range(COUNT))
def test_a_tree_is_valid(number):
    case = cases()[number]
    suite = get_suite(case["cipher_suite"])
    data = bytes.fromhex(case["tree"])
    tree = parse(RatchetTree, data)
    assert serialize(tree) == data
    places = [NodeIndex(index) for index in range(2 * tree.size - 1)]
    assert [list(tree.resolution(index)) for index in places] == case["resolutions"]
    assert [tree_hash(suite, tree, index).hex() for index in places] == case["tree_hashes"]
    verify_tree(suite, tree, group_id=bytes.fromhex(case["group_id"]))
