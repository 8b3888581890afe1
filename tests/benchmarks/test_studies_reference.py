"""The fidelity benchmark: runs that depend on their seed alone, a file that resumes, totals that are compared."""

import json

import numpy as np
import pytest

from pysr_neural.errors import ConfigError
from pysr_neural_benchmarks.studies import reference
from pysr_neural_benchmarks.studies.reference import (
    PUBLISHED,
    SUITES,
    main,
    measure,
    problem_of,
    run_once,
    summary,
    table,
)
from pysr_neural_benchmarks.suites.reader import load_suite


def row(group, problem, solved):
    return {"group": group, "problem": problem, "solved": solved}


def rows_like_the_published(lacking=0):
    """Rows that reproduce the published counts, but for some of the simple ones."""
    rows = [
        row(group, name, seed < counts[1000])
        for group, problems in PUBLISHED.items()
        for name, counts in problems.items()
        for seed in range(20)
    ]
    for each in rows[:lacking]:
        each["solved"] = False
    return [*rows, *[row("harder", "compound_fraction", False)] * 20]


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
        made.append((group, name, seed, generations))
        return row(group, name, True)

    monkeypatch.setattr(reference, "run_once", run)
    return made


def test_every_problem_is_run_with_every_seed(runs, tmp_path):
    rows = measure(2, 1000, 1, tmp_path / "results.jsonl")
    assert len(set(runs)) == len(rows) == 2 * 21
    assert {generations for *_, generations in runs} == {1000}


def test_the_command_prints_the_agreed_keys_last(runs, tmp_path, capsys):
    assert main(["--seeds", "1", "--out", str(tmp_path / "r.jsonl"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["simple_total"], result["harder_total"]) == (10, 5)
    assert len(result["per_problem"]) == 21


def test_bad_input_is_told():
    with pytest.raises(ConfigError, match="--seeds must be a whole number at least 1"):
        main(["--seeds", "0"])
