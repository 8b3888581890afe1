"""Whether what a formula leaves of the data looks like noise, or still depends on something: tests of lack of fit.

Owns: `LackOfFit`, `Dependence`, the words noise and structure.  Does not own: formulas, their constants' errors
(`standard_errors`), what is done about the answer.

Nothing is known of the noise, not even its size.  So the ranks of the residuals are tested for dependence: on each
variable and on the formula's own values (the first cosines of their ranks, as in Neyman's smooth test), on each pair of
variables (products of such cosines), and on being neighbours in the space of the variables (Moran's I).  Each of these
kinds of test has an equal part of the error allowed.  Residuals whose size alone depends on something are noise as
well.  What is tested is few rows of many at most, so that what counts as structure is some percent of the residuals,
however many rows there are.

References
----------
J. Neyman, "Smooth" test for goodness of fit, Skandinavisk Aktuarietidskrift 20, 1937.
A. D. Cliff, J. K. Ord, Spatial Processes, 1981, chapter 2.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree
from scipy.special import chdtrc, ndtr

from pysr_neural.operators import Array

MOST_ROWS = 1000
"""Rows that are looked at, evenly taken of more."""
FEWEST_ROWS, ROWS_PER_VARIABLE, ROWS_PER_CONSTANT = 150, 25, 15
"""With fewer rows, structure is seen seldom, so that nothing can be said to be noise."""
STRUCTURE, NOISE = 0.01, 0.05
"""Chance of the strongest dependence, all tests taken together, below which it is structure, and from which there is
none.  Between them nothing is said."""
WAVES, PAIRED = 5, 3
"""Cosines of each variable, and those that products are made of."""
ROWS_PER_WAVE = 6
MOST_PAIRED = 12
"""With more variables, pairs are made of so many that occur in the formula."""
NEIGHBOURS = 5
SAME = 1e-9
"""Variance, of 1, below which a column is a sum of others."""

PREDICTION, NEIGHBOURHOOD = "prediction", "neighbourhood"


@dataclass(frozen=True)
class Dependence:
    """Something that residuals were tested for dependence on.

    Parameters
    ----------
    on : tuple of int, or str
        One or two variables; `PREDICTION`: the values of the formula; `NEIGHBOURHOOD`: rows with like variables.
    chance : float
        That residuals of no dependence at all would show one as strong, among all tests made.
    """

    on: tuple[int, ...] | str
    chance: float


@dataclass(frozen=True)
class Leftover:
    """What the tests say of the residuals of one formula.

    Parameters
    ----------
    dependences : tuple of Dependence
        The strongest first.
    enough : bool
        Whether there are rows enough to see structure, if there were some.
    """

    dependences: tuple[Dependence, ...]
    enough: bool

    @property
    def structure(self) -> tuple[Dependence, ...]:
        """What the residuals depend on, each kind by strength: variables first, then pairs of them and the formula's
        values, then the neighbourhood; empty if they were not seen to depend on anything."""
        found = [each for each in self.dependences if each.chance < STRUCTURE]
        return tuple(sorted(found, key=lambda each: (each.on == NEIGHBOURHOOD, len(each.on) > 1)))

    @property
    def is_noise(self) -> bool:
        """Whether the residuals look like noise, and would not if they were not."""
        return self.enough and all(each.chance >= NOISE for each in self.dependences)


class LackOfFit:
    """Tests residuals of formulas of the same variables.

    Parameters
    ----------
    X : array, shape (rows, features)
        Finite.
    """

    def __init__(self, X: Array) -> None:
        self.total, self.features = X.shape
        self._taken = looked_at(self.total)
        self._ranks = [_ranks(column) for column in X[self._taken].T]
        self._rows = len(self._taken)
        self._waves = max(1, min(WAVES, self._rows // ROWS_PER_WAVE))
        self._single = [_independent(_cosines(ranks, self._waves)) for ranks in self._ranks]
        self._pairs: dict[tuple[int, int], Array] = {}
        self._near: dict[tuple[int, ...], tuple[csr_matrix, float, float]] = {}

    def of(self, residuals: Array, predictions: Array, used: Sequence[int], constants: int = 0) -> Leftover:
        """Test the residuals of one formula.

        Parameters
        ----------
        residuals, predictions : array, shape (rows,)
            What it leaves, and its own values.
        used : sequence of int
            The variables that occur in it.
        constants : int
            How many constants were fitted.
        """
        with np.errstate(all="ignore"):
            usable = np.isfinite(residuals).all() and np.isfinite(predictions).all()
        needed = max(FEWEST_ROWS, ROWS_PER_VARIABLE * self.features, ROWS_PER_CONSTANT * constants)
        signal = _standard(_ranks(residuals[self._taken])) if usable and self._rows > 2 else np.zeros(0)
        if not signal.any():
            return Leftover((), False)
        kinds = list(self._kinds(signal, predictions[self._taken], tuple(sorted(set(used)))))
        found = [Dependence(on, min(1.0, chance * len(tests) * len(kinds))) for tests in kinds for on, chance in tests]
        return Leftover(tuple(sorted(found, key=lambda each: each.chance)), self.total >= needed)

    def _kinds(
        self, signal: Array, predictions: Array, used: tuple[int, ...]
    ) -> Iterator[list[tuple[tuple[int, ...] | str, float]]]:
        """Yield the tests of each kind: what dependence is on, and the chance of one as strong."""
        if self.features:
            yield [((j,), _smooth(waves, signal)) for j, waves in enumerate(self._single)]
        among = range(self.features) if self.features <= MOST_PAIRED else used[:MOST_PAIRED]
        if len(among) > 1:
            yield [(pair, _smooth(self._pair(pair), signal)) for pair in itertools.combinations(among, 2)]
        yield [(PREDICTION, _smooth(_independent(_cosines(_ranks(predictions), self._waves)), signal))]
        for columns in {tuple(range(self.features)), used} - {()} if self._rows >= 4 * NEIGHBOURS else ():
            yield [(NEIGHBOURHOOD, self._moran(columns, signal))]

    def _pair(self, pair: tuple[int, int]) -> Array:
        """Return products of two variables' cosines, made when first needed."""
        if pair not in self._pairs:
            most = min(PAIRED, self._waves)
            one, other = (_cosines(self._ranks[j], most) for j in pair)
            self._pairs[pair] = _independent((one[:, None] * other[None]).reshape(-1, self._rows))
        return self._pairs[pair]

    def _moran(self, columns: tuple[int, ...], signal: Array) -> float:
        """Return the chance that neighbours are as much alike."""
        if columns not in self._near:
            self._near[columns] = _neighbours(np.array([self._ranks[j] for j in columns]).T)
        weights, expected, variance = self._near[columns]
        found = float(signal @ (weights @ signal)) / self._rows
        return float(ndtr((expected - found) / np.sqrt(variance)))


