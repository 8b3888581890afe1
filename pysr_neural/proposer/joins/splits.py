"""Targets: what is left to be explained once an outer operator or a factor of the answer is decided.

Owns: `Target`, inverses of operators, expressions put in the place of variables.  Does not own: what explains a target
(`sums`, `forms`).
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from pysr_neural.expression.node import Node, apply, constant
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet

HUGE = 1e60
NEGLIGIBLE = 1e-7
MOST_LEFT_OUT = 0.3
"""Share of rows on which an operator may not be undone: they get the weight 0."""
INVERSES: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "exp": np.log,
        "log": np.exp,
        "log10": lambda y: np.power(10.0, y),
        "log2": np.exp2,
        "log1p": np.expm1,
        "sqrt": lambda y: np.where(y >= 0, np.square(y), np.nan),
        "square": np.sqrt,
        "cube": np.cbrt,
        "inv": np.reciprocal,
        "sin": np.arcsin,
        "cos": np.arccos,
        "tan": np.arctan,
        "tanh": np.arctanh,
        "sinh": np.arcsinh,
        "asin": lambda y: np.where(np.abs(y) <= np.pi / 2, np.sin(y), np.nan),
        "acos": lambda y: np.where((y >= 0) & (y <= np.pi), np.cos(y), np.nan),
        "atan": lambda y: np.where(np.abs(y) < np.pi / 2, np.tan(y), np.nan),
        "cosh": np.arccosh,
    }
)
"""Operator → a function that undoes it on one branch, NaN where there is nothing to undo."""


class Target(NamedTuple):
    """Values that a part of the answer must have, and how the answer is made of that part.

    Parameters
    ----------
    values : array, shape (rows,)
    weights : array, shape (rows,), or None
        By which errors of the values are multiplied; None means 1.
    wrap : callable
        From the part to the whole.
    size : int
        Nodes that the wrapping adds.
    base : str
        Below which operator of y: targets of the same base are tried in turn with those of others.
    """

    values: Array
    weights: Array | None
    wrap: Callable[[Node], Node]
    size: int
    base: str

    @property
    def weight_of_rows(self) -> Array:
        """The weights, ones in place of None."""
        return np.ones_like(self.values) if self.weights is None else self.weights

    def below(self, name: str, values: Array) -> "Target | None":
        """Take an operator off that the whole of this target must lie below; None if it cannot be on most rows."""
        wrap, weights = self.wrap, None
        bad = ~(np.abs(values) < HUGE)
        if bad.any():
            if bad.mean() > MOST_LEFT_OUT:
                return None
            values, weights = np.where(bad, np.mean(values[~bad]), values), np.where(bad, 0.0, 1.0)
        if not varies(values):
            return None
        if name == "1/":
            return Target(values, weights, lambda part: wrap(apply("/", constant(1.0), part)), self.size + 2, name)
        if name == "1/sqrt":
            return Target(
                values, weights, lambda part: wrap(apply("/", constant(1.0), apply("sqrt", part))), self.size + 3, name
            )
        return Target(values, weights, lambda part: wrap(apply(name, part)), self.size + 1, name)

    def times(self, factor: Node, values: Array) -> "Target | None":
        """Split off a factor."""
        wrap = self.wrap
        return self._split(
            self.values / values, self.weight_of_rows * values, lambda part: wrap(apply("*", factor, part)), factor
        )

    def over(self, divisor: Node, values: Array) -> "Target | None":
        """Split off a divisor."""
        wrap = self.wrap
        return self._split(
            self.values * values, self.weight_of_rows / values, lambda part: wrap(apply("/", part, divisor)), divisor
        )

    def _split(self, values: Array, weights: Array, wrap: Callable[[Node], Node], node: Node) -> "Target | None":
        if not (np.isfinite(values).all() and np.isfinite(weights).all() and np.any(weights)):
            return None
        weights = weights / np.abs(weights).max()
        return Target(values, weights, wrap, self.size + 1 + node.size, self.base)

    @property
    def key(self) -> tuple[str, str]:
        """Equal for targets that ask the same in another order."""

        def marks(values: Array) -> str:
            logs = np.log(np.abs(values[:24]) + 1e-300)
            return np.round(logs - logs[0], 5).tobytes().hex()

        return "" if self.weights is None else marks(self.weights), marks(self.values)


def targets_of(y: Array, operators: OperatorSet) -> list[Target]:
    """Return y itself, and what lies below each operator that can be undone."""
    whole = Target(y, None, lambda part: part, 0, "y")
    return [whole, *_inner_targets(whole, operators)]


def _inner_targets(target: Target, operators: OperatorSet) -> list[Target]:
    found = []
    with np.errstate(all="ignore"):
        if ("/", 2) in operators.index:
            found.append(target.below("1/", 1 / target.values))
            if ("sqrt", 1) in operators.index and (target.values > 0).all():
                found.append(target.below("1/sqrt", 1 / np.square(target.values)))
        for name, undo in INVERSES.items():
            if (name, 1) in operators.index:
                found.append(target.below(name, undo(target.values)))
    return [each for each in found if each is not None]


def varies(values: Array) -> bool:
    """Tell whether values are finite, not too large, and not all the same."""
    largest = float(np.abs(values).max())
    return 1 / HUGE < largest < HUGE and float(np.ptp(values)) > NEGLIGIBLE * largest


def replaced(tree: Node, inner: Sequence[Node]) -> Node:
    """Put expressions in the place of variables; the reciprocal of a quotient is the quotient the other way round."""
    if tree.index is not None:
        return inner[tree.index]
    if tree.operator is None:
        return tree
    children = [replaced(child, inner) for child in tree.children]
    if tree.operator == "/" and children[0].value == 1.0 and children[1].operator == "/":
        return apply("/", *reversed(children[1].children))
    return apply(tree.operator, *children)
