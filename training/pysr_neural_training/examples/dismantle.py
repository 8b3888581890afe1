"""Targets taken apart move by move: where partial expressions and the edits that repair them come from.

Owns: one move undone (`damage`), chains of them.  Does not own: prompts (`layouts`), the prior (`generate`).
"""

from dataclasses import dataclass

import numpy as np

from pysr_neural.expression.fit import mean_squared_error
from pysr_neural.expression.node import Node, apply, constant, variable
from pysr_neural.operators import OPERATORS
from pysr_neural.problem import Problem
from pysr_neural.state import MemberView
from pysr_neural_training.problems.generate import GeneratedProblem, ProblemPrior, sample_tree

FOREIGN_SHARE = 0.2
"""Chance that a member of a dismantled population is a random tree."""


@dataclass(frozen=True)
class Chain:
    """A target and what is left of it after one, two, … moves undone.

    Parameters
    ----------
    trees : tuple of Node
        The target first.
    kinds : tuple of str
        ``kinds[i]`` is the kind of the move from ``trees[i + 1]`` to ``trees[i]``.
    """

    trees: tuple[Node, ...]
    kinds: tuple[str, ...]


def chain(given: GeneratedProblem, steps: int, rng: np.random.Generator) -> Chain:
    """Dismantle a target; ends early where nothing is left to be undone."""
    trees, kinds = [given.tree], []
    for _ in range(steps):
        tree, kind = damage(trees[-1], given, rng)
        if tree not in trees:
            trees.append(tree)
            kinds.append(kind)
    return Chain(tuple(trees), tuple(kinds))


def damaged_members(
    given: GeneratedProblem, prior: ProblemPrior, most: int, rng: np.random.Generator
) -> tuple[list[MemberView], str]:
    """Dismantle the target step by step; returns the members, and the kind of move that repairs the first one."""
    operators, features = given.problem.operators, given.problem.X.shape[1]
    trees: list[Node] = []
    tree, first_kind = given.tree, "do_nothing"
    for step in range(int(rng.integers(1, most + 1))):
        if rng.random() < FOREIGN_SHARE and step:
            trees.append(sample_tree(prior, operators, features, rng))
            continue
        tree, kind = damage(tree, given, rng)
        first_kind = kind if step == 0 else first_kind
        trees.append(tree)
    return [member_of(tree, given.problem) for tree in trees], first_kind


def member_of(tree: Node, problem: Problem) -> MemberView:
    """Return a tree as a member, with its loss; infinite where it is not finite, or the operator table lacks a name."""
    known = all(node.operator is None or node.operator in OPERATORS for node in tree)
    return MemberView(tree, mean_squared_error(tree, problem.X, problem.y) if known else float("inf"), tree.size)


def damage(tree: Node, given: GeneratedProblem, rng: np.random.Generator) -> tuple[Node, str]:
    """Undo one move; returns the damaged tree and the kind of move that repairs it."""
    position = int(rng.integers(tree.size))
    node = tree.at(position)
    operators, features = given.problem.operators, given.problem.X.shape[1]
    if node.value is not None:
        return tree.replace(position, constant(node.value * float(np.exp(rng.normal(0, 0.7))))), "constant"
    if node.index is not None:
        if features > 1 and rng.random() < 0.7:
            return tree.replace(position, variable(int(rng.integers(features)))), "feature"
        return tree.replace(position, constant(1.0)), "feature"
    choice = rng.random()
    same = [name for name in operators.of_arity(len(node.children)) if name != node.operator]
    if choice < 0.25 and same:
        return tree.replace(position, apply(str(rng.choice(same)), *node.children)), "operator"
    if choice < 0.35 and len(node.children) == 2:
        return tree.replace(position, apply(node.operator or "", *node.children[::-1])), "swap"
    kept = node.children[int(rng.integers(len(node.children)))]
    small = all(child.size == 1 for child in node.children)
    return tree.replace(position, kept), "add" if small else "insert"
