"""What the commands do with workers on other hosts, and what is left when one of them dies."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pysr_neural.trace.io import Trace
from pysr_neural_benchmarks.runner import store
from tests.clusters import hosts
from tests.clusters.hosts import Dask

pytestmark = pytest.mark.slow
TRACES = ["--suite=basicsr_harder", "--preset=reference", "--set=population_size=20", "--set=generations=30"]
TRACES += ["--runs-per-part=2", "--seeds=2"]
PATIENCE = 1200.0
"""Seconds; machines are shared."""
GENERATE, RUN = "pysr_neural_training.traces.generate", "pysr_neural_benchmarks.runner.run"


@pytest.fixture(params=["addresses", "namespaces"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path, environment: dict[str, str]) -> Iterator[Dask]:
    """A scheduler and two workers, on three hosts."""
    if request.param == "namespaces" and (reason := hosts.forbidden()):
        pytest.skip(reason)
    with (
        getattr(hosts, request.param)(3) as places,
        hosts.dask(places, tmp_path, environment) as running,
    ):
        yield running


def started(cluster: Dask, environment: dict[str, str], log: Path, module: str, *given: str) -> subprocess.Popen[bytes]:
    command = [*cluster.head.prefix, sys.executable, "-m", module, *given, f"--scheduler={cluster.scheduler}"]
    with log.open("wb") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, env=environment)


def lines_of(out: Path) -> int:
    """Count finished runs without `store.read`, which mends what another process may be writing."""
    path = out / store.RUNS
    return path.read_bytes().count(b"\n") if path.exists() else 0


def with_a_worker_killed(process: subprocess.Popen[bytes], cluster: Dask, log: Path, begun: Callable[[], bool]) -> None:
    """Kill a worker when something is done and much is not; see that the command ends well all the same."""
    try:
        end = time.monotonic() + PATIENCE
        while not begun():
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < end
            time.sleep(0.02)
        cluster.workers[0].send_signal(signal.SIGKILL)
        cluster.workers[0].wait()
        assert process.poll() is None, "it had ended before the worker died"
        assert process.wait(PATIENCE) == 0, log.read_text()[-2000:]
    finally:
        process.kill()
        process.wait()
    assert cluster.workers[1].poll() is None


def test_traces_of_a_killed_worker_are_whole(cluster: Dask, environment: dict[str, str], tmp_path: Path) -> None:
    there, here, log = tmp_path / "there", tmp_path / "here", tmp_path / "command.log"
    process = started(cluster, environment, log, GENERATE, *TRACES, "--out", str(there))
    with_a_worker_killed(process, cluster, log, lambda: len(list(there.glob("runs/part-*.parquet"))) >= 2)
    subprocess.run(
        [sys.executable, "-m", GENERATE, *TRACES, "--workers=0", "--out", str(here)],
        env=environment, capture_output=True, check=True,
    )  # fmt: skip
    assert Trace(there).parts == Trace(here).parts
    for table in ("runs", "members", "events"):
        assert Trace(there).table(table).equals(Trace(here).table(table))


def test_a_benchmark_with_a_killed_worker_is_whole(cluster: Dask, environment: dict[str, str], tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "command.log"
    given = ["--methods=basicsr", "--suite=toy", "--every=2", "--budget=2000evals", "--seeds=3", "--out", str(out)]
    process = started(cluster, environment, log, RUN, *given)
    with_a_worker_killed(process, cluster, log, lambda: lines_of(out) >= 4)
    lines = (out / store.RUNS).read_text().splitlines()
    rows = store.read(out)
    assert len(lines) == len(rows) == 33
    assert {row["status"] for row in rows.values()} == {"ok"}
    again = subprocess.run(
        [sys.executable, "-m", RUN, *given], env=environment, capture_output=True, text=True, check=True
    )
    assert "33 runs" in again.stdout
    assert (out / store.RUNS).read_text().splitlines() == lines
