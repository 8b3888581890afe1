"""Losses: what they are, that they come out the same one by one and all at once, and bad points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysr_neural.errors import DataError
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.text import parse
from pysr_neural.problem import OperatorSet, Problem
from pysr_neural_baseline import BasicSR
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.objective import Objective
from tests.strategies import trees

X = np.random.default_rng(0).uniform(-2.0, 2.0, (50, 3))
Y = X[:, 0] * X[:, 1] - X[:, 2]
OPERATORS = OperatorSet.of("+", "-", "*", "/", "log", "exp")


def objective(y=Y, **changes):
    return Objective(Problem(X[: len(y)], y, OPERATORS), BasicSRConfig.reference(**changes))


def loss_by_definition(tree, y, functions, skip):
    """The reference preset's loss, point by point."""
    with np.errstate(all="ignore"):
        values = evaluate(tree, X[: len(y)], functions)
        good = np.abs(values) < 1e6 if skip else np.full(len(y), True)
        if good.sum() < min(max(3, 0.5 * len(y)), len(y)):
            return np.inf
        loss = np.mean((values - y)[good] ** 2)
    return loss if np.isfinite(loss) else np.inf


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("guarded", [False, True])
@given(st.lists(trees(), max_size=8))
def test_losses_are_the_mean_squared_error_one_by_one_and_all_at_once(skip, guarded, given_trees):
    together = objective(skip_bad_points=skip, guarded_arithmetic=guarded)
    alone = objective(skip_bad_points=skip, guarded_arithmetic=guarded)
    losses = together.losses(given_trees)
    assert losses == [alone.loss(tree) for tree in given_trees]
    expected = [loss_by_definition(tree, Y, together.functions, skip) for tree in given_trees]
    np.testing.assert_allclose(losses, expected, rtol=1e-12)


def test_a_known_loss_is_not_counted_as_an_evaluation():
    target = objective()
    tree = parse("x0 * x1")
    assert target.losses([tree, tree, parse("x0 * x1")]) == [target.loss(tree)] * 3
    assert target.evaluations == 1


@pytest.mark.parametrize(
    ("text", "bad"),
    [("x0 * 1000000", 25), ("1000000 + x0 * 0", 50), ("x0", 0), ("x0 / 0", 50)],
)
def test_points_with_large_predictions_are_left_out_as_long_as_half_remain(text, bad):
    target = objective(guarded_arithmetic=False)
    tree = parse(text)
    assert np.sum(~(np.abs(np.nan_to_num(evaluate(tree, X), nan=np.inf)) < 1e6)) == pytest.approx(bad, abs=10)
    assert np.isclose(target.loss(tree), loss_by_definition(tree, Y, target.functions, True), rtol=1e-12)


@pytest.mark.parametrize("y", [np.full(50, 1e7), np.full(50, 999_999.5), np.full(50, 1e200)])
def test_large_targets_are_no_bad_points(y):
    target = objective(y)
    tree = parse("x0 + 1")
    assert target.loss(tree) == pytest.approx(loss_by_definition(tree, y, target.functions, True))


def test_two_rows_are_enough():
    assert objective(Y[:2]).loss(parse("x0 * x1 - x2")) == 0.0


def test_numpy_complains_as_before_after_losses_were_quiet():
    before = np.geterr()
    with np.errstate(all="raise"):
        assert objective(guarded_arithmetic=False, skip_bad_points=False).loss(parse("1 / (x0 - x0)")) == np.inf
        with pytest.raises(FloatingPointError):
            np.divide(1.0, np.zeros(1))
    assert np.geterr() == before


@pytest.mark.parametrize("unit", [1e-170, 1e-310, 5e153, 1e300])
def test_a_unit_whose_squares_leave_the_range_of_floats_is_refused(unit):
    X = np.array([[1.0], [2.0], [3.0]])
    with pytest.raises(DataError, match="another unit"):
        BasicSR(config=BasicSRConfig(generations=1)).fit(X, unit * X[:, 0])


@pytest.mark.parametrize("law", [lambda x: 1e26 * x, lambda x: 1e-26 * x, lambda x: x + 1e10, lambda x: 0 * x])
def test_any_other_unit_or_offset_is_searched_as_the_law_itself(law):
    X = np.array([[1.0], [2.0], [3.0]])
    y = law(X[:, 0])
    model = BasicSR(timeout_in_seconds=30, random_state=0).fit(X, y)
    assert fraction_unexplained(model.predict(X), y) < 1e-20
