"""Answers made of parts."""

import os
import subprocess
import sys

import numpy as np
import pytest

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.text import parse, to_string
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.answers import KEPT, Answers
from pysr_neural.proposer.joins.once import combinations
from pysr_neural.proposer.joins.parts import Parts
from pysr_neural.proposer.joins.search import Joiner
from pysr_neural.proposer.joins.splits import INVERSES
from pysr_neural.proposer.joins.sums import SIZE_PRICE

X = np.random.default_rng(5).uniform(0.5, 2.5, (40, 3))
ALL = OperatorSet.of("+", "-", "*", "/", "sin", "exp", "square", "sqrt")
PARTS = [parse(text) for text in ("sin(x0 * x1)", "exp(x2) - x0", "square(x1)", "x0 / sqrt(x2)")]


def best(y: np.ndarray, operators: OperatorSet = ALL, max_size: int = 25) -> float:
    found = combinations(PARTS, X, y, operators, max_size)
    return min((fraction_unexplained(evaluate(tree, X), y) for tree in found), default=np.inf)


@pytest.mark.parametrize(
    "text",
    [
        "2.5 * sin(x0 * x1) - 0.3 * square(x1) + 4.0",
        "sin(x0 * x1) * (3.0 - 1.5 * exp(x2))",
        "square(x1) / (sin(x0 * x1) + 2.0)",
        "(sin(x0 * x1) + 2.0) / square(x1)",
        "exp(0.5 * sin(x0 * x1) + x0 / sqrt(x2))",
        "sqrt(sin(x0 * x1) + square(x1) + 1.0)",
        "7.0 * square(x1)",
        "1.0 / (2.0 * sin(x0 * x1) + 0.5 * square(x1) + 1.0)",
        "1.5 - 0.7 * sin(x0 * x1) * exp(x2)",
        "0.2 * sin(x0 * x1) / exp(x2) + 3.0",
        "2.0 * x0 * x0 * sqrt(x1) / x2",
        "3.0 * x1 * sin(x0 * x1) / (x0 * x0 * x2)",
        "0.5 * x2 * (x0 - x1) * (x0 - x1)",
    ],
)
def test_whole_answers_are_made_of_parts(text: str) -> None:
    assert best(evaluate(parse(text), X)) < 1e-9


def test_not_more_is_found_than_there_is() -> None:
    y = np.random.default_rng(6).normal(size=40)
    assert best(y) > 0.2


@pytest.mark.parametrize("name", sorted(INVERSES))
def test_inverses_undo_their_operator(name: str) -> None:
    from pysr_neural.operators import OPERATORS

    points = np.linspace(0.05, 0.9, 9)
    np.testing.assert_allclose(INVERSES[name](OPERATORS[name].function(points)), points, rtol=1e-12)


def test_only_operators_of_the_search_are_used() -> None:
    y = evaluate(parse("2.5 * sin(x0 * x1) - 0.3 * square(x1) + 4.0"), X)
    found = combinations(PARTS, X, y, OperatorSet.of("+", "*", "sin", "square"), 25)
    # The samples' own operators may come along; a join brings in none but those of the set.
    joins = {tree.operator for tree in found}
    assert joins <= {"+", "*", "sin", "square"}
    law = evaluate(parse("2.0 * x0 * x0 * sqrt(x1) / x2"), X)
    for few in (OperatorSet.of("+", "*", "/"), OperatorSet.of("+", "*", "sqrt"), OperatorSet.of("+", "*")):
        used = {node.operator for tree in combinations([parse("x0 + x1")], X, law, few, 25) for node in tree}
        assert used - {None} <= {name for name, _ in few.index}
    assert combinations(PARTS, X, y, OperatorSet.of("-", "sin"), 25) == []


def test_size_limit_holds() -> None:
    y = evaluate(parse("2.5 * sin(x0 * x1) - 0.3 * square(x1) + 4.0"), X)
    for limit in (1, 5, 9, 13):
        assert all(tree.size <= limit for tree in combinations(PARTS, X, y, ALL, limit))


