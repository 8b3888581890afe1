"""`pysr-neural bench run`: methods on suites at equal budgets, resumable, each fit in a process of its own.

Owns: the command, one run from start to its row, the workers' processes.  Does not own: processes and limits
(`runner.arms`), what is run (`runner.plan`), files (`runner.store`).
"""

import argparse
import atexit
import fcntl
import hashlib
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from pysr_neural.errors import ConfigError
from pysr_neural_benchmarks.methods.base import Budget
from pysr_neural_benchmarks.runner import store
from pysr_neural_benchmarks.runner.arms import Answer, Child
from pysr_neural_benchmarks.runner.plan import Job, Limits, Plan, numbers
from pysr_neural_benchmarks.runner.service import request_of
from pysr_neural_benchmarks.suites.data import POINTS
from pysr_neural_benchmarks.suites.reader import load_suite
from pysr_neural_training.workers import Workers

SYMBOLIC_SECONDS, SYMBOLIC_START = 5.0, 65.0
SYMBOLIC_LIMIT = 3
"""Most equations of a front that SymPy is asked about, besides the one formula."""
WORTH_ASKING = 0.5
WARM_UP = "warm-up: "
STARTS = 2
"""Failed starts in a row after which a method is given up for the rest of the runs."""


@dataclass
class Arms:
    """The worker processes of one runner or Dask worker: one per method, and one for SymPy."""

    children: dict[str, Child] = field(default_factory=dict)
    prepared: dict[str, set[object]] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    failed_starts: dict[str, int] = field(default_factory=dict)
    failure: dict[str, Answer] = field(default_factory=dict)
    cores: tuple[int, ...] = ()
    held: list[IO[str]] = field(default_factory=list)
    recovered: dict[tuple[object, ...], bool | None] = field(default_factory=dict)

    def stop(self) -> None:
        """End all processes."""
        for child in self.children.values():
            child.stop()
        self.children.clear()
        for file in self.held:
            file.close()
        self.held, self.cores = [], ()

    def fit(self, job: Job) -> Answer:
        """Fit once: start and warm up the method's process where needed, then ask for the fit."""
        if self.failed_starts.get(job.method, 0) >= STARTS:
            return self.failure[job.method]
        child = self.children.get(job.method)
        if child is None:
            child = Child(("fits", job.method), self._claimed(job), job.limits.memory_gb)
            self.children[job.method] = child
        if not child.alive:
            self.prepared[job.method] = set()
        known = self.prepared[job.method]
        operators = next(each.operators for each in load_suite(job.case.suite) if each.name == job.case.problem)
        if operators not in known:
            answer = child.ask(request_of(job.case, prepare=True), job.limits.warm_up_limit)
            if answer["status"] != "ok":
                self.failed_starts[job.method] = self.failed_starts.get(job.method, 0) + 1
                self.failure[job.method] = {**answer, "message": f"{WARM_UP}{answer['message']}"}
                return self.failure[job.method]
            self.failed_starts[job.method] = 0
            self.versions[job.method] = answer["versions"]
            known.add(operators)
        budget = {"seconds": job.limits.seconds, "evaluations": job.limits.evaluations}
        return child.ask(request_of(job.case, prepare=False, budget=budget, seed=job.seed), job.limits.time_limit)

    def is_recovered(self, job: Job, equation: str) -> bool | None:
        """Ask SymPy about one equation; None where it takes too long."""
        key = (job.case.suite, job.case.problem, equation)
        if key not in self.recovered:
            child = self.children.setdefault("", Child(("symbolic",), self._claimed(job), 4.0))
            if not child.alive:  # Starting takes no part of the question's time.
                child.ask(request_of(job.case, equation="x0"), SYMBOLIC_START)
            answer = child.ask(request_of(job.case, equation=equation), SYMBOLIC_SECONDS)
            self.recovered[key] = bool(answer["recovered"]) if answer["status"] == "ok" else None
        return self.recovered[key]

    def _claimed(self, job: Job) -> tuple[int, ...]:
        """Claim cores of this machine until `stop`: no other worker of this runner has them.

        Nor has any other runner of this user, unless all cores are claimed.
        """
        if self.cores or not hasattr(os, "sched_getaffinity"):
            return self.cores
        usable, count = sorted(os.sched_getaffinity(0)), job.limits.cores
        folder = Path(tempfile.gettempdir()) / f"pysr-neural-cores-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        blocks = [tuple(usable[start : start + count]) for start in range(0, len(usable) - count + 1, count)]
        for alone in (True, False):
            for block in blocks:
                names = [f"{job.group}-{core}" for core in block] + ([f"{core}" for core in block] if alone else [])
                if held := _locked([folder / name for name in names]):
                    self.held, self.cores = held, block
                    return self.cores
        raise ConfigError(_too_few(count, len(usable)))


