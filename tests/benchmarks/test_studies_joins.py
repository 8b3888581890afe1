"""`pysr-neural study joins`."""

import json

import pytest

from pysr_neural.errors import ConfigError
from pysr_neural_benchmarks.studies import joins


def test_what_is_solved_is_counted(capsys):
    arguments = ["nguyen", "--problems", "Nguyen-1", "Nguyen-8", "--seconds", "2", "--json"]
    assert joins.main(arguments) == 0
    counts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert counts["nguyen"]["problems"] == 2
    assert counts["nguyen"]["2"] == 2


def test_unknown_ways_are_refused():
    with pytest.raises(ConfigError, match="curves"):
        joins.main(["nguyen", "--without", "curvs"])
