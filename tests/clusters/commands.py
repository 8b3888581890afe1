"""The commands that are run on clusters, and what they leave behind.

Owns: their modules and options, reading what there is while they run, comparing it at the end.  Does not own: clusters.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pysr_neural.trace.io import Trace
from pysr_neural_benchmarks.runner import store
from pysr_neural_benchmarks.runner.plan import Key

GENERATE, RUN = "pysr_neural_training.traces.generate", "pysr_neural_benchmarks.runner.run"
TRACES = ["--suite=basicsr_harder", "--preset=reference", "--set=population_size=20", "--set=generations=30"]
TRACES += ["--runs-per-part=2", "--seeds=2"]
BENCHMARK = ["--methods=basicsr", "--suite=toy", "--every=2", "--budget=2000evals", "--seeds=3"]
FITS = 33
PATIENCE = 1200.0
"""Seconds; machines are shared."""
Process = subprocess.Popen[bytes]


def ran(environment: dict[str, str], module: str, *options: str | Path) -> str:
    """Run a command to its end; returns what it printed."""
    command = [sys.executable, "-m", module, *map(str, options)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def disturbed(process: Process, log: Path, begun: Callable[[], bool], disturb: Callable[[], None]) -> None:
    """Do harm to a command's workers when some of its work is done; see that it ends well all the same."""
    try:
        end = time.monotonic() + PATIENCE
        while not begun():
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < end
            time.sleep(0.02)
        disturb()
        assert process.poll() is None, "it had ended before"
        assert process.wait(PATIENCE) == 0, log.read_text()[-3000:]
    finally:
        process.kill()
        process.wait()


def traces_begun(out: Path) -> bool:
    """Tell whether a few parts of a trace are there."""
    return len(list(out.glob("runs/part-*.parquet"))) >= 2


def fits_begun(out: Path) -> bool:
    """Tell whether a few fits are done, without `store.read`, which mends what another process may be writing."""
    path = out / store.RUNS
    return path.exists() and path.read_bytes().count(b"\n") >= 4


def traces_are_whole(out: Path, environment: dict[str, str], alone: Path) -> None:
    """Hold a trace against that of one process."""
    ran(environment, GENERATE, *TRACES, "--workers=0", "--out", alone)
    there, here = Trace(out), Trace(alone)
    assert there.parts == here.parts
    for table in ("runs", "members", "events"):
        assert there.table(table).equals(here.table(table))


def benchmark_is_whole(out: Path, environment: dict[str, str], alone: Path) -> None:
    """See that every fit is there once, and what one process finds; that the command again has nothing to do."""
    lines = (out / store.RUNS).read_text().splitlines()
    rows = store.read(out)
    assert len(lines) == len(rows) == FITS
    assert {row["status"] for row in rows.values()} == {"ok"}
    for folder in (out, alone):
        assert f"{FITS} runs" in ran(environment, RUN, *BENCHMARK, "--out", folder)
    assert (out / store.RUNS).read_text().splitlines() == lines
    assert _found(rows) == _found(store.read(alone))


def _found(rows: dict[Key, store.Row]) -> dict[Key, tuple[object, ...]]:
    """Return what does not depend on where and how fast a fit ran."""
    return {key: (row["one_formula"], row["front"], row["evaluations"]) for key, row in rows.items()}
