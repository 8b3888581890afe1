"""Symbolic recovery as SRBench defines it: the true formula, up to a constant term or a constant factor.

Owns: the criterion, with a numerical test before SymPy is asked.  Does not own: the time limit (`runner.arms` ends the
process that asks SymPy too long).

After SymPy's simplification, the difference or the ratio of an equation, its constants rounded to three decimals, and
the true formula must be a constant.  Whoever explains no more than half of the variance is not looked at.  Two
changes: SymPy is told which variables are positive, since ``exp(log(x) * y)`` is ``x ** y`` for those only; and
rounding to three significant digits will do as well, since constants of physics may be far below a thousandth.

References
----------
W. La Cava et al., Contemporary symbolic regression methods and their relative performance, NeurIPS 2021 (SRBench).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pysr_neural.errors import ExpressionError
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.node import Node
from pysr_neural.expression.sympy_bridge import to_sympy
from pysr_neural.expression.text import parse
from pysr_neural.operators import Array

DECIMALS = 3
UNABLE = (ExpressionError, ArithmeticError, TypeError, ValueError, AttributeError, RecursionError)
"""What SymPy raises where it cannot handle an equation, which then is not recovered."""
LARGEST_UNEXPLAINED = 0.5
NEARLY_CONSTANT = 0.05
"""Least spread, relative to the truth's, at which rounding of constants can no longer be what separates the two."""


def is_recovered(equation: str, truths: Sequence[Node], X: Array) -> bool:
    """Tell whether an equation is one of the true forms, up to a constant term or factor.

    Parameters
    ----------
    equation : str
    truths : sequence of Node
        The formula, and other accepted forms of it.
    X : array, shape (rows, features)
        Test rows, for the numerical test.
    """
    try:
        tree = parse(equation)
    except ExpressionError:
        return False
    positive = [bool((column > 0).all()) for column in X.T]
    y = evaluate(truths[0], X)
    values = evaluate(tree, X)
    if fraction_unexplained(values, y) > LARGEST_UNEXPLAINED and not _nearly_constant(values, y):
        return False
    return _nearly_constant(values, y) and any(_same(tree, truth, positive) for truth in truths)


def _nearly_constant(values: Array, y: Array) -> bool:
    """Tell whether the difference or the ratio varies little: without that, asking SymPy is no use."""
    with np.errstate(all="ignore"):
        spread = float(np.std(values - y))
        ratio = (values / y)[y != 0]
        relative = float(np.std(ratio)) / max(abs(float(np.mean(ratio))), 1e-300) if len(ratio) else np.inf
    scale = float(np.std(y)) or abs(float(np.mean(y))) or 1.0
    return bool(spread <= NEARLY_CONSTANT * scale or relative <= NEARLY_CONSTANT)


def _same(tree: Node, truth: Node, positive: Sequence[bool]) -> bool:
    import sympy

    try:
        written = to_sympy(tree, positive=positive)
        true = sympy.nsimplify(to_sympy(truth, positive=positive), rational=True)
        forms = dict.fromkeys(sympy.nsimplify(_rounded(written, small), rational=True) for small in (False, True))
    except UNABLE:
        return False
    return any(_differ_by_a_constant(found, true) for found in forms)


def _differ_by_a_constant(found: Any, true: Any) -> bool:
    import sympy

    try:
        difference = sympy.simplify(found - true)
        if difference.is_number and not difference.has(sympy.nan, sympy.zoo, sympy.oo):
            return True
        ratio = sympy.simplify(found / true)
    except UNABLE:
        return False
    return bool(ratio.is_number and ratio != 0 and not ratio.has(sympy.nan, sympy.zoo, sympy.oo))


def _rounded(expression: Any, small: bool) -> Any:
    """Round constants to three decimals, or, ``small``, those below 1 to three significant digits."""
    import sympy

    def rounded(value: float) -> float:
        digits = -math.floor(math.log10(abs(value))) - 1 if small and 0 < abs(value) < 1 else 0
        return round(value, DECIMALS + digits)

    floats = expression.atoms(sympy.Float)
    return expression.xreplace({value: sympy.Float(rounded(float(value)), 17) for value in floats})
