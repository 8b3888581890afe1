import numpy as np
import pytest

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.exponentials import tame
from pysr_neural.expression.text import parse, to_string

ALL = {"exp", "sqrt", "*", "/", "+", "-", "cos"}
CASES = {
    "1 / sqrt(exp(x0 * x0))": "exp(-0.5 * (x0 * x0))",
    "0.4 * (1 / sqrt(exp(x0 * x0)))": "0.4 * exp(-0.5 * (x0 * x0))",
    "x1 / exp(3 * x0)": "x1 * exp(-3 * x0)",
    "cos(x1 / exp(x0 - x1))": "cos(x1 * exp(x1 - x0))",
    "exp(x0) * exp(x0)": "exp(2 * x0)",
    "exp(x0) * exp(x1)": "exp(x0 + x1)",
    "exp(x0) / exp(x1)": "exp(x0 - x1)",
    "exp(x0) / exp(x0)": "1",
    "sqrt(exp(x0 * 4))": "exp(x0 * 2)",
    "sqrt(exp(4.0))": "exp(2.0)",
}


@pytest.mark.parametrize("text", CASES)
def test_exponentials_take_in_what_stands_around_them(text):
    tree, expected = parse(text), parse(CASES[text])
    assert tame(tree, ALL) == expected, to_string(tame(tree, ALL))
    X = np.random.default_rng(0).uniform(-3, 3, (50, 2))
    np.testing.assert_allclose(evaluate(tame(tree, ALL), X), evaluate(tree, X), rtol=1e-12)


@pytest.mark.parametrize(
    "text", ["x0", "2", "sqrt(x0)", "exp(x0) * x1", "x0 / x1", "exp(sqrt(x0)) + 1", "cos(exp(x0))"]
)
def test_all_else_stays_as_it_is(text):
    tree = parse(text)
    assert tame(tree, ALL) is tree


def test_no_operator_comes_in():
    tree = parse("exp(x0) / exp(x1)")
    assert tame(tree, {"exp", "/"}) is tree
    assert tame(tree, {"exp", "/", "*"}) == parse("exp(x0) * exp(-1 * x1)")
    assert tame(parse("exp(x0) * exp(x1)"), {"exp", "*"}) == parse("exp(x0) * exp(x1)")


def test_what_overflows_in_single_precision_is_a_number_again():
    tree = parse("1 / sqrt(exp(x0 * x0))")
    X = np.array([[9.9]])
    with np.errstate(over="ignore"):
        single = np.float32(1) / np.sqrt(np.exp(np.float32(9.9) ** 2))
    assert single == 0.0
    exponent = tame(tree, ALL).children[0]
    assert np.exp(np.float32(evaluate(exponent, X)[0])) > 0
