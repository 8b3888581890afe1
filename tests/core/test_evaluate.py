"""Evaluation, losses and refinement."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysr_neural.expression.evaluate import GUARDED, IEEE, evaluate, remembering
from pysr_neural.expression.fit import fraction_unexplained, mean_squared_error, refine
from pysr_neural.expression.node import apply, constant, variable
from pysr_neural.expression.text import parse, to_string
from tests.strategies import trees

X = np.random.default_rng(0).uniform(0.2, 2.0, (12, 3))


def test_values_are_those_of_numpy():
    expected = np.sin(X[:, 0]) * X[:, 1] - 2.0 / X[:, 2]
    np.testing.assert_allclose(evaluate(parse("sin(x0) * x1 - 2 / x2"), X), expected, rtol=1e-15)


@given(trees())
def test_any_tree_gives_one_value_per_row_and_never_warns(tree):
    values = evaluate(tree, X)
    assert values.shape == (len(X),)
    assert values.dtype == np.float64


def test_a_bare_variable_does_not_hand_out_the_data_itself():
    data = X.copy()
    evaluate(variable(0), data)[:] = 0.0
    np.testing.assert_array_equal(data, X)


def test_non_finite_values_are_results():
    assert np.isnan(evaluate(parse("log(x0 - 5)"), X)).all()
    assert np.isinf(evaluate(parse("1 / (x0 - x0)"), X)).all()
    assert np.isfinite(evaluate(parse("1 / (x0 - x0)"), X, GUARDED)).all()


def test_missing_variables_and_operators_are_errors_of_the_caller():
    with pytest.raises(IndexError):
        evaluate(variable(7), X)
    with pytest.raises(KeyError):
        evaluate(apply("bessel", variable(0)), X)


def values_of(evaluator, tree):
    with np.errstate(all="ignore"):
        return evaluator(tree).copy()


@pytest.mark.parametrize("functions", [IEEE, GUARDED])
@pytest.mark.parametrize("capacity", [0, 7, 40, 1024])
@given(population=st.lists(trees(), min_size=1, max_size=6), cuts=st.lists(st.tuples(*[st.integers(0, 1000)] * 4)))
def test_reuse_changes_no_bit(functions, capacity, population, cuts):
    evaluator = remembering(X, functions, capacity)
    for first, second, at, of in cuts:  # Children of children, which share subtrees with their parents and repeat them.
        mother, father = population[first % len(population)], population[second % len(population)]
        population.append(mother.replace(at % mother.size, father.at(of % father.size)))
    for tree in [*population, *population]:
        assert values_of(evaluator, tree).tobytes() == evaluate(tree, X, functions).tobytes()


@pytest.mark.parametrize("text", ["(x0 + x1) * (x0 + x1)", "(x0 * x1 - x2) / (x0 * x1 - x2) + (x0 * x1 - x2)"])
def test_a_new_subtree_may_occur_twice_in_one_tree(text):
    tree = parse(text)
    np.testing.assert_array_equal(values_of(remembering(X), tree), evaluate(tree, X))


def test_what_is_remembered_is_not_evaluated_again_until_memory_is_full():
    count = []
    functions = {**IEEE, "sin": lambda values: count.append(1) or np.sin(values)}
    evaluator = remembering(X, functions, capacity=8)
    for text in ("sin(x0) + x1", "x1 * sin(x0)", "sin(x0) + 2"):
        values_of(evaluator, parse(text))
    assert len(count) == 1
    values_of(evaluator, parse("(x0 + x1) * (x0 - x1) + x2"))
    values_of(evaluator, parse("sin(x0) + x1"))
    assert len(count) == 2


def test_a_remembering_evaluator_tells_errors_of_the_caller_and_leaves_the_data_alone():
    data = X.copy()
    evaluator = remembering(data)
    values_of(evaluator, variable(0))
    evaluator(variable(0))[:] = 9.0
    np.testing.assert_array_equal(data, X)
    np.testing.assert_array_equal(values_of(evaluator, variable(0)), X[:, 0])
    with pytest.raises(IndexError):
        evaluator(parse("x7 + 1"))
    with pytest.raises(KeyError):
        evaluator(apply("bessel", variable(0)))


def test_losses():
    y = X[:, 0]
    assert mean_squared_error(variable(0), X, y) == 0.0
    assert mean_squared_error(parse("x0 + 2"), X, y) == pytest.approx(4.0)
    assert mean_squared_error(parse("log(0 - x0)"), X, y) == float("inf")
    assert fraction_unexplained(np.full(12, y.mean()), y) == pytest.approx(1.0)
    assert fraction_unexplained(np.full(12, np.nan), y) == float("inf")
    assert fraction_unexplained(np.full(12, 3.0), np.full(12, 2.0)) == pytest.approx(0.25)


def test_refinement_finds_the_constants():
    y = 2.5 * np.sin(1.3 * X[:, 0]) + 0.7
    tree, loss = refine(parse("1 * sin(1 * x0) + 1"), X, y)
    assert loss < 1e-20
    assert sorted(np.round(tree.constants(), 6)) == [0.7, 1.3, 2.5]


@pytest.mark.parametrize("text", ["x0", "log(0 - x0) + 1", "1 / (x0 - x0)", "exp(exp(exp(x0 * 9)))", "0 * x0"])
def test_refinement_never_makes_worse_and_never_raises(text):
    y = X[:, 1]
    tree, loss = refine(parse(text), X, y)
    assert loss <= mean_squared_error(parse(text), X, y)
    assert to_string(tree)


def test_refinement_leaves_alone_what_has_too_many_constants():
    tree = parse("+".join(["1"] * 5))
    few = X[:3]
    assert refine(tree, few, few[:, 0])[0] is tree


def test_constant_tree_is_fitted_to_the_mean():
    y = X[:, 0]
    tree, _ = refine(constant(0.0), X, y)
    assert tree.value == pytest.approx(y.mean())


def test_refinement_gives_the_same_bits_wherever_memory_lies():
    tree = parse("x0 * x0 * (4 / (x0 + x1)) * exp(-0.1 / (x0 * 1.1))")
    y = X[:, 0] ** 2 / (X[:, 0] + 0.5 * X[:, 1]) + 0.1 * X[:, 2]
    found, junk = set(), []
    for size in range(1, 100):
        junk.append(np.empty(size))
        found.add(tuple(refine(tree, X.copy(), y.copy(), 40)[0].constants()))
    assert len(found) == 1
