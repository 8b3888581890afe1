"""Quotients of two sums of products, found by one factorization."""

import numpy as np
import pytest

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.text import parse
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins import relations as module
from pysr_neural.proposer.joins.relations import DEGREE, LARGE, Relations, bases_of, simple_bases
from pysr_neural.proposer.joins.search import Joiner
from pysr_neural.proposer.joins.splits import targets_of

ALL = OperatorSet.of("+", "-", "*", "/", "sin", "cos", "exp", "log", "sqrt")
X = np.random.default_rng(0).uniform(1.2, 5.0, (512, 3))


def found(text: str, bases: list[str] | None = None, operators: OperatorSet = ALL) -> tuple[float, int] | None:
    y = evaluate(parse(text), X)
    given = None if bases is None else [parse(base) for base in bases]
    sizes = [] if given is None else [base.size + 1 for base in given]
    with np.errstate(all="ignore"):
        simple = simple_bases([0, 1, 2], operators) if given is None else (given, sizes)
        relations = Relations(X, *simple, DEGREE, operators, LARGE)
        tree = next(relations.found(targets_of(y, operators)[0]), None)
    return None if tree is None else (fraction_unexplained(evaluate(tree, X), y), tree.size)


@pytest.mark.parametrize(
    ("text", "bases", "most"),
    [
        ("(2.0 * x0 - 3.0) / (x1 + 0.7 * x0 + 1.5)", ["x0", "x1"], 15),
        ("(x0 - log(x1) + log(x1) / x0) / (x0 + log(x1) + log(x1) / x0)", ["x0", "x1", "log(x1)"], 24),
        ("(x0 - 2.0 * x0 * x0) / (sqrt(x0) - 2.0 * x0 * x0 - x0)", ["x0", "sqrt(x0)"], 20),
        ("x2 + 1.0 / (x0 + 3.3 * x1)", ["x0", "x1", "x2"], 16),
        ("(x0 - x1 + x2) * log(x2) / (x0 - x1 + log(x2) + sin(x2))", None, 20),
        ("1.7 * x0 * x1 + x2 * cos(x0) - 0.3 * exp(x1) / x2 + log(x0) - 4.1", None, 26),
    ],
)
def test_quotients_are_found_and_short(text: str, bases: list[str] | None, most: int) -> None:
    result = found(text, bases)
    assert result is not None
    unexplained, size = result
    assert unexplained < 1e-18
    assert size <= most


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("x0 * x1 / (2.0 - x2) + x1 * x2 + x0 - x2", 19),
        ("x0 * x0 * x1 / (x0 + x2) - 0.127 * (x1 + x2)", 21),
    ],
)
def test_a_divisor_of_some_terms_does_not_divide_all(text: str, most: int) -> None:
    y, bases = evaluate(parse(text), X), [parse(name) for name in ("x0", "x1", "x2")]
    answers = list(Relations(X, bases, [2, 2, 2], DEGREE, ALL, LARGE).found(targets_of(y, ALL)[0]))
    exact = [tree.size for tree in answers if fraction_unexplained(evaluate(tree, X), y) < 1e-18]
    assert exact
    assert min(exact) <= most < exact[0]


def test_a_function_of_a_good_answer_comes_into_longer_products() -> None:
    rng = np.random.default_rng(5)
    rows = np.column_stack([rng.uniform(0.1, 10, 512), rng.uniform(-1e3, 1e3, 512), rng.uniform(1e-3, 0.1, 512)])
    rows = np.column_stack([rows, rng.uniform(-0.1, 0.1, 512)])
    wanted = evaluate(parse("x0 * (cos(x1 * x2) + x3 * cos(x1 * x2) * cos(x1 * x2))"), rows)
    joiner = Joiner(rows, wanted, ALL, 30, ways={"relations"})
    joiner.work(60)
    assert joiner.solved


@pytest.mark.parametrize("text", ["sin(x0 * x1) / (x2 + 1.0)", "exp(sqrt(x0 + x1 * x2))"])
def test_what_is_no_quotient_is_left(text: str) -> None:
    assert found(text) is None


def test_without_division_there_are_sums_only() -> None:
    few = OperatorSet.of("+", "-", "*", "sin", "log")
    assert found("x0 * sin(x1) + 2.0 * log(x2)", operators=few) is not None
    assert found("x0 / (x1 + x2)", operators=few) is None


def test_what_holds_on_single_rows_only_is_no_relation() -> None:
    wide = np.random.default_rng(1).uniform(0.1, 40.0, (512, 2))
    y = np.tanh(wide[:, 0]) + wide[:, 1]
    with np.errstate(all="ignore"):
        relations = Relations(wide, *simple_bases([0, 1], ALL), DEGREE, ALL, LARGE)
        answers = list(relations.found(targets_of(y, ALL)[0]))
    assert all(fraction_unexplained(evaluate(tree, wide), y) < 1e-18 for tree in answers)


@pytest.mark.parametrize("factor", [0.0, np.nan, np.inf])
def test_factors_that_are_no_numbers_are_no_answer(factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    y = X[:, 0] / (X[:, 1] + X[:, 2])
    relations = Relations(X, *simple_bases([0, 1, 2], ALL), DEGREE, ALL)
    monkeypatch.setattr(module, "_related", lambda *_: (np.array([0, 1]), np.array([1.0, factor])))  # 1, and y.
    with np.errstate(all="ignore"):
        assert list(relations.found(targets_of(y, ALL)[0])) == []


@pytest.mark.parametrize("scale", [1e-40, 1e45])
def test_units_far_from_1_change_nothing(scale: float) -> None:
    far = X * [scale, 1.0, 1.0]
    y = evaluate(parse("x0 * x0 * x0 / (x1 + 2.0 * x2)"), far)
    with np.errstate(all="ignore"):
        relations = Relations(far, *simple_bases([0, 1, 2], ALL), DEGREE, ALL, LARGE)
        tree = next(relations.found(targets_of(y, ALL)[0]))
    assert fraction_unexplained(evaluate(tree, far), y) < 1e-18


@pytest.mark.parametrize("rows", [6, 9, 20])
def test_few_rows_and_constant_columns_are_taken(rows: int) -> None:
    some = np.random.default_rng(2).uniform(1.0, 2.0, (rows, 3))
    some[:, 1] = 0.0
    with np.errstate(all="ignore"):
        relations = Relations(some, *simple_bases([0, 1, 2], ALL), DEGREE, ALL)
        for target in targets_of(3.0 * some[:, 0] * some[:, 2], ALL):
            for tree in relations.found(target):
                assert np.isfinite(evaluate(tree, some)).all()


def test_functions_of_good_answers_come_first_and_no_set_twice() -> None:
    sets = list(bases_of([0, 1], ALL, [parse("sin(x1) + x0 * log(x0)")]))
    assert [str(each) for each in sets[0]] == [str(parse(text)) for text in ("x0", "x1", "sin(x1)", "log(x0)")]
    assert len({frozenset(each) for each in sets}) == len(sets)
