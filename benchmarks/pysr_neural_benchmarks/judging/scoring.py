"""How good what a method found is: every figure of one run.

Owns: fraction unexplained on test rows, curves over time and evaluations, time to solution, hypervolume, the chosen
equation.  Does not own: comparisons of methods (`statistics`), symbolic recovery (`symbolic`).

Every equation that was ever on a front is read by our own parser and evaluated in double precision on test rows that
no method sees.  A front solves a problem if one of its members leaves a fraction of variance unexplained (FVU) of at
most 1.19e-7 there, the resolution of single precision (vNRR).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pysr_neural.errors import ExpressionError
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.text import parse
from pysr_neural.operators import Array
from pysr_neural_benchmarks.methods.base import Budget, Found, Outcome, Step

THRESHOLD = 1.19e-7
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
    """

    equation: str
    complexity: int
    loss: float
    fvu: float


def score(outcome: Outcome, X: Array, y: Array, max_size: int, budget: Budget) -> dict[str, Any]:
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
    """
    known: dict[str, Scored] = {}
    steps = [step for step in outcome.steps if budget.holds(step.seconds, step.evaluations)]
    curve = [_point(step, known, X, y, max_size) for step in steps]
    front = [known[found.equation] for found in steps[-1].front] if steps else []
    chosen = choose(front)
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
        "chosen_equation": chosen.equation if chosen else "",
        "chosen_complexity": chosen.complexity if chosen else None,
        "chosen_fvu": chosen.fvu if chosen else math.inf,
        "best_equation": best.equation if best else "",
        "best_complexity": best.complexity if best else None,
        "front": [[each.complexity, each.loss, each.fvu, each.equation] for each in front],
        "story": _story(steps),
        "counters": dict(outcome.counters),
        "unreadable": sum(math.isinf(each.fvu) and each.complexity == 0 for each in known.values()),
    }


Point = tuple[float, int, int, float, float]
"""Seconds, evaluations, iterations, least fraction unexplained, hypervolume."""


def _point(step: Step, known: dict[str, Scored], X: Array, y: Array, max_size: int) -> Point:
    for found in step.front:
        if found.equation not in known:
            known[found.equation] = scored(found, X, y)
    front = [known[found.equation] for found in step.front]
    fvu = min((each.fvu for each in front), default=math.inf)
    return step.seconds, step.evaluations, step.iteration, fvu, hypervolume(front, max_size)


def scored(found: Found, X: Array, y: Array) -> Scored:
    """Evaluate one equation on test rows."""
    try:
        tree = parse(found.equation)
        return Scored(found.equation, tree.size, found.loss, fraction_unexplained(evaluate(tree, X), y))
    except (ExpressionError, KeyError, IndexError):
        return Scored(found.equation, 0, found.loss, math.inf)


def choose(front: Sequence[Scored]) -> Scored | None:
    """Choose from a front without looking at test rows, by the same rule for every method.

    PySR's: among members with at most 1.5 times the lowest loss, the one with the steepest fall of the logarithm of
    the loss per node since the next simpler member.
    """
    if not front:
        return None
    ordered = sorted(front, key=lambda each: each.complexity)
    bound = 1.5 * min(each.loss for each in ordered)
    best, steepest = ordered[0], -math.inf
    previous: Scored | None = None
    for each in ordered:
        gain = 0.0
        if previous is not None and each.complexity > previous.complexity:
            fall = math.log(max(previous.loss, 1e-300)) - math.log(max(each.loss, 1e-300))
            gain = fall / (each.complexity - previous.complexity)
        if each.loss <= bound and gain > steepest:
            best, steepest = each, gain
        previous = each
    return best


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
    """Leave out points that change little; the first one that solves, and the last one, are kept."""
    kept: list[Point] = []
    for point in curve:
        last = kept[-1][3] if kept else math.inf
        crosses = (point[3] <= THRESHOLD) != (last <= THRESHOLD)
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
        ``"fvu"`` or ``"hypervolume"``.
    axis : str
        ``"seconds"``, ``"evaluations"`` or ``"iterations"``.
    limit : float
    """
    times = np.asarray(row[f"curve_{axis}"], dtype=float)
    at = int(np.searchsorted(times, limit, side="right")) - 1
    if at < 0:
        return math.inf if column == "fvu" else 0.0
    value = row[f"curve_{column}"][at]
    return math.inf if value is None else float(value)


def solved_at(row: Mapping[str, Any], axis: str, limit: float) -> bool:
    """Tell whether a run's front had solved its problem by some limit."""
    return value_at(row, "fvu", axis, limit) <= THRESHOLD
