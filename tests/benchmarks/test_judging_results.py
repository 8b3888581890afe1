"""Results files: every run is made once, in one process or several, whatever was interrupted."""

import pytest

from pysr_neural.errors import ConfigError
from pysr_neural_benchmarks.judging.results import complete

TASKS = [("a", 1), ("a", 2), ("b", 1)]


def double(name, number):
    return {"name": name, "twice": 2 * number}


@pytest.fixture
def counted():
    """A run that notes its tasks."""
    made = []

    def run(*task):
        made.append(task)
        return double(*task)

    return run, made


def test_results_come_in_the_order_of_the_tasks_and_only_once(tmp_path, counted):
    run, made = counted
    out = tmp_path / "deep" / "results.jsonl"
    assert complete(run, TASKS[1:], out) == [double(*task) for task in TASKS[1:]]
    assert complete(run, TASKS, out) == [double(*task) for task in TASKS]
    assert made == [*TASKS[1:], TASKS[0]]


def test_a_killed_run_is_made_again(tmp_path, counted):
    run, made = counted
    out = tmp_path / "results.jsonl"
    complete(run, TASKS, out)
    out.write_text(out.read_text()[:-12])
    made.clear()
    assert complete(run, TASKS, out) == [double(*task) for task in TASKS]
    assert made == [TASKS[-1]]
    assert len(out.read_text().splitlines()) == 3


def test_several_processes_give_the_same(tmp_path):
    assert complete(double, TASKS, tmp_path / "two.jsonl", 2) == complete(double, TASKS, tmp_path / "one.jsonl")


@pytest.mark.parametrize("text", ["no json\n", "3\n", '{"task": [1]}\n'])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    out = tmp_path / "results.jsonl"
    out.write_text(text)
    with pytest.raises(ConfigError, match="must hold results of this command"):
        complete(double, TASKS, out)
    assert out.read_text() == text
