"""Parts with a free constant inside, and polynomials written down with few nodes."""

import numpy as np
import pytest

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.text import parse
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.curves import families
from pysr_neural.proposer.joins.polynomials import monomials, polynomial, values_of
from pysr_neural.proposer.joins.search import Joiner
from pysr_neural.proposer.joins.splits import targets_of

ALL = OperatorSet.of("+", "-", "*", "/", "sin", "cos", "exp", "log", "sqrt")
X = np.random.default_rng(0).uniform(1.0, 5.0, (200, 3))


@pytest.mark.parametrize("position", range(len(families(ALL))))
def test_slopes_are_derivatives(position: int) -> None:
    family = families(ALL)[position]
    u = np.linspace(-0.5, 0.5, 7)[None]
    for start in family.starts:
        at = np.full((1, 1), start)
        above, below = family.values(u, at + 1e-6), family.values(u, at - 1e-6)
        np.testing.assert_allclose(family.slopes(u, at), (above - below) / 2e-6, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("position", range(len(families(ALL))))
def test_curves_are_written_as_they_were_fitted(position: int) -> None:
    family, f = families(ALL)[position], X[:, 0]
    middle, reach = (f.min() + f.max()) / 2, np.ptp(f)
    for start in family.starts:
        columns = family.values(((f - middle) / reach)[None], np.full((1, 1), start))[0]
        factors = [1.5, -0.4][: len(columns)]
        factor, tree, shift = family.write(ALL, parse("x0"), (middle, reach), start, factors)
        np.testing.assert_allclose(factor * evaluate(tree, X) + shift, factors @ columns, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_a_curve_beside_a_variable_is_not_crowded_out_by_what_comes_close(seed: int) -> None:
    two = np.random.default_rng(seed).uniform(1.0, 5.0, (200, 2))
    joiner = Joiner(two, evaluate(parse("2.5 * exp(-0.37 * x0) + x1"), two), ALL, 30)
    joiner.work(10)
    assert joiner.solved


@pytest.mark.parametrize(
    "text",
    [
        "2.5 * exp(-0.37 * x0) + x1",
        "1.7 * sin(2.3 * x0 + 0.7) + 0.3 * x1 * x2",
        "log(x0 + 2.7) - 0.4 * x1",
        "log(7.3 - x0) - 0.4 * x1 / x2",
        "x2 + 1.0 / (x0 * x1 + 3.3)",
        "log(x2) + sqrt(x0 + x1 + 0.61)",
        "2.5 / (exp(0.31 * x0) - 0.6)",
    ],
)
def test_constants_inside_are_found(text: str) -> None:
    y = evaluate(parse(text), X)
    joiner = Joiner(X, y, ALL, 30)
    joiner.work(40)
    assert joiner.solved
    assert fraction_unexplained(evaluate(joiner.answers.best()[0], X), y) < 1e-20


def test_curves_can_be_left_out() -> None:
    y = evaluate(parse("log(x0 + 2.7) - 0.4 * x1"), X)
    joiner = Joiner(X, y, ALL, 30, ways=())
    joiner.work(40)
    assert not joiner.solved


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("x0 - x1 * (x0 + x1 + x2)", 9),
        ("x2 - (2.0 * x0 * x1 + 3.0 * x0)", 11),
        ("1.0 - x0 * x0 - x0 * x1", 9),
        ("0.0 - x0 * x0 - x0 * x1", 7),
    ],
)
def test_a_common_sign_is_taken_out(text: str, most: int) -> None:
    y = evaluate(parse(text), X)
    terms = monomials([0, 1, 2], len(y))
    tree = polynomial(targets_of(y, ALL)[0], terms, values_of(terms, X.T), minus=True)
    assert tree is not None
    assert tree.size <= most
    np.testing.assert_allclose(evaluate(tree, X), y, rtol=1e-9)
