"""`pysr-neural study joins`."""

import json

import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.rng import generator
from pysr_neural_benchmarks.studies import joins
from pysr_neural_benchmarks.suites.data import Case, draw
from pysr_neural_benchmarks.suites.reader import load_suite


def test_what_is_solved_is_counted(capsys):
    arguments = ["nguyen", "--problems", "Nguyen-1", "Nguyen-8", "--seconds", "60", "--json"]
    assert joins.main(arguments) == 0
    counts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert counts["nguyen"]["problems"] == 2
    assert counts["nguyen"]["60"] == 2


def test_unknown_ways_are_refused():
    with pytest.raises(ConfigError, match="curves"):
        joins.main(["nguyen", "--without", "curvs"])


def test_dummies_and_noise_make_a_problem_no_other(capsys):
    arguments = ["feynman", "--problems", "I.12.1", "--seconds", "60", "--dummies", "3", "--noise", "0.01", "--json"]
    assert joins.main(arguments) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["feynman"]["60"] == 1


def test_dummies_are_columns_of_the_same_values_in_other_rows():
    source = load_suite("feynman")[0]
    drawn = draw(source, Case("feynman", source.name))
    wider = joins.with_dummies(drawn, 2, generator(0, "dummies"))
    count = drawn.problem.X.shape[1]
    assert wider.problem.X.shape[1] == wider.X_test.shape[1] == count + 2
    values = {column.tobytes() for column in drawn.problem.X.T}
    assert sum(column.tobytes() in values for column in wider.problem.X.T) == count
    assert joins.with_dummies(drawn, 0, generator(0, "dummies")) is drawn
