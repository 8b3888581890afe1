"""The controls' own logic, with a stand-in for PySR's search that needs no Julia."""

import numpy as np
import pytest

from pysr_neural.problem import OperatorSet, Problem
from pysr_neural_benchmarks.methods import controls
from pysr_neural_benchmarks.methods.base import Budget, Found, Outcome, Step
from pysr_neural_benchmarks.methods.pysr import PySR

X = np.random.default_rng(0).uniform(1.0, 2.0, (50, 2))
PROBLEM = Problem(X, X[:, 0] * X[:, 1], OperatorSet.of("+", "*"))
ENGINE = Found(1, 1.0, "x0")


@pytest.fixture
def searches(monkeypatch):
    """Record what the engine is asked for; every search reports one front after a second."""
    asked = []

    def search(self, problem, budget, seed, **changes):
        asked.append((budget, changes))
        return Outcome((Step(1.0, 100, (ENGINE,), 1),), 2.0, 200, 2)

    monkeypatch.setattr(PySR, "__init__", lambda self, parameters=None: None)
    monkeypatch.setattr(PySR, "search", search)
    return asked


@pytest.mark.parametrize("combine", [False, True])
def test_guesses_count_from_when_the_engine_reports_them(searches, combine):
    found = controls.PriorSamples(64, combine).fit(PROBLEM, Budget(10.0), 0)
    ((budget, changes),) = searches
    assert "(x0 * x1)" in changes["guesses"] or "(x1 * x0)" in changes["guesses"]
    assert [step.front for step in found.steps] == [(ENGINE,)]
    spent = found.counters["model_seconds"]
    assert budget.seconds == pytest.approx(10.0 - spent)
    assert (found.steps[0].seconds, found.steps[0].evaluations) == (pytest.approx(1.0 + spent), 164)


def test_restarts_keep_the_best_of_all_searches(searches):
    found = controls.Restarts(2.0).fit(PROBLEM, Budget(7.0), 0)
    assert [budget.seconds for budget, _ in searches] == [2.0, 2.0, 2.0, 1.0]
    assert [step.seconds for step in found.steps] == [1.0, 3.0, 5.0, 7.0]
    assert (found.evaluations, found.iterations) == (800, 8)
