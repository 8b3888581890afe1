"""Figures of a run: curves, time to solution, the chosen equation, hypervolume, symbolic recovery."""

import math

import numpy as np
import pytest

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.text import parse
from pysr_neural_benchmarks.judging.scoring import Scored, choose, hypervolume, score, solved_at, thinned, value_at
from pysr_neural_benchmarks.judging.symbolic import is_recovered
from pysr_neural_benchmarks.methods.base import Budget, Found, Front, Outcome, Step, pareto

X = np.random.default_rng(0).uniform(0.5, 3.0, (60, 2))
TRUTH = parse("x0 * x1 + 2")
Y = evaluate(TRUTH, X)
GOOD = "((x1 * x0) + 2.0)"
AMPLE = Budget(100.0)


def outcome():
    poor, better, good = Found(1, 2.0, "x0"), Found(3, 4.0, "(x0 * x1)"), Found(5, 0.0, GOOD)
    return Outcome(
        (Step(0.5, 50, (poor,), 1), Step(1.0, 100, (poor, better), 2), Step(3.0, 300, (poor, better, good), 6)),
        4.0,
        400,
        8,
    )


def test_a_run_is_scored_on_rows_that_the_method_never_saw():
    row = score(outcome(), X, Y, 30, AMPLE, Y)
    assert row["solved"]
    assert (row["seconds_to_solution"], row["evaluations_to_solution"], row["iterations_to_solution"]) == (3.0, 300, 6)
    assert row["one_formula"] == GOOD
    assert row["one_fvu"] < 1e-20
    assert row["solved_one"]
    assert not solved_at(row, "seconds", 2.9, "one_fvu")
    assert solved_at(row, "seconds", 3.0, "one_fvu")
    assert [each[3] for each in row["front"]] == ["x0", "(x0 * x1)", GOOD]
    assert not solved_at(row, "seconds", 2.9)
    assert solved_at(row, "seconds", 3.0)
    assert solved_at(row, "evaluations", 300)
    assert value_at(row, "fvu", "seconds", 0.1) == math.inf
    assert value_at(row, "hypervolume", "seconds", 0.1) == 0.0
    assert [entry[4] for entry in row["story"]] == ["x0", GOOD]


@pytest.mark.parametrize("budget", [Budget(2.9), Budget(evaluations=299), Budget(100.0, 299)])
def test_what_comes_after_the_budget_does_not_count(budget):
    row = score(outcome(), X, Y, 30, budget, Y)
    assert (row["solved"], row["seconds_to_solution"]) == (False, None)
    assert (row["curve_seconds"][-1], row["seconds"]) == (1.0, 4.0)
    assert row["best_equation"] == "(x0 * x1)"
    assert [entry[4] for entry in row["story"]] == ["x0"]


def test_what_cannot_be_read_or_evaluated_does_not_solve():
    for text in ("x0 +", "nosuch(x0)", "x7", "log(0 - x0)"):
        row = score(Outcome((Step(1.0, 1, (Found(3, 0.0, text),)),), 1.0, 1), X, Y, 30, AMPLE, Y)
        assert not row["solved"]
        assert row["fvu"] == math.inf
    empty = score(Outcome((), 1.0, 1), X, Y, 30, AMPLE, Y)
    assert (empty["solved"], empty["hypervolume"], empty["one_formula"]) == (False, 0.0, "")


def test_a_front_that_loses_its_solution_is_not_solved_later():
    good, other = Found(5, 1e-9, GOOD), Found(5, 0.0, "x0")
    row = score(Outcome((Step(1.0, 1, (good,)), Step(2.0, 2, (other,))), 2.0, 2), X, Y, 30, AMPLE, Y)
    assert not row["solved"]
    assert solved_at(row, "seconds", 1.5)
    assert not solved_at(row, "seconds", 2.5)
    assert row["seconds_to_solution"] == 1.0


def test_the_one_formula_is_chosen_without_test_rows():
    simple, long = Found(3, 1e-13, "(x0 * x1)"), Found(7, 0.0, "((x1 * x0) + (0.5 * x1))")
    row = score(Outcome((Step(1.0, 1, (simple, long)),), 1.0, 1), X, X[:, 0] * X[:, 1], 30, AMPLE, X[:, 0] * X[:, 1])
    assert (row["one_formula"], row["one_complexity"], row["solved_one"]) == ("(x0 * x1)", 3, True)
    row = score(Outcome((Step(1.0, 1, (simple, long)),), 1.0, 1), X, Y, 30, AMPLE, np.full(60, 1e-13))
    assert row["one_formula"] == "((x1 * x0) + (0.5 * x1))"
    assert choose([]) is None


