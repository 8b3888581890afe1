"""Families of parts with a free constant inside: ``exp(a f)``, ``sin(a f + b)``, ``log(f + a)`` and the like.

Owns: their values, slopes, starts, and how they are written down.  Does not own: which inner parts f are tried and how
constants are fitted (`curve_search`).

A family sees f as u, its distance from the middle of its range over the range: from -1/2 to 1/2.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from pysr_neural.expression.node import Node, apply, constant
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.writing import rounded, scaled

STEEPNESSES = (0.4, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Of exponentials that are tried: change of the exponent over the range of f."""
FREQUENCIES = (0.7, 1.7, 3.0, 4.5, 6.0, 8.0, 10.0, 12.0, 14.5, 17.0, 19.5, 22.0, 25.0, 28.0, 31.0)
"""Of waves that are tried: change of the phase over the range of f."""
DISTANCES = (1e-3, 1e-2, 0.06, 0.3, 1.0, 4.0)
"""Of poles and branch points beyond the ends of the range, over the range."""
WHOLE = 1e-7
"""A phase this close to a quarter turn is taken for it."""

Values = Callable[[Array, Array], Array]
Placed = tuple[float, float]
"""Middle of the range of an inner part, and the range."""


Written = tuple[float, Node, float]
"""A curve's coefficient, its expression, and what is to be added."""


class Family(NamedTuple):
    """Curves with one constant.

    Parameters
    ----------
    values, slopes : callable
        Of u, shape (curves, rows), and of the constants, shape (curves, 1): the curve's columns, shape (curves, 1 or 2,
        rows), and their derivatives by the constant.
    starts : tuple of float
    size : int
        Nodes beside those of f.
    write : callable
        From the operators, f, its place, the constant and the columns' coefficients.
    anchored : bool
        Whether u is f itself over the range, as what is subtracted from f would change more than coefficients.
    """

    values: Values
    slopes: Values
    starts: tuple[float, ...]
    size: int
    write: Callable[[OperatorSet, Node, Placed, float, Sequence[float]], Written]
    anchored: bool = False


def _exponential(operators: OperatorSet, inner: Node, placed: Placed, a: float, factors: Sequence[float]) -> Written:
    middle, reach = placed
    return factors[0] * float(np.exp(-a * (middle / reach) - 0.5 * abs(a))), apply("exp", scaled(a / reach, inner)), 0.0


def _wave(operators: OperatorSet, inner: Node, placed: Placed, a: float, factors: Sequence[float]) -> Written:
    middle, reach = placed
    size, phase = math.hypot(*factors), math.atan2(factors[1], factors[0]) - a * middle / reach
    name = "sin" if ("sin", 1) in operators.index else "cos"
    if name == "cos":
        phase -= math.pi / 2
    quarters = 2 * phase / math.pi
    if abs(quarters - round(quarters)) < WHOLE:  # A sine or a cosine without a phase, of either sign.
        turn = round(quarters) % 4
        names = ("sin", "cos", "sin", "cos") if name == "sin" else ("cos", "sin", "cos", "sin")
        signs = (1, 1, -1, -1) if name == "sin" else (1, -1, -1, 1)
        if (names[turn], 1) in operators.index:
            return signs[turn] * size, apply(names[turn], scaled(a / reach, inner)), 0.0
    phase -= 2 * math.pi * round(phase / (2 * math.pi))
    return size, apply(name, _shifted(1, a / reach, inner, phase)), 0.0


def _beyond(side: int, name: str) -> Callable[[OperatorSet, Node, Placed, float, Sequence[float]], Written]:
    def write(operators: OperatorSet, inner: Node, placed: Placed, a: float, factors: Sequence[float]) -> Written:
        middle, reach = placed
        shift = reach * (0.5 + float(np.exp(a))) - side * middle
        if name == "1/":
            # 1 / (c - f) = -1 / (f - c): the sign goes into the coefficient.
            return side * factors[0] * reach, apply("/", constant(1.0), _shifted(1, 1.0, inner, side * shift)), 0.0
        tree = apply(name, _shifted(side, 1.0, inner, shift))
        if name == "sqrt":
            return factors[0] / math.sqrt(reach), tree, 0.0
        return factors[0], tree, -factors[0] * math.log(reach)

    return write


