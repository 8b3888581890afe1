"""Prefix codes: round trips, and nothing but ExpressionError for malformed ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysr_neural.errors import ExpressionError
from pysr_neural.expression.node import apply, constant, variable
from pysr_neural.expression.text import parse
from pysr_neural.problem import OperatorSet
from pysr_neural.wire.codes import decode, encode
from tests.strategies import ALL_OPERATORS, FEATURES, all_trees, trees

OPERATORS = OperatorSet.of("sin", "+", "-")
THREE_ARITIES = OperatorSet(("neg", "bessel", "-", "fma"), (1, 1, 2, 3))


def test_layout_is_the_documented_one():
    codes, constants = encode(parse("sin(x1) - (2.5 + x0)"), OPERATORS, 2)
    assert codes.tolist() == [1 + 2 + 2, 1 + 2 + 0, 2, 1 + 2 + 1, 0, 1]
    assert constants.tolist() == [2.5]
    assert (codes.dtype, constants.dtype) == (np.int32, np.float64)


@given(trees())
def test_any_tree_survives_the_round_trip(tree):
    codes, constants = encode(tree, ALL_OPERATORS, FEATURES)
    assert len(codes) == tree.size
    assert decode(codes, constants, ALL_OPERATORS, FEATURES) == tree
    assert decode(codes.tolist(), constants.tolist(), ALL_OPERATORS, FEATURES) == tree


def test_small_trees_have_distinct_codes():
    operators = OperatorSet.of("neg", "sin", "+", "-", "*", "^")
    seen = {
        (tuple(codes.tolist()), tuple(constants.tolist()))
        for codes, constants in (encode(tree, operators, 2) for tree in all_trees(3))
    }
    assert len(seen) == len(all_trees(3))


def test_custom_and_ternary_operators_travel():
    tree = apply("fma", variable(0), apply("bessel", constant(-0.0)), apply("-", variable(1), variable(0)))
    codes, constants = encode(tree, THREE_ARITIES, 2)
    assert decode(codes, constants, THREE_ARITIES, 2) == tree


@pytest.mark.parametrize(
    ("codes", "constants", "message"),
    [
        ([], [], "at least one code"),
        ([4], [], "needs 2 arguments; got 0"),
        ([3], [], "needs 1 arguments; got 0"),
        ([4, 1], [], "needs 2 arguments; got 1"),
        ([1, 1], [], "exactly one tree"),
        ([4, 1, 1, 1], [], "exactly one tree"),
        ([0], [], "needs a constant"),
        ([0, 0], [1.0], "needs a constant"),
        ([1], [1.0], "1 unused"),
        ([6], [], "unknown one at 0"),
        ([-1], [], "unknown one at 0"),
        ([4, 1, 2**31 - 1], [], "unknown one at 2"),
    ],
)
def test_malformed_codes_are_refused(codes, constants, message):
    with pytest.raises(ExpressionError, match=message):
        decode(codes, constants, OPERATORS, 2)


@settings(max_examples=500)
@given(
    st.lists(st.one_of(st.integers(-2, 10), st.integers(-(2**31), 2**31 - 1)), max_size=12),
    st.lists(st.floats(), max_size=4),
    st.integers(0, 3),
)
def test_any_codes_are_either_a_tree_or_refused(codes, constants, features):
    try:
        tree = decode(codes, constants, THREE_ARITIES, features)
    except ExpressionError:
        return
    again, values = encode(tree, THREE_ARITIES, features)
    assert again.tolist() == codes
    np.testing.assert_array_equal(values, np.array(constants, dtype=np.float64))


def test_what_the_search_lacks_is_not_encoded():
    with pytest.raises(ExpressionError, match="one of 2 features; got x2"):
        encode(variable(2), OPERATORS, 2)
    with pytest.raises(ExpressionError, match="must belong to the search's"):
        encode(parse("cos(x0)"), OPERATORS, 2)
    with pytest.raises(ExpressionError, match="must belong to the search's"):
        encode(apply("-", variable(0)), OPERATORS, 2)


def test_a_very_long_chain_decodes_without_recursion():
    depth = 20_000
    tree = decode(np.array([3] * depth + [1], dtype=np.int32), [], OPERATORS, 2)
    assert (tree.size, tree.depth) == (depth + 1, depth + 1)
