"""Quotients of polynomials in variables and functions of them."""

import numpy as np
import pytest

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.text import parse
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.quotients import Quotients, bases_of
from pysr_neural.proposer.joins.splits import targets_of

ALL = OperatorSet.of("+", "-", "*", "/", "sin", "cos", "exp", "log", "sqrt")
X = np.random.default_rng(0).uniform(1.2, 5.0, (200, 3))


def found(text: str, bases: list[str]) -> tuple[float, int] | None:
    y = evaluate(parse(text), X)
    with np.errstate(all="ignore"):
        tree = Quotients([parse(base) for base in bases], X.T).found(targets_of(y, ALL)[0], minus=True)
    return None if tree is None else (fraction_unexplained(evaluate(tree, X), y), tree.size)


@pytest.mark.parametrize(
    ("text", "bases", "most"),
    [
        ("(2.0 * x0 - 3.0) / (x1 + 0.7 * x0 + 1.5)", ["x0", "x1"], 15),
        ("(x0 - log(x1) + log(x1) / x0) / (x0 + log(x1) + log(x1) / x0)", ["x0", "x1", "log(x1)"], 24),
        ("(x0 - 2.0 * x0 * x0) / (sqrt(x0) - 2.0 * x0 * x0 - x0)", ["x0", "sqrt(x0)"], 20),
        ("x2 + 1.0 / (x0 + 3.3 * x1)", ["x0", "x1", "x2"], 16),
    ],
)
def test_quotients_are_found_and_short(text: str, bases: list[str], most: int) -> None:
    result = found(text, bases)
    assert result is not None
    unexplained, size = result
    assert unexplained < 1e-18
    assert size <= most


def test_what_is_no_quotient_is_left() -> None:
    assert found("sin(x0 * x1) / (x2 + 1.0)", ["x0", "x1", "x2"]) is None
    assert found("exp(x0) + x1", ["x0", "x1"]) is None


def test_functions_of_good_answers_come_first_and_no_set_twice() -> None:
    sets = list(bases_of([0, 1], ALL, [parse("sin(x1) + x0 * log(x0)")]))
    assert [str(each) for each in sets[0]] == [str(parse(text)) for text in ("x0", "x1", "sin(x1)", "log(x0)")]
    assert len({frozenset(each) for each in sets}) == len(sets)
