"""Laws of one product of powers."""

import numpy as np
import pytest

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.text import parse, to_string
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.reductions import similar
from pysr_neural.proposer.joins.search import Joiner
from pysr_neural.proposer.joins.similarity import directions, similarity

ALL = OperatorSet.of("+", "-", "*", "/", "sin", "cos", "exp", "log", "sqrt")
X = np.random.default_rng(1).uniform(1.0, 5.0, (400, 5))


def values(text: str, features: int) -> tuple[np.ndarray, np.ndarray]:
    some = X[:, :features]
    return some, evaluate(parse(text), some)


@pytest.mark.parametrize(
    ("text", "group", "factor"),
    [
        ("x0 * x0 * x0 * x1 / (x4 * x4 * (exp(0.16 * x1 * x0 / (x2 * x3)) - 1))", (1, 1, -1, -1, 0), (4, 0, 2, 2, -4)),
        ("x0 / (exp(x1 * x2 / (x3 * x4)) + exp(0 - x1 * x2 / (x3 * x4)))", (0, 1, 1, -1, -1), (2, 0, 0, 0, 0)),
        ("sqrt(x0) * log(1 + x1 * x1 / x2)", (0, 2, -1), (1, 0, 0)),
    ],
)
def test_the_product_and_the_factor_are_found(text: str, group: tuple[int, ...], factor: tuple[int, ...]) -> None:
    features = len(group)
    some, y = values(text, features)
    found = similarity(some, y)
    assert found is not None
    assert found.sure
    assert found.group == group
    # What the group takes over of the factor is a matter of writing: the function of it may be anything.
    difference = np.array(found.factor) - np.array(factor)
    assert np.linalg.matrix_rank(np.array([difference, group])) == 1


@pytest.mark.parametrize("text", ["x0 * x1 / x2", "x0 * sqrt(x1) + x2 + log(x0)", "x0 + 2.5 * x1 - x2 * x2"])
def test_what_is_no_such_law_is_not_taken_for_one(text: str) -> None:
    found = similarity(*values(text, 3))
    assert found is None or not found.sure


def test_what_has_no_logarithm_or_too_few_rows_is_left_alone() -> None:
    some, y = values("x0 * exp(x1 / x2)", 3)
    signs = np.where(np.arange(len(y)) % 2, 1.0, 0.0)
    with np.errstate(all="ignore"):
        assert similarity(some * signs[:, None], y) is None
        assert similarity(some, y * signs) is None
    assert similarity(some[:12], y[:12]) is None
    assert similarity(some[:, :1], y) is None
    assert similarity(np.column_stack([some, np.ones(len(y))]), y) is None


def test_directions_are_tried_once() -> None:
    assert [tuple(each) for each in directions(2).tolist()] == [(1, 1), (2, 1), (1, 2), (1, -1), (2, -1), (1, -2)]
    assert len(directions(5)) == len({tuple(each) for each in directions(5).tolist()}) == (3**5 - 1) // 2 - 5


def test_the_smaller_problem_leads_back_and_is_solved_at_once() -> None:
    some, y = values("x0 / (exp(x1 * x2 / (x3 * x4)) + exp(0 - x1 * x2 / (x3 * x4)))", 5)
    found = similar(some, y, ALL)
    assert found is not None
    assert to_string(found.inner[0]) in {"((x1 * x2) / (x3 * x4))", "((x3 * x4) / (x1 * x2))"}
    np.testing.assert_allclose(evaluate(found.whole(parse("x0 * 2")), some), 2 * found.X[:, 0] * some[:, 0])
    joiner = Joiner(some, y, ALL, 30)
    joiner.work(14)
    assert joiner.solved
