"""The data of a run: the same for every method, from (suite, problem, draw, data seed, noise, points) alone.

Owns: `Case`, drawing of rows for the search and of test rows, noise, the operators and limits of the search.  Does not
own: suites.

Fewer points are the first rows of more points; noise is added to the same rows.  Test rows carry no noise, except
where the data were measured: then a quarter of the rows, other ones in each draw, is kept for the test.
"""

from dataclasses import dataclass

import numpy as np

from pysr_neural.errors import ConfigError
from pysr_neural.operators import Array
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.rng import generator
from pysr_neural_benchmarks.suites.reader import SuiteProblem

OPERATORS = ("+", "-", "*", "/", "sin", "cos", "exp", "log", "sqrt")
MAX_SIZE = 30
POINTS = 512
TEST_SHARE = 0.25


@dataclass(frozen=True)
class Case:
    """Which data: one row of a benchmark's plan without method and seed.

    Parameters
    ----------
    suite, problem : str
    draw : int
        Number of the data set.
    noise : float
        Standard deviation of the noise over that of y.
    points : int
        Rows to be searched.
    data_seed : int
        Seed of all draws.
    """

    suite: str
    problem: str
    draw: int = 0
    noise: float = 0.0
    points: int = POINTS
    data_seed: int = 0


@dataclass(frozen=True, eq=False)
class Drawn:
    """Data of a case.

    Parameters
    ----------
    problem : Problem
        What methods are given: variables are called ``x0``, ``x1``, …
    X_test : array, shape (rows, features)
    y_test : array, shape (rows,)
    """

    problem: Problem
    X_test: Array
    y_test: Array


def draw(source: SuiteProblem, case: Case) -> Drawn:
    """Draw a case's data.

    Raises
    ------
    ConfigError
        If the formula is not finite on its ranges, or does not vary.
    """
    if source.rows is not None:
        X, y, X_test, y_test = _split(source, source.rows, case)
    else:
        X, y = source.draw(max(case.points, POINTS), _stream(case, "rows"))
        X, y = X[: case.points], y[: case.points]
        X_test, y_test = source.draw(POINTS, _stream(case, "test"))
    if case.noise:
        y = y + case.noise * float(np.std(y)) * _stream(case, "noise").standard_normal(len(y))
    name = f"{source.suite}/{source.name}"
    return Drawn(
        Problem(X, y, OperatorSet.of(*(source.operators or OPERATORS)), Limits(MAX_SIZE), name), X_test, y_test
    )


def _stream(case: Case, purpose: str) -> np.random.Generator:
    return generator(case.data_seed, "bench", case.suite, case.problem, case.draw, purpose)


def _split(source: SuiteProblem, rows: tuple[Array, Array], case: Case) -> tuple[Array, Array, Array, Array]:
    X, y = rows
    order = _stream(case, "rows").permutation(len(y))
    count = max(1, round(TEST_SHARE * len(y)))
    if len(y) - count < 2:
        raise ConfigError(f"{source.suite}/{source.name} must have at least 3 rows; got {len(y)}.")
    test, searched = order[:count], order[count : count + case.points]
    return X[searched], y[searched], X[test], y[test]
