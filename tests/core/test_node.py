"""Trees: immutability, structure sharing, positions, equality."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysr_neural.errors import ExpressionError
from pysr_neural.expression.node import Node, apply, constant, variable
from tests.strategies import trees

X0, X1 = variable(0), variable(1)
TREE = apply("+", apply("*", X0, constant(2)), apply("sin", X1))


def test_attributes_of_a_small_tree():
    assert (TREE.size, TREE.depth, TREE.constant_count) == (6, 3, 1)
    assert [node.operator for node in TREE] == ["+", "*", None, None, "sin", None]
    assert TREE.constants() == [2.0]
    assert TREE.variables() == {0, 1}
    assert repr(TREE) == "apply('+', apply('*', variable(0), constant(2.0)), apply('sin', variable(1)))"


@pytest.mark.parametrize("name", ["operator", "size", "children", "new"])
def test_nodes_are_immutable(name):
    with pytest.raises(AttributeError, match="immutable"):
        setattr(TREE, name, 1)
    with pytest.raises(AttributeError, match="immutable"):
        del TREE.size


@given(trees(), st.data())
def test_at_and_replace_agree_with_prefix_order(tree, data):
    nodes = list(tree)
    assert len(nodes) == tree.size
    position = data.draw(st.integers(0, tree.size - 1))
    assert tree.at(position) is nodes[position]
    new = data.draw(trees(max_leaves=4))
    changed = tree.replace(position, new)
    assert changed.at(position) == new
    assert changed.size == tree.size - nodes[position].size + new.size
    assert list(changed)[:position] != nodes[:position] or position == 0 or changed.at(0).operator == tree.operator
    assert tree.replace(position, nodes[position]) == tree


def test_replace_shares_what_it_does_not_touch():
    changed = TREE.replace(4, X0)
    assert changed.children[0] is TREE.children[0]


@pytest.mark.parametrize("position", [-1, 6, 100])
def test_positions_outside_the_tree_are_refused(position):
    with pytest.raises(ExpressionError, match=r"0\.\.5"):
        TREE.at(position)
    with pytest.raises(ExpressionError, match=r"0\.\.5"):
        TREE.replace(position, X0)


@given(trees())
def test_equal_trees_have_equal_hashes_and_survive_pickling(tree):
    copy = pickle.loads(pickle.dumps(tree))
    assert copy == tree
    assert hash(copy) == hash(tree)
    assert copy.size == tree.size


def test_equality_tells_apart_what_looks_alike():
    assert constant(0.0) != constant(-0.0)
    assert constant(float("nan")) == constant(float("nan"))
    assert variable(1) != constant(1)
    assert apply("-", X0) != apply("-", X0, X0)
    assert X0 != "x0"


@given(trees())
def test_constants_can_be_replaced_in_order(tree):
    values = [float(i) for i in range(len(tree.constants()))]
    changed = tree.with_constants(values)
    assert changed.constants() == values
    assert changed.with_constants(tree.constants()) == tree


@pytest.mark.parametrize("values", [[], [1.0, 2.0]])
def test_wrong_number_of_constants_is_refused(values):
    with pytest.raises(ExpressionError, match=f"1; got {len(values)}"):
        TREE.with_constants(values)


def test_constructors_refuse_what_is_no_node():
    with pytest.raises(ExpressionError, match="at least 0; got -1"):
        variable(-1)
    with pytest.raises(ExpressionError, match="got none"):
        apply("sin")


def test_pickled_hash_is_recomputed():
    assert pickle.loads(pickle.dumps(Node(value=1.0))) in {constant(1.0)}
