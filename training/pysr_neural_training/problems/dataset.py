"""`pysr-neural data generate`: random problems as Parquet shards, for training and for held-out tests.

Owns: the command, drawing a dataset without duplicates, continuing it.  Does not own: the prior (`priors`), files
(`shards`), what is drawn from which stream (`plan`).

Shards may be drawn at the same time and by any number of workers: each worker leaves out what it finds in finished
shards before its own, the rest is left out here, shard after shard, and what is then missing is drawn from where the
worker's stream stopped.  So the dataset depends on its plan alone.  A killed run loses the shards being drawn; the same
command goes on with them.
"""

import argparse
import json
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from pysr_neural.errors import ConfigError
from pysr_neural.expression.canonical import canonical, fingerprint_of
from pysr_neural.operators import operator
from pysr_neural_training.problems.generate import GeneratedProblem, Sampler
from pysr_neural_training.problems.plan import SPLITS, Plan, write_manifest
from pysr_neural_training.problems.priors import CONSTANTS, INPUTS, PRIORS, SIZES, WEIGHTS
from pysr_neural_training.problems.reader import Dataset
from pysr_neural_training.problems.shards import check_shard, read_columns, shard_path, write_shard
from pysr_neural_training.problems.split import split_key
from pysr_neural_training.workers import Workers

PATIENCE = 20_000
"""Duplicates in a row after which a prior counts as used up."""
POINTS = (3, 1000)
NUMBERS_OF_POINTS = 25
Tick = Callable[[int], object]


@dataclass(frozen=True)
class ShardJob:
    """A shard to be drawn.

    Parameters
    ----------
    folder : Path
        Where finished shards lie, if the worker can see them.
    plan : Plan
    shard : int
    """

    folder: Path
    plan: Plan
    shard: int


@dataclass
class Drawn:
    """What was drawn for a shard, and where its stream stands."""

    state: Any
    problems: list[GeneratedProblem] = field(default_factory=list)
    names: list[tuple[str, str]] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)


def generate(folder: Path, plan: Plan, command: str, workers: Workers, quiet: bool = False) -> Dataset:
    """Make a dataset; goes on where an earlier call with the same plan was stopped.

    Parameters
    ----------
    folder : Path
    plan : Plan
    command : str
        For the manifest.
    workers : Workers
    quiet : bool
        Whether to show no progress bar.

    Raises
    ------
    ConfigError
        If the folder holds something else, or the prior has not so many expressions.
    DatasetError
        If a finished shard is not of this dataset, or the disk does not take another one.
    """
    from tqdm import tqdm

    write_manifest(folder, plan, command)
    finished = [shard for shard in range(plan.shards) if shard_path(folder, shard).exists()]
    jobs = [ShardJob(folder, plan, shard) for shard in range(plan.shards) if shard not in finished]
    done = sum(check_shard(shard_path(folder, shard), plan.digest) for shard in finished)
    known: Counter[str] = Counter()
    first = 0
    with tqdm(total=plan.count, initial=done, unit="problem", disable=True if quiet else None, file=sys.stderr) as bar:
        for job, drawn in _in_order(jobs, workers, bar.update):
            known.update(_known(folder, range(first, job.shard)))
            kept = _kept(drawn, plan.copies, known)
            draw(plan, kept, plan.size_of(job.shard), known)
            write_shard(shard_path(folder, job.shard), kept.problems, kept.names, plan.digest, kept.rejected)
            first = job.shard
            done += len(kept.problems)
            bar.update(done - bar.n)
    return Dataset(folder)


def _in_order(jobs: Sequence[ShardJob], workers: Workers, tick: Tick) -> Iterator[tuple[ShardJob, Drawn]]:
    """Run jobs; yields their results in the order of shards."""
    if workers.count == 0 and not workers.scheduler and not workers.slurm:
        for job in jobs:
            yield job, run_job(job, tick)
        return
    waiting: dict[int, Drawn] = {}
    order = list(reversed(jobs))
    for job, drawn in workers.results(run_job, jobs):
        waiting[job.shard] = drawn
        while order and order[-1].shard in waiting:
            following = order.pop()
            yield following, waiting.pop(following.shard)


def run_job(job: ShardJob, tick: Tick = lambda _: None) -> Drawn:
    """Draw a shard, leaving out what is known so far."""
    plan = job.plan
    drawn = Drawn(plan.stream(job.shard).bit_generator.state)
    draw(plan, drawn, plan.size_of(job.shard), _known(job.folder, range(job.shard)), tick)
    return drawn


def draw(plan: Plan, drawn: Drawn, size: int, known: Counter[str], tick: Tick = lambda _: None) -> None:
    """Go on with a shard until it holds ``size`` problems.

    Parameters
    ----------
    plan : Plan
    drawn : Drawn
        Is changed.
    size : int
    known : Counter of str
        How many problems of each fingerprint other shards hold.
    tick : callable, optional
        Is called with 1 for each problem.

    Raises
    ------
    ConfigError
        If the prior is used up or cannot make problems.
    """
    if len(drawn.problems) == size:
        return
    rng = np.random.default_rng()
    rng.bit_generator.state = drawn.state
    sampler = Sampler(plan.prior, rng, plan.split == "held-out")
    counts = known + Counter(print_ for print_, _ in drawn.names)
    in_a_row = 0
    for given in sampler:
        skeleton = canonical(given.tree)
        print_ = fingerprint_of(skeleton)
        if counts[print_] >= plan.copies:
            drawn.rejected["duplicate"] += 1
            in_a_row += 1
            if in_a_row == PATIENCE:
                raise ConfigError(
                    f"A prior must hold as many expressions as are wanted; the last {PATIENCE:,} were duplicates of "
                    f"{len(counts):,}. Ask for fewer problems or more copies, or allow larger expressions."
                )
            continue
        counts[print_] += 1
        in_a_row = 0
        drawn.problems.append(given)
        drawn.names.append((print_, split_key(skeleton)))
        tick(1)
        if len(drawn.problems) == size:
            break
    drawn.rejected.update(sampler.rejected)
    drawn.state = rng.bit_generator.state


