"""The operator table: complete rows, arithmetic that never raises, one table for every consumer."""

import mpmath
import numpy as np
import pytest
import sympy

from pysr_neural.errors import ConfigError
from pysr_neural.expression.evaluate import GUARDED, IEEE, evaluate
from pysr_neural.expression.node import Node, variable
from pysr_neural.expression.sympy_bridge import Style, from_sympy, to_sympy
from pysr_neural.expression.text import parse, to_string
from pysr_neural.operators import ALIASES, OPERATORS, is_known, operator
from pysr_neural.wire.vocabulary import NAMES, operator_token

GRID = np.array(
    [-np.inf, -1e300, -710.0, -2.5, -1.0, -1e-12, -0.0, 0.0, 1e-12, 0.5, 1.0, 2.0, 710.0, 1e300, np.inf, np.nan]
)
MODERATE = np.concatenate([np.linspace(-20, 20, 81), [1e-12, -1e-12]])


def arguments(row, grid):
    return (grid,) if row.arity == 1 else tuple(axis.ravel() for axis in np.meshgrid(grid, grid))


@pytest.mark.parametrize("row", OPERATORS.values(), ids=lambda row: row.name)
def test_functions_keep_shape_and_never_raise(row):
    for function in (row.function, row.guarded):
        columns = arguments(row, GRID)
        with np.errstate(all="ignore"):
            values = function(*columns)
        assert values.shape == columns[0].shape
        assert values.dtype == np.float64


@pytest.mark.parametrize("row", OPERATORS.values(), ids=lambda row: row.name)
def test_guarded_arithmetic_is_finite_for_moderate_input(row):
    columns = arguments(row, MODERATE)
    with np.errstate(all="ignore"):
        assert np.all(np.isfinite(row.guarded(*columns)))


@pytest.mark.parametrize("row", OPERATORS.values(), ids=lambda row: row.name)
def test_both_meanings_agree_well_inside_the_domain(row):
    columns = arguments(row, np.linspace(0.1, 0.9, 9))
    np.testing.assert_allclose(row.function(*columns), row.guarded(*columns), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("sqrt", (-1.0,)),
        ("log", (-1.0,)),
        ("log", (0.0,)),
        ("log2", (-1.0,)),
        ("log10", (0.0,)),
        ("log1p", (-1.0,)),
        ("asin", (1.5,)),
        ("acos", (-1.5,)),
        ("^", (-8.0, 1 / 3)),
        ("^", (0.0, -1.0)),
    ],
)
def test_outside_its_domain_an_operator_is_nan(name, point):
    assert np.isnan(operator(name).function(*[np.array([value]) for value in point]))[0]


@pytest.mark.parametrize(
    ("name", "point", "value"),
    [
        ("/", (3.0, 0.0), 3e10),
        ("inv", (0.0,), 1e6),
        ("exp", (100.0,), np.exp(14.0)),
        ("log", (0.0,), np.log(1e-12)),
        ("sqrt", (-4.0,), 2.0),
        ("tan", (np.pi / 2,), 1e6),
    ],
)
def test_guards_are_those_of_the_reference_algorithm(name, point, value):
    assert operator(name).guarded(*[np.array([p]) for p in point])[0] == pytest.approx(value)


@pytest.mark.parametrize("row", OPERATORS.values(), ids=lambda row: row.name)
def test_every_consumer_has_a_row(row):
    tree = Node(row.name, (variable(0), variable(1))[: row.arity])
    X = np.array([[0.3, 0.7], [0.6, 0.2]])
    assert parse(to_string(tree)) == tree
    assert NAMES[operator_token(row.name, row.arity)] == row.name
    back = from_sympy(to_sympy(tree))
    expected = row.function(*X.T[: row.arity])
    np.testing.assert_allclose(evaluate(tree, X), expected)
    np.testing.assert_allclose(evaluate(back, X), expected, rtol=1e-12)
    assert row.name in IEEE
    assert row.name in GUARDED
    assert row.julia


def test_aliases_lead_to_rows_and_hide_none():
    for alias, name in ALIASES.items():
        assert operator(alias) is OPERATORS[name]
        assert alias not in OPERATORS
    assert is_known("safe_log")
    assert not is_known("bessel")


