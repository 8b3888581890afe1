"""The engines behind the commands: the choice, what they are told, their answers, and Ctrl-C."""

import builtins
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pysr_neural
from pysr_neural.errors import ConfigError, EngineUnavailableError
from pysr_neural.expression.text import parse
from pysr_neural.interop import julia
from pysr_neural.proposer.scripted import ScriptedProposer
from pysr_neural_baseline.fitting import engines
from pysr_neural_baseline.fitting.engines import (
    BasicSREngine,
    Settings,
    are_listed,
    choose,
    members_of,
    operators_of,
    saved_equations,
)
from pysr_neural_baseline.fitting.measurements import Measurements

RNG = np.random.default_rng(0)
X = RNG.uniform(1, 3, (40, 2))
DATA = Measurements(
    X=X, y=2.5 * X[:, 0] / X[:, 1] + 1.5, features=("a", "T/K"), labels=("a", "b"), target="f", target_label="f"
)
SETTINGS = Settings(operators_of(["+", "-", "*", "/", "exp"]), 12, 1.0)


def test_neural_members_are_recognised_though_printed_differently():
    equations = ["x0 * 2.71828", "(x0 + 1.0) * x0", "x0"]
    assert are_listed(equations, ["((x0) * 2.718282)", "x0"]) == [True, False, True]


def test_auto_falls_back_to_basicsr_and_says_so(monkeypatch):
    def refuse():
        raise EngineUnavailableError("PySR could not start Julia (no network).\nmore")

    monkeypatch.setattr(engines, "load_package", refuse)
    monkeypatch.setattr(engines, "BasicSREngine", lambda proposer: ("basicsr", proposer))
    said = []
    assert choose("auto", "default", said.append) == ("basicsr", "default")
    assert "no network" in said[0]
    assert "same checkpoint" in said[0]
    assert "PYTHON_JULIACALL_EXE" in said[1]
    with pytest.raises(EngineUnavailableError):
        choose("pysr", "default", said.append)


def test_auto_does_not_install_julia_where_that_is_not_wanted(monkeypatch):
    monkeypatch.setattr(engines, "julia_available", lambda: False)
    said = []
    assert choose("auto", None, said.append, install=False).name == "basicsr"
    assert "--engine pysr" in said[0]


def test_basicsr_finds_what_a_script_proposes_and_reports_it():
    found = BasicSREngine(ScriptedProposer([parse("2.5 * x0 / x1 + 1.5")])).search(DATA, SETTINGS)
    best = found.members[-1]
    assert best.loss < 1e-12
    assert any(member.neural for member in found.members)
    assert "BasicSR, checkpoint ScriptedProposer" in found.report
    assert not found.interrupted
    assert [member.complexity for member in found.members] == sorted(member.complexity for member in found.members)


def test_guesses_are_where_a_search_begins():
    guess = parse("2.5 * x0 / x1 + 1.5")
    plain = Settings(SETTINGS.operators, 12, 0.02)
    found = BasicSREngine(None).search(DATA, Settings(SETTINGS.operators, 12, 0.02, guesses=(guess,)))
    assert found.members[-1].loss < 1e-12
    assert found.report == "No proposer took part."
    assert BasicSREngine(None).search(DATA, plain).members[-1].loss > 1e-12


def test_ctrl_c_keeps_what_was_found():
    script = ScriptedProposer([parse("x0 / x1"), KeyboardInterrupt()])
    found = BasicSREngine(script).search(DATA, Settings(SETTINGS.operators, 12, 60.0))
    assert found.interrupted
    assert found.members


def test_ctrl_c_before_anything_was_found_is_passed_on():
    with pytest.raises(KeyboardInterrupt):
        BasicSREngine(ScriptedProposer([KeyboardInterrupt()])).search(DATA, SETTINGS)


def test_losses_are_relative_and_members_ascend():
    members = members_of([(5, 2.0, "x0 + 1.0", False), (1, 4.0, "x1", True)], DATA)
    assert [member.complexity for member in members] == [1, 5]
    assert members[0].loss == pytest.approx(4.0 / np.var(DATA.y))
    assert members[0].neural


class Regressor:
    """Takes and keeps what PySR's estimator is given; PySR warns of a ``random_state`` beside threads."""

    def __init__(self, **given):
        self.given = given
        self.equations_ = pd.DataFrame({"complexity": [1], "loss": [1.0], "equation": ["x0"]})

    def fit(self, X, y, **given):
        pass


@pytest.fixture
def pysr(monkeypatch):
    monkeypatch.setattr(engines, "load_package", lambda: None)
    monkeypatch.setitem(vars(pysr_neural), "PySRRegressor", Regressor)  # Looked for, it would start Julia.
    return engines.PySREngine("default")


def test_pysr_gets_no_seed_that_threads_do_not_keep_and_the_model_gets_it(pysr):
    given = pysr._model(replace(SETTINGS, seed=7), "folder").given
    assert given.get("random_state") is None or (given["deterministic"] and given["parallelism"] == "serial")
    assert given["neural_proposer"].seed == 7


def test_ctrl_c_after_pysr_has_searched_keeps_what_it_wrote(pysr, monkeypatch):
    def fit(self, X, y, **given):
        folder = Path(self.given["output_directory"])
        (folder / "hall_of_fame.csv").write_text("Complexity,Loss,Equation\n3,0.5,x0 / x1\n")

    monkeypatch.setattr(Regressor, "fit", fit)
    monkeypatch.setattr(Regressor, "equations_", property(interrupt, lambda *_: None), raising=False)
    found = pysr.search(DATA, SETTINGS)
    assert found.interrupted
    assert [member.tree for member in found.members] == [parse("x0 / x1")]


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("InterruptException:")])
def test_ctrl_c_while_julia_starts_is_no_julia_that_cannot_be_started(monkeypatch, error):
    usual = builtins.__import__

    def start(name, *given, **named):
        if name == "pysr":
            raise error
        return usual(name, *given, **named)

    monkeypatch.delitem(sys.modules, "pysr", raising=False)
    monkeypatch.setattr(builtins, "__import__", start)
    with pytest.raises(KeyboardInterrupt):
        julia.boot()


def test_what_pysr_left_of_a_search_is_read(tmp_path):
    folder = tmp_path / "search"
    folder.mkdir()
    table = pd.DataFrame({"Complexity": [1, 3], "Loss": [2.0, 1.0], "Equation": ["x0", "x0 + 1.5"]})
    table.to_csv(folder / "hall_of_fame.csv.bak", index=False)
    (folder / "hall_of_fame.csv").write_text("Complexity,Lo")
    assert saved_equations(tmp_path) == [(1, 2.0, "x0", False), (3, 1.0, "x0 + 1.5", False)]
    assert saved_equations(tmp_path / "none") == []


def test_operators_are_those_of_the_table():
    assert operators_of(["+", "pow", "+", "sqrt"]).names == ("sqrt", "+", "^")
    with pytest.raises(ConfigError, match="Did you mean 'sqrt'"):
        operators_of(["sqrtt"])
    with pytest.raises(ConfigError, match="at least one operator"):
        operators_of([])
