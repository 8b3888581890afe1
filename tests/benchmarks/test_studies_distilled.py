"""The comparison of the static form with the default: arms do what they say, counts are those of the runs."""

import json
from pathlib import Path

import numpy as np
import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.proposer.base import KINDS
from pysr_neural_baseline.config import MutationWeights
from pysr_neural_benchmarks.studies.distilled import ARMS, BASELINE, Arm, Run, main, run, summary, table
from pysr_neural_training.interpret.distil import Distilled
from tests.strategies import make_problem

DISTILLED = Distilled("c", 3, dict.fromkeys(KINDS, 1.0) | {"add": 0.0}, None, {"+": 2.0, "sin": 0.5})
PROBLEM = make_problem(operators=("+", "*"), target=lambda a, b: a + b)

SUITE = """
source = "made for this test"
points = 20
[[problems]]
name = "sum"
formula = "x + y"
variables = [{ name = "x", low = 0.5, high = 3.0 }, { name = "y", low = 0.5, high = 3.0 }]
"""


def test_arms_steer_as_they_say() -> None:
    arms = {name: make(DISTILLED) for name, make in ARMS.items()}
    assert arms[BASELINE] == Arm()
    assert arms["weights"].proposer is None
    assert (arms["weights"].mutations.add, arms["weights"].mutations.rotate) == (0.0, MutationWeights().rotate)
    assert all(arms[name].mutations == MutationWeights() for name in arms if name != "weights")
    assert arms["prior"].levels == ("prior",)
    assert (arms["static"].proposer.by_state, arms["tree"].proposer.by_state) == (False, True)


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_solves_a_sum_within_its_evaluations(name: str) -> None:
    found = run(name, ARMS[name](DISTILLED), PROBLEM, 0, 5000)
    assert found.solved
    assert 0 < found.evaluations < 5500


def test_an_unsolvable_problem_ends_by_its_evaluations() -> None:
    noise = make_problem(operators=("+",), target=lambda a, b: np.random.default_rng(0).standard_normal(len(a)))
    found = run(BASELINE, Arm(), noise, 0, 300)
    assert not found.solved
    assert found.evaluations >= 300


def test_counts_are_paired() -> None:
    def made(arm: str, *solved: bool) -> list[Run]:
        return [Run(arm, "p", seed, each, 100, 1.0) for seed, each in enumerate(solved)]

    found = summary(made(BASELINE, True, False, False, False, False) + made("static", False, True, True, True, False))
    assert found["static"]["solved"] == 3
    assert (found["static"]["better"], found["static"]["worse"]) == (3, 1)
    assert found["static"]["p"] == pytest.approx(10 / 16)
    assert (found[BASELINE]["better"], found[BASELINE]["p"]) == (0, 1.0)
    assert "3/5" in table(found)


def test_the_command_reads_a_suite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "distilled.json").write_text(DISTILLED.to_json(), encoding="utf-8")
    (tmp_path / "made.toml").write_text(SUITE, encoding="utf-8")
    arguments = ["--suite", str(tmp_path / "made.toml"), "--operators", "+", "*", "--seeds", "2", "--arms", "static"]
    assert main([str(tmp_path / "distilled.json"), *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["arms"]
    assert list(found) == [BASELINE, "static"]
    assert found["static"]["solved"] == found["static"]["runs"] == 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["missing.json"], "can be read"),
        (["{path}", "--arms", "statc"], "Did you mean 'static'"),
        (["{path}", "--seeds", "0"], "--seeds must be a whole number at least 1"),
        (["{path}", "--suite", "nguyn"], "Did you mean 'nguyen'"),
    ],
)
def test_bad_arguments_are_refused(tmp_path: Path, arguments: list[str], reason: str) -> None:
    path = tmp_path / "distilled.json"
    path.write_text(DISTILLED.to_json(), encoding="utf-8")
    with pytest.raises(ConfigError, match=reason):
        main([argument.format(path=path) for argument in arguments])
