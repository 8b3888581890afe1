"""`pysr-neural study budget`: improvement over wall-clock time, on the harder problems.

Owns: the methods, the runs, the report.  Does not own: the search, the problems (`suites/basicsr_harder.toml`).

A run is one problem, one seed and one method, stopped by the clock.  Methods take turns on the same data, on one thread
each.  Loading a checkpoint is outside the clock, everything that the model does for a search inside.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from pysr_neural.errors import ConfigError
from pysr_neural.proposer.base import Proposer
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.objective import scale_of
from pysr_neural_baseline.search import Search, run_search
from pysr_neural_benchmarks.judging.results import Task, complete
from pysr_neural_benchmarks.pages import Curve, markdown_table, panels, small
from pysr_neural_benchmarks.studies.reference import POPULATION, SOLVED_BELOW, problem_of
from pysr_neural_benchmarks.suites.reader import load_suite

SUITE = "basicsr_harder"
ENDLESS = 10**9
METHODS = {
    "reference": BasicSRConfig.reference(population_size=POPULATION, generations=ENDLESS),
    "default": BasicSRConfig(generations=ENDLESS),
    "default + transformer": BasicSRConfig(generations=ENDLESS),
}
NEURAL = "default + transformer"
EARLIEST = 0.01
"""Seconds at which curves begin."""


def run_once(method: str, name: str, seed: int, seconds: float, checkpoint: str) -> dict[str, Any]:
    """Search one problem for some seconds; returns when the lowest loss fell, and to what."""
    source = next(each for each in load_suite(SUITE) if each.name == name)
    problem = problem_of(source, seed)
    proposer = _proposer(checkpoint) if method == NEURAL else None
    times: list[float] = []
    losses: list[float] = []

    def note(search: Search) -> None:
        if not losses or search.hall_of_fame.lowest_loss < losses[-1]:
            times.append(search.clock() - search.started)
            losses.append(search.hall_of_fame.lowest_loss)

    result = run_search(problem, METHODS[method].changed(timeout_seconds=seconds), proposer, seed, callback=note)
    return {
        "scale": scale_of(problem.y),
        "times": [*times, result.seconds],
        "losses": [*losses, result.hall_of_fame.lowest_loss],
        "generations": result.generations,
        "evaluations": result.evaluations,
        "model_seconds": result.counts.seconds if result.counts else 0.0,
    }


@cache
def _proposer(checkpoint: str) -> Proposer:
    """Load a checkpoint and let it propose once, for what happens only at first."""
    import torch

    from pysr_neural.proposer.neural.transformer import TransformerProposer

    torch.set_num_threads(1)
    proposer = TransformerProposer.from_checkpoint(checkpoint)
    warm_up = problem_of(load_suite(SUITE)[0], ENDLESS)
    run_search(warm_up, METHODS[NEURAL].changed(generations=3), proposer)
    return proposer


def loss_at(run: Mapping[str, Any], seconds: float) -> float:
    """Return the lowest loss that a run had met by some time; infinite before its first population."""
    met = [loss for time, loss in zip(run["times"], run["losses"], strict=True) if time <= seconds]
    return met[-1] if met else math.inf


def unexplained(runs: Sequence[Mapping[str, Any]], seconds: float) -> float:
    """Return the median fraction of variance unexplained by some time."""
    return median(loss_at(run, seconds) / run["scale"] for run in runs)


def solved_by(runs: Sequence[Mapping[str, Any]], seconds: float) -> int:
    """Count the runs with a mean squared error below 1e-6 by some time."""
    return sum(loss_at(run, seconds) < SOLVED_BELOW for run in runs)


Runs = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]
"""By problem, then by method."""


def report(runs: Runs, seconds: float, command: str) -> str:
    """Write the report."""
    moments = [seconds / 100, seconds / 10, seconds]
    seeds = len(next(iter(runs.values()))["reference"])
    totals = [
        [method, *[f"{sum(solved_by(by_method[method], t) for by_method in runs.values())}" for t in moments]]
        for method in METHODS
    ]
    details = [
        [name, method, *[f"{solved_by(of_method, t)}, {small(unexplained(of_method, t))}" for t in moments]]
        for name, by_method in runs.items()
        for method, of_method in by_method.items()
    ]
    speeds = [_speed(method, [run for by_method in runs.values() for run in by_method[method]]) for method in METHODS]
    after = [f"after {moment:g} s" for moment in moments]
    return f"""# Improvement over wall-clock time

