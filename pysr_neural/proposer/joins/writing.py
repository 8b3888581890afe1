"""Fitted joins written down as expressions.

Owns: sums, products of powers, factors that are left out, constants that are taken for integers.  Does not own: fits.
"""

from collections.abc import Container, Sequence
from functools import reduce

from pysr_neural.expression.node import Node, apply, constant
from pysr_neural.problem import OperatorSet

NEGLIGIBLE = 1e-7
LARGEST_INTEGER = 1000
"""Fitted constants that differ from an integer by rounding only are taken for it up to here."""


def power_law(
    factors: Sequence[tuple[Node, int]], operators: OperatorSet, negative: Container[Node] = ()
) -> Node | None:
    """Write a product of half powers down; None if there are none, or the operators cannot.

    Parameters
    ----------
    factors : sequence of (Node, int)
        Each with twice its power.
    operators : OperatorSet
    negative : container of Node
        Factors below zero everywhere: below a root they are taken times -1.
    """
    sides: list[Node | None] = []
    for sign in (1, -1):
        trees = [tree for tree, power in factors for _ in range(max(sign * power, 0) // 2)]
        roots = [tree for tree, power in factors if sign * power > 0 and power % 2]
        if roots and ("sqrt", 1) not in operators.index:
            return None
        if roots:
            odd = sum(root in negative for root in roots) % 2
            trees.append(apply("sqrt", _product([constant(-1.0), *roots] if odd else roots)))
        sides.append(_product(trees) if trees else None)
    over, under = sides
    if under is None:
        return over
    return apply("/", over or constant(1.0), under) if ("/", 2) in operators.index else None


def _product(trees: Sequence[Node]) -> Node:
    return reduce(lambda left, right: apply("*", left, right), trees)


def sum_of(terms: list[tuple[float, Node]], shift: float, spread: float, minus: bool) -> Node:
    """Write ``a f + b g + c`` down, leaving out factors of one and a shift that makes no difference."""
    if not terms:
        return constant(rounded(shift))
    largest, *others = sorted(terms, key=lambda term: -term[0])
    tree = scaled(*largest)
    for factor, part in others:
        if factor < 0 and minus:
            tree = apply("-", tree, scaled(-factor, part))
        else:
            tree = apply("+", tree, scaled(factor, part))
    return tree if abs(shift) <= NEGLIGIBLE * spread or not shift else apply("+", tree, constant(rounded(shift)))


def scaled(factor: float, part: Node) -> Node:
    """Write ``a f`` down, or f where a is 1."""
    factor = rounded(factor)
    return part if factor == 1 else apply("*", constant(factor), part)


def rounded(value: float) -> float:
    """Take a small integer for what differs from it by rounding only."""
    nearest = round(value)
    close = abs(value - nearest) <= NEGLIGIBLE * abs(value)
    return float(nearest) if close and 0 < abs(nearest) <= LARGEST_INTEGER else value
