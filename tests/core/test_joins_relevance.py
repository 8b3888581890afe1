"""Which variables y seems to depend on, and joins that look at these first."""

import numpy as np
import pytest

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.text import parse, to_string
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins import search
from pysr_neural.proposer.joins.reductions import selection
from pysr_neural.proposer.joins.relevance import relevant
from pysr_neural.proposer.joins.search import WAYS, Joiner

ALL = OperatorSet.of("+", "-", "*", "/", "sin", "cos", "exp", "log", "sqrt")


def columns(count: int, rows: int = 512, low: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, 4.0, (rows, count))


@pytest.mark.parametrize(
    ("text", "low"),
    [
        ("x1 * x4", 1.0),
        ("x1 * x4", -4.0),
        ("x1 * x1 * x4", -4.0),
        ("x1 * sin(3.0 * x4)", -4.0),
        ("x1 / (x4 - x0) + log(x6)", 1.0),
        ("exp(2.0 * x3) + x0", 1.0),
        ("(x0 * x1 - x2 * x3) / (x5 * x6)", 1.0),
    ],
)
def test_only_what_matters_is_found(text: str, low: float) -> None:
    X = columns(8, low=low)
    tree = parse(text)
    with np.errstate(all="ignore"):
        y = evaluate(tree, X)
    found = relevant(X, y)
    assert set(found) >= tree.variables()
    assert len(found) <= len(tree.variables()) + 1
    assert found == sorted(found)


def test_noise_hides_nothing_that_is_larger() -> None:
    X = columns(10)
    y = X[:, 2] / X[:, 7] + 0.1 * np.random.default_rng(1).normal(size=512)
    assert relevant(X, y) == [2, 7]


def test_dummies_are_seldom_taken_in() -> None:
    extra = 0
    for seed in range(10):
        X = columns(10, seed=seed)
        found = relevant(X, X[:, 0] * X[:, 1])
        assert {0, 1} <= set(found)
        extra += len(found) - 2
    assert extra <= 3  # Of 80.


def test_where_there_is_no_telling_all_matter() -> None:
    X = columns(5)
    for rows in (8, 100):
        assert relevant(X[:rows], X[:rows, 0]) == list(range(5))
    assert relevant(X[:, :1], X[:, 0]) == [0]
    assert relevant(X, np.random.default_rng(2).normal(size=512)) == list(range(5))
    assert relevant(X, np.full(512, 3.0)) == list(range(5))
    assert relevant(np.where(X > 3.9, np.inf, X), X[:, 0]) == list(range(5))


def test_constants_do_not_matter_and_copies_do() -> None:
    X = columns(5)
    X[:, 1] = 2.5
    X[:, 3] = X[:, 2]
    assert relevant(X, X[:, 0] * X[:, 2]) == [0, 2, 3]


def test_many_variables_are_no_trouble() -> None:
    X = columns(60)
    assert relevant(X, X[:, 11] * X[:, 47]) == [11, 47]
    wide = columns(1000, rows=200)
    assert set(relevant(wide, wide[:, 5] - wide[:, 900])) >= {5, 900}


def test_a_selection_leads_there_and_back() -> None:
    X = columns(6)
    found = selection(X, X[:, 0], [1, 4])
    part = found.part(parse("sin(x4) * x1"))
    assert part is not None
    assert to_string(part) == "(sin(x1) * x0)"
    assert found.whole(part) == parse("sin(x4) * x1")
    assert found.part(parse("x4 + x2")) is None


def test_joins_hold_with_many_variables_that_do_not_matter() -> None:
    X = columns(20, seed=4)
    y = evaluate(parse("exp(x3 / x8) * (x5 + 2.0 * sqrt(x12))"), X)
    joiner = Joiner(X, y, ALL, 30)
    joiner.work(40)
    assert joiner.solved
    assert joiner.answers.best()[0].variables() == {3, 5, 8, 12}


def test_where_all_matter_nothing_changes() -> None:
    X = columns(3)
    y = evaluate(parse("sin(x0 * x1) / (x2 + sqrt(x1)) - exp(x0 - x2)"), X)
    with_test, without = Joiner(X, y, ALL, 30), Joiner(X, y, ALL, 30, ways=WAYS - {"relevance"})
    assert with_test.work(8) == without.work(8)


def test_a_wrong_verdict_costs_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "relevant", lambda X, y: [0])
    X = columns(2)
    joiner = Joiner(X, X[:, 0] + np.exp(np.sin(X[:, 1])), ALL, 30)
    joiner.work(60)
    assert joiner.solved


def test_given_parts_reach_the_variables_that_matter() -> None:
    X = columns(6)
    y = evaluate(parse("sin(3.7 * x0 + x1) * 2.0"), X)
    joiner = Joiner(X, y, ALL, 30)
    joiner.add([parse("x5 + sin(3.7 * x0 + x1)")])
    joiner.work(1)
    assert joiner.solved
