"""`pysr-neural fit` and its engine on the real PySR."""

import json
import os
import signal
import threading
import warnings

import numpy as np
import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.expression.text import parse
from pysr_neural.proposer.scripted import RandomProposer
from pysr_neural_baseline.fitting import command
from pysr_neural_baseline.fitting.engines import PySREngine, Settings, operators_of
from pysr_neural_baseline.fitting.measurements import Measurements
from tests.interop.conftest import SMALL

pytestmark = [pytest.mark.julia, pytest.mark.filterwarnings("default")]

X = np.random.default_rng(0).uniform(1, 3, (40, 2))
DATA = Measurements(
    X=X, y=2.5 * X[:, 0] / X[:, 1] + 1.5, features=("a", "T/K"), labels=("a", "b"), target="f", target_label="f"
)
SETTINGS = Settings(operators_of(SMALL["binary_operators"]), 12, 3.0)


@pytest.fixture(scope="module")
def engine(julia):
    return PySREngine(None)


def test_the_command_runs_pysr(julia, tmp_path, capsys):
    rows = "\n".join(f"{a},{b},{f}" for (a, b), f in zip(DATA.X, DATA.y, strict=True))
    (tmp_path / "data.csv").write_text(f"a,T/K,f\n{rows}\n")
    options = ["--engine", "pysr", "--operators", "+,-,/,*", "--maxsize", "9", "--seconds", "3", "--json"]
    options += ["--neural-proposer", "none", "--out", str(tmp_path / "page.html"), "--state", str(tmp_path / "state")]
    given = [str(tmp_path / "data.csv"), "--target", "f", *options]
    assert command.fit(command._parser().parse_args(given), given, lambda stage: None) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["engine"] == "pysr"
    assert told["held_out_r2"] > 0.99
    assert "PySR" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "state" / "state.json").read_text())["front"]


def test_guesses_are_where_a_search_begins(engine):
    guess = parse("2.5 * x0 / x1 + 1.5")
    found = engine.search(DATA, Settings(SETTINGS.operators, 12, 3.0, guesses=(guess,)))
    assert found.members[-1].loss < 1e-12
    assert not found.interrupted


def test_ctrl_c_keeps_what_was_found(engine):
    timer = threading.Timer(4.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    found = engine.search(DATA, Settings(SETTINGS.operators, 12, 60.0))
    timer.cancel()
    assert found.interrupted
    assert found.members


def test_units_that_pysr_does_not_know_are_refused_with_a_cure(engine):
    with pytest.raises(ConfigError, match="leave --units out"):
        engine.search(DATA, Settings(SETTINGS.operators, 12, 3.0, units=("parsecond", "K", "m")))


def test_units_are_compiled_before_the_clock_runs(julia):
    engine = PySREngine(RandomProposer())  # With help, as the searches with units of the other tests.
    settings = Settings(SETTINGS.operators, 12, 3.0, units=("m", "s", "m/s"))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*random_state.*")
        engine.warm_up(settings, lambda text: None)
    assert engine.search(DATA, settings).members


def test_a_search_without_time_says_so(engine):
    with pytest.raises(ConfigError, match="Raise --seconds"):
        engine.search(DATA, Settings(SETTINGS.operators, 12, 1e-6))
