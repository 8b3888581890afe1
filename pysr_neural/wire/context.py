"""What a prompt may say about the data besides what the encoder reads: statistics and plots, as tokens.

Owns: the context levels, the statistics behind them, their tokens.  Does not own: the rest of a prompt (`prompt`).

- ``basic``: nothing.
- ``rich``: of y and of each variable mean, standard deviation, least, greatest, skewness and kurtosis; of each variable
  also its correlation and rank correlation with y, and how often y rises when the rows are sorted by it.
- ``superrich``: also a coarse plot of y over each variable, a column for each few rows sorted by it.

No token is new: magnitudes are written as constants are, shares of a range as leading digits, which stand for eighths
here.  A statistic is told by its position, so that it has two positions even where it is one token.
"""

from dataclasses import dataclass

import numpy as np

from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural.operators import Array
from pysr_neural.wire import vocabulary as v

CONTEXTS = ("basic", "rich", "superrich")
PLOT_COLUMNS = 12
MAGNITUDES = 4
"""Statistics of a column that take two positions each; those after them take one."""
FIRST_SHARE = 1 + 2 * MAGNITUDES
FIRST_RELATION = FIRST_SHARE + 2
FIRST_PLOT = FIRST_RELATION + 3


@dataclass(frozen=True)
class Context:
    """Tokens that belong to a prompt's header, and their positions.

    Parameters
    ----------
    tokens, positions : tuple of int
        Of one length.
    """

    tokens: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()


NOTHING = Context()


def context_named(level: str) -> str:
    """Check the name of a context level.

    Raises
    ------
    ConfigError
        If there is no such level.
    """
    if level not in CONTEXTS:
        raise ConfigError(f"A context must be one of {CONTEXTS}; got {level!r}." + did_you_mean(level, CONTEXTS))
    return level


def context_of(level: str, X: Array, y: Array, features: tuple[int, ...]) -> Context:
    """Describe some data.

    Parameters
    ----------
    level : str
        One of `CONTEXTS`.
    X : array, shape (rows, all features)
    y : array, shape (rows,)
        Finite.
    features : tuple of int
        The variables that the model sees, in the order of their slots.

    Raises
    ------
    ConfigError
        If there is no such level.
    """
    if context_named(level) == "basic":
        return NOTHING
    tokens, positions = [v.TARGET, *_moments(y)[0]], [0, *_moments(y)[1]]
    for slot, feature in enumerate(features):
        column = X[:, feature]
        own, places = _moments(column)
        tokens += [v.FIRST_VARIABLE + slot, *own, *_relations(column, y)]
        positions += [0, *places, *range(FIRST_RELATION, FIRST_PLOT)]
        if level == "superrich":
            plot = _plot(column, y)
            tokens += plot
            positions += range(FIRST_PLOT, FIRST_PLOT + len(plot))
    return Context(tuple(tokens), tuple(positions))


def eighth(share: float) -> int:
    """Return the token of a share of some range, from 0 to 1; what is not finite counts as the middle."""
    if not np.isfinite(share):
        share = 0.5
    return v.FIRST_MANTISSA + min(max(int(share * v.MANTISSAS), 0), v.MANTISSAS - 1)


def _moments(values: Array) -> tuple[list[int], list[int]]:
    """Return the tokens of a column's own statistics, and their positions."""
    with np.errstate(all="ignore"):
        mean, deviation = float(np.mean(values)), float(np.std(values))
        scaled = (values - mean) / deviation if deviation > 0 else np.zeros(len(values))
        skewness, excess = float(np.mean(scaled**3)), float(np.mean(scaled**4)) - 3.0
    tokens: list[int] = []
    positions: list[int] = []
    for i, value in enumerate((mean, deviation, float(np.min(values)), float(np.max(values)))):
        own = v.constant_tokens(value)
        tokens += own
        positions += range(1 + 2 * i, 1 + 2 * i + len(own))
    shares = [0.5 + 0.5 * value / (1.0 + abs(value)) for value in (skewness, excess)]
    return [*tokens, *map(eighth, shares)], [*positions, FIRST_SHARE, FIRST_SHARE + 1]


def _relations(column: Array, y: Array) -> list[int]:
    """Return the tokens of a variable's correlations with y, and of how often y rises along it."""
    rises = np.diff(y[np.argsort(column, kind="stable")])
    moves = np.count_nonzero(rises)
    rising = np.count_nonzero(rises > 0) / moves if moves else 0.5
    correlations = (_correlation(column, y), _correlation(_ranks(column), _ranks(y)))
    return [*(eighth(0.5 + 0.5 * each) for each in correlations), eighth(rising)]


def _plot(column: Array, y: Array) -> list[int]:
    """Return the height of y, in eighths of its range, along a variable: means of few neighbouring rows each."""
    along = y[np.argsort(column, kind="stable")]
    with np.errstate(all="ignore"):
        heights = np.array([np.mean(part) for part in np.array_split(along, min(PLOT_COLUMNS, len(along)))])
        low, high = float(heights.min()), float(heights.max())
        return [eighth((float(height) - low) / (high - low) if high > low else 0.5) for height in heights]


def _ranks(values: Array) -> Array:
    return np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(float)


def _correlation(a: Array, b: Array) -> float:
    with np.errstate(all="ignore"):
        a, b = a - a.mean(), b - b.mean()
        length = float(np.sqrt((a @ a) * (b @ b)))
        return float(a @ b) / length if length > 0 else 0.0
