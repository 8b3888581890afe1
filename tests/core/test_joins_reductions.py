"""Smaller problems found by tests of dependence, and products of powers."""

import numpy as np
import pytest

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.text import parse, to_string
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins import reductions as reductions_module
from pysr_neural.proposer.joins import search
from pysr_neural.proposer.joins.groups import distances, products
from pysr_neural.proposer.joins.reductions import Reduction, reductions
from pysr_neural.proposer.joins.search import Joiner

ALL = OperatorSet.of("+", "-", "*", "/", "sin", "cos", "exp", "log", "sqrt")
X = np.random.default_rng(3).uniform(1.0, 4.0, (200, 5))


def found(text: str, features: int) -> list[Reduction]:
    some = X[:, :features]
    with np.errstate(all="ignore"):
        return list(reductions(some, evaluate(parse(text), some), ALL))


def test_factors_are_divided_out() -> None:
    reduction = found("3.0 * x0 * sqrt(x1 * x1 + x2) / (x3 * x3)", 4)[0]
    assert reduction.outer is not None
    assert [to_string(inner) for inner in reduction.inner] == ["x1", "x2"]
    assert to_string(reduction.outer) == "(x0 / (x3 * x3))"
    np.testing.assert_allclose(reduction.y, 3.0 * np.sqrt(X[:, 1] ** 2 + X[:, 2]), rtol=1e-12)


def test_variables_without_influence_are_left_out() -> None:
    reduction = found("sqrt(x1 * x1 + x2)", 4)[0]
    assert reduction.outer is None
    assert [to_string(inner) for inner in reduction.inner] == ["x1", "x2"]


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("exp(0.3 * (x0 - x1)) + log(x2)", "(x0 - x1)"),
        ("exp(0.2 * (x0 + x1)) + log(x2)", "(x0 + x1)"),
        ("log(x0 * x1 + 1.0) + sin(0.3 * x2)", "(x0 * x1)"),
    ],
)
def test_variables_that_belong_together_are_merged(text: str, inner: str) -> None:
    assert inner in [to_string(reduction.inner[0]) for reduction in found(text, 3)]


def test_the_way_back_leads_to_the_whole() -> None:
    y = 2.0 * X[:, 3] / (X[:, 0] - X[:, 1] + 5.0)
    for reduction in reductions(X[:, :4], y, ALL):
        part = parse("x0 * 1.5")
        with np.errstate(all="ignore"):
            whole = evaluate(reduction.whole(part), X[:, :4])
            outer = 1.0 if reduction.outer is None else evaluate(reduction.outer, X[:, :4])
            inner = evaluate(reduction.inner[0], X[:, :4])
        np.testing.assert_allclose(whole, outer * inner * 1.5, rtol=1e-12)


def test_noise_is_not_reduced_by_much() -> None:
    y = np.random.default_rng(4).normal(size=200)
    for reduction in reductions(X, y, ALL):
        assert len(reduction.y) == 200


@pytest.mark.parametrize(
    "text",
    [
        "x0 * x1 / ((x2 - x3) * (x2 - x3) + (x4 - 1.0) * (x4 - 1.0))",
        "x0 * (exp(x1 / (x2 * x3)) - 1.0)",
        "x0 / sqrt(1.0 - x1 * x1 / (25.0 * x2 * x2))",
    ],
)
def test_laws_are_found_by_way_of_smaller_problems(text: str) -> None:
    y = evaluate(parse(text), X)
    joiner = Joiner(X, y, ALL, 30)
    joiner.work(120)
    assert joiner.solved
    assert fraction_unexplained(evaluate(joiner.answers.best()[0], X), y) < 1e-9


def test_products_of_powers_come_by_degree_and_once() -> None:
    trees = products([0, 1, 2], ALL, 60)
    assert len(trees) == len(set(trees)) == 60
    values = np.array([np.log(evaluate(tree, X[:40])) for tree in trees])
    assert len(np.unique(np.round(values, 9), axis=0)) == 60
    assert to_string(trees[0]) == "(x0 * x0)"


def test_where_a_division_is_not_sure_what_it_was_before_and_merges_are_tried_too() -> None:
    many = np.random.default_rng(4).uniform(1.0, 5.0, (600, 6))
    with np.errstate(all="ignore"):
        y = evaluate(parse("x0 * exp(0 - x1 * x2 * x3 / (x4 * x5))"), many)
        told = list(reductions(many, y, ALL))
    assert not any(reduction.sure for reduction in told)
    assert "x0" in [reduction.outer and to_string(reduction.outer) for reduction in told]
    assert any(reduction.outer is None for reduction in told)


def test_dependence_is_tested_on_more_rows_than_joins_are_fitted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(search, "reductions", lambda X, y, operators: iter(seen.append(len(y)) or ()))
    rows = np.random.default_rng(5).uniform(1.0, 4.0, (5000, 2))
    joiner = Joiner(rows, rows[:, 0] * rows[:, 1], ALL, 20)
    assert seen == [search.TESTED_ROWS]
    assert len(joiner.y) == search.FIT_ROWS


def test_roots_of_differences_of_squares_are_parts_from_the_second_round_on() -> None:
    assert [to_string(tree) for tree in distances((0, 1), ALL)] == [
        "((x0 * x0) + (x1 * x1))",
        "((x0 * x0) - (x1 * x1))",
        "((x1 * x1) - (x0 * x0))",
        "sqrt(((x0 * x0) + (x1 * x1)))",
        "sqrt(((x0 * x0) - (x1 * x1)))",
        "sqrt(((x1 * x1) - (x0 * x0)))",
    ]
    assert not any("sqrt" in to_string(tree) for tree in distances((0, 1), OperatorSet.of("+", "*")))
    some = np.random.default_rng(6).uniform((1.0, 4.0, 1.0, 1.0), (5.0, 10.0, 2.0, 5.0), (200, 4))
    y = evaluate(parse("(x3 - x2 * x0 / (x1 * x1)) / sqrt(1 - x2 * x2 / (x1 * x1))"), some)
    joiner = Joiner(some, y, ALL, 30)
    joiner.work(20)
    assert joiner.solved


def test_nothing_is_worked_out_where_rows_are_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    # With 60 variables a polynomial has 1,951 terms, and there are 1,770 pairs: it took minutes after a search.
    def worked_out(z: object) -> None:
        raise AssertionError("terms of a polynomial that 40 rows say nothing about")

    monkeypatch.setattr(reductions_module, "_design", worked_out)
    wide = np.random.default_rng(0).uniform(1, 2, (40, 60))
    assert list(reductions(wide, wide[:, 0] - wide[:, 59], ALL)) == []


def test_the_number_of_tests_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    tested: list[int] = []
    excesses = reductions_module._Polynomial.excesses

    def counted(self: reductions_module._Polynomial, k: int, targets: list[int]) -> list[float | None]:
        tested.append(len(targets))
        return excesses(self, k, targets)

    monkeypatch.setattr(reductions_module._Polynomial, "excesses", counted)
    many = np.random.default_rng(0).uniform(1, 2, (512, 12))
    assert list(reductions(many, many.sum(axis=1) - 15.0, ALL))  # Every pair looks as if it could be merged.
    variables = sum(range(2, 13))  # Tested one after the other, each as a factor of five powers.
    assert sum(tested) <= 5 * variables + 3 * reductions_module.TESTED
