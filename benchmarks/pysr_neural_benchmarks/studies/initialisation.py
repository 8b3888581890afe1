"""`pysr-neural study initialisation`: what evolution adds to the initial population, on 15 simple problems.

Owns: the runs, the control, the report.  Does not own: the search, the problems (`suites/basicsr_simple.toml`).

A run is one problem and one seed.  BasicSR's reference preset searches it (population 20, operators + - * /, constant
1).  The control draws random trees as the initial population does, and nothing else, until it has evaluated as many
different ones as the search had: what initialisation alone would have found for the same price.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from pysr_neural.checks import whole
from pysr_neural.expression.node import Node
from pysr_neural.problem import Problem
from pysr_neural.rng import generator
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.objective import Objective, scale_of
from pysr_neural_baseline.search import Search, run_search
from pysr_neural_baseline.variation import Variation
from pysr_neural_benchmarks.judging.results import Task, complete
from pysr_neural_benchmarks.pages import Curve, markdown_table, panels, small
from pysr_neural_benchmarks.studies.reference import POPULATION, SOLVED_BELOW, problem_of
from pysr_neural_benchmarks.suites.reader import load_suite

SUITE = "basicsr_simple"
WAYS = {"evolution": "evolution", "random": "random trees"}
HEADER = (
    "problem",
    "solved by initial population",
    "by random trees",
    "by evolution",
    "fraction unexplained: initial population",
    "random trees",
    "evolution",
    "evaluations",
)
COLUMNS = (("evolution", 0), ("random", -1), ("evolution", -1))
"""Way and mark of the three columns."""
CHUNK = 500
DRAWS_PER_EVALUATION = 50
"""Most random trees drawn for each evaluation that is due: small languages run out of new ones."""


def marks(generations: int) -> list[int]:
    """Return the generations at which losses are noted: 0, 1, 2, 5, 10, 20, … and the last."""
    found = {digit * 10**power for power in range(7) for digit in (1, 2, 5)}
    return sorted({0, generations, *[mark for mark in found if mark < generations]})


def run_once(name: str, seed: int, generations: int) -> dict[str, Any]:
    """Run search and control; returns lowest losses and numbers of evaluations at every mark."""
    source = next(each for each in load_suite(SUITE) if each.name == name)
    problem = problem_of(source, seed)
    config = BasicSRConfig.reference(population_size=POPULATION, generations=generations)
    noted: dict[int, tuple[float, int]] = {}

    def note(search: Search) -> None:
        noted[search.generation] = (search.hall_of_fame.lowest_loss, search.objective.evaluations)

    result = run_search(problem, config, seed=seed, callback=note)
    last = (result.hall_of_fame.lowest_loss, result.evaluations)
    evolution = [noted.get(mark, last) for mark in marks(generations)]
    evaluations = [count for _, count in evolution]
    return {
        "scale": scale_of(problem.y),
        "evaluations": evaluations,
        "evolution": [loss for loss, _ in evolution],
        "random": _random_losses(problem, config, evaluations, seed),
    }


def _random_losses(problem: Problem, config: BasicSRConfig, evaluations: Sequence[int], seed: int) -> list[float]:
    """Return the lowest loss among random trees after each number of evaluations."""
    objective, lowest, found = Objective(problem, config), float("inf"), []
    trees = _random_trees(problem, config, DRAWS_PER_EVALUATION * evaluations[-1], seed)
    for due in evaluations:
        while objective.evaluations < due and (tree := next(trees, None)) is not None:
            lowest = min(lowest, objective.loss(tree))
        found.append(lowest)
    return found


def _random_trees(problem: Problem, config: BasicSRConfig, count: int, seed: int) -> Iterator[Node]:
    """Yield trees as initial populations hold them: building blocks, then grown ones."""
    variation, rng = Variation(problem, config), generator(seed, "random trees")
    for _ in range(0, count, CHUNK):
        yield from variation.initial(CHUNK, rng)


def curves_of(runs: Sequence[Mapping[str, Any]]) -> dict[str, Curve]:
    """Return the median evaluations and the median fraction unexplained at every mark, for both ways."""
    evaluations = _medians([run["evaluations"] for run in runs])
    return {
        label: (evaluations, _medians([[loss / run["scale"] for loss in run[way]] for run in runs]))
        for way, label in WAYS.items()
    }


def _medians(rows: Sequence[Sequence[float]]) -> list[float]:
    return [median(column) for column in zip(*rows, strict=True)]


def solved(run: Mapping[str, Any], way: str, mark: int) -> bool:
    """Tell whether some member had a mean squared error below 1e-6, at the end or at an earlier mark."""
    return bool(run[way][mark] < SOLVED_BELOW)


def report(runs: Mapping[str, Sequence[Mapping[str, Any]]], generations: int) -> str:
    """Write the report.

    Parameters
    ----------
    runs : mapping of problem to its runs
    generations : int
    """
    every = [run for of_problem in runs.values() for run in of_problem]
    at_start, at_random, evolved = (sum(solved(run, *column) for run in every) for column in COLUMNS)
    rows = []
    for name, of_problem in runs.items():
        counts = [sum(solved(run, *column) for run in of_problem) for column in COLUMNS]
        losses = [median(run[way][mark] / run["scale"] for run in of_problem) for way, mark in COLUMNS]
        evaluations = median(run["evaluations"][-1] for run in of_problem)
        rows.append([name, *map(str, counts), *map(small, losses), f"{evaluations:,.0f}"])
    seeds = len(every) // len(runs)
    return f"""# What evolution adds to the initial population

