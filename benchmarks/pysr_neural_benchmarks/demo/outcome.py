"""What a search of the demo ends with: the front, and which of its members is taken for the law.

Owns: `Member`, `Outcome`, the choice.  Does not own: searching (`engines`), showing (`pictures`, `page`).
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.text import parse
from pysr_neural.operators import Array
from pysr_neural_benchmarks.demo.cases import Case

SMALLEST_LOSS = 1e-14


@dataclass(frozen=True)
class Member:
    """One member of the front of loss against complexity.

    Parameters
    ----------
    equation : str
        In the case's variable names.
    complexity : int
    loss : float
        Mean squared error over the variance of the target.
    neural : bool
        Whether the model proposed it or one of its ancestors.
    """

    equation: str
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

    @property
    def law(self) -> Member:
        """The member with the steepest fall of the logarithm of the loss per unit of complexity."""
        return self.front[steepest([m.complexity for m in self.front], [m.loss for m in self.front])]


def steepest(complexities: list[int], losses: list[float]) -> int:
    """Return the position with the steepest fall in log loss since the one before it, per unit of complexity.

    This is PySR's "score".  A loss below 1e-14 of the variance counts as 1e-14.
    """
    logs = [math.log(max(loss, SMALLEST_LOSS)) for loss in losses]
    falls = [
        (logs[i - 1] - logs[i]) / (complexities[i] - complexities[i - 1]) if i else 0.0 for i in range(len(losses))
    ]
    return int(np.argmax(falls))


def front_of(case: Case, equations: pd.DataFrame, neural: set[int]) -> tuple[Member, ...]:
    """Turn an engine's table of equations into the front.

    Parameters
    ----------
    case : Case
    equations : data frame
        With columns ``complexity``, ``loss`` and ``equation``.
    neural : set of int
        Complexities whose member has a neural ancestor.
    """
    scale = float(np.var(case.y)) or 1.0
    best: list[Member] = []
    for row in equations.sort_values("complexity").itertuples():
        loss = float(row.loss) / scale
        if not best or loss < best[-1].loss:
            best.append(Member(str(row.equation), int(row.complexity), loss, int(row.complexity) in neural))
    return tuple(best)


def predict(member: Member, case: Case, X: Array) -> Array:
    """Evaluate a member's equation at rows of X, shape (rows, features)."""
    return evaluate(parse(member.equation, case.features), X)


def pretty(equation: str, digits: int = 4) -> str:
    """Shorten an equation for people: round its constants, drop the outermost parentheses."""
    return _trimmed(_rounded(equation, digits))


def _rounded(equation: str, digits: int) -> str:
    import re

    number = re.compile(r"(?<![\w.])\d+\.?\d*(?:[eE][+-]?\d+)?")
    return number.sub(lambda match: f"{float(match.group()):.{digits}g}", equation)


def _trimmed(equation: str) -> str:
    if not (equation.startswith("(") and equation.endswith(")")):
        return equation
    depth = 0
    for position, character in enumerate(equation):
        depth += (character == "(") - (character == ")")
        if depth == 0 and position < len(equation) - 1:
            return equation
    return equation[1:-1]
