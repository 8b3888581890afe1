"""Beliefs about data: shares are of the samples, verdicts of tests that do not know the model."""

import json

import numpy as np
import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.expression.text import parse
from pysr_neural.problem import OperatorSet
from pysr_neural_training.interpret.beliefs import beliefs, page
from pysr_neural_training.interpret.command import BELIEFS, BELIEVED, main

OPERATORS = OperatorSet.of("+", "*", "/", "sin", "exp")
NAMES = ["m", "v", "idle"]
X = np.random.default_rng(0).uniform(1.0, 3.0, (300, 3))
Y = 0.5 * X[:, 0] * X[:, 1] ** 2


class Scripted:
    """A model that samples four expressions."""

    def open(self, problem):
        return self

    def explain(self, y, size, count, temperature, rng):
        texts = ("x0 * (x1 * x1)", "sin(x2) + 2.0 * (x1 * x1)", "x0 + 1.5", "exp(x0) * x1")
        return [(parse(text), 0.0) for text in texts]


@pytest.fixture(scope="module")
def found():
    return beliefs(Scripted(), X, Y, NAMES, OPERATORS)


def of(found, question):
    return {each.about: each for each in found.beliefs if each.question == question}


def test_variables_are_counted_and_tested(found):
    variables = of(found, "variable")
    assert {name: each.share for name, each in variables.items()} == {"m": 0.75, "v": 0.75, "idle": 0.25}
    assert [each.confirmed for each in variables.values()] == [True, True, False]


def test_operators_and_parts_are_confirmed_by_what_is_found_without_the_model(found):
    assert found.unexplained < 1e-12
    operators, parts = of(found, "operator"), of(found, "part")
    assert operators["*"].share == 0.75
    assert (operators["*"].confirmed, operators["sin"].confirmed) == (True, False)
    assert parts["(v * v)"].share == 0.5
    assert parts["exp(m)"].confirmed is False
    assert "(m + 1.5)" not in parts  # The same as m up to a constant.


def test_what_no_answer_explains_is_not_tested():
    noise = np.random.default_rng(1).standard_normal(300)
    found = beliefs(Scripted(), X, noise, NAMES, OPERATORS, seconds=0.3)
    assert {each.confirmed for each in found.beliefs if each.question != "variable"} == {None}
    assert "not tested" in page(found, "interpret")
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("rows", [8, 40])
def test_few_rows_and_one_variable(rows):
    wide = beliefs(Scripted(), X[:rows], Y[:rows], NAMES, OPERATORS, seconds=0.3)
    assert {each.confirmed for each in of(wide, "variable").values()} == {None}

    class Narrow(Scripted):
        def explain(self, *given):
            return [(parse("sin(x0)"), 0.0)]

    narrow = beliefs(Narrow(), X[:rows, :1], X[:rows, 0] ** 2, ["m"], OPERATORS, seconds=0.3)
    assert of(narrow, "variable")["m"].verdict == "the only one"


def test_a_model_that_writes_nothing_believes_nothing():
    class Silent(Scripted):
        def explain(self, *given):
            return []

    found = beliefs(Silent(), X[:40], Y[:40], NAMES, OPERATORS, seconds=0.3)
    assert found.samples == 0
    assert {each.share for each in found.beliefs} == {0}


def test_the_command_asks_the_bundled_checkpoint(tmp_path, capsys):
    file = tmp_path / "data.csv"
    np.savetxt(file, np.column_stack([X[:60], Y[:60]]), delimiter=",", header="m,v,idle,energy", comments="")
    assert main(["--data", str(file), "--target", "energy", "--out", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["samples"] > 50
    assert {each["about"] for each in told["beliefs"] if each["question"] == "variable"} == set(NAMES)
    assert (tmp_path / "out" / BELIEVED).stat().st_size > 1000
    assert "energy" in (tmp_path / "out" / BELIEFS).read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="--target"):
        main(["--data", str(file)])
