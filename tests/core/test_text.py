"""Printing and reading are mutual inverses; what cannot be read is refused with its position."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pysr_neural.errors import ExpressionError
from pysr_neural.expression.node import apply, constant, variable
from pysr_neural.expression.text import MAX_DEPTH, parse, to_string
from tests.strategies import all_trees, finite_floats, trees

X0, X1 = variable(0), variable(1)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_every_small_tree_survives_the_round_trip(size):
    found = all_trees(size)
    assert len(set(map(to_string, found))) == len(set(found)) == len(found)
    for tree in found:
        assert parse(to_string(tree)) == tree


@given(trees())
def test_any_tree_survives_the_round_trip(tree):
    text = to_string(tree)
    assert parse(text) == tree
    assert to_string(parse(text)) == text


@given(finite_floats)
@example(-0.0)
@example(5e-324)
@example(1.7976931348623157e308)
@example(0.1 + 0.2)
def test_every_finite_float_survives_the_round_trip(value):
    assert parse(to_string(constant(value))) == constant(value)
    assert parse(f"x0 - {value!r}") == apply("-", X0, constant(value))


@given(trees(features=2))
def test_variable_names_survive_the_round_trip(tree):
    names = ["period", "x0_squared"]
    assert parse(to_string(tree, names), names) == tree


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * x0", "(1.0 + (2.0 * x0))"),
        ("x0 - x1 - 1", "((x0 - x1) - 1.0)"),
        ("x0 / x1 / 2", "((x0 / x1) / 2.0)"),
        ("x0 ^ x1 ^ 2", "(x0 ^ (x1 ^ 2.0))"),
        ("x0 ** 2", "(x0 ^ 2.0)"),
        ("-x0 ^ 2", "neg((x0 ^ 2.0))"),
        ("-x0 * x1", "(neg(x0) * x1)"),
        ("-2", "-2.0"),
        ("- 2", "-2.0"),
        ("+3", "3.0"),
        ("+x0", "x0"),
        ("--x0", "neg(neg(x0))"),
        ("2*-3", "(2.0 * -3.0)"),
        ("x0^-1", "(x0 ^ -1.0)"),
        ("x0^-x1", "(x0 ^ neg(x1))"),
        ("x0^-x1^2", "(x0 ^ neg((x1 ^ 2.0)))"),
        ("safe_log(x0)", "log(x0)"),
        ("pow(x0, 2)", "(x0 ^ 2.0)"),
        ("max(x0, min(x1, .5))", "max(x0, min(x1, 0.5))"),
        ("  ( x0 )\n", "x0"),
        ("1e3 + 1.E-2", "(1000.0 + 0.01)"),
    ],
)
def test_usual_spellings_are_read(text, expected):
    assert to_string(parse(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "x0 +",
        "(x0",
        "x0)",
        "x0 x1",
        "sin",
        "sin()",
        "sin(x0, x1)",
        "max(x0)",
        "foo(x0)",
        "x",
        "x-1y",
        "1..2",
        "1e999",
        "nan",
        "inf",
        "x0 = 1",
        "__import__('os')",
        "x0; x1",
        "x0 @ x1",
        "x0 + + * x1",
        "²",
        "x0,x1",
        "()",
        "x9999999",
    ],
)
def test_what_is_not_an_expression_is_refused(text):
    with pytest.raises(ExpressionError, match="Expected"):
        parse(text)


def test_an_error_tells_the_position():
    with pytest.raises(ExpressionError, match=r"at position 5 of 'x0 \+ \?'; got '\?'"):
        parse("x0 + ?")


def test_names_hide_the_default_variables():
    assert parse("a + b", ["a", "b"]) == apply("+", X0, X1)
    with pytest.raises(ExpressionError):
        parse("x0", ["a"])


def nested(depth, way):
    """A tree of one depth: leaning left, leaning right, or a chain of unaries."""
    tree = X0
    for _ in range(depth - 1):
        tree = {"left": apply("+", tree, X1), "right": apply("+", X1, tree), "unary": apply("sin", tree)}[way]
    return tree


@pytest.mark.parametrize("way", ["left", "right", "unary"])
def test_deep_trees_are_read_up_to_the_limit(way):
    deepest = nested(MAX_DEPTH, way)
    assert parse(to_string(deepest)) == deepest
    with pytest.raises(ExpressionError):
        parse(to_string(nested(MAX_DEPTH + 80, way)))


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "x0" + ")" * 5000,
        "-" * 5000 + "x0",
        "sin(" * 5000 + "x0" + ")" * 5000,
        "^".join(["x0"] * 5000),
        "+".join(["x0"] * 5000),
        "(-" * 5000 + "x0" + ")" * 5000,
    ],
    ids=["parentheses", "signs", "functions", "powers", "sum", "mixed"],
)
def test_endless_nesting_is_refused_rather_than_overflowing(text):
    with pytest.raises(ExpressionError):
        parse(text)


@settings(max_examples=300)
@given(st.text(alphabet="x01.e+-*/^(), sinmax_", max_size=30))
def test_any_text_is_either_read_or_refused(text):
    try:
        tree = parse(text)
    except ExpressionError:
        return
    assert parse(to_string(tree)) == tree