`{command}`

{len(runs)} problems, seeds 0 to {seeds - 1}, {seconds:g} s each on one thread, 50 points, operators + - * /. The
reference preset has a population of {POPULATION}; the default preset and the proposer's share of it are as shipped.
Solved: some member met so far has a mean squared error below 1e-6. Wall-clock times depend on the machine and on what
else runs there; methods took turns, so that they share its moods.

## Runs solved, of {len(runs) * seeds}

{markdown_table(["method", *after], totals)}

![Share of runs solved over time](solved.png)

## Problem by problem

Runs solved of {seeds}, and the median fraction of variance unexplained.

{markdown_table(["problem", "method", *after], details)}

![Fraction unexplained over time, problem by problem](problems.png)

## Speed

{markdown_table(["method", "generations per second", "evaluations per second", "share of time in the model"], speeds)}
"""


def _speed(method: str, runs: Sequence[Mapping[str, Any]]) -> list[str]:
    seconds = sum(run["times"][-1] for run in runs)
    return [
        method,
        f"{sum(run['generations'] for run in runs) / seconds:,.0f}",
        f"{sum(run['evaluations'] for run in runs) / seconds:,.0f}",
        f"{sum(run['model_seconds'] for run in runs) / seconds:.0%}",
    ]


def write(runs: Runs, seconds: float, command: str, folder: Path) -> None:
    """Write ``report.md`` and its pictures."""
    grid = np.geomspace(min(EARLIEST, seconds / 2), seconds, 120).tolist()
    count = sum(len(by_method["reference"]) for by_method in runs.values())
    shares: dict[str, Curve] = {
        method: (grid, [sum(solved_by(by_method[method], t) for by_method in runs.values()) / count for t in grid])
        for method in METHODS
    }
    panels({"all problems": shares}, folder / "solved.png", "seconds", "share of runs solved", 1, log=False)
    each: dict[str, dict[str, Curve]] = {
        name: {method: (grid, [unexplained(of_method, t) for t in grid]) for method, of_method in by_method.items()}
        for name, by_method in runs.items()
    }
    panels(each, folder / "problems.png", "seconds", "fraction unexplained (median)", 3)
    (folder / "report.md").write_text(report(runs, seconds, command), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural study budget", description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="per run")
    parser.add_argument("--checkpoint", default="default", help="'default', a directory, or a hub id")
    parser.add_argument("--out", type=Path, default=Path("outputs/study_budget"), help="folder")
    options = parser.parse_args(argv)
    if options.seeds < 1 or not options.seconds > 0:
        raise ConfigError(f"--seeds must be at least 1 and --seconds above 0; got {options.seeds}, {options.seconds}.")
    names = [each.name for each in load_suite(SUITE)]
    tasks: list[Task] = [
        (method, name, seed, options.seconds, options.checkpoint if method == NEURAL else "")
        for seed in range(options.seeds)
        for name in names
        for method in METHODS
    ]
    results = complete(run_once, tasks, options.out / "results.jsonl")
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {name: {method: [] for method in METHODS} for name in names}
    for task, result in zip(tasks, results, strict=True):
        runs[str(task[1])][str(task[0])].append(result)
    command = f"pysr-neural study budget --seeds {options.seeds} --seconds {options.seconds:g}"
    if options.checkpoint != "default":
        command += f" --checkpoint {options.checkpoint}"
    write(runs, options.seconds, command, options.out)
    print((options.out / "report.md").read_text(encoding="utf-8"))
    print(f"Written to {options.out / 'report.md'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