@pytest.mark.parametrize(
    "y",
    [
        np.zeros(40),
        np.full(40, 3.0),
        X[:, 0] * 1e-300,
        X[:, 0] * 1e59,
        X[:, 0] * 1e200,
        np.where(np.arange(40) == 3, 1.0, 0.0),
    ],
)
def test_odd_values_are_no_error(y: np.ndarray) -> None:
    tiny = parse("square(square(square(square(square(x0 / 50.0)))))")
    for tree in combinations([*PARTS, tiny], X, y, ALL, 25):
        assert tree.size <= 25


def test_odd_parts_are_no_error() -> None:
    odd = [parse(text) for text in ("x0 - x0", "sqrt(0.0 - x0)", "exp(exp(exp(exp(x0))))", "1.0 / (x1 - x1)", "3.0")]
    y = 2.0 * X[:, 0] + X[:, 1]
    found = combinations(odd, X, y, ALL, 25)
    assert min(fraction_unexplained(evaluate(tree, X), y) for tree in found) < 1e-12


def test_few_rows_and_no_samples() -> None:
    assert combinations(PARTS, X[:5], X[:5, 0], ALL, 25) == []
    found = combinations([], X, X[:, 0] * X[:, 1], ALL, 25)  # The variables are always there.
    assert {parse("x0 * x1"), parse("x1 * x0")} & set(found)


