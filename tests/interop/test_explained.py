"""What leaves only noise is told: the law behind noisy data, not its near misses, nothing where data are exact."""

import numpy as np
import pytest

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.residuals import MOST_ROWS, looked_at
from pysr_neural.expression.text import parse
from pysr_neural.interop.explained import MOST_TESTED, Explained, Remainder
from pysr_neural.problem import Limits, OperatorSet, Problem

LAW = parse("1.5 * sin(x0) * x1")
NEAR = parse("1.26 * x0 * x1 - 0.2 * x0 * x0 * x1")
OTHER = parse("1.4999 * sin(x0) * x1 + 0.0001")
OPERATORS = OperatorSet.of("+", "-", "*", "sin")


def problem(noise, rows=400, operators=OPERATORS):
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 2, (rows, 2))
    clean = evaluate(LAW, X)
    y = clean + noise * clean.std() * rng.standard_normal(rows)
    return Problem(X, y, operators, Limits(20))


def test_of_noisy_data_the_law_leaves_noise_and_a_near_miss_does_not():
    explained = Explained(problem(0.01))
    assert explained.by([NEAR]) == [False]
    assert explained.by([NEAR, LAW, parse("x0"), OTHER]) == [False, True, False, True]
    assert explained.by([LAW]) == [True]


def test_a_near_miss_within_the_noise_is_as_good_as_the_law():
    assert Explained(problem(3.0)).by([NEAR, LAW]) == [True, True]


def test_where_data_are_exact_nothing_is_noise():
    explained = Explained(problem(0.0))
    assert explained.by([NEAR, OTHER]) == [Remainder.SOMETHING, Remainder.SOMETHING]
    assert explained.by([LAW, OTHER, LAW]) == [Remainder.NOTHING, Remainder.SOMETHING, Remainder.NOTHING]


def test_what_is_exact_is_so_on_all_rows():
    data = problem(0.0, rows=5 * MOST_ROWS)
    assert Explained(data).by([LAW]) == [Remainder.NOTHING]
    unseen = next(i for i in range(len(data.y)) if i not in looked_at(len(data.y)))
    data.y[unseen] += 10.0
    assert Explained(data).by([LAW]) == [Remainder.SOMETHING]


def test_what_leaves_more_than_another_leaves_more_than_noise():
    wrong = parse("1.5 * sin(x0) * x1 + 0.02 * sin(50000 * x0)")  # Which no test sees.
    explained = Explained(problem(0.01))
    assert explained.by([wrong]) == [True]
    assert explained.by([wrong, LAW]) == [False, True]
    assert explained.by([wrong]) == [False]


def test_few_rows_leave_it_open():
    assert Explained(problem(0.01, rows=60)).by([LAW]) == [False]


def test_what_cannot_be_evaluated_is_never_noise():
    unknown = OperatorSet(("mystery", "+", "*"), (1, 2, 2))
    assert Explained(problem(0.01, operators=unknown)).by([LAW]) == [False]
    assert Explained(problem(0.01)).by([parse("x0 + x7"), LAW]) == [False, True]
    assert Explained(problem(0.01)).by([]) == []


def test_a_constant_target_leaves_nothing_to_explain():
    data = problem(0.0)
    flat = Problem(data.X, np.full(len(data.y), 2.0), OPERATORS, Limits(20))
    assert Explained(flat).by([parse("2.0"), LAW]) == [False, False]


def test_only_so_many_of_one_answer_are_tested(monkeypatch: pytest.MonkeyPatch):
    trees = [parse(f"1.5 * sin(x0) * x1 + {i}e-7") for i in range(1, 3 * MOST_TESTED)]
    assert sum(Explained(problem(0.01)).by(trees)) == MOST_TESTED
