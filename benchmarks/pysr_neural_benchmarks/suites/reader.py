"""Benchmark suites: formulas with ranges, or measured rows, read from TOML, CSV or symbolic-data's YAML.

Owns: the suite format, data drawn from it, and the keys by which suites are held out of training.  Does not own:
methods and measurements.

A suite is a file ``suites/NAME.toml``: ``source``, ``licence``, ``points``, optionally ``operators``, and
``[[problems]]`` with ``name``, ``formula`` (the syntax of `expression.text`) and ``variables``, each with ``name``,
``low``, ``high`` and optionally ``sampling`` (``"uniform"``, ``"log"`` or ``"integer"``), ``signs`` (``"both"``, or
``"negative"`` for minus the amount) and ``unit``.  ``accept`` lists other forms of the formula.  A measured problem has
``law`` (for people), ``target`` and ``rows``, a table of equally long columns, in place of formula and ranges.
``include`` names other suites: ``[{ suite = "keijzer", problems = ["Keijzer-4"] }]``; without ``problems`` all of them.

A CSV file is a suite of one measured problem; its target is the column ``y`` or ``target``, or else the last.  A YAML
file is a catalog of symbolic-data (`suites.catalogs`).  Files in the folder ``suites`` of the working directory are
found by name, as the shipped ones are.
"""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pysr_neural.errors import ConfigError, DataError, ExpressionError, did_you_mean
from pysr_neural.expression.canonical import canonical
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node
from pysr_neural.expression.simplify import simplify
from pysr_neural.expression.text import parse
from pysr_neural.operators import Array, operator
from pysr_neural.problem import check_data
from pysr_neural_benchmarks.suites.catalogs import as_table
from pysr_neural_training.problems.generate import split_key

SUITES = Path(__file__).parent
OWN_SUITES = Path("suites")
"""Where a user drops suites of their own, below the working directory."""
SUFFIXES = (".toml", ".csv", ".yaml", ".yml")
SAMPLINGS = ("uniform", "log", "integer")
SIGNS = ("positive", "negative", "both")
TARGETS = ("y", "target")
LARGEST, RARE = 1e150, 0.01
"""Size from which a sum of squares may overflow, and share of rows up to which such ones are drawn anew."""


@dataclass(frozen=True)
class Variable:
    """One input: its name, range, how it is drawn, and its unit where known."""

    name: str
    low: float
    high: float
    sampling: str = "uniform"
    signs: str = "positive"
    unit: str = ""

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Draw values, shape (count,)."""
        if self.sampling == "log":
            values = 10 ** rng.uniform(np.log10(self.low), np.log10(self.high), count)
        else:
            values = rng.uniform(self.low, self.high, count)
        if self.sampling == "integer":
            values = np.round(values)
        if self.signs == "negative":
            return -np.abs(values)
        return values * rng.choice((-1.0, 1.0), count) if self.signs == "both" else values


@dataclass(frozen=True, eq=False)
class SuiteProblem:
    """A formula to be found, or measured rows to be explained.

    Parameters
    ----------
    suite, name, formula : str
        The formula of measured rows is what the books say, for people.
    tree : Node
        A constant 0 for measured rows.
    variables : tuple of Variable
    accept : tuple of Node
        Other forms of the formula.
    operators : tuple of str
        Of the search; empty for the benchmark's own.
    rows : (X, y), optional
        Measured.
    """

    suite: str
    name: str
    formula: str
    tree: Node
    variables: tuple[Variable, ...]
    accept: tuple[Node, ...] = ()
    operators: tuple[str, ...] = ()
    rows: tuple[Array, Array] | None = None

    def draw(self, points: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw X (points, variables) and y (points,); rows where y is not finite are drawn again, and the few where its
        square is not.

        Of measured rows, as many as there are and wanted are chosen without replacement.

        Raises
        ------
        ConfigError
            With the problem's name, if y is seldom finite on the ranges, or its square often not.
        """
        if self.rows is not None:
            chosen = rng.permutation(len(self.rows[1]))[:points]
            return self.rows[0][chosen], self.rows[1][chosen]
        rows: list[Array] = []
        found = huge = 0
        for _ in range(100):
            X = np.stack([variable.draw(points, rng) for variable in self.variables], axis=1)
            y = evaluate(self.tree, X)
            rows.append(X[np.abs(y) < LARGEST])
            found += len(rows[-1])
            huge += int((np.isfinite(y) & (np.abs(y) >= LARGEST)).sum())
            if found >= points and huge <= RARE * found:
                X = np.concatenate(rows)[:points]
                return X, evaluate(self.tree, X)
        if huge > RARE * found:
            raise _overflowing(f"{self.suite}/{self.name}", f"{huge} of {huge + found} beyond {LARGEST:g}")
        raise ConfigError(
            f"{self.suite}/{self.name} must be finite on its ranges; got {found} finite values among {100 * points}. "
            f"Change the ranges of {self.formula!r}."
        )


