"""Oracles of the joins, and screens of their library, on problems that take no time."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.text import parse, to_string
from pysr_neural.problem import OperatorSet
from pysr_neural_benchmarks.studies import judged, oracles
from pysr_neural_training.learning import evidence as e
from pysr_neural_training.learning.judge_network import Judge, JudgeConfig

X = np.random.default_rng(0).uniform(0.5, 2.5, (300, 4))
OPERATORS = OperatorSet.of("+", "-", "*", "/", "sin", "exp")


def problem(text: str) -> oracles.Told:
    return oracles.Told(parse(text), X, X[::-1] * 1.01, OPERATORS)


def test_each_oracle_tells_what_is_true() -> None:
    given = problem("exp(sin(x0 - x1) * x2 + 1.0)")
    by_name = {name: list(oracles.told(name, given, 0)) for name in oracles.ORACLES}
    assert by_name["control"] == [given]
    assert [part.size for part in by_name["parts5"][0].parts] == [4, 3]
    assert [part.size for part in by_name["parts7"][0].parts] == [6, 4, 3]
    assert set(by_name["operators"][0].operators.names) == {"exp", "sin", "+", "-", "*"}
    assert by_name["dummies"][0].X.shape == (300, 4 + oracles.DUMMIES)
    (split,) = by_name["split"]
    assert split.X.shape == (300, 2), "x0 - x1 is one variable"
    np.testing.assert_allclose(evaluate(split.tree, split.X), evaluate(parse("sin(x0 - x1) * x2"), X))
    assert sorted(map(len, split.sides or ())) == [1, 1]
    assert [to_string(each.tree) for each in by_name["separate"]] == ["(x0 - x1)", "x2"]


def test_listed_parts_are_those_that_enumeration_meets() -> None:
    trees = [parse("sin(x0 * x1)"), parse("sin(3.7 * x0)")]
    assert oracles.listed(trees, X[:50], OPERATORS) == trees[:1]


def test_the_joins_solve_what_is_simple_and_not_what_is_not() -> None:
    assert oracles.solves(problem("3.0 * sin(x0) + x1 * x2"), 3)
    hard = problem("sin(2.7 * exp(1.3 * x0) + x1 / (0.3 + x2 * x3))")
    assert not oracles.solves(hard, 1)
    assert oracles.solves(hard._replace(parts=[hard.tree.children[0], hard.tree]), 1)


def test_a_side_keeps_out_parts_that_mix_variables() -> None:
    from pysr_neural.proposer.joins.parts import Parts

    parts = Parts(X, OPERATORS, range(4))
    kept = oracles.of_sides([frozenset({0, 1}), frozenset({2})])(parts, parts.enumerated(200), 200)
    assert kept
    assert all(parts.tree(part).variables() <= {0, 1} or parts.tree(part).variables() == {2} for part in kept)


def test_a_report_tells_paired_differences() -> None:
    solved = {name: [True, name != "control"] for name in oracles.ORACLES}
    text = oracles.report({"toy": solved}, {"command": "c", "steps": 3})
    assert "| control | 1 of 2 | 1 of 2 |" in text
    assert "+50.0" in text


@pytest.fixture
def folder(tmp_path: Path) -> str:
    torch.manual_seed(0)
    sizes = (e.CURVES, e.VARIABLE_FEATURES, e.CONTEXT, e.BASIS, e.SCALARS, e.TEXT_FEATURES)
    Judge(JudgeConfig(*sizes, rows_width=4, row_hidden=8, variable_width=4, hidden=8)).save(tmp_path)
    return str(tmp_path)


def test_the_truth_ranks_true_parts_first() -> None:
    tree = parse("exp(x0 * x1) + sin(x2)")
    ranking = judged.by_truth(tree, X[:50])
    trees = [parse(text) for text in ("x0 * x2", "2.0 - x0 * x1", "sin(x2)", "exp(x2)")]
    values = np.stack([evaluate(each, X[:50]) for each in trees])
    text = e.text_features(trees, np.array([each.size for each in trees]))
    seen = e.Evidence(e.Candidates(values, text), X[:50], evaluate(tree, X[:50]))
    assert ranking(seen).tolist() == [0, 1, 1, 0]


def test_all_screens_are_tried_on_the_same_problem(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pysr_neural_training.learning.screens.LISTED", 500)
    row = judged.solved_once("livermore", 0, 0, 4, folder)
    assert {f"{name}_seconds" for name in judged.SCREENS} <= set(row)
    text = judged.solved_report({"livermore": [row]})
    assert "judge" in text