def looked_at(total: int) -> npt.NDArray[np.intp]:
    """Return which of so many rows are looked at: all, or `MOST_ROWS` evenly taken."""
    return np.unique(np.linspace(0, max(total - 1, 0), min(total, MOST_ROWS)).astype(np.intp))


def _ranks(values: Array) -> Array:
    """Return the ranks, from 0 to 1, ties in their middle."""
    ordered = np.sort(values)
    twice = np.searchsorted(ordered, values) + np.searchsorted(ordered, values, side="right")
    return np.asarray(twice / (2 * len(values)), dtype=np.float64)


def _standard(values: Array) -> Array:
    """Scale values to mean 0 and variance 1; zeros where they do not vary."""
    centred = values - values.mean()
    spread = float(centred.std())
    return np.asarray(centred / spread if spread > 0 else np.zeros(len(values)), dtype=np.float64)


def _cosines(ranks: Array, count: int) -> Array:
    waves = np.cos(np.pi * np.arange(1, count + 1)[:, None] * ranks)
    return np.asarray(waves - waves.mean(axis=1, keepdims=True), dtype=np.float64)


def _independent(columns: Array) -> Array:
    """Return an orthonormal basis of what some columns span beside a constant: fewer where values repeat."""
    columns = columns - columns.mean(axis=1, keepdims=True)
    variances, directions = np.linalg.eigh(columns @ columns.T / columns.shape[1])
    kept = variances > SAME
    scales = np.sqrt(variances[kept] * columns.shape[1])
    return np.asarray((directions[:, kept] / scales).T @ columns, dtype=np.float64)


def _smooth(basis: Array, signal: Array) -> float:
    """Return the chance of as large a projection on a basis."""
    if not len(basis):
        return 1.0
    return float(chdtrc(len(basis), np.square(basis @ signal).sum()))


def _neighbours(points: Array) -> tuple[csr_matrix, float, float]:
    """Return weights of the nearest rows of each row, and expectation and variance of Moran's I with them."""
    rows = len(points)
    count = min(NEIGHBOURS, rows - 1)
    near = cKDTree(points).query(points, count + 1)[1]
    itself = near == np.arange(rows)[:, None]
    near = np.take_along_axis(near, np.argsort(itself, axis=1, kind="stable"), axis=1)[:, :count]
    starts = np.arange(0, rows * count + 1, count)
    weights = csr_matrix((np.full(rows * count, 1 / count), near.ravel(), starts), shape=(rows, rows))
    mutual = float(weights.multiply(weights.T).sum())
    s1 = rows / count + mutual
    s2 = float(np.square(1 + np.asarray(weights.sum(axis=0))).sum())
    expected = -1 / (rows - 1)
    variance = (rows**2 * s1 - rows * s2 + 3 * rows**2) / ((rows**2 - 1) * rows**2) - expected**2
    return weights, expected, float(variance)
