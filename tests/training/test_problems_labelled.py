"""Enumerated parts with labels."""

import numpy as np
import pytest

from pysr_neural.expression.canonical import canonical
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.text import parse
from pysr_neural_training.problems.labelled import LabelledPrior, Pool
from pysr_neural_training.problems.split import is_held_out, split_key


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool(LabelledPrior(listed=400, rows=40), np.random.default_rng(3))


def spread(values: np.ndarray) -> np.ndarray:
    values = values - values.mean()
    return values / np.sqrt(values @ values)


def test_true_parts_are_parts_up_to_a_factor_and_a_constant(pool: Pool) -> None:
    found = pool._labelled(parse("3.0 * sin(x0) - 2.0"), evaluate(parse("3.0 * sin(x0) - 2.0"), pool.X))
    assert not len(found.true), "what is all of y is no part of it"
    tree = parse("exp(x0 * x0) + sin(x0) / 7.0 + 1.0")
    found = pool._labelled(tree, evaluate(tree, pool.X))
    listed = pool.parts.values[pool.listed]
    for text in ("exp(x0 * x0)", "sin(x0)", "x0 * x0"):
        part = spread(evaluate(parse(text), pool.X))
        assert any(abs(part @ spread(listed[k])) > 1 - 1e-12 for k in found.true), text


def test_no_two_listed_parts_are_the_same(pool: Pool) -> None:
    units = np.stack([spread(each) for each in pool.parts.values[pool.listed]])
    shared = np.abs(units @ units.T) - np.eye(len(units))
    variables = np.stack([spread(each) for each in pool.X.T])
    assert shared.max() < 1 - 1e-14
    assert np.abs(units @ variables.T).max() < 1 - 1e-14


def test_problems_are_on_their_side_of_the_split() -> None:
    for held_out in (False, True):
        made = Pool(LabelledPrior(listed=400, rows=40, held_out=held_out), np.random.default_rng(1))
        problems = list(made.draw(2))
        assert problems
        for each in problems:
            assert is_held_out(split_key(canonical(each.tree))) == held_out
            assert len(each.true) <= each.truths


def test_the_same_seed_gives_the_same_problems() -> None:
    first, second = [next(Pool(LabelledPrior(listed=300, rows=40), np.random.default_rng(8)).draw(1)) for _ in range(2)]
    assert first.tree == second.tree
    np.testing.assert_array_equal(first.true, second.true)
