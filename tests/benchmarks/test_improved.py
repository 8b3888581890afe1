"""The comparison on the harder suite: arms, pairs, controls, a table; what was done is not done again."""

import json
from pathlib import Path

import pytest
import torch

from pysr_neural.errors import ConfigError
from pysr_neural.expression.text import parse
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural.proposer.scripted import ScriptedProposer
from pysr_neural_benchmarks import improved
from pysr_neural_benchmarks.improved import EVOLUTION, RESTARTS, main, problems, run_once, search_once, summary
from pysr_neural_benchmarks.reference import problem_of
from tests.core.conftest import SMALL


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("improved") / "model"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ProposerModel(ProposerConfig(**SMALL)).save_pretrained(path)
    return str(path)


def test_the_suite_is_that_of_the_protocol() -> None:
    assert len(problems()) == 5
    assert "compound_fraction" not in {each.name for each in problems()}


def test_a_solution_ends_a_run_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    source = next(each for each in problems() if each.name == "pythagorean_3d")
    answer = parse("x0 * x0 + x1 * x1 + x2 * x2")
    monkeypatch.setattr(improved, "policy", lambda name: ScriptedProposer([answer], cycle=True))
    row = search_once(problem_of(source, 1), 1, 50, "scripted")
    assert row["solved"]
    assert row["evaluations"] <= 20
    assert not run_once(EVOLUTION, "pythagorean_3d", 1, 3, 0.0)["solved"]


def test_restarts_add_up_until_their_time_is_used() -> None:
    once = run_once(EVOLUTION, "quadratic_formula_discriminant", 0, 5, 0.0)
    more = run_once(RESTARTS, "quadratic_formula_discriminant", 0, 5, 0.05)
    assert more["seconds"] >= 0.05
    assert more["evaluations"] > once["evaluations"]


def test_summary_compares_pairs_with_the_first_arm() -> None:
    def row(solved: bool) -> dict[str, float]:
        return {"solved": solved, "evaluations": 10, "fitting": 2, "seconds": 1.0}

    result = summary({"a": [row(False)] * 10, "b": [row(True)] * 10, "c": [row(i < 5) for i in range(10)]})
    assert result["b"]["gain"] == [1.0, 1.0, 1.0]
    gain, low, high = result["c"]["gain"]
    assert (gain, result["c"]["solved"]) == (0.5, 5)
    assert 0 < low < 0.5 < high < 1


def test_command_prints_a_table_and_resumes(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--seeds", "1", "--generations", "2", "--checkpoint", checkpoint, "--out", str(tmp_path / "rows.jsonl")]
    assert main([*given, "--json"]) == 0
    output = capsys.readouterr().out.splitlines()
    result = json.loads(output[-1])
    assert set(result) == {EVOLUTION, checkpoint}
    assert result[checkpoint]["runs"] == 5
    assert output[0].startswith("| arm | solved |")
    rows = (tmp_path / "rows.jsonl").read_text()
    assert main(given) == 0
    assert (tmp_path / "rows.jsonl").read_text() == rows


def test_bad_counts_are_refused() -> None:
    with pytest.raises(ConfigError, match="--seeds must be at least 1"):
        main(["--seeds", "0"])
