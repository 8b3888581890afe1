"""Expressions as Python source that people paste into their own programs.

Owns: `numpy_source`, `sympy_source`, names as Python has them.  Does not own: the SymPy form (`sympy_bridge`).  Nothing
here runs what it writes.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

from pysr_neural.expression.node import Node
from pysr_neural.expression.sympy_bridge import to_sympy

if TYPE_CHECKING:
    import sympy

_TAKEN = frozenset({"np", "numpy", "sympy", "law", *keyword.kwlist})
_MODULE = re.compile(r"(?<![\w.])numpy[.]")
_INNER = re.compile(r"(?<![\w.])sympy[.](?:\w+[.])+(?=\w+\()")


def numpy_source(tree: Node, names: Sequence[str]) -> str:
    """Write an expression as a Python function of NumPy arrays.

    Parameters
    ----------
    tree : Node
    names : sequence of str
        Of the variables; those that Python does not take are changed, and a comment says so.

    Raises
    ------
    ExpressionError
        If the table does not know an operator, or a variable has no name.
    """
    from sympy.printing.numpy import NumPyPrinter

    class Printer(NumPyPrinter):
        def _print_Float(self, expr: sympy.Float) -> str:
            return repr(float(expr))

        def _print_Max(self, expr: sympy.Expr) -> str:
            return self._of_two("np.maximum", expr)

        def _print_Min(self, expr: sympy.Expr) -> str:
            return self._of_two("np.minimum", expr)

        def _of_two(self, name: str, expr: sympy.Expr) -> str:
            first, *others = (self._print(each) for each in expr.args)
            return reduce(lambda left, right: f"{name}({left}, {right})", others, str(first))

    words = python_names(names)
    text = str(Printer({"fully_qualified_modules": True}).doprint(to_sympy(tree, words)))
    arguments = ", ".join(words[i] for i in _used(tree))
    lines = ["import numpy as np", "", "", f"def law({arguments}):", *_changed(tree, names, words, "    ")]
    return "\n".join([*lines, f"    return {_MODULE.sub('np.', text)}"])


def sympy_source(tree: Node, names: Sequence[str]) -> str:
    """Write an expression as Python that makes it a SymPy expression; parameters and errors as `numpy_source`."""
    from sympy.printing.pycode import SymPyPrinter

    class Printer(SymPyPrinter):
        def _print_Float(self, expr: sympy.Float) -> str:
            return repr(float(expr))

        def _print_Max(self, expr: sympy.Expr) -> str:
            return f"sympy.Max({', '.join(self._print(each) for each in expr.args)})"

        def _print_Min(self, expr: sympy.Expr) -> str:
            return f"sympy.Min({', '.join(self._print(each) for each in expr.args)})"

    words = python_names(names)
    text = _INNER.sub("sympy.", str(Printer({"fully_qualified_modules": True}).doprint(to_sympy(tree, words))))
    used = [words[i] for i in _used(tree)]
    made = f'{", ".join(used)} = sympy.symbols("{" ".join(used)}", real=True)' if used else ""
    lines = ["import sympy", "", *_changed(tree, names, words, ""), *([made] if made else []), f"law = {text}"]
    return "\n".join(lines)


def python_names(names: Sequence[str]) -> list[str]:
    """Return names that Python takes, in the same order, each different."""
    found: list[str] = []
    for name in names:
        word = re.sub(r"\W+", "_", name).strip("_") or "x"
        word = f"x{word}" if word[0].isdigit() else word
        while word in _TAKEN or word in found:
            word += "_"
        found.append(word)
    return found


def _used(tree: Node) -> list[int]:
    return sorted({node.index for node in tree if node.index is not None})


def _changed(tree: Node, names: Sequence[str], words: Sequence[str], indent: str) -> list[str]:
    return [f"{indent}# {words[i]}: {names[i]}" for i in _used(tree) if words[i] != names[i]]
