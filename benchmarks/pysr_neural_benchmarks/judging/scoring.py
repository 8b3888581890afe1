"""How good what a method found is: every figure of one run.

Owns: fraction unexplained on test rows, curves over time and evaluations, time to solution, hypervolume, the figures
of the one formula.  Does not own: comparisons of methods (`statistics`), symbolic recovery (`symbolic`), which formula
that is (`pysr_neural.expression.choice`).

Every equation that was ever on a front is read by our own parser and evaluated in double precision on test rows that
no method sees.  A front solves a problem if one of its members leaves a fraction of variance unexplained (FVU) of at
most 2^-23 there, the resolution of single precision (vNRR).  The stricter figure is that of the one formula that would
be handed over, chosen from the front by the same rule for every method and without a look at test rows.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pysr_neural.errors import ExpressionError
from pysr_neural.expression.choice import DescriptionLength
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.text import parse
from pysr_neural.operators import Array
from pysr_neural_benchmarks.methods.base import Budget, Found, Outcome, Step

THRESHOLD = 2.0**-23
FLOOR = 1e-7
"""Smaller fractions are drawn here, and are worth no more volume."""
NOTICED = 0.9
"""A point of the curve is kept if the fraction unexplained is below this share of the last one kept, or rises."""


@dataclass(frozen=True)
class Scored:
    """One equation on test rows.

    Parameters
    ----------
    equation : str
    complexity : int
        Number of nodes, as our parser counts them.
    loss : float
        On the rows searched.
    fvu : float
        On test rows; infinite if the equation cannot be read or is not finite there.
    length : float
        Bits of the equation and of what it leaves on the rows searched; infinite if it cannot be read.
    """

    equation: str
    complexity: int
    loss: float
    fvu: float
    length: float = math.inf


def score(outcome: Outcome, X: Array, y: Array, max_size: int, budget: Budget, searched: Array) -> dict[str, Any]:
    """Return the figures of one run; see the module.

    Parameters
    ----------
    outcome : Outcome
        What came after the budget was spent does not count.
    X : array, shape (test rows, features)
    y : array, shape (test rows,)
    max_size : int
        Complexity at which hypervolume ends.
    budget : Budget
    searched : array, shape (rows,)
        The target that the method was given, for the choice of the one formula.
    """
    known: dict[str, Scored] = {}
    lengths = DescriptionLength(searched)
    steps = [step for step in outcome.steps if budget.holds(step.seconds, step.evaluations)]
    curve = [_point(step, known, X, y, max_size, lengths) for step in steps]
    front = [known[found.equation] for found in steps[-1].front] if steps else []
    one = choose(front)
    best = (
        min(front, key=lambda each: (each.fvu > THRESHOLD, each.complexity if each.fvu <= THRESHOLD else each.fvu))
        if front
        else None
    )
    first = next((point for point in curve if point[3] <= THRESHOLD), None)
    kept = thinned(curve)
    return {
        "seconds": outcome.seconds,
        "evaluations": outcome.evaluations,
        "iterations": outcome.iterations,
        "solved": bool(front) and curve[-1][3] <= THRESHOLD,
        "fvu": curve[-1][3] if curve else math.inf,
        "hypervolume": curve[-1][4] if curve else 0.0,
        "seconds_to_solution": first[0] if first else None,
        "evaluations_to_solution": first[1] if first else None,
        "iterations_to_solution": first[2] if first else None,
        "curve_seconds": [point[0] for point in kept],
        "curve_evaluations": [point[1] for point in kept],
        "curve_iterations": [point[2] for point in kept],
        "curve_fvu": [point[3] for point in kept],
        "curve_hypervolume": [point[4] for point in kept],
        "curve_one_fvu": [point[5] for point in kept],
        "one_formula": one.equation if one else "",
        "one_complexity": one.complexity if one else None,
        "one_fvu": one.fvu if one else math.inf,
        "solved_one": one is not None and one.fvu <= THRESHOLD,
        "best_equation": best.equation if best else "",
        "best_complexity": best.complexity if best else None,
        "front": [[each.complexity, each.loss, each.fvu, each.equation] for each in front],
        "story": _story(steps),
        "counters": dict(outcome.counters),
        "unreadable": sum(math.isinf(each.fvu) and each.complexity == 0 for each in known.values()),
    }


Point = tuple[float, int, int, float, float, float]
"""Seconds, evaluations, iterations, least fraction unexplained, hypervolume, the one formula's fraction unexplained."""