def _kept(drawn: Drawn, copies: int, known: Counter[str]) -> Drawn:
    """Leave out what earlier shards hold."""
    counts = known.copy()
    kept = Drawn(drawn.state, rejected=drawn.rejected)
    for given, name in zip(drawn.problems, drawn.names, strict=True):
        if counts[name[0]] >= copies:
            kept.rejected["duplicate"] += 1
            continue
        counts[name[0]] += 1
        kept.problems.append(given)
        kept.names.append(name)
    return kept


def _known(folder: Path, shards: range) -> Counter[str]:
    """Count the fingerprints of those shards that are finished."""
    counts: Counter[str] = Counter()
    for path in [shard_path(folder, shard) for shard in shards]:
        if path.exists():
            counts.update(read_columns(path, ["fingerprint"])["fingerprint"])
    return counts


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    options = _parser().parse_args(argv)
    plan = _plan(options)
    command = shlex.join(["pysr-neural", "data", "generate", *(sys.argv[1:] if argv is None else argv)])
    workers = Workers(options.workers, options.scheduler, options.slurm)
    dataset = generate(options.out, plan, command, workers)
    rejected = dataset.rejected
    print(f"{len(dataset):,} problems of the {plan.split} split in {plan.shards} shards in {options.out}.")
    print("Draws rejected: " + ", ".join(f"{count:,} {reason}" for reason, count in rejected.most_common()) + ".")
    if options.json:
        print(json.dumps({"problems": len(dataset), "shards": plan.shards, "rejected": dict(rejected)}))
    return 0


def _plan(options: argparse.Namespace) -> Plan:
    """Make a plan of the options: those given change the named prior."""
    base = replace(PRIORS[options.prior], distractor_share=0.0)
    names = {each.name for each in fields(base)}
    changes = {name: value for name, value in vars(options).items() if name in names and value is not None}
    low, high = options.points
    if not POINTS[0] <= low <= high <= POINTS[1]:
        raise ConfigError(f"Numbers of points must hold {POINTS[0]} ≤ low ≤ high ≤ {POINTS[1]}; got {low} and {high}.")
    rows = tuple(sorted({round(float(n)) for n in np.geomspace(low, high, NUMBERS_OF_POINTS)}))
    if options.operators is not None:
        changes["operators"] = tuple(operator(name).name for name in options.operators.split(",") if name)
        if not changes["operators"]:
            raise ConfigError("--operators takes names with commas between them, such as '+,-,*,sin'; got none.")
    if options.noise_levels is not None:
        changes["noise_levels"] = tuple(options.noise_levels)
    if options.variables is not None:
        if not 1 <= options.variables <= len(base.feature_weights):
            raise ConfigError(f"--variables must lie in 1..{len(base.feature_weights)}; got {options.variables}.")
        changes["feature_weights"] = base.feature_weights[: options.variables]
    prior = replace(base, rows=rows, row_weights=(1.0,) * len(rows), **changes)
    return Plan(options.count, options.shards, options.seed, options.split, options.copies, prior)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pysr-neural data generate", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder; the same command again continues it")
    parser.add_argument("--count", type=int, default=10_000, help="problems")
    parser.add_argument("--shards", type=int, default=8, help="files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--copies", type=int, default=1, help="most problems of one canonical fingerprint")
    parser.add_argument(
        "--points", type=int, nargs=2, default=POINTS, metavar=("LOW", "HIGH"), help="spaced log-evenly"
    )
    prior = parser.add_argument_group("prior", "a named one, and changes to it")
    prior.add_argument("--prior", choices=PRIORS, default="small")
    prior.add_argument(
        "--operators", help="the operator set of every problem, such as '+,-,*,sin'; else drawn for each"
    )
    prior.add_argument("--sizes", choices=SIZES, help="how many operators")
    prior.add_argument("--min-operators", type=int)
    prior.add_argument("--max-operators", type=int)
    prior.add_argument("--max-size", type=int, help="nodes after simplification")
    prior.add_argument("--weights", choices=WEIGHTS, help="of operators")
    prior.add_argument("--unary-share", type=float)
    prior.add_argument("--constants", choices=CONSTANTS)
    prior.add_argument("--constant-share", type=float, help="of leaves")
    prior.add_argument("--inputs", choices=INPUTS)
    prior.add_argument("--variables", type=int, metavar="N", help="most variables")
    prior.add_argument("--distractor-share", type=float, help="chance that unused variables stay (default: 0)")
    prior.add_argument("--noise-share", type=float, help="of problems")
    prior.add_argument("--noise-levels", type=float, nargs="+", help="standard deviations relative to that of y")
    work = parser.add_argument_group("work")
    work.add_argument("--workers", type=int, default=0, help="processes; 0 (default) draws here")
    work.add_argument("--scheduler", default="", metavar="ADDRESS", help="of a Dask scheduler to be used")
    work.add_argument("--slurm", action="store_true", help="workers through SLURM (dask-jobqueue)")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
