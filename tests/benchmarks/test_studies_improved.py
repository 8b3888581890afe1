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
from pysr_neural_benchmarks.studies import improved
from pysr_neural_benchmarks.studies.improved import (
    EVOLUTION,
    RESTARTS,
    case_of,
    main,
    problems,
    run_once,
    search_once,
    summary,
)
from pysr_neural_training.improve.config import ImproveConfig
from pysr_neural_training.improve.rounds import held_out_searches
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
    answer = parse("x0 * x0 + x1 * x1 + x2 * x2")
    monkeypatch.setattr(improved, "policy", lambda name: ScriptedProposer([answer], cycle=True))
    row = search_once(case_of("pythagorean_3d", 1, 50), 1, "scripted")
    assert row["solved"]
    assert row["evaluations"] <= 20
    assert not run_once(EVOLUTION, "pythagorean_3d", 1, 3, 0.0)["solved"]


def test_held_out_problems_are_held_out_and_fresh() -> None:
    cases = [case_of(f"held-out/{i}", seed, 10) for i in range(3) for seed in (0, 1)]
    assert cases[0].problem.y.tolist() == cases[1].problem.y.tolist()  # A seed drives the search only.
    judging = [search.given.problem.y.tolist() for search in held_out_searches(ImproveConfig())]
    for case in cases:
        assert case.problem.y.tolist() not in judging
        assert case.solved_below < 1e-9 * max(1.0, float(case.problem.y.var()))


def test_restarts_add_up_until_their_time_is_used() -> None:
    once = run_once(EVOLUTION, "quadratic_formula_discriminant", 0, 5, 0.0)
    seconds = 5 * once["seconds"]  # Enough for another search on a machine as busy as this one.
    more = run_once(RESTARTS, "quadratic_formula_discriminant", 0, 5, seconds)
    assert more["seconds"] >= seconds
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
    with pytest.raises(ConfigError, match="--seeds must be a whole number at least 1"):
        main(["--seeds", "0"])
