"""Expressions as Python source: what is pasted calculates what the expression does, for every operator."""

import numpy as np
import pytest
import sympy

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import apply, constant, variable
from pysr_neural.expression.source import numpy_source, python_names, sympy_source
from pysr_neural.expression.text import parse
from pysr_neural.operators import OPERATORS

X = np.random.default_rng(3).uniform(0.2, 0.9, (8, 2))
FORMS = [
    apply(name, *[apply("+", variable(i), constant(0.1)) for i in range(row.arity)]) for name, row in OPERATORS.items()
]


def run(source):
    scope = {}
    exec(source, scope)
    return scope["law"]


@pytest.mark.parametrize("tree", [*FORMS, parse("max(max(x0, 0.5), x1) / (x1 + 1) ^ 2 - 1 / x0")], ids=str)
def test_every_operator_gives_the_same_values(tree):
    expected = evaluate(tree, X)
    used = sorted({node.index for node in tree if node.index is not None})
    np.testing.assert_allclose(run(numpy_source(tree, ["a", "T/K"]))(*X.T[used]), expected, rtol=1e-12)
    law = run(sympy_source(tree, ["a", "T/K"]))
    a, b = sympy.symbols("a T_K", real=True)
    found = [float(law.subs({a: x, b: y})) for x, y in X]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_names_that_python_does_not_take_are_changed_and_told():
    assert python_names(["T/K", "T K", "2", "lambda", "np", "!"]) == ["T_K", "T_K_", "x2", "lambda_", "np_", "x"]
    source = numpy_source(parse("x0 + x1"), ["T/K", "b"])
    assert "def law(T_K, b):" in source
    assert "# T_K: T/K" in source
    assert "# b" not in source


def test_a_constant_needs_no_arguments():
    assert run(numpy_source(constant(2.5), ["a"]))() == 2.5
    assert float(run(sympy_source(constant(2.5), ["a"]))) == 2.5
