"""What is true about an expression: its terms, its outer operators, its parts in every way of writing it.

Owns: the answers that oracles and labels are made of.  Does not own: problems (`generate`), equality of expressions
(`expression.canonical`).
"""

import itertools
from collections.abc import Mapping
from functools import reduce

from pysr_neural.expression.node import Node, apply, constant, variable

MOST_TERMS = 5
"""Longer sums and products are divided as they are written only."""
_OPPOSITE = {"+": "-", "*": "/"}
_NEUTRAL = {"+": 0.0, "*": 1.0}
_PAIRED = ("-", "*", "/")


def in_arithmetic(tree: Node) -> Node:
    """Write powers of small integers and halves as products and square roots, where that is possible."""
    if not tree.children:
        return tree
    tree = Node(tree.operator, tuple([in_arithmetic(child) for child in tree.children]))
    base = tree.children[0]
    if tree.operator == "square":
        return apply("*", base, base)
    if tree.operator == "cube":
        return reduce(lambda left, right: apply("*", left, right), [base] * 3)
    power = number_of(tree.children[1]) if tree.operator == "^" else None
    if power is None or not 0 < abs(power) <= 4 or 2 * power % 1:
        return tree
    factors = [base] * int(abs(power)) + ([apply("sqrt", base)] if power % 1 else [])
    product = reduce(lambda left, right: apply("*", left, right), factors)
    return product if power > 0 else apply("/", constant(1.0), product)


def number_of(tree: Node) -> float | None:
    """Return the value of a quotient of two constants, or of one; None for all else."""
    if tree.operator == "/" and all(child.value is not None for child in tree.children):
        above, below = [float(child.value or 0) for child in tree.children]
        return above / below if below else None
    return tree.value


def below_outer(tree: Node) -> Node:
    """Take unary operators, and constant terms and factors, off the top of an expression."""
    while tree.children:
        inner = [child for child in tree.children if child.variables()]
        if len(inner) != 1 or tree.operator == "^":
            break
        tree = inner[0]
    return tree


def terms_of(tree: Node, name: str = "") -> list[Node]:
    """Return the terms of a sum, or the factors of a product; signs and reciprocals are left out."""
    name = name or {"-": "+", "/": "*"}.get(str(tree.operator), str(tree.operator))
    if name in _OPPOSITE and tree.operator in (name, _OPPOSITE[name]):
        return [term for child in tree.children for term in terms_of(child, name)]
    return [tree]


def substituted(tree: Node, features: int) -> tuple[Node, list[Node]]:
    """Replace pairs of variables that enter only through their difference, product or quotient.

    Parameters
    ----------
    tree : Node
    features : int
        Number of variables; new ones are counted from here.

    Returns
    -------
    tree : Node
        In old and new variables.
    steps : list of Node
        The new variables in terms of older ones.
    """
    steps: list[Node] = []
    while (pair := _substitutable(tree)) is not None:
        tree = _replaced(tree, {pair: variable(features + len(steps))})
        steps.append(pair)
    return tree, steps


def _substitutable(tree: Node) -> Node | None:
    """Return a pair of variables that occur nowhere else."""
    if len(tree.variables()) < 3:
        return None
    pairs = [
        each for each in dict.fromkeys(tree) if each.operator in _PAIRED and len(each.variables()) == each.size - 1
    ]
    for pair in pairs:
        if len(pair.children) == 2 and not pair.variables() & _replaced(tree, {pair: constant(1.0)}).variables():
            return pair
    return None


def _replaced(tree: Node, instead: Mapping[Node, Node]) -> Node:
    if tree in instead:
        return instead[tree]
    return Node(tree.operator, tuple([_replaced(child, instead) for child in tree.children])) if tree.children else tree


def all_parts(tree: Node) -> list[Node]:
    """Return subexpressions, and sums and products of some terms of each sum and product; no leaves."""
    found = dict.fromkeys(each for each in tree if each.children and each.variables())
    for each in list(found):
        for name in _OPPOSITE:
            signed = _signed(each, name)
            if 2 < len(signed) <= MOST_TERMS:
                for count in range(2, len(signed)):
                    for chosen in itertools.combinations(signed, count):
                        part = _joined(chosen, name)
                        if part.variables():
                            found.setdefault(part)
    return list(found)


def _signed(tree: Node, name: str, plus: bool = True) -> list[tuple[Node, bool]]:
    """Return the terms of a sum, or the factors of a product, and whether each is added or taken away."""
    if tree.operator not in (name, _OPPOSITE[name]):
        return [(tree, plus)]
    left, right = tree.children
    return _signed(left, name, plus) + _signed(right, name, plus == (tree.operator == name))


def _joined(terms: tuple[tuple[Node, bool], ...], name: str) -> Node:
    """Write a sum or a product down, one that is added first."""
    ordered = sorted(terms, key=lambda term: not term[1])
    first, plus = ordered[0]
    joined = first if plus else apply(_OPPOSITE[name], constant(_NEUTRAL[name]), first)
    for term, plus in ordered[1:]:
        joined = apply(name if plus else _OPPOSITE[name], joined, term)
    return joined