def _locked(paths: Sequence[Path]) -> list[IO[str]]:
    """Lock all files, or none; returns them open."""
    files: list[IO[str]] = []
    for path in paths:
        files.append(path.open("a"))
        try:
            fcntl.flock(files[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            for file in files:
                file.close()
            return []
    return files


def _too_few(count: int, usable: int) -> str:
    return f"Every worker needs {count} core(s) of its own; {usable} are usable. Use fewer --workers or --cores."


_ARMS: list[Arms] = []


def run_job(job: Job) -> dict[str, Any]:
    """Run one job in this process's arms; returns its row.  Nothing that a method does makes this fail."""
    if not _ARMS:
        _ARMS.append(Arms())
        atexit.register(_ARMS[0].stop)
    arms = _ARMS[0]
    answer = arms.fit(job)
    case = {name: value for name, value in asdict(job.case).items() if name != "data_seed"}
    row = {
        "method": job.method,
        **case,
        "seed": job.seed,
        "status": answer["status"],
        "message": answer.get("message", ""),
        "cores": ",".join(map(str, arms.cores)),
        "at": store.now(),
        "versions": " ".join(f"{name} {version}" for name, version in arms.versions.get(job.method, {}).items()),
        **{name: value for name, value in answer.items() if name not in ("status", "message")},
    }
    if answer["status"] == "ok":
        row |= recovery(arms, job, answer)
    return _plain(row)


def recovery(arms: Arms, job: Job, answer: Answer) -> dict[str, bool | None]:
    """Ask about the one formula and the front's best ones; None where SymPy could not tell in time."""
    measured = next(p for p in load_suite(job.case.suite) if p.name == job.case.problem).rows is not None
    if measured:
        return {"recovered": None, "recovered_one": None}
    worth = [(fvu, text) for _, _, fvu, text in answer["front"] if fvu is not None and fvu <= WORTH_ASKING]
    texts = [text for _, text in sorted(worth)[:SYMBOLIC_LIMIT]]
    one = answer["one_formula"]
    of_it = arms.is_recovered(job, one) if one in {text for _, text in worth} else False
    others = [of_it]
    for text in texts:
        if True in others:
            break
        others.append(arms.is_recovered(job, text))
    return {"recovered": True if True in others else (None if None in others else False), "recovered_one": of_it}


def _plain(value: Any) -> Any:
    """Replace what JSON has no number for by None."""
    if isinstance(value, float) and value - value != 0:
        return None
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def run(
    plan: Plan, folder: Path, workers: Workers, command: Sequence[str] = (), quiet: bool = False
) -> list[store.Row]:
    """Make all runs of a plan that a folder lacks; returns all of the folder's rows.

    Runs whose method could not be started are made again.

    Raises
    ------
    ConfigError
        Before the first run, if something is unknown, missing or unusable, or another runner holds the folder.
    """
    from tqdm import tqdm

    jobs = plan.jobs()
    _check_cores(plan.limits.cores, workers)
    group = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    with store.locked(folder):
        done = {key for key, row in store.read(folder).items() if not str(row["message"]).startswith(WARM_UP)}
        store.begin(folder, plan, command)
        missing = [replace(job, group=group) for job in jobs if job.key not in done]
        writer = store.Writer(folder)
        failures = 0
        total, initial = len(jobs), len(jobs) - len(missing)
        try:
            with tqdm(total=total, initial=initial, unit="fit", disable=quiet, file=sys.stderr) as bar:
                for job, row in workers.results(run_job, missing):
                    writer.add(job.key, row)
                    failures += row["status"] != "ok"
                    bar.set_postfix_str(f"{job.method} {job.case.suite}/{job.case.problem}; {failures} failed")
                    bar.update()
        finally:
            writer.close()
            while _ARMS:
                _ARMS.pop().stop()
        store.write_table(folder)
        return list(store.read(folder).values())


def _check_cores(cores: int, workers: Workers) -> None:
    if workers.scheduler or workers.slurm or not hasattr(os, "sched_getaffinity"):
        return
    usable = len(os.sched_getaffinity(0))
    if max(workers.count, 1) * cores > usable:
        raise ConfigError(_too_few(cores, usable))


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    given = sys.argv[1:] if argv is None else list(argv)
    options = _parser().parse_args(given)
    workers = Workers(options.workers, options.scheduler, options.slurm)
    rows = run(plan_of(options), options.out, workers, ["pysr-neural", "bench", "run", *given])
    failed = sum(row["status"] != "ok" for row in rows)
    print(f"{len(rows)} runs in {options.out}, {failed} of them failed. See `pysr-neural bench report {options.out}`.")
    return 0


def plan_of(options: argparse.Namespace) -> Plan:
    """Read the plan from the command's options."""
    numbers("seeds", [options.seeds], 1)
    numbers("draws", [options.draws], 1)
    numbers("noise", options.noise, 0)
    numbers("points", options.points, 3)
    numbers("cores", [options.cores], 1)
    numbers("every", [options.every], 1)
    numbers("memory", [options.memory], 0.1)
    budget = Budget.parse(options.budget)
    time_limit = options.time_limit or (600.0 if budget.seconds is None else 3 * budget.seconds + 60)
    limits = Limits(
        budget.seconds, budget.evaluations, options.cores, time_limit, options.memory, data_seed=options.data_seed
    )
    return Plan(
        tuple(options.suite),
        tuple(options.methods),
        tuple(range(options.first_seed, options.first_seed + options.seeds)),
        limits,
        tuple(range(options.draws)),
        tuple(options.noise),
        tuple(options.points),
        options.every,
        tuple(options.problems),
    )


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add what a benchmark's data, budget and limits are."""
    parser.add_argument(
        "--suite", nargs="+", default=["nguyen"], help="names, or TOML, CSV or YAML files; see `bench suites`"
    )
    parser.add_argument("--problems", nargs="+", default=[], help="names of problems; all by default")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every N-th problem")
    parser.add_argument("--budget", default="10s", help="such as 10s, 1e5evals, or 10s,1e6evals")
    parser.add_argument("--seeds", type=int, default=1, help="searches of each data set")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=1, help="data sets of each problem")
    parser.add_argument("--data-seed", type=int, default=0)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0], help="over the standard deviation of y")
    parser.add_argument("--points", type=int, nargs="+", default=[POINTS], help="rows to be searched")
    parser.add_argument("--cores", type=int, default=1, help="that each fit and all that it starts may use")
    parser.add_argument("--time-limit", type=float, default=0.0, help="seconds; default: 3 budgets and a minute")
    parser.add_argument("--memory", type=float, default=8.0, metavar="GB", help="limit of each method's processes")
    parser.add_argument("--workers", type=int, default=0, help="Dask workers; 0 runs one fit after the other, here")
    parser.add_argument("--scheduler", default="", metavar="ADDRESS", help="of a Dask scheduler to be used")
    parser.add_argument("--slurm", action="store_true", help="workers through SLURM (dask-jobqueue)")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pysr-neural bench run", description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", required=True, help="NAME[:ARGUMENT][@CHECKPOINT]; see `bench suites`")
    parser.add_argument("--out", type=Path, required=True, help="folder; the same command again continues it")
    add_data_options(parser)
    return parser


if __name__ == "__main__":
    from pysr_neural_benchmarks.runner.run import main as run_main

    raise SystemExit(run_main())
