"""The engine benchmark: a naive evaluator that agrees, a contest over the same members, and what is printed."""

import json

import numpy as np
import pytest

from pysr_neural.expression.evaluate import GUARDED, evaluate
from pysr_neural.expression.sample import GrowSampler
from pysr_neural.expression.text import parse
from pysr_neural.problem import OperatorSet
from pysr_neural_benchmarks.speed import engine
from pysr_neural_benchmarks.speed.engine import Size, contest, main, measure, naive_loss, naive_values
from pysr_neural_benchmarks.suites.reader import load_suite


def test_the_naive_evaluator_agrees_with_the_engine_bit_for_bit():
    rng = np.random.default_rng(0)
    X = rng.uniform(-3, 3, (17, 2))
    sampler = GrowSampler(OperatorSet.of("+", "-", "*", "/"), 2, (1.0,))
    for _ in range(300):
        tree = sampler.tree(5, rng)
        assert np.array(naive_values(tree, X)).tobytes() == evaluate(tree, X, GUARDED).tobytes()


def test_the_naive_loss_leaves_bad_points_out():
    X = np.array([[1.0], [2.0], [3.0], [4e6]])
    assert naive_loss(parse("x0"), X, np.array([1.0, 2.0, 4.0, 0.0])) == pytest.approx(1 / 3)
    assert naive_loss(parse("x0"), X * 1e6, np.zeros(4)) == float("inf")


def test_both_sides_evaluate_every_new_member_once():
    source = next(each for each in load_suite("basicsr_simple") if each.name == "quartic")
    result = contest(Size(20, 50, 15), source, generations=12, seed=3)
    assert result.members == 12 * 20
    assert 20 <= len(set(result.trees)) == len(result.trees) == result.objective.evaluations < result.members
    assert result.same_values()
    assert result.seconds > 0
    assert result.naive_seconds > 0


def test_a_case_has_the_agreed_keys():
    case = measure(Size(6, 10, 9), generations=3, rounds=2, seed=0)
    assert {"members", "points", "max_nodes", "members_per_second", "ratio_to_naive"} <= set(case)
    assert case["same_values"]
    assert case["mean_nodes"] <= 9


def test_the_command_prints_json_last_and_fails_below_the_target(monkeypatch, capsys):
    def fake(size, generations, rounds, seed):
        return {
            "members": size.members,
            "points": size.points,
            "max_nodes": size.max_nodes,
            "members_per_second": 1e5,
            "naive_members_per_second": 3e4,
            "ratio_to_naive": ratio,
            "new_share": 0.3,
            "mean_nodes": 11.0,
            "same_values": True,
        }

    ratio = 3.3
    monkeypatch.setattr(engine, "measure", fake)
    assert main(["--json"]) == 0
    assert [case["members"] for case in json.loads(capsys.readouterr().out.splitlines()[-1])["cases"]] == [20, 100]
    ratio = 2.9
    assert main([]) == 1
    assert "2.90" in capsys.readouterr().out
