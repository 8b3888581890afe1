"""Sets of functions that come together with the variables in quotients of two sums."""

import itertools

import numpy as np

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.text import parse, to_string
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.mixtures import MOST_VARIABLES, mixtures
from pysr_neural.proposer.joins.search import WAYS, Joiner

ALL = OperatorSet.of("+", "-", "*", "/", "sin", "cos", "exp", "log", "sqrt")
FEW = OperatorSet.of("+", "*", "sin", "log")


def sets(order, operators, parts):
    return [[to_string(node) for node in bases[len(order) :]] for bases in mixtures(order, operators, parts)]


def test_pairs_come_first_then_deeper_functions_with_what_is_inside_them():
    found = sets([1, 0], FEW, [parse("x0 * x1"), parse("sin(log(x0))"), parse("log(x0 + x1)")])
    assert found[0] == ["sin(x1)", "log(x1)"]
    assert found[6:8] == [["sin(log(x0))", "log(x0)"], ["log((x0 + x1))"]]
    assert ["log((x0 + x1))", "sin(x1)"] in found
    assert ["sin(x1)", "log(x1)", "sin(x0)"] in found
    assert len(found) == len({frozenset(functions) for functions in found})


def test_all_variables_are_in_each_set_and_many_are_too_many():
    bases = next(mixtures([2, 0, 1], ALL, []))
    assert [node.index for node in bases[:3]] == [2, 0, 1]
    assert next(mixtures(range(MOST_VARIABLES + 1), ALL, []), None) is None
    assert next(mixtures([0], OperatorSet.of("+", "*"), []), None) is None


def test_a_law_of_functions_of_several_operators_is_found():
    X = np.random.default_rng(0).uniform(1.5, 50.0, (512, 3))
    y = evaluate(parse("(sqrt(x1) - x0 / x2) / (x0 / (x2 * log(x1)) + 2.0 * x1)"), X)
    solved = {}
    for name, ways in {"with": {"mixtures"}, "without": WAYS - {"mixtures"}}.items():
        joiner = Joiner(X, y, ALL, 30, ways=ways)
        joiner.work(80)
        solved[name] = joiner.solved
    assert solved == {"with": True, "without": False}


def test_rows_that_are_few_are_no_failure():
    X = np.random.default_rng(0).uniform(2.0, 9.0, (8, 2))
    for joiner in (Joiner(X, X[:, 0] * np.sin(X[:, 1]), ALL, 20), Joiner(X[:, :1], X[:, 0] ** 3, ALL, 20)):
        joiner.work(40)
        assert len(joiner.answers)


def test_sets_end():
    assert sum(1 for _ in itertools.islice(mixtures([0, 1, 2], ALL, []), 10**5)) == 105 + 455
