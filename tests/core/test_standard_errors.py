"""Standard errors of constants: those of SciPy's curve fit, and none where the data say nothing."""

import numpy as np
import pytest
from scipy.optimize import curve_fit

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.standard_errors import jacobian, standard_errors
from pysr_neural.expression.text import parse

X = np.random.default_rng(0).uniform(1, 3, (60, 1))
Y = 2.5 * np.exp(-0.7 * X[:, 0]) + 0.3 + 0.01 * np.random.default_rng(1).standard_normal(60)


def test_the_jacobian_is_the_derivative():
    tree = parse("2.5 * exp(-0.7 * x0) + 0.3")
    found = jacobian(tree, X)
    step = 1e-6
    for i, value in enumerate((2.5, -0.7, 0.3)):
        constants = [2.5, -0.7, 0.3]
        constants[i] = value + step
        up = evaluate(tree.with_constants(constants), X)
        constants[i] = value - step
        np.testing.assert_allclose(
            found[:, i], (up - evaluate(tree.with_constants(constants), X)) / (2 * step), atol=1e-8
        )


def test_errors_are_those_of_least_squares():
    best, covariance = curve_fit(lambda x, a, b, c: a * np.exp(b * x) + c, X[:, 0], Y, [2, -1, 0])
    tree = parse(f"{best[0]} * exp({best[1]} * x0) + {best[2]}")
    found = standard_errors(tree, X, Y - evaluate(tree, X))
    np.testing.assert_allclose(found, np.sqrt(np.diag(covariance)), rtol=1e-4)


def test_whole_numbers_are_part_of_the_form():
    found = standard_errors(parse("(x0 * 1.5) ^ 2 + 3"), X, Y)
    assert found[0] > 0
    assert found[1:] == [0.0, 0.0]
    assert standard_errors(parse("x0 + 1"), X, Y) == [0.0]


@pytest.mark.parametrize("text", ["1.5 * (2.5 * x0)", "0.5 * (x0 - x0) + x0 * 2", "log(x0 - 5.5)"])
def test_what_the_data_do_not_determine_has_an_infinite_error(text):
    assert np.inf in standard_errors(parse(text), X, Y)


def test_as_many_constants_as_rows_leave_no_errors():
    assert standard_errors(parse("1.5 * x0 + 2.5"), X[:2], Y[:2]) == [np.inf, np.inf]
