"""`pysr-neural bench traces`: what a trace costs, in bytes and in time, and how fast it is read.

Owns: the figures.  Does not own: recording (`pysr_neural_baseline.recorder`), files (`pysr_neural.trace`).

BasicSR's searches of its own problems, by its default preset and by the reference preset as traces were first made from
it: populations of 20, trees of up to 25 nodes.  Each part is searched with a recorder and without in turns; recording
is charged with everything up to the bytes of the finished files, in processor time.  A reference proposal is cheap, as
most were seen before, so that recording weighs most there.  PySR, where Julia is there, is measured by evaluations per
second of warm serial searches, in turns.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

import pysr_neural
from pysr_neural.config import NeuralProposer
from pysr_neural.errors import EngineUnavailableError
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.rng import generator
from pysr_neural.trace.io import Trace, encode_table, problems_table, write_part
from pysr_neural.trace.schema import PROPOSAL
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.recorder import record_search
from pysr_neural_baseline.search import run_search
from pysr_neural_benchmarks.speed.meter import EvaluationMeter
from pysr_neural_benchmarks.suites.reader import load_suite

SUITES = ("basicsr_simple", "basicsr_harder")
TRIVIAL = 5
"""The first problems of the simple suite are solved by the initial population: there is nothing to record."""
OPERATORS = OperatorSet.of("+", "-", "*", "/")
POINTS = 50
TABLES = ("runs", "members", "events")
RUNS_PER_PART = 8
LEAST_EVENTS = 1_000_000
Numbered = list[tuple[int, Problem]]


@dataclass(frozen=True)
class Cost:
    """What recording BasicSR's searches costs.

    Parameters
    ----------
    proposals : int
    stored : int
        Bytes of all files, problems and members included.
    plain, recorded : float
        Seconds of processor time without and with a recorder.
    """

    proposals: int
    stored: int
    plain: float
    recorded: float

    @property
    def overhead(self) -> float:
        """Share of its evaluations per second that a search loses."""
        return 1 - self.plain / self.recorded


def problems() -> list[Problem]:
    """Return the reference problems that take a search, with their data."""
    found = []
    for name in SUITES:
        for each in load_suite(name)[TRIVIAL if name == SUITES[0] else 0 :]:
            X, y = each.draw(POINTS, generator(0, "bench traces", each.name))
            found.append(Problem(X, y, OPERATORS, Limits(max_size=25), each.name))
    return found


def measure_basic(searched: list[Problem], config: BasicSRConfig, rounds: int, folder: Path) -> Cost:
    """Run the problems with a recorder and without in turns; the least time of some rounds counts."""
    record_search(searched[0], config.changed(generations=5))
    numbered = list(enumerate(searched))
    plain = recorded = 0.0
    for part, start in enumerate(range(0, len(searched), RUNS_PER_PART)):
        chosen = numbered[start : start + RUNS_PER_PART]
        times = [(_timed(_search, chosen, config)[0], *_timed(_record, chosen, config)) for _ in range(rounds)]
        write_part(folder, part, times[0][2])
        plain, recorded = plain + min(each[0] for each in times), recorded + min(each[1] for each in times)
    write_part(folder, 0, {"problems": encode_table(problems_table(searched))})
    trace = Trace(folder)
    event = trace.columns("events", ["event"])["event"]
    proposals = int((event.ids == event.names.index(PROPOSAL)).sum())
    return Cost(proposals, sum(trace.disk_bytes.values()), plain, recorded)


def _timed(action: Callable[..., Any], *given: Any) -> tuple[float, Any]:
    gc.collect()
    began = time.process_time()
    result = action(*given)
    return time.process_time() - began, result


def _search(chosen: Numbered, config: BasicSRConfig) -> None:
    for i, problem in chosen:
        run_search(problem, config, seed=i)


def _record(chosen: Numbered, config: BasicSRConfig) -> dict[str, bytes]:
    """Record searches as the bytes of a part, as `traces generate` does."""
    found = [record_search(problem, config, seed=i, run=i, problem_number=i).tables for i, problem in chosen]
    return {name: encode_table(pa.concat_tables([tables[name] for tables in found])) for name in TABLES}


def read_speed(folder: Path, rounds: int) -> float:
    """Return how many events per second become NumPy columns, all columns, from enough copies of the part on disk."""
    source = Trace(folder)
    part = {name: encode_table(source.table(name)) for name in TABLES}
    copies = -(-LEAST_EVENTS // max(source.table("events", ["run"]).num_rows, 1))
    with TemporaryDirectory() as other:
        for number in range(copies):
            write_part(Path(other), number, part)
        speeds = []
        for _ in range(rounds):
            began = time.perf_counter()
            rows = len(Trace(Path(other)).columns("events")["run"])
            speeds.append(rows / (time.perf_counter() - began))
    return max(speeds)


def measure_pysr(seconds: float, rounds: int) -> float:
    """Return the share of its evaluations per second that PySR loses to recording.

    Raises
    ------
    EngineUnavailableError
        If PySR's Julia engine cannot be started here.
    """
    speeds: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(2 * rounds + 2):
        speed = _pysr_speed(seconds, recording=bool(turn % 2), seed=turn // 2)
        if turn > 1:  # The first two compile.
            speeds[bool(turn % 2)].append(speed)
    return 1 - median(speeds[True]) / median(speeds[False])


def _pysr_speed(seconds: float, recording: bool, seed: int) -> float:
    from pysr_neural.interop.regressor import PySRRegressor

    problem, meter = problems()[-1], EvaluationMeter()
    with TemporaryDirectory() as folder:
        model = PySRRegressor(
            binary_operators=["+", "-", "*", "/"],
            niterations=10**6,
            timeout_in_seconds=seconds,
            parallelism="serial",
            progress=False,
            verbosity=0,
            temp_equation_file=True,
            input_stream="devnull",
            random_state=seed,
            logger_spec=meter,
            neural_proposer=NeuralProposer(levels=(), trace=folder) if recording else None,
        )
        model.fit(problem.X, problem.y)
    return meter.rate


def measured_pysr(seconds: float, rounds: int) -> float | None:
    """Measure PySR where Julia is there and it starts; says why where it does not."""
    if not pysr_neural.julia_available():
        return None
    try:
        return measure_pysr(seconds, rounds)
    except EngineUnavailableError as error:
        print(f"PySR is not measured: {str(error).splitlines()[0]}")
        return None


def report(reference: Cost, default: Cost, pysr: float | None, speed: float) -> str:
    """Write the figures beside their targets."""
    rows = [
        ("bytes on disk per proposal, reference", f"{reference.stored / reference.proposals:.1f}", "at most 60"),
        ("bytes on disk per proposal, default", f"{default.stored / default.proposals:.1f}", ""),
        ("recording slows BasicSR's default by", f"{100 * default.overhead:.1f} %", "at most 10 %"),
        ("recording slows its reference by", f"{100 * reference.overhead:.1f} %", ""),
        ("recording slows PySR by", "not measured" if pysr is None else f"{100 * pysr:.1f} %", "at most 2 %"),
        ("events read per second", f"{speed / 1e6:.1f} million", "at least 1 million"),
    ]
    times = [
        f"{name}: {cost.proposals} proposals at {1e6 * cost.plain / cost.proposals:.1f} µs, recorded at "
        f"{1e6 * cost.recorded / cost.proposals:.1f} µs"
        for name, cost in (("reference", reference), ("default", default))
    ]
    return "\n".join([*times, *[f"{name:<40}{measured:>14}   {target}".rstrip() for name, measured, target in rows]])


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="pysr-neural bench traces", description=__doc__.splitlines()[0])
    parser.add_argument("--generations", type=int, default=1000, help="of a reference search")
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many counts")
    parser.add_argument("--seconds", type=float, default=20.0, help="per search of PySR")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every N-th problem")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    searched = problems()[:: options.every]
    with TemporaryDirectory() as first, TemporaryDirectory() as second:
        size = {"population_size": 20, "initial_depth": 10, "max_size": 25}
        config = BasicSRConfig.reference(generations=options.generations, **size)
        reference = measure_basic(searched, config, options.rounds, Path(first))
        small = BasicSRConfig(generations=max(1, options.generations // 4))
        default = measure_basic(searched, small, options.rounds, Path(second))
        speed = read_speed(Path(first), options.rounds)
    pysr = measured_pysr(options.seconds, options.rounds)
    print(report(reference, default, pysr, speed))
    result = {
        "bytes_per_proposal": reference.stored / reference.proposals,
        "basic_overhead": default.overhead,
        "basic_overhead_reference": reference.overhead,
        "pysr_overhead": pysr,
        "read_events_per_second": speed,
    }
    if options.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