`pysr-neural study initialisation --seeds {seeds} --generations {generations}`

{len(runs)} problems, seeds 0 to {seeds - 1}: BasicSR's reference preset, population {POPULATION}, operators + - * /,
constant 1, 50 points. The control draws random trees as the initial population does, and evaluates as many different
ones as the search did. Solved: some member met so far has a mean squared error below 1e-6.

**Of {len(every)} runs, the initial population solves {at_start}, random trees alone {at_random}, evolution {evolved}.**
That is {evolved - at_start:+d} against the initial population and {evolved - at_random:+d} against random trees.

{markdown_table(HEADER, rows)}

Fraction unexplained is the lowest mean squared error so far over the variance of y (for a constant y, over its mean
square); medians over runs.

![Solved share against evaluations](solved.png)

![Fraction unexplained against evaluations, problem by problem](problems.png)
"""


def write(runs: Mapping[str, Sequence[Mapping[str, Any]]], generations: int, folder: Path) -> None:
    """Write ``report.md`` and its pictures."""
    every = [run for of_problem in runs.values() for run in of_problem]
    evaluations = _medians([run["evaluations"] for run in every])
    shares = {
        label: (evaluations, [sum(solved(run, way, i) for run in every) / len(every) for i in range(len(evaluations))])
        for way, label in WAYS.items()
    }
    panels(
        {"all problems": shares}, folder / "solved.png", "evaluations (median)", "share of runs solved", 1, log=False
    )
    each = {name: curves_of(of_problem) for name, of_problem in runs.items()}
    panels(each, folder / "problems.png", "evaluations (median)", "fraction unexplained (median)", 5)
    (folder / "report.md").write_text(report(runs, generations), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural study initialisation", description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--generations", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("outputs/study_initialisation"), help="folder")
    options = parser.parse_args(argv)
    for name in ("seeds", "generations", "processes"):
        whole(f"--{name}", getattr(options, name), 1)
    names = [each.name for each in load_suite(SUITE)]
    tasks: list[Task] = [(name, seed, options.generations) for name in names for seed in range(options.seeds)]
    results = complete(run_once, tasks, options.out / "results.jsonl", options.processes)
    runs = {name: [r for task, r in zip(tasks, results, strict=True) if task[0] == name] for name in names}
    write(runs, options.generations, options.out)
    print((options.out / "report.md").read_text(encoding="utf-8"))
    print(f"Written to {options.out / 'report.md'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
