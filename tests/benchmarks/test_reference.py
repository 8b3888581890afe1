"""The fidelity benchmark: runs that depend on their seed alone, a file that resumes, totals that are compared."""

import json

import numpy as np
import pytest

from pysr_neural.errors import ConfigError
from pysr_neural_benchmarks import reference
from pysr_neural_benchmarks.reference import PUBLISHED, SUITES, main, measure, problem_of, run_once, summary, table
from pysr_neural_benchmarks.suite import load_suite


def row(group, problem, seed, solved):
    return {"group": group, "problem": problem, "seed": seed, "generations": 1000, "solved": solved}


def rows_like_the_published(lacking=0):
    """Rows that reproduce the published counts, but for some of the simple ones."""
    rows = [
        row(group, name, seed, seed < counts[1000])
        for group, problems in PUBLISHED.items()
        for name, counts in problems.items()
        for seed in range(20)
    ]
    for each in rows[:lacking]:
        each["solved"] = False
    return [*rows, *[row("harder", "compound_fraction", seed, False) for seed in range(20)]]


def test_the_published_counts_are_of_problems_of_the_suites():
    for group, suite in SUITES.items():
        assert set(PUBLISHED[group]) <= {problem.name for problem in load_suite(suite)}
    assert sum(counts[1000] for counts in PUBLISHED["simple"].values()) == 177
    assert sum(counts[1000] for counts in PUBLISHED["harder"].values()) == 63


def test_a_run_depends_on_its_seed_alone():
    source = load_suite("basicsr_simple")[5]
    assert np.array_equal(problem_of(source, 3).X, problem_of(source, 3).X)
    assert not np.array_equal(problem_of(source, 3).X, problem_of(source, 4).X)
    first, second = (run_once("simple", "square", 1, 5) for _ in range(2))
    first.pop("seconds"), second.pop("seconds")
    assert first == second
    assert first["solved"]


def test_totals_are_compared_within_ten():
    result = summary(rows_like_the_published(lacking=10), 20, 1000)
    assert (result["simple_total"], result["harder_total"], result["agrees"]) == (167, 63, True)
    assert not summary(rows_like_the_published(lacking=11), 20, 1000)["agrees"]
    assert "167" in table(result)
    assert "compound_fraction" in table(result)
    assert result["per_problem"][0] == {
        "group": "simple",
        "problem": "quadratic",
        "solved": 10,
        "published": 20,
        "counted": True,
    }


def test_other_numbers_of_seeds_have_nothing_to_be_compared_with():
    result = summary(rows_like_the_published(), 7, 1000)
    assert result["simple_published"] is None
    assert result["agrees"]


@pytest.fixture
def runs(monkeypatch):
    """Runs that take no time, and which of them were made."""
    made = []

    def run(group, name, seed, generations):
        made.append((group, name, seed))
        return {**row(group, name, seed, True), "generations": generations}

    monkeypatch.setattr(reference, "run_once", run)
    return made


def test_started_again_it_does_only_what_is_missing(runs, tmp_path):
    out = tmp_path / "deep" / "results.jsonl"
    rows = measure(2, 1000, 1, out)
    assert len(runs) == len(rows) == 2 * 21
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(lines[:-3]) + lines[-3][:20])  # Killed while writing.
    runs.clear()
    assert {(r["problem"], r["seed"]) for r in measure(2, 1000, 1, out)} == {(r["problem"], r["seed"]) for r in rows}
    assert len(runs) == 3
    assert len(out.read_text().splitlines()) == 42
    runs.clear()
    measure(2, 100, 1, out)
    assert len(runs) == 42


def test_the_command_prints_the_agreed_keys_last(runs, tmp_path, capsys):
    assert main(["--seeds", "1", "--out", str(tmp_path / "r.jsonl"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["simple_total"], result["harder_total"]) == (10, 5)
    assert len(result["per_problem"]) == 21


def test_bad_input_is_told(tmp_path):
    with pytest.raises(ConfigError, match="--seeds must be at least 1"):
        main(["--seeds", "0"])
    (tmp_path / "r.jsonl").write_text("no json\n")
    with pytest.raises(ConfigError, match="must hold JSON lines"):
        main(["--out", str(tmp_path / "r.jsonl")])


def test_processes_give_the_same_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "SUITES", {"simple": "basicsr_simple"})
    monkeypatch.setattr(reference, "load_suite", lambda name: load_suite(name)[:2])
    one, two = (measure(1, 3, processes, tmp_path / f"{processes}.jsonl") for processes in (1, 2))
    for each in [*one, *two]:
        del each["seconds"]
    assert one == two
