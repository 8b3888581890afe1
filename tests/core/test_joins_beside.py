"""Parts beside a polynomial."""

import numpy as np
import pytest

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.text import parse
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.search import WAYS, Joiner
from pysr_neural.proposer.joins.sums import Frame

ALL = OperatorSet.of("+", "-", "*", "/", "sin", "cos", "exp", "log", "sqrt")
X = np.random.default_rng(2).uniform(-1.0, 1.0, (400, 2))


@pytest.mark.parametrize(
    "text",
    [
        "x0 * x0 * x0 + x0 * x0 + x0 + sin(x0) + sin(x1 * x1)",
        "0.3 * x0 * x0 * x0 - 1.7 * x0 * x1 + 2.5 - 0.4 * exp(x0) + cos(x1)",
    ],
)
def test_sums_whose_terms_do_not_stand_out_are_found(text: str) -> None:
    y = evaluate(parse(text), X)
    joiner = Joiner(X[:200], y[:200], ALL, 30)
    joiner.work(12)
    assert joiner.solved
    best = joiner.answers.best()[0]
    assert best.size <= parse(text).size + 2
    assert fraction_unexplained(evaluate(best, X[200:]), y[200:]) < 1e-20
    without = Joiner(X[:200], y[:200], ALL, 30, ways=WAYS - {"beside"})
    without.work(12)
    assert not without.solved


def test_noise_and_other_laws_give_no_such_answer() -> None:
    y = evaluate(parse("x0 * x0 + sin(x0) + sin(x1 * x1)"), X) + 0.01 * np.random.default_rng(3).standard_normal(400)
    joiner = Joiner(X[:200], y[:200], ALL, 30)
    joiner.work(12)
    assert not joiner.solved
    assert joiner.answers.least > 1e-5


def test_what_a_frame_fits_beside_its_parts_is_taken_out_of_them_and_of_the_target() -> None:
    rng = np.random.default_rng(4)
    values, levels = rng.standard_normal((5, 60)), np.linalg.qr(rng.standard_normal((60, 3)))[0].T
    frame = Frame(values, values.copy(), np.ones(5, dtype=np.int64), np.arange(2), None, np.float64, levels=levels)
    target = frame.target(rng.standard_normal(60))
    assert target is not None
    for taken in (frame.units, frame.exact(np.arange(5)), target[None]):
        np.testing.assert_allclose(taken @ levels.T, 0, atol=1e-12)
        np.testing.assert_allclose(np.square(taken).sum(axis=1), 1)
    assert frame.target(levels[1]) is None


@pytest.mark.parametrize("beside", [{"rests"}, {"rests", "beside"}])
def test_a_product_beside_the_variables_is_a_way_of_its_own(beside: set[str]) -> None:
    data = np.random.default_rng(2).uniform(0.5, 3.0, (200, 3))
    y = evaluate(parse("4.0 * x0 - 3.0 * x1 + 2.0 + 0.7 * cos(x1 * x2) * sin(x0 / x2)"), data)
    for without, solved in ((set(), True), ({"interactions"}, False)):
        joiner = Joiner(data, y, ALL, 30, ways=WAYS - beside - without)
        joiner.work(8)
        assert joiner.solved == solved
