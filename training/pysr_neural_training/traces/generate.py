"""`pysr-neural traces generate`: record many searches, on many workers, as a trace that can be continued.

Owns: the command, the numbering of runs, continuing.  Does not own: running a search (`jobs`), workers
(`pysr_neural_training.workers`), what is searched (`pysr_neural_training.problems.sources`).

Runs are numbered problem by problem, seed by seed, and every few of them are a part.  What was finished when a command
was killed is kept; the same command goes on with the rest, and the whole is the same as if it had never been killed,
as long as nothing in its settings looks at the clock.
"""

import argparse
import json
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pysr_neural.errors import ConfigError
from pysr_neural.operators import operator
from pysr_neural.trace.io import Trace, encode_table, part_path, problems_table, write_file
from pysr_neural_baseline.config import PRESETS
from pysr_neural_baseline.recorder import POPULATION_RATE
from pysr_neural_training.problems.sources import SourceProblem, from_suite, from_table, generated
from pysr_neural_training.traces.jobs import ENGINES, Job, Search, Settings, run_job
from pysr_neural_training.workers import Workers

ARITHMETIC = ("+", "-", "*", "/")
PLAN = "generate.json"
"""What a dataset was asked to be; another request to the same folder is refused."""


def generate(
    folder: Path, sources: Sequence[SourceProblem], seeds: Sequence[int], settings: Settings, runs_per_part: int,
    workers: Workers, quiet: bool = False, apart: bool = False,
) -> Trace:  # fmt: skip
    """Record every problem with every seed; goes on where an earlier call with the same arguments was stopped.

    Parameters
    ----------
    folder : Path
    sources : sequence of SourceProblem
    seeds : sequence of int
    settings : Settings
    runs_per_part : int
        Searches that are lost together when the process is killed.
    workers : Workers
    quiet : bool
        Whether to show no progress bar.
    apart : bool
        Whether every run has a seed of its own, its number added: searches of one seed draw the same numbers until
        they part, so that many of them say less than they seem to.

    Raises
    ------
    ConfigError
        If there is nothing to do, or the folder holds another dataset.
    TraceError
        If the folder or the disk does not take the trace.
    """
    if not sources or not seeds or runs_per_part < 1:
        raise ConfigError(
            "There must be at least one problem, one seed and one run per part; got "
            f"{len(sources)}, {len(seeds)} and {runs_per_part}."
        )
    _prepare(folder, sources, seeds, settings, runs_per_part, apart)
    trace = Trace(folder)
    jobs = [job for job in _jobs(sources, seeds, settings, runs_per_part, apart) if job.part not in trace.parts]
    _record(folder, jobs, len(sources) * len(seeds), workers, quiet)
    return Trace(folder)


def _jobs(
    sources: Sequence[SourceProblem], seeds: Sequence[int], settings: Settings, size: int, apart: bool
) -> list[Job]:
    pairs = [(number, source.problem, seed) for number, source in enumerate(sources) for seed in seeds]
    searches = [Search(run, number, problem, seed + run * apart) for run, (number, problem, seed) in enumerate(pairs)]
    return [
        Job(part, tuple(searches[start : start + size]), settings)
        for part, start in enumerate(range(0, len(searches), size))
    ]


def _prepare(
    folder: Path, sources: Sequence[SourceProblem], seeds: Sequence[int], settings: Settings, size: int, apart: bool
) -> None:
    """Write the plan and the problems, or check that they are the ones that the folder holds."""
    problems = encode_table(problems_table([s.problem for s in sources], [s.formula for s in sources]))
    plan = {
        "engine": settings.engine,
        "preset": settings.preset,
        "settings": dict(settings.changes),
        "neural": settings.neural,
        "population_rate": settings.population_rate,
        "seeds": list(seeds),
        "runs_per_part": size,
        **({"apart": True} if apart else {}),
    }
    plan_path, problems_path = folder / PLAN, part_path(folder, "problems", 0)
    if not plan_path.exists():
        if folder.is_dir() and any(path.name != "problems" for path in folder.iterdir()):
            raise ConfigError(f"A new dataset needs an empty folder; {folder} holds other files. Choose another one.")
        write_file(problems_path, problems)
        write_file(plan_path, (json.dumps(plan, indent=1) + "\n").encode())
        return
    known = json.loads(plan_path.read_text(encoding="utf-8"))
    for key, value in json.loads(json.dumps(plan)).items():
        if known.get(key) != value:
            raise ConfigError(
                f"A dataset is continued with the settings that it was begun with; {folder} has {key} = "
                f"{known.get(key)!r}, got {value!r}. Choose another folder, or the same settings."
            )
    if not problems_path.is_file() or problems_path.read_bytes() != problems:
        raise ConfigError(
            f"A dataset is continued with the problems that it was begun with; {folder} holds others. Choose another."
        )


