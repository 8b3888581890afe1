"""Subtrees of constants only, which stand for one number.

Owns: their value, and constants that give them another.  Does not own: folding them away (`simplify`).
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from pysr_neural.expression.node import Node
from pysr_neural.operators import OPERATORS

Inverse = Callable[[float], float]

_INVERSES: Mapping[str, Inverse] = MappingProxyType(
    {
        "neg": lambda v: -v,
        "inv": lambda v: 1 / v,
        "abs": lambda v: v if v >= 0 else math.nan,
        "relu": lambda v: v if v >= 0 else math.nan,
        "sqrt": lambda v: v * v if v >= 0 else math.nan,
        "square": math.sqrt,
        "cube": lambda v: math.copysign(abs(v) ** (1 / 3), v),
        "exp": math.log,
        "log": math.exp,
        "log2": lambda v: 2.0**v,
        "log10": lambda v: 10.0**v,
    }
)
_ARITHMETIC: Mapping[str, tuple[Callable[[float, float], float], Callable[[float, float], float]]] = MappingProxyType(
    {
        "+": (lambda v, b: v - b, lambda v, a: v - a),
        "-": (lambda v, b: v + b, lambda v, a: a - v),
        "*": (lambda v, b: v / b, lambda v, a: v / a),
        "/": (lambda v, b: v * b, lambda v, a: a / v),
        "^": (lambda v, b: real_power(v, 1 / b), lambda v, a: math.log(v) / math.log(a)),
    }
)
"""By operator: its first argument from its value and the second, its second from its value and the first."""


def real_power(base: float, exponent: float) -> float:
    """Return a power; infinite or 0 where it leaves the range of floats, NaN where it is not real."""
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.inf if base == 0 else math.nan


def exponential(value: float) -> float:
    """Return an exponential; infinite where it leaves the range of floats."""
    return math.exp(value) if value < 709 else math.inf


def number(node: Node) -> float:
    """Return the value of a subtree of constants only; NaN where the table does not know an operator."""
    if node.value is not None:
        return node.value
    row = OPERATORS.get(str(node.operator))
    if row is None:
        return math.nan
    return float(row.function(*[np.float64(number(child)) for child in node.children]))  # type: ignore[arg-type]


def set_number(node: Node, value: float, constants: list[float], first: int) -> None:
    """Change one constant of a subtree so that its value is another; NaN where none can do so.

    Parameters
    ----------
    node : Node
        Of constants only.
    value : float
    constants : list of float
        Of the tree, to be changed.
    first : int
        Place of the subtree's first constant among them.
    """
    if node.value is not None:
        constants[first] = value
        return
    place = first
    for i, child in enumerate(node.children):
        needed = _needed(node, i, value)
        if math.isfinite(needed):
            set_number(child, needed, constants, place)
            return
        place += sum(each.value is not None for each in child)
    constants[first] = math.nan


def _needed(node: Node, place: int, value: float) -> float:
    """Return the value that an argument must have."""
    try:
        if len(node.children) == 1:
            inverse = _INVERSES.get(str(node.operator))
            return math.nan if inverse is None else inverse(value)
        rows = _ARITHMETIC.get(str(node.operator))
        return math.nan if rows is None else rows[place](value, number(node.children[1 - place]))
    except (ZeroDivisionError, ValueError, OverflowError):
        return math.nan
