"""Benchmark suites: formulas with ranges, read from TOML.

Owns: the suite format, data drawn from it, and the keys by which suites are held out of training.  Does not own:
methods and measurements.

A suite is a file ``suites/NAME.toml``: ``source``, ``points``, and ``[[problems]]`` with ``name``, ``formula`` (the
syntax of `expression.text`) and ``variables``, each with ``name``, ``low``, ``high`` and optionally ``sampling``
(``"uniform"``, ``"log"`` or ``"integer"``) and ``signs = "both"``.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural.expression.canonical import canonical
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node
from pysr_neural.expression.simplify import simplify
from pysr_neural.expression.text import parse
from pysr_neural.operators import Array
from pysr_neural_training.generate import split_key

SUITES = Path(__file__).parent / "suites"
SAMPLINGS = ("uniform", "log", "integer")


@dataclass(frozen=True)
class Variable:
    """One input: its name, range, and how it is drawn."""

    name: str
    low: float
    high: float
    sampling: str = "uniform"
    signs: str = "positive"

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Draw values, shape (count,)."""
        if self.sampling == "log":
            values = 10 ** rng.uniform(np.log10(self.low), np.log10(self.high), count)
        else:
            values = rng.uniform(self.low, self.high, count)
        if self.sampling == "integer":
            values = np.round(values)
        return values * rng.choice((-1.0, 1.0), count) if self.signs == "both" else values


@dataclass(frozen=True)
class SuiteProblem:
    """A formula to be found.

    Parameters
    ----------
    suite, name, formula : str
    tree : Node
    variables : tuple of Variable
    """

    suite: str
    name: str
    formula: str
    tree: Node
    variables: tuple[Variable, ...]

    def draw(self, points: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw X (points, variables) and y (points,); rows where y is not finite are drawn again."""
        rows: list[Array] = []
        found = 0
        for _ in range(100):
            X = np.stack([variable.draw(points, rng) for variable in self.variables], axis=1)
            rows.append(X[np.isfinite(evaluate(self.tree, X))])
            found += len(rows[-1])
            if found >= points:
                X = np.concatenate(rows)[:points]
                return X, evaluate(self.tree, X)
        raise ConfigError(
            f"{self.suite}/{self.name} must be finite somewhere in its ranges; got too few finite values."
        )


def suite_names() -> list[str]:
    """Return the names of the shipped suites."""
    return sorted(path.stem for path in SUITES.glob("*.toml"))


def load_suite(name: str) -> list[SuiteProblem]:
    """Read a suite by name, or from the path of a TOML file.

    Raises
    ------
    ConfigError
        If there is no such suite, or it does not follow the format.
    """
    path = SUITES / f"{name}.toml" if name in suite_names() else Path(name)
    if not path.is_file():
        raise ConfigError(f"A suite must be shipped or a TOML file; got {name!r}." + did_you_mean(name, suite_names()))
    try:
        return [_problem(path.stem, entry) for entry in tomllib.loads(path.read_text())["problems"]]
    except (KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"{path} must follow the suite format of pysr_neural_benchmarks.suite; got: {error!r}."
        ) from error


def _problem(suite: str, entry: dict[str, object]) -> SuiteProblem:
    variables = tuple(Variable(**given) for given in entry["variables"])  # type: ignore[attr-defined]
    for variable in variables:
        if variable.sampling not in SAMPLINGS:
            raise ConfigError(f"A sampling must be one of {SAMPLINGS}; got {variable.sampling!r}.")
    formula = str(entry["formula"])
    tree = parse(formula, [variable.name for variable in variables])
    return SuiteProblem(suite, str(entry["name"]), formula, tree, variables)


def held_out_keys() -> list[str]:
    """Return the split keys of every problem of every suite: what training must leave out."""
    return sorted({split_key(canonical(simplify(p.tree))) for name in suite_names() for p in load_suite(name)})


if __name__ == "__main__":
    from pysr_neural_training.generate import SUITE_KEYS

    SUITE_KEYS.write_text("\n".join(held_out_keys()) + "\n")
