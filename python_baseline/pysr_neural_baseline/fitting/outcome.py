"""What a search ends with: the front, and which of its members is taken for the law.

Owns: `Member`, `Outcome`, fronts out of members, how an equation is shown.  Does not own: searching (`engines`), how
sure the law is (`uncertainty`), drawing (`pictures`, `page`).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pysr_neural.expression.choice import FLOOR, DescriptionLength
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained, refine_many
from pysr_neural.expression.node import Node, constant
from pysr_neural.expression.residuals import LackOfFit, Leftover
from pysr_neural.expression.simplify import simplify
from pysr_neural.expression.text import to_string
from pysr_neural.operators import Array
from pysr_neural_baseline.fitting.measurements import Measurements

WHOLE = re.compile(r"(?<![\w.])(\d+)\.0(?![\d\w])")
"""A whole number as Python prints floats."""
_BINDS, TIGHT = {"+": 1, "-": 1, "*": 2, "/": 2, "^": 4}, 5
"""How tightly operators bind their operands, as `pysr_neural.expression.text.parse` has it; of what needs no more."""
ROUNDED = 4 * float(np.finfo(np.float64).eps)
"""Of the largest value: an error that may be of rounding alone."""
Spelled = tuple[str, int]


@dataclass(frozen=True)
class Member:
    """One member of the front of loss against complexity.

    Parameters
    ----------
    tree : Node
    complexity : int
    loss : float
        Mean squared error over the variance of the target.
    neural : bool
        Whether the model proposed it or one of its ancestors.
    """

    tree: Node
    complexity: int
    loss: float
    neural: bool


@dataclass(frozen=True, eq=False)
class Outcome:
    """A finished search.

    Parameters
    ----------
    data : Measurements
        What was searched on.
    front : tuple of Member
        Ascending in complexity, descending in loss.
    report : str
        The neural report.
    seconds : float
        Wall-clock time of the search.
    """

    data: Measurements
    front: tuple[Member, ...]
    report: str
    seconds: float

    @cached_property
    def law(self) -> Member:
        """The one formula that is handed over: of least description length."""
        scale = float(np.var(self.data.y))
        losses = [member.loss * scale for member in self.front]
        return self.front[DescriptionLength(self.data.y).choose([member.tree for member in self.front], losses)]

    @cached_property
    def leftover(self) -> Leftover:
        """What tests say of the rows' residuals from the one formula."""
        X, tree = self.data.X, self.law.tree
        predictions = evaluate(tree, X)
        used = [node.index for node in tree if node.index is not None]
        constants = sum(node.value is not None and node.value != round(node.value) for node in tree)
        return LackOfFit(X).of(self.data.y - predictions, predictions, used, constants)

    @property
    def is_exact(self) -> bool:
        """Whether the one formula leaves nothing but rounding."""
        y = self.data.y
        rounding = float(np.square(ROUNDED * np.abs(y).max()))
        return self.law.loss * float(np.var(y)) <= max(FLOOR * float(np.var(y)), rounding)

    def shown(self, member: Member, digits: int = 4) -> str:
        """Return a member's expression for people: simplified, constants rounded to significant digits."""
        return shown(member.tree, self.data.features, digits)

    def predicted(self, X: Array) -> Array:
        """Evaluate the law at rows of X, shape (rows, features)."""
        return evaluate(self.law.tree, X)


def shown(tree: Node, names: Sequence[str] | None, digits: int = 4) -> str:
    """Return an expression for people: simplified, constants rounded, no more parentheses than are needed."""
    return WHOLE.sub(r"\1", _spelled(rounded(simplify(tree), digits), names)[0])


def _spelled(node: Node, names: Sequence[str] | None) -> Spelled:
    """Return an expression as a text that `parse` reads, and how tightly its outermost operator binds."""
    parts = [_spelled(child, names) for child in node.children]
    if node.operator is None:
        return to_string(node, names), _BINDS["*"] if node.value is not None and node.value < 0 else TIGHT
    if node.operator == "neg":
        text, binds = parts[0]
        return (f"-{text}" if binds == TIGHT and text[0] not in "-0123456789" else f"-({text})"), _BINDS["*"]
    if node.operator not in _BINDS or len(parts) != 2:
        return f"{node.operator}({', '.join(text for text, _ in parts)})", TIGHT
    return _infix(node.operator, parts[0], parts[1]), _BINDS[node.operator]


def _infix(operator: str, left: Spelled, right: Spelled) -> str:
    """Join two texts, in parentheses where they bind less tightly than is needed; ``-a + b`` becomes ``b - a``."""
    binds, sum_binds = _BINDS[operator], _BINDS["+"]
    first = f"({left[0]})" if left[1] < binds or (operator == "^" and left[1] < TIGHT) else left[0]
    if operator == "+" and left[1] > sum_binds and left[0][0] == "-" != right[0][0]:
        return f"{right[0]} - {left[0][1:]}"
    if binds == sum_binds and (right[1] > sum_binds or operator == "+") and right[0].startswith("-"):
        return f"{first} {'-' if operator == '+' else '+'} {right[0][1:]}"
    loose = right[1] < binds or (right[1] == binds and operator in "-/") or (right[0][0] == "-" and operator in "*/^")
    return f"{first} {operator} ({right[0]})" if loose else f"{first} {operator} {right[0]}"


def pareto(members: Iterable[Member]) -> tuple[Member, ...]:
    """Return the members that none of at most their complexity equals in loss, from small to large."""
    front: list[Member] = []
    for member in sorted(members, key=lambda each: (each.complexity, each.loss)):
        if np.isfinite(member.loss) and (not front or member.loss < front[-1].loss):
            front.append(member)
    return tuple(front)


def polished(members: Sequence[Member], data: Measurements) -> tuple[Member, ...]:
    """Return the front of members whose constants are fitted once more, in double precision, and losses taken anew."""
    return _front([tree for tree, _ in refine_many([member.tree for member in members], data.X, data.y)], members, data)


def weighed(members: Sequence[Member], data: Measurements) -> tuple[Member, ...]:
    """Return the front of members as they are, their losses taken anew: at once, where `polished` takes its time."""
    return _front([member.tree for member in members], members, data)


def _front(trees: Sequence[Node], members: Sequence[Member], data: Measurements) -> tuple[Member, ...]:
    losses = [fraction_unexplained(evaluate(tree, data.X), data.y) for tree in trees]
    return pareto(
        Member(tree, member.complexity, loss, member.neural)
        for tree, loss, member in zip(trees, losses, members, strict=True)
    )


def rounded(tree: Node, digits: int) -> Node:
    """Round every constant of a tree to significant digits."""
    if tree.value is not None:
        return constant(float(f"{tree.value:.{digits}g}"))
    return Node(tree.operator, tuple(rounded(child, digits) for child in tree.children), tree.index)
