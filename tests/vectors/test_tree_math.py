"""tree-math: every node of every tree of the vectors, and what follows from the definitions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tertulia_protocol.mls import tree_math
from tertulia_protocol.mls.tree_math import NodeIndex
from tests.support.vectors import load_vectors

CASES = 10


def value_or_none(function: Callable[..., int], *arguments: int) -> int | None:
    try:
        return function(*arguments)
    except ValueError:
        return None


def test_all_trees():
    cases = load_vectors("tree-math")
    assert len(cases) == CASES
    for case in cases:
        n_leaves = case["n_leaves"]
        nodes = range(case["n_nodes"])
        assert tree_math.node_width(n_leaves) == case["n_nodes"]
        assert tree_math.root(n_leaves) == case["root"]
        assert [value_or_none(tree_math.left, x) for x in nodes] == case["left"]
        assert [value_or_none(tree_math.right, x) for x in nodes] == case["right"]
        assert [value_or_none(tree_math.parent, x, n_leaves) for x in nodes] == case["parent"]
        assert [value_or_none(tree_math.sibling, x, n_leaves) for x in nodes] == case["sibling"]


@pytest.mark.parametrize("n_leaves", [1, 2, 4, 16, 32])
def test_paths_are_chains_of_parents_and_copaths_their_siblings(n_leaves: int):
    for x in range(tree_math.node_width(n_leaves)):
        node = NodeIndex(x)
        path = [node]
        while path[-1] != tree_math.root(n_leaves):
            path.append(tree_math.parent(path[-1], n_leaves))
        assert tree_math.direct_path(node, n_leaves) == tuple(path[1:])
        assert tree_math.copath(node, n_leaves) == tuple(tree_math.sibling(y, n_leaves) for y in path[:-1])


def test_the_common_ancestor_is_the_first_node_of_both_paths():
    n_leaves = 16
    nodes = [NodeIndex(x) for x in range(tree_math.node_width(n_leaves))]
    paths = {node: (node, *tree_math.direct_path(node, n_leaves)) for node in nodes}
    for one in nodes:
        for other in nodes:
            expected = next(node for node in paths[one] if node in paths[other])
            assert tree_math.common_ancestor(one, other) == expected


def test_the_leaves_below_a_node_are_those_whose_path_it_is_on():
    n_leaves = 16
    for x in range(tree_math.node_width(n_leaves)):
        node = NodeIndex(x)
        below = [
            leaf
            for leaf in map(tree_math.LeafIndex, range(n_leaves))
            if node in (tree_math.leaf_to_node(leaf), *tree_math.direct_path(tree_math.leaf_to_node(leaf), n_leaves))
        ]
        assert list(tree_math.leaves_below(node)) == below


def test_leaves_and_nodes():
    assert [tree_math.is_leaf(NodeIndex(x)) for x in range(4)] == [True, False, True, False]
    assert tree_math.node_to_leaf(NodeIndex(6)) == 3
    with pytest.raises(ValueError, match="not a leaf"):
        tree_math.node_to_leaf(NodeIndex(5))
    assert [tree_math.padded_size(n) for n in (0, 1, 2, 3, 4, 5, 1000)] == [1, 1, 2, 4, 4, 8, 1024]
    assert tree_math.node_width(0) == 0