def _record(folder: Path, jobs: Sequence[Job], total: int, workers: Workers, quiet: bool) -> None:
    from tqdm import tqdm

    from pysr_neural.trace.io import write_part

    done = total - sum(len(job.searches) for job in jobs)
    with tqdm(total=total, initial=done, unit="run", disable=True if quiet else None, file=sys.stderr) as bar:
        for job, files in workers.results(run_job, jobs):
            write_part(folder, job.part, files)
            bar.update(len(job.searches))


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    options = _parser().parse_args(argv)
    given = tuple(operator(name).name for name in options.operators.split(",")) if options.operators else ()
    operators = given or ARITHMETIC
    changes = _changes(options.set)
    settings = Settings(options.engine, options.preset, changes, options.neural, options.population_rate)
    max_size = settings.basic().max_size if options.engine == "basic" else int(changes.get("maxsize", 30))
    sources = [p for name in options.suite for p in from_suite(name, operators, options.points, max_size)]
    sources += generated(options.generated, options.first_seed, given)
    if options.data is not None:
        sources.append(from_table(options.data, options.target, operators, max_size))
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    workers = Workers(options.workers, options.scheduler, options.slurm)
    trace = generate(options.out, sources, seeds, settings, options.runs_per_part, workers, apart=options.apart)
    runs = trace.columns("runs", ["solved"])["solved"]
    print(f"{len(runs)} runs in {options.out}, {int(runs.sum())} of them solved. See `pysr-neural traces inspect`.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pysr-neural traces generate", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder; the same command again continues it")
    parser.add_argument("--engine", choices=ENGINES, default="basic")
    parser.add_argument("--suite", action="append", default=[], help="name or TOML file of a suite; may be repeated")
    parser.add_argument("--generated", type=int, default=0, metavar="N", help="problems from the training prior")
    parser.add_argument("--data", type=Path, help="your own CSV or Parquet file")
    parser.add_argument("--target", default="y", help="the file's column to be explained")
    parser.add_argument("--points", type=int, default=50, help="rows drawn for a suite's problem")
    parser.add_argument("--operators", help="by default + - * /, and for generated problems some of each's own")
    parser.add_argument("--preset", choices=PRESETS, default="default", help="of BasicSR")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the engine")
    parser.add_argument("--neural", default="", help="checkpoint, 'default', 'random' or 'module:attribute'")
    parser.add_argument("--seeds", type=int, default=1, help="searches per problem")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--apart", action="store_true", help="every run has a seed of its own, its number added")
    parser.add_argument("--population-rate", type=float, default=POPULATION_RATE, help="share of populations recorded")
    parser.add_argument("--runs-per-part", type=int, default=8, help="runs lost together if this is killed")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes; 0 runs here")
    parser.add_argument("--scheduler", default="", metavar="ADDRESS", help="of a Dask scheduler to be used")
    parser.add_argument("--slurm", action="store_true", help="workers through SLURM (dask-jobqueue)")
    return parser


def _changes(given: Sequence[str]) -> dict[str, Any]:
    """Read settings given as KEY=VALUE, the value as TOML or else as plain text."""
    changes: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(f"--set takes KEY=VALUE, such as generations=100; got {text!r}.")
        try:
            changes[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            changes[key] = value
    return changes


if __name__ == "__main__":
    raise SystemExit(main())
