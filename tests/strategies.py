"""Hypothesis strategies for expressions, and exhaustive lists of small ones."""

from functools import cache

import numpy as np
from hypothesis import strategies as st

from pysr_neural.expression.node import Node, constant, variable
from pysr_neural.operators import OPERATORS
from pysr_neural.problem import Limits, OperatorSet, Problem

ALL_OPERATORS = OperatorSet.of(*OPERATORS)
FEATURES = 3

finite_floats = st.floats(allow_nan=False, allow_infinity=False)
tame_floats = st.one_of(st.integers(-3, 3).map(float), st.floats(-10, 10).map(lambda value: round(value, 2)))


def trees(operators=ALL_OPERATORS, features=FEATURES, constants=finite_floats, max_leaves=12):
    """Trees over an operator set."""
    leaves = st.one_of(constants.map(constant), st.integers(0, features - 1).map(variable))
    names = {arity: operators.of_arity(arity) for arity in (1, 2)}

    def extend(children):
        return st.one_of(
            *[
                st.builds(Node, st.sampled_from(names[arity]), st.tuples(*[children] * arity))
                for arity in (1, 2)
                if names[arity]
            ]
        )

    return st.recursive(leaves, extend, max_leaves=max_leaves)


@cache
def all_trees(size, leaves=("x0", "x1", -1.5, 2.0), unary=("neg", "sin"), binary=("+", "-", "*", "^")):
    """Every tree of exactly one size over a small language."""
    if size == 1:
        return tuple(variable(int(leaf[1:])) if isinstance(leaf, str) else constant(leaf) for leaf in leaves)
    found = [Node(name, (child,)) for name in unary for child in all_trees(size - 1, leaves, unary, binary)]
    for left in range(1, size - 1):
        for a in all_trees(left, leaves, unary, binary):
            for b in all_trees(size - 1 - left, leaves, unary, binary):
                found += [Node(name, (a, b)) for name in binary]
    return tuple(found)


def make_problem(operators=("+", "-", "*", "/", "sin"), rows=20, features=2, target=None, limits=None, seed=0):
    """A small problem; the target is a function of the columns."""
    X = np.random.default_rng(seed).uniform(0.5, 3.0, (rows, features))
    y = target(*X.T) if target is not None else X[:, 0] * X[:, -1]
    return Problem(X, np.asarray(y), OperatorSet.of(*operators), limits or Limits(max_size=15))
