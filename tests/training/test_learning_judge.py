"""Parts judged by their values."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pysr_neural.expression.text import parse
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.parts import Parts, values_of
from pysr_neural.proposer.joins.search import Joiner
from pysr_neural_training.learning import evidence as e
from pysr_neural_training.learning.judge_network import Judge, JudgeConfig
from pysr_neural_training.learning.screens import LikelyFirst, by_judge, by_matching
from pysr_neural_training.problems.labelled import affine_keys

OPERATORS = OperatorSet.of("+", "-", "*", "/", "sin", "exp")
TREES = [parse(text) for text in ("sin(x0)", "x0 * x1", "exp(x1)", "x0 + x1", "sin(x0) * x1", "x1 / x0")]


def candidates(X: np.ndarray) -> e.Candidates:
    sizes = np.array([tree.size for tree in TREES])
    return e.Candidates(values_of(TREES, np.ascontiguousarray(X.T)), e.text_features(TREES, sizes))


def network() -> Judge:
    torch.manual_seed(0)
    sizes = (e.CURVES, e.VARIABLE_FEATURES, e.CONTEXT, e.BASIS, e.SCALARS, e.TEXT_FEATURES)
    return Judge(JudgeConfig(*sizes, rows_width=4, row_hidden=8, variable_width=4, hidden=8)).eval()


def test_orthogonal_matching_takes_one_term_after_the_other() -> None:
    X = np.random.default_rng(0).uniform(0.5, 2.5, (60, 2))
    seen = candidates(X)
    y = 3 * np.sin(X[:, 0]) + np.exp(X[:, 1])
    target = (y - y.mean()) / np.sqrt(np.square(y - y.mean()).sum())
    chosen, rests, left = e.matched(seen.units, target, 3)
    assert set(chosen[:2]) == {0, 2}
    assert left[2] < 1e-9 < left[1]
    assert len(rests) == len(left) == 4


@pytest.mark.parametrize("rows", [8, 96])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_what_is_measured_is_finite_and_bounded_whatever_the_scale(rows: int, scale: float) -> None:
    X = np.random.default_rng(0).uniform(0.5, 2.5, (rows, 2))
    X[:, 1] *= 1 if rows == 8 else 1e-3
    seen = e.Evidence(candidates(X), X, scale * (X[:, 0] - 1))
    chosen = np.arange(len(TREES))
    basis, order = seen.candidates.basis(chosen)
    measured = [basis, seen.scalars(chosen, order), seen.curves, seen.variables, seen.context]
    shapes = [(6, e.BASIS, rows), (6, e.SCALARS), (rows, e.CURVES), (2, rows, e.VARIABLE_FEATURES), (e.CONTEXT,)]
    for array, shape in zip(measured, shapes, strict=True):
        assert array.shape == shape
        assert np.abs(array).max() < 50
    assert np.isfinite(by_judge(network())(seen)).all()


def test_what_is_measured_does_not_depend_on_scale_and_sign_of_y() -> None:
    X = np.random.default_rng(0).uniform(0.5, 2.5, (40, 2))
    y = X[:, 0] * X[:, 1]
    one, two = [e.Evidence(candidates(X), X, factor * y) for factor in (1.0, 1e9)]
    np.testing.assert_allclose(one.curves, two.curves, atol=1e-4)


def test_keys_are_those_of_a_line() -> None:
    values = np.random.default_rng(0).normal(size=(3, 30))
    values = np.vstack([values, 3 * values[0] - 5, -1e9 * values[1], np.ones(30)])
    keys = affine_keys(values)
    assert keys[0] == keys[3] != keys[2]
    assert keys[1] == keys[4]
    assert keys[5] is None


def test_a_screen_puts_likely_parts_in_front_and_drops_no_variable() -> None:
    X = np.random.default_rng(0).uniform(0.5, 2.5, (60, 2))
    y = np.sin(np.exp(X[:, 0]) - X[:, 1]) * X[:, 0]
    parts = Parts(X, OPERATORS, [0, 1])
    kept = parts.enumerated(400)
    screen = LikelyFirst(X, y, by_matching)
    assert screen(parts, kept, 400) == kept, "the first round waits for nothing"
    found = screen(parts, kept, 400)
    assert found[:2] == kept[:2]
    assert len(found) == len(set(found)) == len(kept)
    assert found[2] not in kept[:20], "what matches best is no small part here"
    eager = LikelyFirst(X, y, by_matching, eager=True)(parts, kept, 400)
    assert eager[:3] == found[:3]
    assert len(set(eager[2:40]) & set(kept[2:40])) < len(set(found[2:40]) & set(kept[2:40]))


def test_joins_take_the_parts_of_their_screen() -> None:
    X = np.random.default_rng(0).uniform(0.5, 2.5, (60, 2))
    asked: list[int] = []

    def screen(parts: Parts, kept: list[int], most: int) -> list[int]:
        asked.append(most)
        return kept[:2]

    joiner = Joiner(X, np.sin(X[:, 0] * X[:, 1]) ** 2, OPERATORS, 20, screen=screen)
    joiner.work(3)
    assert asked == [400]
    assert all(tree.size < 20 for tree in joiner.answers.best())


def test_a_judge_is_the_same_after_it_was_saved(tmp_path: Path) -> None:
    X = np.random.default_rng(0).uniform(0.5, 2.5, (60, 2))
    seen, judge = e.Evidence(candidates(X), X, X[:, 0] ** 2), network()
    judge.save(tmp_path)
    np.testing.assert_array_equal(by_judge(judge)(seen), by_judge(Judge.load(tmp_path))(seen))