def _check_spread(name: str, y: Array) -> None:
    """Refuse what no method could be judged by: losses are told in units of the variance."""
    with np.errstate(over="ignore"):
        overflows = not np.isfinite(np.var(y))
    if overflows:
        raise _overflowing(name, f"up to {np.abs(y).max():.3g}")


def _overflowing(name: str, values: str) -> ConfigError:
    return ConfigError(f"{name} must have a y of finite variance; got values {values}. Scale y, or narrow the ranges.")


@dataclass(frozen=True)
class SuiteNotes:
    """What a suite's file says about itself.

    Parameters
    ----------
    name, source, licence : str
    problems : int
    """

    name: str
    source: str
    licence: str
    problems: int


def suite_names() -> list[str]:
    """Return the names of the shipped suites."""
    return sorted(path.stem for path in SUITES.glob("*.toml"))


def own_suite_names() -> list[str]:
    """Return the names of the user's own suites, in the folder ``suites`` of the working directory."""
    return sorted({path.stem for suffix in SUFFIXES for path in OWN_SUITES.glob(f"*{suffix}")} - set(suite_names()))


def suite_notes(name: str) -> SuiteNotes:
    """Return what a suite is; errors as in `load_suite`."""
    path = _path(name)
    entry = {} if path.suffix == ".csv" else _table(path)
    source, licence = str(entry.get("source", path.name)), str(entry.get("licence", ""))
    return SuiteNotes(name, source, licence, len(load_suite(name)))


def load_suite(name: str) -> list[SuiteProblem]:
    """Read a suite by name, or from the path of a TOML, CSV or YAML file.

    Raises
    ------
    ConfigError
        If there is no such suite, or it does not follow the format.
    """
    path = _path(name)
    if path.suffix == ".csv":
        return [_from_csv(path)]
    table = _table(path)
    try:
        operators = tuple(operator(str(given)).name for given in table.get("operators", ()))
        problems = [_problem(path.stem, entry, operators) for entry in table.get("problems", ())]
        problems += [each for entry in table.get("include", ()) for each in _included(path.stem, entry)]
    except (KeyError, TypeError, AttributeError, ExpressionError, DataError) as error:
        raise _unreadable(path, error) from error
    if not problems:
        raise _unreadable(path, "no problems")
    return _named_apart(problems)


def _named_apart(problems: list[SuiteProblem]) -> list[SuiteProblem]:
    """Number problems that share a name, as those of included suites may."""
    seen: dict[str, int] = {}
    named = []
    for each in problems:
        seen[each.name] = seen.get(each.name, 0) + 1
        named.append(each if seen[each.name] == 1 else replace(each, name=f"{each.name}-{seen[each.name]}"))
    return named


def _path(name: str) -> Path:
    if name in suite_names():
        return SUITES / f"{name}.toml"
    for path in (Path(name), *[OWN_SUITES / f"{name}{suffix}" for suffix in SUFFIXES]):
        if path.is_file() and path.suffix in SUFFIXES:
            return path
    known = [*suite_names(), *own_suite_names()]
    raise ConfigError(
        f"A suite must be shipped, or a TOML, CSV or YAML file; got {name!r}." + did_you_mean(name, known)
    )


