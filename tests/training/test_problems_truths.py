"""What is true about an expression."""

import pytest

from pysr_neural.expression.text import parse, to_string
from pysr_neural_training.problems.truths import all_parts, below_outer, in_arithmetic, substituted, terms_of


def text(tree: object) -> str:
    return to_string(tree).replace("(", "").replace(")", "").replace(" ", "")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("x0^2", "x0 * x0"),
        ("x0^(3/2)", "x0 * sqrt(x0)"),
        ("x0^-1", "1.0 / x0"),
        ("cube(sin(x1))", "sin(x1) * sin(x1) * sin(x1)"),
        ("x0^2.3", "x0^2.3"),
        ("x0^x1", "x0^x1"),
    ],
)
def test_powers_become_products_and_roots(given: str, expected: str) -> None:
    assert text(in_arithmetic(parse(given))) == text(parse(expected))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("exp(2.0 * (x0 + x1) - 3.0)", "x0 + x1"),
        ("1.0 / sin(x0 * x1)", "x0 * x1"),
        ("x0 + x1", "x0 + x1"),
        ("sin(x0)^3", "sin(x0)^3"),
    ],
)
def test_what_lies_below_unary_operators_and_constants(given: str, expected: str) -> None:
    assert text(below_outer(parse(given))) == text(parse(expected))


def test_terms_and_factors_are_told_without_signs() -> None:
    assert [text(each) for each in terms_of(parse("x0 - (sin(x1) + x2 * x3)"))] == ["x0", "sinx1", "x2*x3"]
    assert [text(each) for each in terms_of(parse("x0 / (x1 * (x2 + 1.0))"))] == ["x0", "x1", "x2+1.0"]


def test_pairs_that_occur_nowhere_else_are_substituted() -> None:
    tree, steps = substituted(parse("sin((x0 - x1) * x2) + exp(x0 - x1)"), 3)
    assert [text(step) for step in steps] == ["x0-x1"]
    assert tree.variables() == {2, 3}
    unchanged, steps = substituted(parse("sin(x0 - x1) + x0 * x2"), 3)
    assert not steps
    assert unchanged.variables() == {0, 1, 2}


def test_sums_of_some_terms_are_parts_too() -> None:
    found = {text(each) for each in all_parts(parse("x0 + sin(x1) - x2"))}
    assert {"x0+sinx1", "x0-x2", "sinx1-x2", "sinx1"} <= found
    assert not found & {"x0", "x1", "x2"}