def test_unknown_operator_is_refused_with_a_suggestion():
    with pytest.raises(ConfigError, match="Did you mean 'sqrt'"):
        operator("sqr")


POINTS = np.array(
    [-1e160, -700.0, -15.0, -4.0, -1.0, -0.5, -1e-6, -1e-11, 0.0, 1e-13, 1e-11, 1e-10, 1e-6, 0.3, 2.0, 16.0]
)
NUMPY = {
    "where": np.where, "nan_to_num": np.nan_to_num, "abs": np.abs, "max": np.maximum, "min": np.minimum,
    "inv": np.reciprocal, "sqrt": np.sqrt, "exp": np.exp, "log": np.log, "log2": np.log2, "log10": np.log10,
    "tan": np.tan, "sinh": np.sinh, "cosh": np.cosh, "asin": np.arcsin, "acos": np.arccos, "neg": np.negative,
}  # fmt: skip


def read_by_numpy(text, **variables):
    """What a reader takes our texts for."""
    functions = {**NUMPY, **variables}
    functions["nan_to_num"] = lambda value, *limits: np.nan_to_num(
        value, **dict(zip(("nan", "posinf", "neginf"), limits, strict=False))
    )
    with np.errstate(all="ignore"):
        return eval(text.replace("^", "**"), {"__builtins__": {}}, functions)  # our own text, in a test


@pytest.mark.parametrize(
    "row", [row for row in OPERATORS.values() if row.guarded is not row.function], ids=lambda r: r.name
)
def test_what_a_guarded_operator_is_shown_as_is_what_it_calculates(row):
    tree = Node(row.name, (variable(0), variable(1))[: row.arity])
    columns = arguments(row, POINTS)
    with np.errstate(all="ignore"):
        expected = row.guarded(*columns)
    text = to_string(tree, ["a name", "b"], guarded=True).replace("`a name`", "first")
    np.testing.assert_array_equal(read_by_numpy(text, first=columns[0], b=columns[-1]), expected)
    symbols = [sympy.Symbol(name) for name in ("x0", "x1")[: row.arity]]
    shown = to_sympy(tree, style=Style(real=False, guarded=True))
    assert shown.free_symbols == set(symbols)
    calculates = sympy.lambdify(symbols, shown, "mpmath")
    for i, (*point, value) in enumerate(zip(*columns, expected, strict=True)):
        found = [calculates(*map(mpmath.mpf, point))]
        if i % (len(POINTS) + 1) == 0:  # SymPy itself takes a tenth of a second for a point of a power.
            found.append(shown.subs(dict(zip(symbols, map(sympy.Float, point), strict=True)), simultaneous=True))
        assert [float(each) for each in found] == pytest.approx([value] * len(found), rel=1e-9, abs=1e-300), point


def test_every_guard_is_shown_and_nothing_else():
    for row in OPERATORS.values():
        assert (row.shown is None) == (row.guarded is row.function)
        assert to_string(parse("x0 + sin(x1)"), guarded=True) == "(x0 + sin(x1))"
    assert to_string(parse("sqrt(x0)"), guarded=True) == "sqrt(abs(x0))"
    assert to_string(parse("x0 / 2 + sqrt(3)"), guarded=True) == "((x0 / 2.0) + sqrt(3.0))"
    assert to_string(parse("x0 / 1e-11"), guarded=True) == "(x0 / where(abs(1e-11) < 1e-10, 1e-10, 1e-11))"
    assert to_string(parse("log(sqrt(x0 / x1))"), guarded=True) == (
        "log(max(abs(sqrt(abs((x0 / where(abs(x1) < 1e-10, 1e-10, x1))))), 1e-12))"
    )


@pytest.mark.parametrize("exponent", [2.0, 1.0, 0.0, 3.0, -1.0, -2.0, 0.5, -0.5, 1e9, np.inf, -np.inf, np.nan])
def test_one_exponent_for_all_rows_gives_what_one_for_each_gives(exponent):
    base = np.array([-np.inf, -2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, np.inf, np.nan])
    power = OPERATORS["^"].function
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(power(base, np.float64(exponent)), power(base, np.full(11, exponent)))
