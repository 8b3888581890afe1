"""Names of variables: unusable ones are refused, those that would be misread are quoted, everywhere alike."""

import numpy as np
import pytest
import sympy

from pysr_neural.errors import DataError, ExpressionError
from pysr_neural.expression.names import checked_names, latex_names, quoted, unquoted
from pysr_neural.expression.node import variable
from pysr_neural.expression.sympy_bridge import Style, from_sympy, to_latex, to_sympy
from pysr_neural.expression.text import parse, to_string

ODD = ["a-b", "T/K", "x y", "50%", "sin", "x`y", "1e5", "2", "a_b", "E", "θ", "#{}~^\\", "where"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a", "a"], "'a' 2 times"),
        ([1, 2], "printable text that is not empty; got 1"),
        (["a", ""], "got ''"),
        (["a", "  "], "got '  '"),
        (["a", "b\nc"], r"got 'b\\nc'"),
        (["a"], r"Each of the 2 columns needs a name; got \['a'\]"),
        ("ab", r"needs a name; got \['ab'\]"),
        (["a", None], "got None"),
        (3, "got 3"),
    ],
)
def test_unusable_names_are_refused(names, said):
    with pytest.raises(DataError, match=said):
        checked_names(names, 2)


def test_names_of_any_library_become_texts():
    assert checked_names(np.array(["a", "b c"]), 2) == ["a", "b c"]
    assert [type(name) for name in checked_names(np.array(["a"]), 1)] == [str]


@pytest.mark.parametrize("name", ODD)
def test_quoting_can_be_undone(name):
    assert unquoted(quoted(name)) == name


def test_plain_words_stay_as_they_are():
    assert [quoted(name) for name in ("mass", "x0", "E", "pi", "θ", "a_b", "x₁")] == [
        "mass", "x0", "E", "pi", "θ", "a_b", "x₁"
    ]  # fmt: skip
    assert [quoted(name) for name in ("a-b", "exp", "pow", "x`y")] == ["`a-b`", "`exp`", "`pow`", "`x``y`"]


def test_texts_with_any_names_read_back_as_the_same_tree():
    for i, name in enumerate(ODD):
        tree = parse(f"sin(x{i}) * (x{i} - x0 / 1e5) + x1")
        text = to_string(tree, ODD)
        assert parse(text, ODD) == tree, name
    assert to_string(parse("x0 * x1"), ["a-b", "T/K"]) == "(`a-b` * `T/K`)"
    assert parse("sin(sin)", ["sin"]) == parse("sin(x0)")
    with pytest.raises(ExpressionError, match="a variable or an operator"):
        parse("`c` + 1", ["a", "b"])


def test_sympy_has_the_names_of_the_text():
    tree = parse("x0 * x1 - x2")
    written = to_sympy(tree, ODD, style=Style(real=False))
    assert {str(symbol) for symbol in written.free_symbols} == {"`a-b`", "`T/K`", "`x y`"}
    assert written.diff(sympy.Symbol("`x y`")) == -1
    assert from_sympy(sympy.Symbol("`x y`"), ODD) == variable(2)


def test_latex_is_not_cut_off_and_tells_names_apart():
    assert to_latex(parse("x0 + x3"), ODD) == r"\text{50\%} + \text{a-b}"
    assert latex_names(["x1", "x_1", "y"]) == {"x1": r"\text{x1}", "x_1": r"\text{x\_1}"}
    assert to_latex(parse("x0 * x1"), ["x1", "x_1"]) == r"\text{x1} \text{x\_1}"
    assert to_latex(variable(11), ODD) == r"\text{\#\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}}"
    assert to_latex(parse("x0 * x1")) == "x_{0} x_{1}"


@pytest.mark.parametrize("name", ["yabs", "x__2", "what", "xdot", "Enorm", "xprime", "zbar"])
def test_names_are_not_printed_as_mathematics(name):
    assert to_latex(variable(0), [name]) == r"\text{" + name.replace("_", r"\_") + "}"


@pytest.mark.parametrize(("name", "latex"), [("mass_kg", "mass_{kg}"), ("lambda", r"\lambda"), ("v2", "v_{2}")])
def test_usual_names_are_printed_as_usual(name, latex):
    assert to_latex(variable(0), [name]) == latex


@pytest.mark.parametrize(
    ("text", "precision", "latex"),
    [
        ("299792458 * x0", 3, r"3.00 \cdot 10^{8} x_{0}"),
        ("123.456 * x0", 3, "123. x_{0}"),
        ("123.456 * x0", 4, "123.5 x_{0}"),
        ("2 * x0", 3, "2.00 x_{0}"),
        ("x0 * x0 * 0.5", 3, "0.500 x_{0}^{2}"),
        ("x0 - 1e-12", 2, r"x_{0} - 1.0 \cdot 10^{-12}"),
        ("x0 ^ 2", 3, "x_{0}^{2.00}"),
    ],
)
def test_latex_has_significant_digits_as_pysr_prints_them(text, precision, latex):
    assert to_latex(parse(text), precision=precision) == latex


def test_guards_show_in_latex():
    assert to_latex(parse("sqrt(x0)"), guarded=True) == r"\sqrt{\left|{x_{0}}\right|}"
    assert r"\begin{cases}" in to_latex(parse("x0 / x1"), guarded=True)
