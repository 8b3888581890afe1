"""The benchmark of traces prints its figures, and its last line is JSON."""

import json

import pysr_neural
from pysr_neural.errors import EngineUnavailableError
from pysr_neural_benchmarks.speed import traces


def run(capsys, monkeypatch, *more):
    monkeypatch.setattr(traces, "LEAST_EVENTS", 2000)
    assert traces.main(["--generations=20", "--rounds=1", "--every=8", "--json", *more]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_figures(capsys, monkeypatch):
    monkeypatch.setattr(pysr_neural, "julia_available", lambda: False)
    *table, last = run(capsys, monkeypatch)
    found = json.loads(last)
    assert {"bytes_per_proposal", "basic_overhead", "pysr_overhead", "read_events_per_second"} <= set(found)
    assert found["pysr_overhead"] is None
    assert 0 < found["bytes_per_proposal"] < 200
    assert any("at most 60" in line for line in table)


def test_a_julia_that_does_not_start_is_no_failure(capsys, monkeypatch):
    def fails(seconds, rounds):
        raise EngineUnavailableError("PySR could not start Julia (no network).\nmore")

    monkeypatch.setattr(pysr_neural, "julia_available", lambda: True)
    monkeypatch.setattr(traces, "measure_pysr", fails)
    assert traces.measured_pysr(1.0, 1) is None
    assert capsys.readouterr().out == "PySR is not measured: PySR could not start Julia (no network).\n"


def test_the_reference_problems_take_a_search():
    assert len(traces.problems()) == 16
    assert all(len(problem.y) == 50 for problem in traces.problems())
