"""Answers taken apart: what is left of the data once a part is known, and parts that a proposer could combine.

Owns: splitting an answer at its root into a part that is known and one that is missing, and choosing one part as the
answer to the whole data.  Does not own: prompts (`layouts`), combining (`pysr_neural.proposer.combine`); the questions
of a search are `proposer.transformer`'s, and these have the same form.
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
from pysr_neural.proposer.combine import INVERSES
from pysr_neural_training.generate import GeneratedProblem, in_training, split_key

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
    joint = _joint_of(given.tree)
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
    scale = float(np.abs(y).max()) if np.all(np.isfinite(y)) else np.inf
    if not (1e-6 < scale < 1e7 and float(np.std(y)) > 1e-4 * scale):
        return None
    return GeneratedProblem(replace(given.problem, y=y), rest, given.noise)


def useful_part(given: GeneratedProblem, rng: np.random.Generator) -> Node | None:
    """Choose a part of the answer that, with one other part, would make the whole.

    Parameters
    ----------
    given : GeneratedProblem
    rng : numpy.random.Generator

    Returns
    -------
    Node or None
        Some terms of the answer's sum, or factors of its product, below an operator that can be inverted, without
        constant terms and factors: `pysr_neural.proposer.combine` fits those.  None if the answer has no such parts,
        or none that may be learned.
    """
    core = given.tree.children[0] if given.tree.operator in INVERSES else given.tree
    split = _varying_parts(core)
    if split is None:
        return None
    parts, joint = split
    order, count = rng.permutation(len(parts)).tolist(), int(rng.integers(1, len(parts)))
    for chosen in (order[:count], order[count:]):  # One side, or the other.
        part = _upright([parts[i] for i in sorted(chosen)], joint, given.problem.operators)
        if 1 < part.size < given.tree.size and _may_be_learned(part, given.problem.operators):
            return part
    return None


def _joint_of(tree: Node) -> tuple[str, str] | None:
    return next((way for way in WAYS if tree.operator in way and len(tree.children) == 2), None)


def _varying_parts(tree: Node) -> tuple[list[Part], tuple[str, str]] | None:
    """Split an answer at its root; returns its parts that are no constants, and what joins them.

    What is scaled or shifted counts as if it were not: that is fitted.  So does a sum that is divided by.
    """
    if tree.operator == "neg":
        return _varying_parts(tree.children[0])
    joint = _joint_of(tree)
    if joint is None:
        return None
    parts = [part for part in _parts(tree, joint, False) if part[1].variables()]
    if len(parts) != 1:
        return (parts, joint) if parts else None
    inverted, only = parts[0]
    divides = inverted and joint == WAYS[1]
    return _varying_parts(only) if not divides or _joint_of(only) == WAYS[0] else None


def _may_be_learned(tree: Node, operators: OperatorSet) -> bool:
    """Tell whether an answer is a function of the variables, in the problem's language, on training's side."""
    if not tree.variables():
        return False
    if any(node.operator and (node.operator, len(node.children)) not in operators.index for node in tree):
        return False
    skeleton = canonical(tree)
    return skeleton != UNDEFINED and in_training(split_key(skeleton))


def _parts(tree: Node, joint: tuple[str, str], inverted: bool) -> Iterator[Part]:
    if tree.operator not in joint or len(tree.children) != 2:
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


def _upright(parts: list[Part], joint: tuple[str, str], operators: OperatorSet) -> Node:
    """Join parts up to a factor or an exponent of -1."""
    if all(inverted for inverted, _ in parts):
        parts = [(False, tree) for _, tree in parts]
    return simplify(_joined(parts, joint, operators) or parts[0][1])


def _negated(tree: Node, operators: OperatorSet) -> Node | None:
    if ("neg", 1) in operators.index:
        return apply("neg", tree)
    return apply("*", constant(-1.0), tree) if ("*", 2) in operators.index else None