def test_other_processes_find_the_same() -> None:
    code = (
        "import numpy as np, tests.core.test_joins as t\n"
        "y = np.random.default_rng(1).normal(size=40)\n"
        "print([str(tree) for tree in t.combinations(t.PARTS, t.X, y, t.ALL, 25)])"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1


@pytest.mark.parametrize("text", ["x0 + 3.0 * square(x1) - 2.0 * exp(x2)", "x0 * exp(x2) / (sin(x0 * x1) + 2.0)"])
def test_three_parts_make_a_whole(text: str) -> None:
    assert best(evaluate(parse(text), X)) < 1e-9


def test_the_best_come_first_and_none_twice() -> None:
    y = evaluate(parse("2.5 * sin(x0 * x1) - 0.3 * square(x1) + 4.0"), X)
    found = combinations(PARTS, X, y, ALL, 25)
    assert 0 < len(set(found)) == len(found) <= KEPT
    assert fraction_unexplained(evaluate(found[0], X), y) < 1e-9
    noisy = y + np.random.default_rng(7).normal(size=40)
    fits = [fraction_unexplained(evaluate(tree, X), noisy) for tree in combinations(PARTS, X, noisy, ALL, 25)]
    assert fits[0] < np.median(fits)


def test_parts_are_enumerated_from_small_to_large_with_the_operators_of_the_search() -> None:
    parts = Parts(X, OperatorSet.of("*", "sin"), range(3))
    trees = [parts.tree(i) for i in parts.enumerated(60)]
    assert {"x0", "x1", "sin(x2)", "(x0 * x1)", "(x1 * x1)"} <= {to_string(tree) for tree in trees}
    assert {node.operator for tree in trees for node in tree} == {None, "*", "sin"}
    assert trees[-1].size > trees[0].size == 1
    many = Parts(X, ALL, range(3))
    assert len(set(many.enumerated(2000))) == 2000
    for i in many.enumerated(2000)[::97]:
        np.testing.assert_array_equal(many.values[i], evaluate(many.tree(i), X))
        assert many.sizes[i] == many.tree(i).size


def test_parts_that_are_equal_up_to_a_factor_are_one() -> None:
    parts = Parts(X, OperatorSet.of("+", "*"), [2, 0, 1])
    first, again, other = parts.add([parse(text) for text in ("x0 * x1", "3.0 * (x1 * x0)", "x0 * x1 + 1.0")])
    assert first == again != other
    assert parts.add([parse("2.0"), parse("x0 - x0")]) == []
    assert parts.tree(parts.enumerated(12)[0]) == parse("x2")
    assert first in parts.enumerated(40)


def test_a_thousand_variables_are_no_error() -> None:
    wide = np.random.default_rng(3).normal(size=(30, 1000))
    found = combinations([], wide, wide[:, 7] - 2.0 * wide[:, 900], ALL, 25, steps=1)
    assert min(fraction_unexplained(evaluate(tree, wide), wide[:, 7] - 2.0 * wide[:, 900]) for tree in found) < 1e-9


def test_work_goes_on_where_it_was_left_and_hands_nothing_over_twice() -> None:
    noise = 0.01 * np.random.default_rng(1).normal(size=40)
    y = evaluate(parse("sin(x0 * x1) / (x2 + sqrt(x1)) - exp(x0 - x2)"), X) + noise
    joiner = Joiner(X, y, ALL, 25)
    first, second = joiner.work(3), joiner.work(9)
    assert first
    assert second
    assert not set(first) & set(second)
    whole = Joiner(X, y, ALL, 25)
    whole.work(12)
    assert whole.answers.best() == joiner.answers.best()
    calls = iter([False, True])
    assert len(Joiner(X, y, ALL, 25).work(100, lambda: next(calls))) > 0


def test_a_shifted_part_needs_no_second_one() -> None:
    y = evaluate(parse("2.3 * sin(x0 * x1) + 4.0"), X) + 0.1 * np.random.default_rng(8).normal(size=40)
    found = combinations(PARTS, X, y, ALL, 8)
    assert min(fraction_unexplained(evaluate(tree, X), y) for tree in found) < 0.01


def test_factors_are_found_through_noise() -> None:
    many = np.random.default_rng(9).uniform(0.5, 2.5, (200, 3))
    exact = evaluate(parse("sin(x0 * x1) * (3.0 - 1.5 * exp(x2))"), many)
    for seed in range(5):
        y = exact + 0.05 * exact.std() * np.random.default_rng(seed).normal(size=200)
        found = combinations(PARTS, many, y, ALL, 25)
        assert min(fraction_unexplained(evaluate(tree, many), exact) for tree in found[:10]) < 1e-3


def test_large_constants_stay_as_they_are() -> None:
    y = evaluate(parse("68.5 * sin(x0 * x1) + 10000000.37"), X)
    tree = combinations(PARTS, X, y, ALL, 25)[0]
    np.testing.assert_allclose(evaluate(tree, X), y, rtol=0, atol=1e-6)


@pytest.mark.parametrize("column", [np.zeros(40), 1.0 + 1e-6 * X[:, 2]])
def test_power_laws_beside_a_variable_that_has_none(column: np.ndarray) -> None:
    beside = np.column_stack([X, column])
    y = evaluate(parse("2.0 * x0 * x0 * sqrt(x1) / x2"), beside)
    found = combinations(PARTS, beside, y, ALL, 25)
    assert min(fraction_unexplained(evaluate(tree, beside), y) for tree in found) < 1e-9


def test_no_two_of_the_same_values_and_only_what_is_allowed() -> None:
    y = evaluate(parse("sin(x0 * x1) + 0.3 * exp(x2)"), X) + 0.1 * np.random.default_rng(8).normal(size=40)
    found = combinations(PARTS, X, y, ALL, 25)
    values = [np.round(evaluate(tree, X), 4).tobytes() for tree in found]
    assert len(set(values)) == len(values) > 10
    allowed = combinations(PARTS, X, y, ALL, 25, lambda tree: "exp" not in to_string(tree))
    assert allowed
    assert not any("exp" in to_string(tree) for tree in allowed)


@pytest.mark.parametrize(("shift", "kept"), [(0.001, False), (0.05, True)])
def test_a_constant_that_noise_made_is_left_out(shift: float, kept: bool) -> None:
    rng = np.random.default_rng(1)
    X = rng.uniform(1.0, 3.0, (300, 2))
    y = 2.5 * X[:, 0] * X[:, 1] + shift + 0.05 * rng.normal(size=300)
    answers = Answers(X, y, 15, SIZE_PRICE, lambda tree: True)
    answers.rate(parse(f"2.5 * (x0 * x1) + {shift}"))
    assert (parse("2.5 * (x0 * x1)") in answers.prices) != kept


def test_small_constants_stay_where_there_is_no_noise() -> None:
    y = evaluate(parse("2.5 * (x0 * x1) + 0.00001"), X)
    answers = Answers(X, y, 15, SIZE_PRICE, lambda tree: True)
    answers.rate(parse("2.5 * (x0 * x1) + 0.00001"))
    assert answers.best() == [parse("2.5 * (x0 * x1) + 0.00001")]
