"""`pysr-neural bench improved`: BasicSR alone against BasicSR with one or more checkpoints, paired.

Owns: the arms, paired runs on the harder suite or on held-out random expressions, the table.  Does not own: problems
(`suites/basicsr_harder.toml`, the generator), the search.

The harder suite: five problems, 50 points, operators + - * /, the reference preset with population 20, 100 generations,
depth 4, size 15, and the constant 1; solved means that the member of lowest cost has a mean squared error below 1e-6.
Held-out expressions (``--held-out N``): fresh problems of many operator sets, never trained on by fingerprint, and not
those that judge an `improve` run; the searches of `ImproveConfig`; solved means 1e-10 of the variance of y.

A run is one problem and one seed, which draws the data and drives the search; it is looked at after every generation
and stops when it is solved.  Evaluations are the engine's; ``fitting`` is the most that the least-squares fits of
proposals can have used besides.  Seconds are those of one search alone, the model's time inside, the loading of the
checkpoint outside.  The arm ``restarts`` begins BasicSR anew with other seeds until as many seconds are used as
``--seconds`` says: the control at equal wall-clock.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pysr_neural.checks import whole
from pysr_neural.problem import Problem
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.proposer.neural.transformer import REFINE_EVALUATIONS, TransformerProposer
from pysr_neural.rng import generator
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.objective import scale_of
from pysr_neural_baseline.search import Search
from pysr_neural_benchmarks.judging.results import Task, complete
from pysr_neural_benchmarks.judging.statistics import interval
from pysr_neural_benchmarks.studies.reference import POPULATION, PUBLISHED, SOLVED_BELOW, SUITES, problem_of
from pysr_neural_benchmarks.suites.reader import SuiteProblem, load_suite
from pysr_neural_training.improve.config import ImproveConfig
from pysr_neural_training.improve.rollout import WatchedProposer, Watcher
from pysr_neural_training.problems.generate import Sampler

EVOLUTION, RESTARTS = "evolution", "restarts"
HELD_OUT = "held-out/"


@dataclass(frozen=True)
class Case:
    """A problem, how it is searched, and the mean squared error below which it is solved."""

    problem: Problem
    config: BasicSRConfig
    solved_below: float


def problems() -> list[SuiteProblem]:
    """Return the five problems of the protocol."""
    return [each for each in load_suite(SUITES["harder"]) if each.name in PUBLISHED["harder"]]


@cache
def policy(checkpoint: str) -> TransformerProposer:
    """Load a checkpoint once per process, and let it propose once, outside of every clock."""
    return TransformerProposer.from_checkpoint(checkpoint)


def case_of(name: str, seed: int, generations: int) -> Case:
    """Return a problem with its search: of the harder suite by name, or held-out number N as ``held-out/N``."""
    if name.startswith(HELD_OUT):
        settings = ImproveConfig(generations=generations)
        rng = generator(int(name.removeprefix(HELD_OUT)), "bench improved")
        problem = next(iter(Sampler(settings.prior, rng, held_out=True))).problem
        return Case(problem, settings.search, settings.solved_below * scale_of(problem.y))
    source = next(each for each in problems() if each.name == name)
    config = BasicSRConfig.reference(
        population_size=POPULATION, generations=generations, guard=GuardRules(max_overhead=1.0)
    )
    return Case(problem_of(source, seed), config, SOLVED_BELOW)


def search_once(case: Case, seed: int, checkpoint: str) -> dict[str, Any]:
    """Search once; returns whether it was solved, and at what price."""
    watcher = Watcher()
    proposer = WatchedProposer(policy(checkpoint), {id(case.problem): watcher}) if checkpoint else None
    began = time.perf_counter()
    search = Search(case.problem, case.config, proposer, seed, observer=watcher)

    def is_solved(search: Search) -> bool:
        return search.best is not None and search.best.loss < case.solved_below

    result = search.run(is_solved)
    fitted = {draw.tree for visit in watcher.visits for draw in visit.draws if draw.tree.constants()}
    return {
        "solved": result.best.loss < case.solved_below,
        "evaluations": result.evaluations,
        "fitting": len(fitted) * REFINE_EVALUATIONS,
        "seconds": time.perf_counter() - began,
    }


def run_once(arm: str, name: str, seed: int, generations: int, seconds: float) -> dict[str, Any]:
    """Run one arm on one problem with one seed; returns a row of the results file."""
    case = case_of(name, seed, generations)
    if arm not in (EVOLUTION, RESTARTS):
        policy(arm)
    row = search_once(case, seed, "" if arm in (EVOLUTION, RESTARTS) else arm)
    again = 0
    while arm == RESTARTS and not row["solved"] and row["seconds"] < seconds:
        again += 1
        more = search_once(case, 1_000_000 * again + seed, "")
        row = {**{key: row[key] + more[key] for key in more}, "solved": more["solved"]}
    return row


def measure(
    arms: Sequence[str], names: Sequence[str], seeds: Sequence[int], generations: int, seconds: float, out: Path
) -> dict[str, list[dict[str, Any]]]:
    """Make all runs that the results file lacks, arm after arm for each problem and seed; returns rows by arm."""
    tasks: list[Task] = [(arm, name, seed, generations, seconds) for seed in seeds for name in names for arm in arms]
    rows = complete(run_once, tasks, out)
    return {arm: [row for task, row in zip(tasks, rows, strict=True) if task[0] == arm] for arm in arms}


def summary(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Count, average, and compare each arm with the first, pair by pair.

    Returns
    -------
    dict
        By arm: ``runs``, ``solved``, means of ``evaluations``, ``fitting`` and ``seconds``, and ``gain``: by how much
        its share of solved runs is above the first arm's, with a 95 % bootstrap interval over pairs.
    """
    first = np.array([row["solved"] for row in next(iter(rows.values()))], dtype=float)
    found = {}
    for arm, each in rows.items():
        solved = np.array([row["solved"] for row in each], dtype=float)
        means = {name: float(np.mean([row[name] for row in each])) for name in ("evaluations", "fitting", "seconds")}
        gain = [float((solved - first).mean()), *interval(solved - first)]
        found[arm] = {"runs": len(each), "solved": int(solved.sum()), **means, "gain": gain}
    return found


def table(result: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the summary as a Markdown table."""
    lines = [
        f"| arm | solved | share more than {next(iter(result))} (95 %) | evaluations | + fitting, at most | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for arm, row in result.items():
        gain, low, high = row["gain"]
        lines.append(
            f"| {arm} | {row['solved']} of {row['runs']} | {gain:+.2f} ({low:+.2f} … {high:+.2f}) | "
            f"{row['evaluations']:.0f} | {row['fitting']:.0f} | {row['seconds']:.2f} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural bench improved", description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", action="append", default=None, help="may repeat (default: the bundled one)")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--generations", type=int, default=100)
    parser.add_argument("--held-out", type=int, default=0, metavar="N", help="N held-out expressions, not the suite")
    parser.add_argument("--seconds", type=float, default=0.0, help="of the arm of restarts; 0 leaves it out")
    parser.add_argument("--out", type=Path, default=Path("outputs/improved.jsonl"), help="results file")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    for name in ("seeds", "generations"):
        whole(f"--{name}", getattr(options, name), 1)
    import torch

    torch.set_num_threads(1)
    arms = [EVOLUTION, *([RESTARTS] if options.seconds > 0 else []), *(options.checkpoint or ["default"])]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    names = [f"{HELD_OUT}{i}" for i in range(options.held_out)] or [each.name for each in problems()]
    result = summary(measure(arms, names, seeds, options.generations, options.seconds, options.out))
    print(table(result))
    if options.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
