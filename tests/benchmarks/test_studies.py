"""The studies: runs, curves, reports and pictures, on few generations and canned times."""

import math

import pytest

from pysr_neural.errors import ConfigError
from pysr_neural_benchmarks.pages import markdown_table, panels, small
from pysr_neural_benchmarks.studies import budget, initialisation
from pysr_neural_benchmarks.suites.reader import load_suite


def test_tables_and_numbers():
    assert markdown_table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
    assert [small(value) for value in (0.0, 1e-17, 0.012345, 1.0, math.inf)] == ["0", "0", "0.012", "1", "∞"]


def test_panels_are_drawn_whatever_their_number(tmp_path):
    curves = {str(i): {"one": ([1, 10], [0.0, 1.0]), "two": ([1, 10], [math.inf, 1e-3])} for i in range(4)}
    panels(curves, tmp_path / "p.png", "x", "y", columns=3)
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"


def test_marks_begin_with_the_initial_population_and_end_with_the_last_generation():
    assert initialisation.marks(30) == [0, 1, 2, 5, 10, 20, 30]
    assert initialisation.marks(1) == [0, 1]


def test_search_and_control_evaluate_equally_many():
    run = initialisation.run_once("quartic", 0, 20)
    for way in ("evolution", "random"):
        assert len(run[way]) == len(run["evaluations"]) == len(initialisation.marks(20))
        assert run[way] == sorted(run[way], reverse=True)
    assert run["evaluations"] == sorted(run["evaluations"])
    assert run == initialisation.run_once("quartic", 0, 20)


def test_the_initialisation_study_writes_a_report_with_pictures(tmp_path, capsys):
    assert initialisation.main(["--seeds", "1", "--generations", "2", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "report.md").read_text()
    assert all(f"| {problem.name} |" in text for problem in load_suite("basicsr_simple"))
    assert "Of 15 runs, the initial population solves" in text
    assert all((tmp_path / name).exists() for name in ("solved.png", "problems.png", "results.jsonl"))
    assert "report.md" in capsys.readouterr().out


def test_what_a_run_had_reached_by_some_time():
    run = {"scale": 2.0, "times": [0.1, 1.0, 3.0], "losses": [4.0, 1.0, 0.0]}
    assert [budget.loss_at(run, t) for t in (0.05, 0.1, 2.0, 9.0)] == [math.inf, 4.0, 1.0, 0.0]
    assert budget.unexplained([run], 1.0) == 0.5
    assert [budget.solved_by([run, run], t) for t in (2.0, 3.0)] == [0, 2]


@pytest.mark.parametrize("method", ["reference", "default"])
def test_a_timed_run_notes_every_improvement(method):
    run = budget.run_once(method, "polynomial_product", 0, 0.05, "")
    assert run["times"] == sorted(run["times"])
    assert run["losses"] == sorted(run["losses"], reverse=True)
    assert run["evaluations"] >= 20
    assert run["model_seconds"] == 0.0


def test_the_budget_study_writes_a_report_with_pictures(tmp_path, monkeypatch, capsys):
    asked = []

    def run(method, name, seed, seconds, checkpoint):
        asked.append((method, checkpoint))
        return {
            "scale": 1.0,
            "times": [0.1, 1.0],
            "losses": [1.0, 0.0 if method == "default" else 0.5],
            "generations": 100,
            "evaluations": 1000,
            "model_seconds": 0.2 if checkpoint else 0.0,
        }

    monkeypatch.setattr(budget, "run_once", run)
    assert budget.main(["--seeds", "2", "--seconds", "1", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "report.md").read_text()
    assert "| default | 0 | 0 | 12 |" in text
    assert "| default + transformer | 100 | 1,000 | 20% |" in text
    assert "| compound_fraction | reference | 0, ∞ | 0, 1 | 0, 0.5 |" in text
    assert all((tmp_path / name).exists() for name in ("solved.png", "problems.png"))
    assert set(asked) == {("reference", ""), ("default", ""), ("default + transformer", "default")}
    assert "Written to" in capsys.readouterr().out


def test_bad_input_is_told():
    with pytest.raises(ConfigError, match="--seconds above 0"):
        budget.main(["--seconds", "0"])
    with pytest.raises(ConfigError, match="--generations must be a whole number at least 1"):
        initialisation.main(["--generations", "0"])


@pytest.mark.slow
def test_the_bundled_model_is_one_of_the_methods():
    run = budget.run_once(budget.NEURAL, "polynomial_product", 0, 0.5, "default")
    assert 0 < run["model_seconds"] < run["times"][-1]
