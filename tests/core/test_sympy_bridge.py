"""SymPy and back: the same values, clear refusals."""

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from pysr_neural.errors import ExpressionError
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import apply, constant, variable
from pysr_neural.expression.sympy_bridge import from_sympy, to_sympy
from pysr_neural.expression.text import parse
from pysr_neural.problem import OperatorSet
from tests.strategies import trees

X = np.random.default_rng(3).uniform(0.2, 0.9, (8, 2))
TAME = OperatorSet.of("sin", "exp", "square", "abs", "relu", "+", "-", "*", "max", "min")


@settings(max_examples=60)
@given(trees(TAME, features=2, constants=st.sampled_from([-1.5, 0.5, 1.0, 2.0]), max_leaves=5))
def test_values_survive_both_ways(tree):
    expected = evaluate(tree, X)
    back = evaluate(from_sympy(to_sympy(tree)), X)
    moderate = np.abs(expected) < 1e12
    np.testing.assert_allclose(back[moderate], expected[moderate], rtol=1e-9, atol=1e-9)


def test_names_and_whole_numbers():
    expression = to_sympy(parse("x1 ^ 2 * 2.5 + 3"), ["a", "b"])
    b = sympy.Symbol("b", real=True)
    assert sympy.simplify(expression - (sympy.Float(2.5) * b**2 + 3)) == 0
    assert from_sympy(b, ["a", "b"]) == variable(1)
    assert to_sympy(constant(3.0)) == sympy.Integer(3)
    assert float(to_sympy(constant(1e16))) == 1e16


def test_constants_of_sympy_are_numbers():
    assert from_sympy(sympy.pi).value == pytest.approx(np.pi)
    assert from_sympy(sympy.Rational(1, 4)) == constant(0.25)
    assert from_sympy(sympy.sqrt(sympy.Symbol("x0"))) == apply("sqrt", variable(0))


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (sympy.Symbol("z"), "got 'z'"),
        (sympy.I, "real and finite"),
        (sympy.zoo, "real and finite"),
        (sympy.oo, "real and finite"),
        (sympy.gamma(sympy.Symbol("x0")), "got gamma"),
        (sympy.sec(sympy.Symbol("x0")), "got sec"),
        (sympy.Symbol("x0") < 1, "got"),
    ],
)
def test_what_the_language_lacks_is_refused(expression, message):
    with pytest.raises(ExpressionError, match=message):
        from_sympy(expression)


def test_what_sympy_lacks_is_refused():
    with pytest.raises(ExpressionError, match="got 'bessel'"):
        to_sympy(apply("bessel", variable(0)))
    with pytest.raises(ExpressionError, match="needs a name"):
        to_sympy(variable(2), ["a", "b"])
