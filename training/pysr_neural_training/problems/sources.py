"""Problems to be searched: from a suite, from the generator, from the user's table.

Owns: the three sources as numbered problems.  Does not own: suites (the package above offers them through the entry
point group ``pysr_neural.problems``), the generator (`generate`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pysr_neural.errors import ConfigError, DataError, did_you_mean
from pysr_neural.expression.text import to_string
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.rng import generator
from pysr_neural_training.problems.generate import ProblemPrior, Sampler

GROUP = "pysr_neural.problems"


@dataclass(frozen=True)
class SourceProblem:
    """A problem and, where it is known, the expression behind it."""

    problem: Problem
    formula: str = ""


def from_suite(name: str, operators: Sequence[str], points: int, max_size: int) -> Iterator[SourceProblem]:
    """Read a suite by name or by the path of its TOML file; the same data every time.

    Raises
    ------
    ConfigError
        If there is no such suite, or nobody offers suites.
    """
    for found in _suite_reader()(name):
        X, y = found.draw(points, generator(0, "traces", found.suite, found.name))
        names = tuple(variable.name for variable in found.variables)
        problem = Problem(X, y, OperatorSet.of(*operators), Limits(max_size), f"{found.suite}/{found.name}", names)
        yield SourceProblem(problem, found.formula)


def generated(count: int, seed: int, operators: Sequence[str] = ()) -> Iterator[SourceProblem]:
    """Draw problems from the training prior; they bring their own limits, and operators if none are given."""
    drawn = Sampler(ProblemPrior(operators=tuple(operators)), generator(seed, "traces"))
    for i, found in enumerate(islice(drawn, count)):
        yield SourceProblem(replace(found.problem, name=f"generated-{seed}/{i}"), to_string(found.tree))


def from_table(path: Path, target: str, operators: Sequence[str], max_size: int) -> SourceProblem:
    """Read a CSV or Parquet file; every column but the target is a feature.

    Raises
    ------
    DataError
        If the file cannot be read, lacks the target, or holds what is no finite number.
    """
    import pandas as pd

    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError, ImportError) as error:
        raise DataError(f"A table must be a readable CSV or Parquet file; got {path}: {error}") from error
    columns = [str(name) for name in table.columns]
    if target not in columns:
        raise DataError(f"The target must be a column of {path}; got {target!r}." + did_you_mean(target, columns))
    names = [name for name in columns if name != target]
    try:
        values = table.set_axis(columns, axis=1).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"Every column of {path} must hold numbers; got: {error}. Drop the others.") from error
    X, y = values[names].to_numpy(), values[target].to_numpy()
    problem = Problem(X, y, OperatorSet.of(*operators), Limits(max_size), path.stem, tuple(names))
    return SourceProblem(problem)


def _suite_reader() -> Any:
    points = [point for point in entry_points(group=GROUP) if point.name == "suite"]
    if not points:
        raise ConfigError("Suites come with the package's benchmarks; none are installed. Run `pip install -e .`.")
    return points[0].load()
