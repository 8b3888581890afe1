"""What a search of the demo ends with: the front, and which of its members is taken for the law.

Owns: `Member`, `Outcome`, how an equation is shown.  Does not own: searching (`engines`), drawing (`pictures`, `page`).
"""

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from pysr_neural.expression.choice import DescriptionLength
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node, constant
from pysr_neural.expression.simplify import simplify
from pysr_neural.expression.text import parse, to_string
from pysr_neural.operators import Array
from pysr_neural_benchmarks.demo.cases import Case

WHOLE = re.compile(r"(?<![\w.])(\d+)\.0(?![\d\w])")
"""A whole number as Python prints floats."""


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
    case : Case
    front : tuple of Member
        Ascending in complexity, descending in loss.
    report : str
        The neural report.
    seconds : float
        Wall-clock time of the search.
    """

    case: Case
    front: tuple[Member, ...]
    report: str
    seconds: float

    @cached_property
    def law(self) -> Member:
        """The one formula that is handed over: of least description length."""
        scale = float(np.var(self.case.y))
        losses = [member.loss * scale for member in self.front]
        return self.front[DescriptionLength(self.case.y).choose([member.tree for member in self.front], losses)]

    def shown(self, member: Member, digits: int = 4) -> str:
        """Return a member's expression for people: simplified, constants rounded to significant digits."""
        text = to_string(rounded(simplify(member.tree), digits), self.case.features)
        return WHOLE.sub(r"\1", text[1:-1] if _wrapped(text) else text)

    def predicted(self, X: Array) -> Array:
        """Evaluate the law at rows of X, shape (rows, features)."""
        return evaluate(self.law.tree, X)


def front_of(case: Case, equations: pd.DataFrame) -> tuple[Member, ...]:
    """Turn an engine's table of equations into the front.

    Parameters
    ----------
    case : Case
    equations : data frame
        With columns ``complexity``, ``loss`` (mean squared error), ``equation`` and ``neural``.
    """
    scale = float(np.var(case.y))
    return tuple(
        Member(
            parse(str(row.equation), case.features),
            int(row.complexity),
            float(row.loss) / scale,
            bool(row.neural),
        )
        for row in equations.sort_values("complexity").itertuples()
    )


def rounded(tree: Node, digits: int) -> Node:
    """Round every constant of a tree to significant digits."""
    if tree.value is not None:
        return constant(float(f"{tree.value:.{digits}g}"))
    return Node(tree.operator, tuple(rounded(child, digits) for child in tree.children), tree.index)


def _wrapped(text: str) -> bool:
    """Tell whether the first parenthesis closes at the very end."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return character == ")" and position == len(text) - 1
    return False