def _quantum(sign: float) -> Callable[[OperatorSet, Node, Placed, float, Sequence[float]], Written]:
    def write(operators: OperatorSet, inner: Node, placed: Placed, a: float, factors: Sequence[float]) -> Written:
        power, name = apply("exp", scaled(a / placed[1], inner)), "+"
        if sign < 0 and ("-", 2) in operators.index:
            name, sign_written = "-", 1.0
        else:
            sign_written = sign
        return factors[0], apply("/", constant(1.0), apply(name, power, constant(sign_written))), 0.0

    return write


def _shifted(sign: int, factor: float, inner: Node, shift: float) -> Node:
    """Write ``factor f + shift``, or ``shift - factor f`` for a sign of -1."""
    if sign < 0:
        return apply("-", constant(rounded(shift)), scaled(factor, inner))
    if shift == 0:
        return scaled(factor, inner)
    return apply("+", scaled(factor, inner), constant(rounded(shift)))


def _columns(*each: Array) -> Array:
    return each[0][:, None] if len(each) == 1 else np.stack(each, axis=1)


def _place(side: int, u: Array, a: Array) -> tuple[Array, Array]:
    """Return the distance from a pole or branch point, over the range, and its derivative."""
    beyond = np.exp(a)
    return side * u + (0.5 + beyond), beyond


def _family_beyond(side: int, name: str) -> Family:
    def values(u: Array, a: Array) -> Array:
        distance, _ = _place(side, u, a)
        return _columns(_OUTER[name][0](distance))

    def slopes(u: Array, a: Array) -> Array:
        distance, by_constant = _place(side, u, a)
        return _columns(_OUTER[name][1](distance) * by_constant)

    starts = tuple(math.log(distance) for distance in DISTANCES)
    return Family(values, slopes, starts, 3 + (name == "1/"), _beyond(side, name))


_OUTER: Mapping[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = MappingProxyType(
    {
        "log": (np.log, np.reciprocal),
        "sqrt": (np.sqrt, lambda d: 0.5 / np.sqrt(d)),
        "1/": (np.reciprocal, lambda d: -1 / np.square(d)),
    }
)

_EXPONENTIAL = Family(
    # At most 1, wherever the exponent is largest.
    lambda u, a: _columns(np.exp(a * u - 0.5 * np.abs(a))),
    lambda u, a: _columns(np.exp(a * u - 0.5 * np.abs(a)) * (u - 0.5 * np.sign(a))),
    tuple(sign * value for value in STEEPNESSES for sign in (1, -1)),
    3,
    _exponential,
)
_WAVE = Family(
    lambda u, a: _columns(np.sin(a * u), np.cos(a * u)),
    lambda u, a: _columns(u * np.cos(a * u), -u * np.sin(a * u)),
    FREQUENCIES,
    4,
    _wave,
)


def _family_quantum(sign: float) -> Family:
    def values(u: Array, a: Array) -> Array:
        return _columns(1 / (np.exp(a * u) + sign))

    def slopes(u: Array, a: Array) -> Array:
        half = 0.5 * a * u
        root = np.cosh(half) if sign > 0 else np.sinh(half)
        return _columns(-u / np.square(2 * root))

    return Family(values, slopes, STEEPNESSES, 6, _quantum(sign), anchored=True)


EXPONENTIAL, WAVE = _EXPONENTIAL, _WAVE
"""``exp(a f)``; ``sin(a f + b)``."""
QUANTA = (_family_quantum(-1.0), _family_quantum(1.0))
"""``1 / (exp(a f) - 1)``, of radiation, and ``1 / (exp(a f) + 1)``."""


def families(operators: OperatorSet) -> list[Family]:
    """Return the families that some operators can write."""
    index = operators.index
    found = []
    if ("exp", 1) in index:
        found.append(_EXPONENTIAL)
    if {("sin", 1), ("cos", 1)} & set(index):
        found.append(_WAVE)
    for name, needed in (("log", ("log", 1)), ("sqrt", ("sqrt", 1)), ("1/", ("/", 2))):
        if needed in index:
            found.append(_family_beyond(1, name))
            if ("-", 2) in index or name == "1/":
                found.append(_family_beyond(-1, name))
    return found