def test_a_front_may_solve_what_its_one_formula_does_not():
    good, fitted = Found(5, 1.0, GOOD), Found(1, 0.0, "x0")
    row = score(Outcome((Step(1.0, 1, (fitted, good)),), 1.0, 1), X, Y, 30, AMPLE, Y)
    assert row["solved"]
    assert not row["solved_one"]
    assert not solved_at(row, "seconds", 2.0, "one_fvu")


def test_hypervolume_is_0_for_nothing_and_1_for_everything():
    assert hypervolume([], 30) == 0.0
    assert hypervolume([Scored("a", 1, 0.0, 0.0)], 1) == 0.0
    assert hypervolume([Scored("a", 10, 0.0, 0.0)], 20) == pytest.approx(0.5)
    assert hypervolume([Scored("a", 10, 0.0, 1.5)], 20) == 0.0
    half = math.sqrt(1e-7)
    assert hypervolume([Scored("a", 5, 0, half), Scored("b", 10, 0, 0.0)], 20) == pytest.approx(0.125 + 0.5)


def test_a_thinned_curve_keeps_what_matters():
    curve = [(t, t, t, fvu, 0.0, 1.0) for t, fvu in enumerate((0.5, 0.49, 0.2, 1e-7, 0.3, 0.3))]
    assert [point[0] for point in thinned(curve)] == [0, 2, 3, 4, 5]
    curve = [(t, t, t, 1e-9, 0.0, one) for t, one in enumerate((0.5, 0.4, 1e-9, 1e-9, 0.5))]
    assert [point[0] for point in thinned(curve)] == [0, 2, 4]


@pytest.mark.parametrize(
    "text", ["((x1 * x0) + 2.0)", "((x1 * x0) + 7.5)", "(3.0 * ((x0 * x1) + 2.0))", "(2.0001 + (x0 * x1))"]
)
def test_the_formula_is_recovered_up_to_a_term_or_a_factor(text):
    assert is_recovered(text, (TRUTH,), X)


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("exp(log(x0) * x1)", "x0 ^ x1"),
        ("sqrt(x0 * x0 * x1)", "x0 * sqrt(x1)"),
        ("1.380649e-23 * (x0 * x1)", "1.380649e-23 * x0 * x1"),
        ("x0 / (7.2429704e22 * x1)", "1.380649e-23 * x0 / x1"),
        ("x0 + 1e-9 * x1", "x0"),
    ],
)
def test_positive_variables_and_small_constants_do_not_hide_the_formula(text, truth):
    assert is_recovered(text, (parse(truth),), X)
    assert not is_recovered(f"{text} + 0.04 * sin(x0)", (parse(truth),), X)


def test_variables_of_both_signs_are_not_taken_for_positive():
    assert not is_recovered("sqrt(x0 * x0)", (parse("x0"),), X - 0.6)


@pytest.mark.parametrize("text", ["x0", "((x1 * x0) + x0)", "((x1 * x0) + (2.0 + (0.01 * x0)))", "2.0", "x0 +"])
def test_other_equations_are_not(text):
    assert not is_recovered(text, (TRUTH,), X)


def test_a_front_keeps_the_best_of_each_size_and_notes_changes():
    front = Front(5)
    front.offer([Found(3, 1.0, "a"), Found(9, 0.0, "too large"), Found(2, math.inf, "bad")], 0.1, 1)
    front.offer([Found(3, 2.0, "worse")], 0.2, 2)
    front.offer([Found(1, 1.0, "simpler")], 0.3, 3)
    assert [(step.seconds, [each.equation for each in step.front]) for step in front.steps] == [
        (0.1, ["a"]),
        (0.3, ["simpler"]),
    ]
    assert front.lowest_loss == 1.0
    assert pareto([Found(2, 0.5, "b"), Found(1, 1.0, "a"), Found(3, 0.5, "c")])[-1].equation == "b"


def test_budgets():
    assert Budget.parse("1e3evals").spent(1e9, 999) is False
    assert Budget.parse("2s,1e3evals").spent(0.0, 1000)
    assert Budget.parse("2s").spent(2.0, 0)
