"""What is left of a problem once a part of the answer is known: y minus it, or y divided by it.

Owns: splitting an answer at its root into a part that is known and one that is missing.  Does not own: prompts
(`layouts`); the questions of a search are `proposer.neural.transformer`'s, and these have the same form.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce

import numpy as np

from pysr_neural.expression.canonical import UNDEFINED, canonical
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node, apply, constant
from pysr_neural.expression.simplify import simplify
from pysr_neural.problem import OperatorSet
from pysr_neural_training.problems.generate import GeneratedProblem, in_training, split_key

WAYS = (("+", "-"), ("*", "/"))
"""The operators that join the parts of an answer, each with its inverse."""
Part = tuple[bool, Node]
"""Whether a part is joined by the inverse, and the part."""


def missing_part(given: GeneratedProblem, rng: np.random.Generator) -> GeneratedProblem | None:
    """Take a part of the answer away from the data; returns the problem of finding the rest.

    Parameters
    ----------
    given : GeneratedProblem
    rng : numpy.random.Generator

    Returns
    -------
    GeneratedProblem or None
        With y less, or divided by, the values of the part, noise included; its answer is the missing part.  None if
        the answer is no sum and no product, the rest is no function of the variables, cannot be written with the
        operators of the problem, has values too wild to learn from, or is an expression that training must not see.
    """
    joint = next((way for way in WAYS if given.tree.operator in way), None)
    if joint is None:
        return None
    parts = list(_parts(given.tree, joint, False))
    order, known_count = rng.permutation(len(parts)), int(rng.integers(1, len(parts)))
    known = _joined([parts[i] for i in sorted(order[:known_count])], joint, given.problem.operators)
    rest = _joined([parts[i] for i in sorted(order[known_count:])], joint, given.problem.operators)
    if known is None or rest is None:
        return None
    rest = simplify(rest)
    if not _may_be_learned(rest, given.problem.operators):
        return None
    with np.errstate(all="ignore"):
        values = evaluate(known, given.problem.X)
        y = given.problem.y - values if joint[0] == "+" else given.problem.y / values
    if np.array_equal(y, given.problem.y):  # What was taken away is less than rounding.
        return None
    scale = float(np.abs(y).max()) if np.all(np.isfinite(y)) else np.inf
    if not (1e-6 < scale < 1e7 and float(np.std(y)) > 1e-4 * scale):
        return None
    return GeneratedProblem(replace(given.problem, y=y), rest, given.noise)


def _may_be_learned(tree: Node, operators: OperatorSet) -> bool:
    """Tell whether an answer is a function of the variables, in the problem's language, on training's side."""
    if not tree.variables():
        return False
    if any(node.operator and (node.operator, len(node.children)) not in operators.index for node in tree):
        return False
    skeleton = canonical(tree)
    return skeleton != UNDEFINED and in_training(split_key(skeleton))


def _parts(tree: Node, joint: tuple[str, str], inverted: bool) -> Iterator[Part]:
    if tree.operator not in joint:
        yield inverted, tree
        return
    left, right = tree.children
    yield from _parts(left, joint, inverted)
    yield from _parts(right, joint, inverted != (tree.operator == joint[1]))


def _joined(parts: list[Part], joint: tuple[str, str], operators: OperatorSet) -> Node | None:
    """Join parts again; None if all are inverted and the operators do not let one be turned around."""
    upright = [tree for inverted, tree in parts if not inverted]
    inverted = [tree for inverted, tree in parts if inverted]
    if upright:
        start: Node | None = reduce(lambda a, b: apply(joint[0], a, b), upright)
    elif joint[0] == "*":
        start = constant(1.0)
    else:
        start = _negated(inverted.pop(0), operators)
    if start is None:
        return None
    return reduce(lambda a, b: apply(joint[1], a, b), inverted, start)


def _negated(tree: Node, operators: OperatorSet) -> Node | None:
    if ("neg", 1) in operators.index:
        return apply("neg", tree)
    return apply("*", constant(-1.0), tree) if ("*", 2) in operators.index else None
