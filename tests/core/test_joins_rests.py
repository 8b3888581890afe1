"""Sums by what shorter sums leave: small terms beside large ones, products as terms, what is told of them."""

from functools import cache

import numpy as np
import pytest

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.node import variable
from pysr_neural.expression.text import parse, to_string
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.library import Library
from pysr_neural.proposer.joins.parts import Parts
from pysr_neural.proposer.joins.rests import Matching, matched
from pysr_neural.proposer.joins.search import WAYS, Joiner
from pysr_neural.proposer.joins.splits import Target, targets_of

ALL = OperatorSet.of("+", "-", "*", "/", "sin", "cos", "exp", "log", "sqrt")
X = np.random.default_rng(5).uniform(1.0, 30.0, (400, 3))


@cache
def library() -> Library:
    parts = Parts(X[:200], ALL, [0, 1, 2])
    return Library(parts, np.array(parts.enumerated(600)), 80, slice(0, 120), 0.08)


def matching(y: Array, target: Target | None = None) -> Matching:
    return Matching(library(), target or targets_of(y[:200], ALL)[0], np.arange(len(library())))


@pytest.mark.parametrize(
    "text",
    [
        "2.0 * x1 * x1 + x1 + 0.001 * x0 * sqrt(x2) / x1",  # The last term is a millionth of the whole.
        "sqrt(x1) + sqrt(x1) / x2 + sqrt(x2) / x0",
        "x2 * x2 - 30.0 * sin(x0) + 0.2 * cos(x1) * log(x2)",
    ],
)
def test_small_terms_beside_large_ones_are_found(text: str) -> None:
    y = evaluate(parse(text), X)
    joiner = Joiner(X[:200], y[:200], ALL, 30)
    joiner.work(40)
    assert joiner.solved
    assert fraction_unexplained(evaluate(joiner.answers.best()[0], X[200:]), y[200:]) < 1e-18


def test_they_are_not_found_without() -> None:
    y = evaluate(parse("2.0 * x1 * x1 + x1 + 0.001 * x0 * sqrt(x2) / x1"), X)
    joiner = Joiner(X[:200], y[:200], ALL, 30, ways=WAYS - {"mixtures", "relations", "rests"})
    joiner.work(16)
    assert not joiner.solved


def test_what_is_told_to_be_left_is_left() -> None:
    y = evaluate(parse("x0 * x1 - 4.0 * sqrt(x2) + 0.1 * sin(x1)"), X) + np.random.default_rng(1).normal(size=400)
    told = matching(y)
    sums = list(matched(told, 4))
    assert {len(terms) for _, terms in sums} >= {1, 2, 3, 4}
    assert min(left for left, _ in sums) < 0.1
    for left, terms in sums:
        columns = np.vstack([*(told.values(term) for term in terms), np.ones(200)])[:, :120]
        shares, *_ = np.linalg.lstsq(columns.T, y[:120], rcond=None)
        errors = y[:120] - shares @ columns
        assert left == pytest.approx(np.var(errors) / np.var(y[:120]), rel=1e-6)
        for term in terms:
            np.testing.assert_allclose(evaluate(told.tree(term), X[:200]), told.values(term), rtol=1e-12)


def test_errors_are_weighed() -> None:
    factor = X[:200, 1]
    y = evaluate(parse("x1 * (2.0 * log(x0) - 0.3 * x2)"), X)
    target = targets_of(y[:200], ALL)[0].times(variable(1), factor)
    assert target is not None
    left, terms = min(matched(told := matching(y, target), 2))
    assert left < 1e-11
    assert {to_string(told.tree(term)) for term in terms} == {"log(x0)", "x2"}


def test_nothing_is_left_to_be_explained() -> None:
    assert matching(X[:, 0]).longer([]) != []
    told = matching(X[:, 0])
    _, terms = min(told.longer([]))
    assert told.longer(terms) == []
    none = Matching(library(), targets_of(X[:200, 0], ALL)[0], np.arange(0))
    assert list(matched(none, 3)) == []
