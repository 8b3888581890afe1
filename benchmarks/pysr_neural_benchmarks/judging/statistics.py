"""Comparisons of methods on the same problems: intervals, tests, verdicts.

Owns: the mean over draws, then problems, its bootstrap interval, paired differences, the verdict of a pair.  Does not
own: figures of a run (`judging.scoring`).

A problem's value is the mean over its runs (draws and seeds); problems are what is drawn anew, since runs of one
problem are not independent.  Differences are paired by problem, draw, seed, noise and points: a run counts where both
methods have it.  A verdict needs two things: the 95 % interval of the mean difference must not hold 0, and Wilcoxon's
signed-rank test over problems must give p below 0.05 after Holm's correction for all comparisons made.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pysr_neural.operators import Array
from pysr_neural.rng import generator

RESAMPLES = 2000
LEVEL = 0.05
FEWEST = 6
"""With fewer problems that differ, no outcome of the signed-rank test could be below the level."""
MOST_ENUMERATED = 13
"""Differences whose signs are chosen in all ways; SciPy takes as many where there are ties, a thousand times slower."""
Row = Mapping[str, Any]
Value = Callable[[Row], float]


@dataclass(frozen=True)
class Estimate:
    """A mean over problems with its 95 % interval.

    Parameters
    ----------
    mean, low, high : float
    problems, runs : int
    """

    mean: float
    low: float
    high: float
    problems: int
    runs: int


@dataclass(frozen=True)
class Comparison:
    """A method against another.

    Parameters
    ----------
    first, second : str
    difference : Estimate
        First minus second.
    only_first, only_second : int
        Pairs of runs in which one was better.
    p_wilcoxon, p_sign : float
        Two-sided, uncorrected; over problems, and over pairs of runs.
    p_corrected : float
        Wilcoxon's, after Holm's correction.
    comparisons : int
        Made together.
    """

    first: str
    second: str
    difference: Estimate
    only_first: int
    only_second: int
    p_wilcoxon: float
    p_sign: float
    p_corrected: float = 1.0
    comparisons: int = 1

    @property
    def verdict(self) -> str:
        """``"better"``, ``"worse"`` or ``"undecided"``, of the first method."""
        apart = self.difference.low > 0 or self.difference.high < 0
        if not apart or self.p_corrected >= LEVEL:
            return "undecided"
        return "better" if self.difference.mean > 0 else "worse"


def problem_of(row: Row) -> tuple[str, str]:
    """Return what is drawn anew in a bootstrap."""
    return str(row["suite"]), str(row["problem"])


def pair_of(row: Row) -> tuple[Any, ...]:
    """Return what two runs of a pair share."""
    return (*problem_of(row), row["draw"], row["seed"], row["noise"], row["points"])


def means(rows: Iterable[Row], value: Value) -> dict[tuple[str, str], float]:
    """Return each problem's mean over its runs, draws first."""
    found: dict[tuple[str, str], dict[object, list[float]]] = {}
    for row in rows:
        found.setdefault(problem_of(row), {}).setdefault(row["draw"], []).append(value(row))
    return {
        problem: float(np.mean([np.mean(values) for values in by_draw.values()])) for problem, by_draw in found.items()
    }


def estimate(rows: Sequence[Row], value: Value) -> Estimate:
    """Return the mean over problems of a run's value; NaN if there are no runs."""
    values = np.array(list(means(rows, value).values()), dtype=float)
    low, high = interval(values)
    return Estimate(float(values.mean()) if len(values) else np.nan, low, high, len(values), len(rows))


def interval(values: Array) -> tuple[float, float]:
    """Return the central 95 % of the mean when problems are drawn anew with replacement."""
    if not len(values):
        return float("nan"), float("nan")
    drawn = generator(0, "bootstrap").integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def band(rows: Sequence[Row], values: Sequence[Value]) -> tuple[Array, Array, Array]:
    """Return mean and interval for several values of the same runs, such as one per moment of a curve."""
    table = np.array([list(means(rows, value).values()) for value in values], dtype=float)
    drawn = generator(0, "bootstrap").integers(table.shape[1], size=(RESAMPLES // 4, table.shape[1]))
    low, high = np.quantile(table[:, drawn].mean(axis=2), [0.025, 0.975], axis=1)
    return table.mean(axis=1), low, high


def sign_test(better: int, worse: int) -> float:
    """Return the two-sided p value of so many pairs for and against; 1 without any."""
    from scipy.stats import binomtest

    return float(binomtest(better, better + worse).pvalue) if better + worse else 1.0


def signed_rank_test(differences: Array) -> float:
    """Return the two-sided p value of Wilcoxon's signed-rank test of differences other than 0.

    Up to `MOST_ENUMERATED` of them it is exact, ties or not, by all ways to choose their signs; then SciPy's.
    """
    from scipy.stats import rankdata, wilcoxon

    count = len(differences)
    if count > MOST_ENUMERATED:
        return float(wilcoxon(differences).pvalue)
    ranks = rankdata(np.abs(differences))
    sums = (np.arange(2**count)[:, None] >> np.arange(count) & 1) @ ranks  # Multiples of a half: no rounding.
    observed = ranks[differences > 0].sum()
    return float(min(1.0, 2.0 * min(np.mean(sums <= observed), np.mean(sums >= observed))))


def compare(first: str, second: str, rows: Sequence[Row], value: Value) -> Comparison:
    """Compare two methods on the runs that both have; higher values are better."""
    mine = {pair_of(row): row for row in rows if row["method"] == first}
    theirs = {pair_of(row): row for row in rows if row["method"] == second}
    pairs = [(mine[key], theirs[key]) for key in mine if key in theirs]
    paired = [{**a, "difference": value(a) - value(b)} for a, b in pairs]
    difference = estimate(paired, lambda row: float(row["difference"]))
    by_problem = np.array(list(means(paired, lambda row: float(row["difference"])).values()), dtype=float)
    better = sum(row["difference"] > 0 for row in paired)
    worse = sum(row["difference"] < 0 for row in paired)
    differing = by_problem[by_problem != 0]
    p_wilcoxon = signed_rank_test(differing) if len(differing) >= FEWEST else 1.0
    return Comparison(first, second, difference, better, worse, p_wilcoxon, sign_test(better, worse))


def compare_all(pairs: Sequence[tuple[str, str]], rows: Sequence[Row], value: Value) -> list[Comparison]:
    """Compare several pairs of methods, corrected together by Holm's method."""
    from dataclasses import replace

    found = [compare(first, second, rows, value) for first, second in pairs]
    order = sorted(range(len(found)), key=lambda i: found[i].p_wilcoxon)
    corrected, largest = dict[int, float](), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(found) - rank) * found[i].p_wilcoxon))
        corrected[i] = largest
    return [replace(each, p_corrected=corrected[i], comparisons=len(found)) for i, each in enumerate(found)]
