"""Fitting of constants: what enters linearly, derivatives, other starts, sameness of bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysr_neural.expression.evaluate import GUARDED, IEEE, evaluate
from pysr_neural.expression.fit import fraction_unexplained, mean_squared_error, refine, refine_many
from pysr_neural.expression.node import apply, constant, variable
from pysr_neural.expression.numbers import number, set_number
from pysr_neural.expression.projection import Projection, Target
from pysr_neural.expression.refinement import Refinement
from pysr_neural.expression.structure import Forms
from pysr_neural.expression.tape import Tape
from pysr_neural.expression.text import parse, to_string
from pysr_neural.operators import OPERATORS
from tests.strategies import tame_floats, trees

SMALL = np.array([[1.0], [2.0], [3.0]])
X = np.random.default_rng(0).uniform(0.2, 2.0, (60, 3))
magnitudes = st.builds(
    lambda sign, size, exponent: sign * size * 10.0**exponent,
    st.sampled_from((1.0, -1.0)),
    st.floats(1.0, 9.0),
    st.integers(-100, 100),
)


def unexplained(tree, columns, y):
    return fraction_unexplained(evaluate(tree, columns), y)


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("x0 + 1.0", lambda x: x + 1e10, 1e10),
        ("1.0", lambda x: 1e26 * x, 2e26),
        ("1e-12 * x0", lambda x: 2 * x, 2.0),
        ("x0 + 1e-9", lambda x: x + 2, 2.0),
        ("1 * x0", lambda x: 1e-170 * x, 1e-170),
        ("1 * x0", lambda x: 5e153 * x, 5e153),
    ],
)
def test_a_linear_constant_is_found_at_any_magnitude(text, target, expected):
    tree, _ = refine(parse(text), SMALL, target(SMALL[:, 0]))
    assert tree.constants() == [expected]


LINEAR = (
    "c * x0",
    "x0 + c",
    "x0 - c",
    "c - x0",
    "x0 / c",
    "c / x0",
    "neg(c * x0)",
    "c * (x0 * x1)",
    "x0 * x1 + c * x2",
)


@pytest.mark.parametrize("text", LINEAR)
@given(start=magnitudes, wanted=magnitudes)
def test_any_start_of_a_linear_constant_leads_to_any_value(text, start, wanted):
    y = evaluate(parse(text.replace("c", f"({wanted!r})")), X)
    tree = refine(parse(text.replace("c", f"({start!r})")), X, y)[0]
    np.testing.assert_allclose(evaluate(tree, X), y, rtol=1e-12, atol=1e-12 * np.abs(y).max())
    if np.ptp(y) > 1e-9 * np.abs(y).max() and abs(wanted) > 1e-9:  # Else the data say nothing about the constant.
        assert tree.constants() == pytest.approx([wanted], rel=1e-6)


@pytest.mark.parametrize(
    ("text", "law"),
    [
        ("1 * (x0 + 1)", lambda a, b, c: 3e-9 * (a + 1e6)),
        ("(x0 + 1) / 1", lambda a, b, c: (a - 7) / 1e-5),
        ("1 * (1 + x0 * (1 + x1 * 1))", lambda a, b, c: 2 + a * (0.3 - 40 * b)),
        ("1 / (x0 / 1)", lambda a, b, c: 6e12 / a),
        ("1 * 1 * 1 * x0", lambda a, b, c: -6e-12 * a),
        ("sqrt(1 * x0) * 1", lambda a, b, c: -3 * np.sqrt(a)),
        ("sqrt(1 * x0)", lambda a, b, c: 1e-8 * np.sqrt(a)),
        ("square(1 * x0)", lambda a, b, c: 4e20 * a**2),
        ("log(1 * x0)", lambda a, b, c: np.log(1e20 * a)),
        ("exp(x0 + 1)", lambda a, b, c: 1e-15 * np.exp(a)),
        ("1 * x0 + 1 * x1 + 1 * x2 + 1", lambda a, b, c: 1e9 * a - 2 * b + 1e-3 * c + 5),
    ],
)
def test_scales_and_sums_of_constants_need_no_search(text, law):
    y = law(*X.T)
    tree, _ = refine(parse(text), X, y, 2)
    assert unexplained(tree, X, y) < 1e-18


@pytest.mark.parametrize("unit", [1e-26, 1.0, 1e26])
@pytest.mark.parametrize("shift", [0.0, 1e10])
@pytest.mark.parametrize(
    ("text", "law"),
    [
        ("1 * sin(1 * x0) + 1", lambda a, b, c: 2.5 * np.sin(1.3 * a)),
        ("1 * exp(1 * x0) + 1", lambda a, b, c: 2 * np.exp(-3 * a)),
        ("1 * x0 / (x1 + 1) + 1", lambda a, b, c: 2 * a / (b + 0.1)),
    ],
)
def test_neither_unit_nor_offset_of_y_matters(text, law, unit, shift):
    y = unit * (law(*X.T) + shift)
    tree, _ = refine(parse(text), X, y)
    assert unexplained(tree, X, y) < (1e-20 if shift == 0 else 1e-9)


@pytest.mark.parametrize(
    ("text", "law"),
    [
        ("sin(1 * x0)", lambda a, b, c: np.sin(9 * a)),
        ("1 / (1 * x0 + 1 * x1)", lambda a, b, c: 1 / (2e8 * a + 3e9 * b)),
        ("1 * sin(1 * x0) ^ 1", lambda a, b, c: 3 * np.sin(0.5 * a) ** 2),
        ("exp(1 * x0 * x1)", lambda a, b, c: np.exp(-2.5 * a * b)),
        ("sqrt(1 - x0 * 1)", lambda a, b, c: np.sqrt(1 - a / 300)),
        ("1 / (1 + x0 ^ 1)", lambda a, b, c: 1 / (1 + a**4)),
        ("1 * x0 ^ 1 * x1 ^ 1 / x2 ^ 1", lambda a, b, c: 7e-30 * a**2 * b**0.5 / c**3),
        ("1 * x0 * exp(1 * x1) / x2 ^ 1", lambda a, b, c: 4 * a * np.exp(-2 * b) / c**2),
        ("sqrt((x0 - x1) ^ 1 + (x1 - x2) ^ 1)", lambda a, b, c: np.sqrt((a - b) ** 2 + (b - c) ** 2)),
        ("max(1, x0) * 1", lambda a, b, c: 3 * np.maximum(0.7, a)),
    ],
)
def test_other_starts_follow_where_the_given_one_does_not_settle(text, law):
    y = law(*X.T)
    tree, _ = refine(parse(text), X, y)
    assert unexplained(tree, X, y) < 2.0**-23


def test_the_given_start_decides_where_several_answers_are_right():
    y = 2.5 * np.sin(1.3 * X[:, 0])
    for sign in (1.0, -1.0):
        tree, _ = refine(parse(f"1 * sin({sign} * x0)"), X, y)
        assert tree.constants() == pytest.approx([sign * 2.5, sign * 1.3])


def test_what_is_exact_already_is_left_alone():
    tree = parse("2.5 * sin(1.3 * x0) ^ 2")
    assert refine(tree, X, evaluate(tree, X)) == (tree, 0.0)


def test_what_fits_the_searched_rows_alone_is_fitted_to_all():
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 2.0, (480, 1))
    y = np.exp(0.7 * X[:, 0])
    y[1::2] += 0.1 * rng.standard_normal(240)  # The search looks at every tenth row.
    fitted, loss = refine(parse("exp(1.0 * x0)"), X, y)
    slopes = np.linspace(0.6, 0.8, 4001)
    losses = np.square(np.exp(slopes[:, None] * X[:, 0]) - y).mean(axis=1)
    assert loss <= losses.min() * (1 + 1e-9)
    assert fitted.constants()[0] == pytest.approx(slopes[losses.argmin()], abs=1e-4)
    assert abs(fitted.constants()[0] - 0.7) > 1e-5


def test_noise_does_not_keep_the_fit_from_the_least_squares_solution():
    rng = np.random.default_rng(1)
    y = 2.5 * np.sin(1.3 * X[:, 0]) + 0.7 + 0.1 * rng.standard_normal(len(X))
    tree, loss = refine(parse("1 * sin(1 * x0) + 1"), X, y)
    steps = np.eye(3) * 1e-4
    for step in [*steps, *-steps]:
        near = tree.with_constants((np.array(tree.constants()) + step).tolist())
        assert mean_squared_error(near, X, y) >= loss


@given(trees(constants=tame_floats))
def test_a_form_says_what_the_tree_says_and_finds_back_to_its_constants(tree):
    with np.errstate(all="ignore"):
        forms, tape, form = _form(tree)
        values = _values(tape, form, form.start, tape.start)
        constants = forms.assign(form, form.start, tape.start)
    expected = evaluate(tree, X)
    fine = np.isfinite(expected) & (np.abs(expected) < 1e9)
    if tree.constants() and fine.all() and np.isfinite(form.start).all() and np.isfinite(values).all():
        close = {"rtol": 1e-6, "atol": 1e-6 * max(1.0, np.abs(form.start).max(initial=0.0))}
        if np.isfinite(constants).all():
            again = evaluate(tree.with_constants(constants), X)
            assert np.allclose(again, values, **close) or not _is_tame(tree)
        assert np.allclose(values, expected, **close) or not _is_tame(tree)


def _is_tame(tree):
    """Steep functions of rounded arguments may differ in any digit."""
    return not any(node.operator in ("tan", "sign", "^", "exp", "sinh", "cosh", "inv", "/") for node in tree)


def _form(tree, functions=IEEE):
    tape = Tape(np.ascontiguousarray(X.T), functions)
    forms = Forms(tape, tree)
    return forms, tape, forms.of(tree)


def _values(tape, form, coefficients, theta):
    if len(theta):
        tape.run(np.array(theta))
    total = np.zeros(len(X)) if form.fixed == -1 else tape.values[form.fixed] * np.ones(len(X))
    for core, value in zip(form.cores, coefficients, strict=True):
        total = total + value * tape.values[core]
    return total


@pytest.mark.parametrize("row", OPERATORS.values(), ids=lambda row: row.name)
def test_every_operator_has_its_derivatives(row):
    assert len(row.pullbacks) == row.arity
    points = [np.linspace(0.21, 0.83, 7), np.linspace(0.92, 0.34, 7)][: row.arity]
    for function in (row.function, row.guarded):
        value = function(*points)
        for place, pullback in enumerate(row.pullbacks):
            moved = [[*points], [*points]]
            for each, step in zip(moved, (1e-6, -1e-6), strict=True):
                each[place] = each[place] + step
            expected = (function(*moved[0]) - function(*moved[1])) / 2e-6
            np.testing.assert_allclose(pullback(np.full(7, 3.0), *points, value), 3 * expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("functions", [IEEE, GUARDED])
@pytest.mark.parametrize(
    "text",
    [
        "sin(2 * x0) * exp(0.3 * x1) / (x2 + 0.7)",
        "log(1.5 + square(0.4 * x0 + x1)) ^ 1.5 + tanh(0.3 * x2)",
        "sqrt(x0 + 3 + 2 * cos(x1 * 0.7 + 2)) - max(0.9, x2) / atan(0.3 + x1)",
        "(x0 ^ 1.7 + 0.4 * x1 ^ 2.2) ^ 0.6 / (1.2 + cube(x2 * 0.3 + x0))",
    ],
)
def test_derivatives_over_the_tape_are_exact(text, functions):
    with np.errstate(all="ignore"):
        _, tape, form = _form(parse(text), functions)
        theta = np.array(tape.start)
        factors = dict(zip(form.cores, form.start, strict=True))
        factors.update({form.fixed: 1.0} if form.fixed != -1 else {})
        tape.run(theta)
        slopes = tape.pull(factors)
        for place, slope in enumerate(slopes):
            above, below = theta.copy(), theta.copy()
            above[place] += 1e-6
            below[place] -= 1e-6
            expected = _values(tape, form, form.start, above) - _values(tape, form, form.start, below)
            np.testing.assert_allclose(slope, expected / 2e-6, rtol=1e-5, atol=1e-8)


def test_many_sets_of_parameters_are_evaluated_at_once():
    with np.errstate(all="ignore"):
        _, tape, form = _form(parse("1.5 * sin(2 * x0 ^ 1.2) + x1 / (x2 + 0.7)"))
        sets = np.array([[0.4, 1.1, 0.3], [2.0, 2.0, 0.8], [-1.0, 0.5, 3.0]])
        projection = Projection(tape, form, Target(X[:, 0]))
        tape.run(sets)
        together = projection.losses(len(sets))
        apart = [projection.at(theta.copy()).square for theta in sets]
    np.testing.assert_allclose(together, apart, rtol=1e-9)


def test_operators_of_the_user_are_fitted_with_numerical_derivatives():
    functions = {**IEEE, "bump": lambda a: np.exp(-a * a), "blend": lambda a, b: a / (1 + b * b)}
    tree = apply("blend", apply("bump", apply("*", constant(1.0), variable(0))), apply("+", constant(0.5), variable(1)))
    y = np.exp(-((1.4 * X[:, 0]) ** 2)) / (1 + (0.8 + X[:, 1]) ** 2)
    fitted, loss = refine(tree, X, y, functions=functions)
    assert loss < 1e-20
    assert np.abs(fitted.constants()) == pytest.approx([1.4, 0.8])


def test_guarded_arithmetic_is_fitted_as_it_is_calculated():
    points = np.linspace(-3, 3, 40)[:, None]
    y = evaluate(parse("2.5 * sqrt(x0 * 3) + log(x0 - 1)"), points, GUARDED)
    tree, loss = refine(parse("1 * sqrt(x0 * 1) + log(x0 - 1)"), points, y, functions=GUARDED)
    assert loss < 1e-18
    assert mean_squared_error(tree, points, y, GUARDED) == loss


@pytest.mark.parametrize("text", ["2 * 3", "sqrt(2) - 1", "exp(log(3))", "2 ^ 3", "2 / 4", "neg(square(3))", "1 - 2"])
def test_a_number_of_several_constants_can_be_set(text):
    tree = parse(text)
    wanted = 0.7 * number(tree)
    constants = tree.constants()
    set_number(tree, wanted, constants, 0)
    assert number(tree.with_constants(constants)) == pytest.approx(wanted)


def test_a_number_that_cannot_be_is_nan():
    tree = parse("square(3)")
    constants = tree.constants()
    set_number(tree, -1.0, constants, 0)
    assert np.isnan(constants[0])


@pytest.mark.parametrize(
    "text",
    [
        "x0 * x0 * (4 / (x0 + x1)) * exp(-0.1 / (x0 * 1.1))",
        "1 * sin(1 * x0) + 1 / (x1 + 1)",
        "1 * x0 ^ 1 / (1 + x1 ^ 1)",
        "1 * x0 + 1 * x1 + 1 * x2 + 1 + 1 * x0 * x1",
    ],
)
def test_the_same_bits_wherever_memory_lies(text):
    data = np.random.default_rng(3).uniform(0.2, 2.0, (200, 3))
    y = data[:, 0] ** 2 / (data[:, 0] + 0.5 * data[:, 1]) + 0.1 * data[:, 2]
    found, junk = set(), []
    for shift in range(20):
        junk.append(np.empty(shift * 3 + 1))
        place = np.empty(data.size + shift)[shift:].reshape(data.shape)
        place[:] = data
        target = np.empty(len(y) + shift)[shift:]
        target[:] = y
        tree, loss = refine(parse(text), place, target)
        found.add((tuple(tree.constants()), loss))
    assert len(found) == 1


def test_many_at_once_are_what_each_is_alone():
    texts = ("1 * sin(1 * x0) + 1", "1 * sin(x1 * x2) + 1", "x0", "3", "1 * sin(x1 * x2) ^ 1", "log(0 - x0) + 1")
    population = [parse(text) for text in texts]
    y = 2 * np.sin(X[:, 1] * X[:, 2]) + 0.3
    together = refine_many(population, X, y)
    assert together == [refine(tree, X, y) for tree in population]
    assert together[1][1] < 1e-25


@given(trees(), st.sampled_from((0, 3, 120)))
def test_no_tree_is_made_worse_and_none_raises(tree, most):
    y = X[:, 1] * 3
    fitted, loss = refine(tree, X, y, most)
    assert loss <= mean_squared_error(tree, X, y)
    assert loss == mean_squared_error(fitted, X, y)
    assert to_string(fitted)


def test_losses_do_not_vanish_unnoticed_and_know_no_unit():
    x = SMALL[:, 0]
    assert mean_squared_error(constant(0.0), SMALL, 1e-170 * x) > 0
    assert mean_squared_error(parse("1e-170 * x0"), SMALL, 1e-170 * x) == 0
    for unit in (1e-300, 1e-170, 1.0, 5e153, 1e300):
        assert fraction_unexplained(np.full(3, 2.0) * unit, unit * x) == pytest.approx(1.0)
        assert fraction_unexplained(1.1 * unit * x, unit * x) == pytest.approx(0.07)


def test_a_loss_that_is_not_finite_is_infinite_and_no_warning():
    X = np.array([[0.0], [1.0], [800.0]])
    refinement = Refinement(X, X[:, 0], IEEE)
    assert refinement.loss(parse("1 / x0")) == np.inf
    assert refinement.loss(parse("exp(x0)")) == np.inf
