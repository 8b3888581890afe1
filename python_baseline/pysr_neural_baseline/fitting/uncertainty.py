"""How sure a law is: on rows that the search has not seen, and in its constants.

Owns: which rows are held out, scores with their intervals, constants with their errors.  Does not own: derivatives
(`pysr_neural.expression.standard_errors`).
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node
from pysr_neural.expression.simplify import simplify
from pysr_neural.expression.standard_errors import standard_errors
from pysr_neural.operators import Array
from pysr_neural.rng import generator
from pysr_neural_baseline.fitting.judging import FEW
from pysr_neural_baseline.fitting.measurements import Measurements

HELD_OUT = 0.2
MOST_ROWS = 10_000
"""Rows that a search looks at, and as many at most are held out; there is no use for more."""
RESAMPLED = 1000
INTERVAL = (2.5, 97.5)
"""Percentiles."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class Score:
    """How well a law predicts some rows.

    Parameters
    ----------
    rows : int
    rmse, r2 : float
        Root mean squared error, in units of the target; share of the variance of these rows that is explained.
    rmse_interval, r2_interval : (float, float)
        Of 95 %, by drawing rows again with replacement; NaN where they are unknown.
    """

    rows: int
    rmse: float
    r2: float
    rmse_interval: Interval
    r2_interval: Interval


@dataclass(frozen=True)
class Verdict:
    """How sure a law is.

    Parameters
    ----------
    seen : Score
        On the rows of the search.
    held_out : Score or None
        On rows that it has not seen; None where all were needed.
    constants : tuple of (float, float)
        Of the simplified law in its order, each with its standard error: 0 where it is a whole number, infinite where
        the data do not determine it.  None are told by `scores_alone`.
    """

    seen: Score
    held_out: Score | None
    constants: tuple[tuple[float, float], ...]


def parted(data: Measurements) -> tuple[Measurements, Measurements | None]:
    """Part data into rows to search on and rows to judge by; None of these where there are few.

    Which rows are held out follows from their values, so that a second command on the same file holds out the same.
    """
    rows = len(data.y)
    count = max(int(HELD_OUT * rows), rows - MOST_ROWS) if rows >= FEW else 0
    if not count:
        return data, None
    table = np.column_stack([data.X, data.y])
    digests = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in table]
    order = np.array(sorted(range(rows), key=lambda row: digests[row]), dtype=np.intp)
    return data.rows(np.sort(order[count:])), data.rows(np.sort(order[:count][:MOST_ROWS]))


def verdict(law: Node, seen: Measurements, held_out: Measurements | None) -> Verdict:
    """Judge a law, as it was fitted to the rows seen; what takes time is in here, see `scores_alone`."""
    simple = simplify(law)
    residuals = seen.y - evaluate(simple, seen.X)
    values = [node.value for node in simple if node.value is not None]
    errors = standard_errors(simple, seen.X, residuals)
    return Verdict(
        score(law, seen),
        None if held_out is None else score(law, held_out),
        tuple(zip(values, errors, strict=True)),
    )


def scores_alone(law: Node, seen: Measurements, held_out: Measurements | None) -> Verdict:
    """Judge a law at once: without intervals, which are unknown, and without the errors of constants."""
    return Verdict(score(law, seen, 0), None if held_out is None else score(law, held_out, 0), ())


def score(law: Node, data: Measurements, resampled: int = RESAMPLED) -> Score:
    """Return how well a law predicts some rows; errors are infinite where it is not finite on one."""
    with np.errstate(all="ignore"):
        squares = np.square(data.y - evaluate(law, data.X))
    squares = np.where(np.isfinite(squares), squares, np.inf)
    rng, rows = generator(0, "fit", "bootstrap"), len(data.y)
    rmse, r2 = _scores(squares, data.y)
    drawn = [
        _scores(squares[again], data.y[again]) for again in (rng.integers(rows, size=rows) for _ in range(resampled))
    ]
    return Score(rows, rmse, r2, _interval([each[0] for each in drawn]), _interval([each[1] for each in drawn]))


def _scores(squares: Array, y: Array) -> tuple[float, float]:
    """Return RMSE and R², NaN where these rows do not vary."""
    error, spread = float(squares.mean()), float(np.var(y))
    return math.sqrt(error), 1 - error / spread if spread > 0 else math.nan


def _interval(values: list[float]) -> Interval:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return (math.nan, math.nan)
    low, high = np.percentile(known, INTERVAL, method="nearest")
    return float(low), float(high)
