"""Every reason for refusing a tree, and none for a valid one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysr_neural.errors import ConfigError
from pysr_neural.expression.constraints import REASONS, check_language, check_tree, complexity_of
from pysr_neural.expression.node import Node, apply, constant, variable
from pysr_neural.expression.sample import GrowRules, GrowSampler
from pysr_neural.expression.text import parse
from pysr_neural.problem import Complexities, Limits, OperatorSet
from tests.strategies import FEATURES, make_problem, tame_floats, trees

OPERATORS = OperatorSet.of("sin", "cos", "+", "*")
PROBLEM = make_problem(operators=("sin", "cos", "+", "*"), limits=Limits(max_size=7, max_depth=4))
X0 = variable(0)


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        (parse("sin(x0) + x1 * 2"), None),
        (X0, None),
        (None, "not a tree"),
        ("x0", "not a tree"),
        (parse("x0 + x0 + x0 + x0 + x0"), "size"),
        (parse("sin(cos(sin(cos(x0))))"), "depth"),
        (variable(2), "variable"),
        (Node(index=-1), "variable"),
        (Node(index="0"), "variable"),
        (constant(float("nan")), "constant"),
        (constant(float("inf")), "constant"),
        (Node(value=1), "constant"),
        (parse("x0 - x1"), "operator"),
        (apply("bessel", X0), "operator"),
        (apply("sin", X0, X0), "arity"),
        (apply("+", X0), "arity"),
        (apply("+", X0, X0, X0), "arity"),
        (Node(), "malformed"),
        (Node(index=0, value=1.0), "malformed"),
        (Node(operator="sin", children=(X0,), index=0), "malformed"),
        (Node(index=0, children=(X0,)), "malformed"),
        (apply("sin", Node()), "malformed"),
    ],
)
def test_reasons(tree, reason):
    assert check_tree(tree, PROBLEM) == reason
    assert reason is None or reason in REASONS


def test_a_search_may_admit_no_constants():
    bare = make_problem(operators=("sin", "+"), limits=Limits(constants=False))
    assert check_tree(parse("sin(x0) + x1"), bare) is None
    assert check_tree(parse("sin(x0) + 1"), bare) == "constant"


def test_current_size_limit_tightens_but_never_widens():
    tree = parse("x0 + x1 * x0")
    assert check_tree(tree, PROBLEM, max_size=4) == "size"
    assert check_tree(tree, PROBLEM, max_size=5) is None
    assert check_tree(parse("x0 + x0 + x0 + x0 + x0"), PROBLEM, max_size=100) == "size"


@pytest.mark.parametrize(
    ("text", "rule", "valid"),
    [
        ("sin(cos(x0))", ("sin", "cos", 0), False),
        ("sin(x0 + x0 * cos(x0))", ("sin", "cos", 0), False),
        ("cos(sin(x0))", ("sin", "cos", 0), True),
        ("sin(x0) + cos(x0)", ("sin", "cos", 0), True),
        ("sin(sin(x0))", ("sin", "sin", 0), False),
        ("sin(sin(x0))", ("sin", "sin", 1), True),
        ("sin(sin(sin(x0)))", ("sin", "sin", 1), False),
        ("sin(cos(x0) + cos(x0))", ("sin", "cos", 1), True),
        ("sin(cos(cos(x0)))", ("sin", "cos", 1), False),
        ("x0 * sin(x0 * (x0 * x0))", ("sin", "*", 1), False),
    ],
)
def test_nested_constraints_count_along_paths(text, rule, valid):
    names = list(OPERATORS.names)
    limits = Limits(nested=((names.index(rule[0]), names.index(rule[1]), rule[2]),))
    assert check_language(parse(text), OPERATORS, 1, limits) == (None if valid else "nested")


def test_same_name_with_two_arities_is_told_apart():
    operators = OperatorSet(("-", "-"), (1, 2))
    assert check_language(apply("-", X0), operators, 1, Limits()) is None
    assert check_language(apply("-", X0, X0), operators, 1, Limits(nested=((0, 1, 0),))) is None
    assert check_language(apply("-", apply("-", X0, X0)), operators, 1, Limits(nested=((0, 1, 0),))) == "nested"


@given(trees(constants=tame_floats))
def test_any_tree_of_the_language_is_valid_within_generous_limits(tree):
    names = {(node.operator, len(node.children)) for node in tree if node.operator}
    ordered = sorted(names, key=lambda key: key[1])
    operators = OperatorSet(tuple(name for name, _ in ordered), tuple(arity for _, arity in ordered))
    assert check_language(tree, operators, FEATURES, Limits(100, 100)) is None


@given(st.integers(0, 5), st.integers(0, 2**32))
def test_grown_trees_belong_to_the_search(depth, seed):
    sampler = GrowSampler(OPERATORS, 2, (1.0, 2.0))
    tree = sampler.tree(depth, np.random.default_rng(seed))
    assert tree.depth <= depth + 1
    assert (tree.size == 1) == (depth == 0)
    assert check_language(tree, OPERATORS, 2, Limits(100, 100)) is None


def test_grow_probabilities_are_those_of_the_reference():
    rng = np.random.default_rng(0)
    sampler = GrowSampler(OPERATORS, 2, (1.0,))
    terminals = [sampler.terminal(rng) for _ in range(4000)]
    assert np.mean([t.index is not None for t in terminals]) == pytest.approx(0.7, abs=0.03)
    grown = [sampler.tree(1, rng) for _ in range(4000)]
    assert np.mean([len(t.children) == 1 for t in grown]) == pytest.approx(0.35, abs=0.03)
    deep = [sampler.tree(2, rng) for _ in range(4000)]
    assert np.mean([t.children[0].size == 1 for t in deep]) == pytest.approx(0.3, abs=0.03)


def test_grow_without_constants_or_one_arity():
    rng = np.random.default_rng(0)
    assert all(GrowSampler(OPERATORS, 1).terminal(rng) == X0 for _ in range(50))
    assert {len(GrowSampler(OperatorSet.of("+"), 1).tree(1, rng).children) for _ in range(20)} == {2}
    assert {len(GrowSampler(OperatorSet.of("sin"), 1).tree(1, rng).children) for _ in range(20)} == {1}


def test_sampler_without_operators_is_refused():
    with pytest.raises(ConfigError, match="must have a variable and"):
        GrowSampler(OperatorSet((), ()), 1)
    with pytest.raises(ConfigError, match=r"stop must be .* at most 1; got 1\.5"):
        GrowRules(stop=1.5)


COUNTED = Limits(max_size=7, complexities=Complexities(2.0, (1.0, 1.5), (1.0, 3.0, 1.0, 1.0)))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("x0", 1),
        ("x1", 2),  # 1.5, rounded to even as the engine does
        ("2.0", 2),
        ("x0 + x1", 4),  # 3.5
        ("cos(x0)", 4),
        ("sin(x0) + 2.0 * x1", 8),  # 7.5
        ("x0 * x0 + x0 * x0", 7),
        ("cos(cos(x0))", 7),
    ],
)
def test_sizes_are_complexities_where_nodes_count_differently(text, size):
    tree = parse(text)
    assert complexity_of(tree, OPERATORS, COUNTED.complexities) == size
    assert complexity_of(tree, OPERATORS, None) == tree.size
    problem = make_problem(operators=("sin", "cos", "+", "*"), limits=COUNTED)
    assert check_tree(tree, problem) == (None if size <= 7 else "size")
    assert check_tree(tree, problem, max_size=3) == (None if size <= 3 else "size")


def test_sizes_of_arguments_are_complexities_too():
    limits = replace(COUNTED, arguments=((0, 0, 3),))
    problem = make_problem(operators=("sin", "cos", "+", "*"), limits=limits)
    assert check_tree(parse("sin(x0 + x0)"), problem) is None
    assert check_tree(parse("sin(x0 + x1)"), problem) == "argument"
    assert check_tree(parse("cos(x0 + x1)"), problem) is None
    assert check_tree(parse("sin(x0 + x1)"), make_problem(("sin", "cos", "+", "*"), limits=COUNTED)) is None


def test_a_bound_on_nodes_follows_from_complexities():
    assert Limits(max_size=7).most_nodes() == 7
    assert Limits(max_size=7).most_nodes(5) == 5
    assert Limits(max_size=7).most_nodes(50) == 7
    assert COUNTED.most_nodes() == 7
    assert Limits(max_size=10, complexities=Complexities(2.0, (2.0,), (3.0,))).most_nodes() == 5
    assert Limits(max_size=10, complexities=Complexities(0.0, (0.5,), (1.0,))).most_nodes(3) == 14
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="complexity"):
            Complexities(1.0, (wrong,), (1.0,))
