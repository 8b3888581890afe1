"""Expressions to SymPy and back, and to LaTeX.

Owns: the conversions, by the operator table's SymPy column.  Does not own: SymPy's simplification, which is one call
away.  SymPy is imported at the first call: it is slow to import.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from typing import TYPE_CHECKING, Any

from pysr_neural.errors import ExpressionError
from pysr_neural.expression.guards import guard_acts
from pysr_neural.expression.names import latex_names, quoted, unquoted
from pysr_neural.expression.node import Node, apply, constant, variable
from pysr_neural.operators import OPERATORS

if TYPE_CHECKING:
    import sympy

_NAMED = {
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "sinh": "sinh",
    "cosh": "cosh",
    "tanh": "tanh",
    "asin": "asin",
    "acos": "acos",
    "atan": "atan",
    "exp": "exp",
    "log": "log",
    "Abs": "abs",
    "sign": "sign",
}
"""SymPy function class → operator of the table, for functions of one argument."""


@dataclass(frozen=True)
class Style:
    """How an expression is written for SymPy.

    Parameters
    ----------
    real : bool
        Whether symbols are real; otherwise they are plain, as PySR's: ``sympy.Symbol("x0")``.
    whole : bool
        Whether whole-numbered constants become integers.
    guarded : bool
        Whether operators mean the reference preset's guarded arithmetic, as ``sqrt(Abs(x0))``.
    """

    real: bool = True
    whole: bool = True
    guarded: bool = False


def to_sympy(
    tree: Node, names: Sequence[str] | None = None, positive: Sequence[bool] = (), style: Style = Style()
) -> sympy.Expr:
    """Write an expression as a SymPy expression.

    Parameters
    ----------
    tree : Node
    names : sequence of str, optional
        Of the variables; ``x0``, ``x1``, … if not given.  Those that would be misread become symbols in backquotes, see
        `pysr_neural.expression.names`.
    positive : sequence of bool
        Which variables are above 0; by default nothing is said about them.
    style : Style, optional
        By default symbols are real, and whole-numbered constants integers.

    Returns
    -------
    sympy.Expr
        SymPy evaluates it on the way (``x - x`` becomes 0).

    Raises
    ------
    ExpressionError
        If the table does not know an operator, or a variable has no name.
    """
    import sympy

    if tree.value is not None:
        whole = style.whole and tree.value.is_integer() and abs(tree.value) < 1e15
        return sympy.Integer(int(tree.value)) if whole else sympy.Float(tree.value, 17)
    if tree.index is not None:
        if names is not None and tree.index >= len(names):
            raise ExpressionError(f"Each variable needs a name; got {len(names)} names for x{tree.index}.")
        assumed = {"real": True} if style.real else {}
        if tree.index < len(positive) and positive[tree.index]:
            assumed = {"positive": True}
        return sympy.Symbol(quoted(names[tree.index]) if names is not None else f"x{tree.index}", **assumed)
    arguments = [to_sympy(child, names, positive, style) for child in tree.children]
    guarded = style.guarded and guard_acts(tree) is not None
    return _function_of(tree.operator or "", len(arguments), guarded)(*arguments)


def to_latex(tree: Node, names: Sequence[str] | None = None, precision: int = 3, guarded: bool = False) -> str:
    """Write an expression in LaTeX, with constants rounded to significant digits, as PySR prints them.

    Parameters
    ----------
    tree : Node
    names : sequence of str, optional
        Of the variables; names that LaTeX would misread are set upright.
    precision : int
        Significant digits, at least 1.
    guarded : bool
        See `Style`.

    Raises
    ------
    ExpressionError
        As for `to_sympy`.
    """
    import sympy
    from sympy.printing.latex import LatexPrinter

    class Printer(LatexPrinter):
        def _print_Float(self, expr: sympy.Float) -> str:
            return str(super()._print_Float(sympy.Float(expr, precision)))

    symbols = {sympy.Symbol(quoted(name)): text for name, text in latex_names(names or ()).items()}
    written = to_sympy(tree, names, style=Style(real=False, whole=False, guarded=guarded))
    return str(Printer({"full_prec": True, "symbol_names": symbols}).doprint(written))


@cache
def _function_of(name: str, arity: int, guarded: bool) -> Callable[..., Any]:
    """Compile a row's SymPy column into a function; the text comes from our own table, never from a user."""
    import sympy

    row = OPERATORS.get(name)
    if row is None or row.arity != arity:
        raise ExpressionError(f"Only operators of the table have a SymPy form; got {name!r} with {arity} arguments.")
    placeholders = sympy.symbols("a b", real=True)[:arity]
    if name in ("max", "min"):
        return sympy.Max if name == "max" else sympy.Min
    local = {"a": placeholders[0], **({"b": placeholders[1]} if arity == 2 else {})}
    local |= {"MOST": sympy.Float(sys.float_info.max, 17), "LEAST": sympy.Float(math.ulp(0.0), 17)}
    template = sympy.sympify(row.shown[1] if guarded and row.shown else row.sympy, locals=local)
    return lambda *arguments: template.subs(dict(zip(placeholders, arguments, strict=True)), simultaneous=True)


def from_sympy(expression: sympy.Expr, names: Sequence[str] | None = None) -> Node:
    """Read a SymPy expression.

    Parameters
    ----------
    expression : sympy.Expr
        Of numbers, symbols, sums, products, powers, minima, maxima and the table's functions.
    names : sequence of str, optional
        Of the variables in order; ``x0``, ``x1``, … if not given.

    Returns
    -------
    Node
        Sums and products of several terms become chains of binary operators.

    Raises
    ------
    ExpressionError
        If the expression holds anything else, an unknown symbol, or a number that is not real and finite.
    """
    if expression.is_Symbol:
        return variable(_index_of(str(expression), names))
    if expression.is_number:
        return constant(_real(expression))
    arguments = [from_sympy(part, names) for part in expression.args]
    return _from_function(type(expression).__name__, arguments)


def _from_function(name: str, arguments: list[Node]) -> Node:
    chains = {"Add": "+", "Mul": "*", "Max": "max", "Min": "min"}
    if name in chains:
        return reduce(lambda left, right: apply(chains[name], left, right), arguments)
    if name == "Pow":
        return _power(*arguments)
    if name not in _NAMED or len(arguments) != 1:
        raise ExpressionError(f"Only operators of the table can be read from SymPy; got {name}.")
    return apply(_NAMED[name], arguments[0])


def _power(base: Node, exponent: Node) -> Node:
    return apply("sqrt", base) if exponent.value == 0.5 else apply("^", base, exponent)


def _real(number: sympy.Expr) -> float:
    try:
        value = float(number)
    except (TypeError, OverflowError) as error:
        raise ExpressionError(f"A number must be real and finite; got {number}.") from error
    if value - value != 0:
        raise ExpressionError(f"A number must be real and finite; got {number}.")
    return value


def _index_of(name: str, names: Sequence[str] | None) -> int:
    if names is not None and unquoted(name) in names:
        return list(names).index(unquoted(name))
    if names is None and name[:1] == "x" and name[1:].isdecimal():
        return int(name[1:])
    known = list(names) if names is not None else "x0, x1, …"
    raise ExpressionError(f"A symbol must be one of the variables {known}; got {name!r}.")