def _point(
    step: Step, known: dict[str, Scored], X: Array, y: Array, max_size: int, lengths: DescriptionLength
) -> Point:
    for found in step.front:
        if found.equation not in known:
            known[found.equation] = scored(found, X, y, lengths)
    front = [known[found.equation] for found in step.front]
    fvu = min((each.fvu for each in front), default=math.inf)
    one = choose(front)
    return (
        step.seconds,
        step.evaluations,
        step.iteration,
        fvu,
        hypervolume(front, max_size),
        one.fvu if one else math.inf,
    )


def scored(found: Found, X: Array, y: Array, lengths: DescriptionLength) -> Scored:
    """Evaluate one equation on test rows, and tell its length on the rows searched."""
    try:
        tree = parse(found.equation)
        fvu = fraction_unexplained(evaluate(tree, X), y)
        return Scored(found.equation, tree.size, found.loss, fvu, lengths.of(tree, found.loss))
    except (ExpressionError, KeyError, IndexError):
        return Scored(found.equation, 0, found.loss, math.inf)


def choose(front: Sequence[Scored]) -> Scored | None:
    """Choose the one formula without looking at test rows: of least description length."""
    return min(front, key=lambda each: each.length, default=None)


def hypervolume(front: Sequence[Scored], max_size: int) -> float:
    """Return the share of the plane of complexity and log fraction unexplained that a front dominates, 0 to 1.

    Complexity runs from 0 to ``max_size``, the fraction from 1 (nothing explained) down to 1e-7.
    """
    total, worth = 0.0, 0.0
    ordered = sorted((each for each in front if each.complexity), key=lambda each: each.complexity)
    for i, each in enumerate(ordered):
        value = math.log(min(max(each.fvu, FLOOR), 1.0)) / math.log(FLOOR)
        worth = max(worth, value)
        end = min(ordered[i + 1].complexity, max_size) if i + 1 < len(ordered) else max_size
        total += worth * max(end - min(each.complexity, max_size), 0)
    return total / max_size


def thinned(curve: Sequence[Point]) -> list[Point]:
    """Leave out points that change little; what solves first, any or the one formula, and the last point are kept."""
    kept: list[Point] = []
    for point in curve:
        last, one = (kept[-1][3], kept[-1][5]) if kept else (math.inf, math.inf)
        crosses = (point[3] <= THRESHOLD) != (last <= THRESHOLD) or (point[5] <= THRESHOLD) != (one <= THRESHOLD)
        if not kept or crosses or point[3] > last or (point[3] < NOTICED * last and last > FLOOR):
            kept.append(point)
    if curve and kept[-1] != curve[-1]:
        kept.append(curve[-1])
    return kept


def _story(steps: Sequence[Step]) -> list[list[Any]]:
    """Return when the lowest loss fell, and by which equation: seconds, evaluations, iterations, loss, equation."""
    story: list[list[Any]] = []
    lowest = math.inf
    for step in steps:
        best = min(step.front, key=lambda found: found.loss, default=None)
        if best is not None and best.loss < NOTICED * lowest:
            lowest = best.loss
            story.append([step.seconds, step.evaluations, step.iteration, best.loss, best.equation])
    return story


def value_at(row: Mapping[str, Any], column: str, axis: str, limit: float) -> float:
    """Read a run's curve as if the run had ended earlier.

    Parameters
    ----------
    row : mapping
        Of a run.
    column : str
        ``"fvu"``, ``"one_fvu"`` or ``"hypervolume"``.
    axis : str
        ``"seconds"``, ``"evaluations"`` or ``"iterations"``.
    limit : float
    """
    times = np.asarray(row[f"curve_{axis}"], dtype=float)
    at = int(np.searchsorted(times, limit, side="right")) - 1
    if at < 0:
        return 0.0 if column == "hypervolume" else math.inf
    value = row[f"curve_{column}"][at]
    return math.inf if value is None else float(value)


def solved_at(row: Mapping[str, Any], axis: str, limit: float, column: str = "fvu") -> bool:
    """Tell whether a run's front, or with ``"one_fvu"`` its one formula, had solved its problem by some limit."""
    return value_at(row, column, axis, limit) <= THRESHOLD
