"""`pysr-neural bench reference`: BasicSR's reference preset against the counts of the code that it restates.

Owns: the published counts, the runs, the comparison.  Does not own: the problems (`suites/basicsr_*.toml`), the search.

A run is one problem and one seed, which draws the data and drives the search: population 20, operators + - * /,
constant 1.  Solved means that the mean squared error of the member of lowest cost is below 1e-6 at the end.  Runs are
kept in a file of JSON lines as they finish; started again, the command does only what the file lacks.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pysr_neural.checks import whole
from pysr_neural.expression.text import to_string
from pysr_neural.problem import OperatorSet, Problem
from pysr_neural.rng import generator
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.search import run_search
from pysr_neural_benchmarks.judging.results import Task, complete
from pysr_neural_benchmarks.suites.reader import SuiteProblem, load_suite

SUITES = {"simple": "basicsr_simple", "harder": "basicsr_harder"}
OPERATORS = OperatorSet.of("+", "-", "*", "/")
POPULATION, POINTS = 20, 50
SOLVED_BELOW = 1e-6
TOLERANCE = 10

# Runs solved of 20, after 100 and after 1000 generations, by the code that BasicSR restates (measured).
PUBLISHED_SEEDS = 20
PUBLISHED: Mapping[str, Mapping[str, Mapping[int, int]]] = {
    "simple": {
        "quadratic": {100: 19, 1000: 20},
        "cubic": {100: 9, 1000: 18},
        "simple_rational": {100: 10, 1000: 20},
        "bivariate_product": {100: 20, 1000: 20},
        "rational_division": {100: 16, 1000: 20},
        "quartic": {100: 6, 1000: 13},
        "bivariate_sum": {100: 15, 1000: 20},
        "trivariate_product": {100: 13, 1000: 20},
        "mixed_polynomial": {100: 7, 1000: 17},
        "complex_rational": {100: 4, 1000: 9},
    },
    "harder": {
        "pythagorean_3d": {100: 1, 1000: 12},
        "quadratic_formula_discriminant": {100: 0, 1000: 0},
        "mixed_polynomial": {100: 7, 1000: 17},
        "polynomial_product": {100: 20, 1000: 20},
        "surface_area_sphere_approx": {100: 6, 1000: 14},
    },
}


def problem_of(source: SuiteProblem, seed: int) -> Problem:
    """Draw the data of one run; the search's own limits come from its config."""
    X, y = source.draw(POINTS, generator(seed, source.suite, source.name))
    return Problem(X, y, OPERATORS, name=source.name)


def run_once(group: str, name: str, seed: int, generations: int) -> dict[str, Any]:
    """Search one problem with one seed; returns a row of the results file."""
    source = next(each for each in load_suite(SUITES[group]) if each.name == name)
    config = BasicSRConfig.reference(population_size=POPULATION, generations=generations)
    result = run_search(problem_of(source, seed), config, seed=seed)
    return {
        "group": group,
        "problem": name,
        "solved": result.best.loss < SOLVED_BELOW,
        "loss": result.best.loss,
        "equation": to_string(result.best.tree),
        "evaluations": result.evaluations,
        "seconds": result.seconds,
    }


def measure(seeds: int, generations: int, processes: int, out: Path) -> list[dict[str, Any]]:
    """Make all runs that the results file lacks; returns the rows of this measurement."""
    tasks: list[Task] = [
        (group, each.name, seed, generations)
        for group, suite in SUITES.items()
        for each in load_suite(suite)
        for seed in range(seeds)
    ]
    return complete(run_once, tasks, out, processes)


def summary(rows: Sequence[Mapping[str, Any]], seeds: int, generations: int) -> dict[str, Any]:
    """Count the solved runs.

    Returns
    -------
    dict
        ``simple_total`` and ``harder_total`` (over the problems with a published count), the published totals, which
        are None for other numbers of seeds or generations, ``agrees``, and ``per_problem``.
    """
    per_problem = []
    for group, name in dict.fromkeys((row["group"], row["problem"]) for row in rows):
        solved = sum(row["solved"] for row in rows if (row["group"], row["problem"]) == (group, name))
        published = PUBLISHED[group].get(name, {}).get(generations) if seeds == PUBLISHED_SEEDS else None
        counted = name in PUBLISHED[group]
        per_problem.append(
            {"group": group, "problem": name, "solved": solved, "published": published, "counted": counted}
        )
    result: dict[str, Any] = {"seeds": seeds, "generations": generations}
    for group in SUITES:
        counted_rows = [row for row in per_problem if row["group"] == group and row["counted"]]
        published_counts = [row["published"] for row in counted_rows if row["published"] is not None]
        result[f"{group}_total"] = sum(row["solved"] for row in counted_rows)
        result[f"{group}_published"] = sum(published_counts) if published_counts else None
    result["agrees"] = all(
        result[f"{group}_published"] is None
        or abs(result[f"{group}_total"] - result[f"{group}_published"]) <= TOLERANCE
        for group in SUITES
    )
    return {**result, "per_problem": per_problem}


def table(result: Mapping[str, Any]) -> str:
    """Write the result as text."""
    lines = [f"solved of {result['seeds']}, after {result['generations']} generations   here  published"]
    for row in result["per_problem"]:
        published = "–" if row["published"] is None else str(row["published"])
        lines.append(f"{row['group']:<8}{row['problem']:<34}{row['solved']:>7}{published:>11}")
    for group in SUITES:
        runs = result["seeds"] * len(PUBLISHED[group])
        published = "–" if result[f"{group}_published"] is None else str(result[f"{group}_published"])
        lines.append(f"{group:<8}{f'total of {runs}':<34}{result[f'{group}_total']:>7}{published:>11}")
    lines.append(f"Totals are over the problems with a published count; they must agree within {TOLERANCE}.")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if the totals agree with the published ones or there are none, else 1."""
    parser = argparse.ArgumentParser(prog="pysr-neural bench reference", description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=PUBLISHED_SEEDS)
    parser.add_argument("--generations", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("outputs/reference.jsonl"), help="results file")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    for name in ("seeds", "generations", "processes"):
        whole(f"--{name}", getattr(options, name), 1)
    rows = measure(options.seeds, options.generations, options.processes, options.out)
    result = summary(rows, options.seeds, options.generations)
    print(table(result))
    if options.json:
        print(json.dumps(result))
    return 0 if result["agrees"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