def _table(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".toml":
            return tomllib.loads(path.read_text(encoding="utf-8"))
        return as_table(path)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, reason: object) -> ConfigError:
    return ConfigError(f"{path} must follow the suite format of pysr_neural_benchmarks.suites.reader; got: {reason!r}.")


def _problem(suite: str, entry: dict[str, Any], operators: tuple[str, ...]) -> SuiteProblem:
    if "rows" in entry:
        return _measured(suite, entry, operators)
    variables = tuple(Variable(**given) for given in entry["variables"])
    for variable in variables:
        for kind, given, known in (("sampling", variable.sampling, SAMPLINGS), ("signs", variable.signs, SIGNS)):
            if given not in known:
                raise ConfigError(
                    f"A variable's {kind} must be one of {known}; got {given!r} in {suite}/{entry['name']}."
                )
    formula, names = str(entry["formula"]), [variable.name for variable in variables]
    try:
        tree, *accept = [parse(str(text), names) for text in (formula, *entry.get("accept", ()))]
    except ExpressionError as error:
        raise ExpressionError(f"{suite}/{entry['name']}: {error}") from error
    return SuiteProblem(suite, str(entry["name"]), formula, tree, variables, tuple(accept), operators)


def _measured(suite: str, entry: dict[str, Any], operators: tuple[str, ...]) -> SuiteProblem:
    columns, target = dict(entry["rows"]), str(entry["target"])
    units = dict(entry.get("units", {}))
    y = columns.pop(target)
    X, y = check_data(np.array(list(columns.values()), dtype=np.float64).T, y)
    return _with_rows(suite, str(entry["name"]), str(entry.get("law", "")), list(columns), X, y, units, operators)


def _with_rows(
    suite: str,
    name: str,
    law: str,
    names: list[str],
    X: Array,
    y: Array,
    units: dict[str, str],
    operators: tuple[str, ...],
) -> SuiteProblem:
    _check_spread(f"{suite}/{name}", y)
    ends = zip(names, X.min(axis=0).tolist(), X.max(axis=0).tolist(), strict=True)
    variables = tuple(Variable(each, low, high, unit=units.get(each, "")) for each, low, high in ends)
    return SuiteProblem(suite, name, law, parse("0"), variables, (), operators, (X, y))


def _included(suite: str, entry: dict[str, Any]) -> list[SuiteProblem]:
    known = {each.name: each for each in load_suite(str(entry["suite"]))}
    names = [str(name) for name in entry.get("problems", known)]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{suite} must include problems that {entry['suite']} has; got {name!r}." + did_you_mean(name, known)
            )
    return [replace(known[name], suite=suite) for name in names]


def _from_csv(path: Path) -> SuiteProblem:
    import pandas as pd

    try:
        table = pd.read_csv(path)
        table.columns = [str(name) for name in table.columns]
        target = next((name for name in TARGETS if name in table.columns), table.columns[-1])
        names = [name for name in table.columns if name != target]
        X, y = check_data(table[names].to_numpy(np.float64), table[target].to_numpy(np.float64))
    except (OSError, ValueError, IndexError) as error:
        raise ConfigError(f"A CSV suite must hold columns of finite numbers; got {path}: {error}") from error
    return _with_rows(path.stem, path.stem, "", names, X, y, {}, ())


def held_out_keys() -> list[str]:
    """Return the split keys of every problem of every suite: what training must leave out."""
    problems = [each for name in suite_names() for each in load_suite(name) if each.rows is None]
    return sorted({split_key(canonical(simplify(each.tree))) for each in problems})


if __name__ == "__main__":
    from pysr_neural_training.problems.generate import SUITE_KEYS

    SUITE_KEYS.write_text("\n".join(held_out_keys()) + "\n")
