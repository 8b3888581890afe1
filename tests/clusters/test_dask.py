"""What the commands do with workers on other hosts, and what is left when one of them dies."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.clusters import hosts
from tests.clusters.commands import (
    BENCHMARK,
    GENERATE,
    PATIENCE,
    RUN,
    TRACES,
    Process,
    benchmark_is_whole,
    disturbed,
    fits_begun,
    traces_are_whole,
    traces_begun,
)
from tests.clusters.hosts import Dask

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


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


def started(cluster: Dask, environment: dict[str, str], log: Path, module: str, *given: str) -> Process:
    command = [*cluster.head.prefix, sys.executable, "-m", module, *given, f"--scheduler={cluster.scheduler}"]
    with log.open("wb") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, env=environment)


def with_a_worker_killed(process: Process, cluster: Dask, log: Path, begun: Callable[[], bool]) -> None:
    """Kill a worker when something is done and much is not; nothing that it had started goes on without it."""
    orphans: list[psutil.Process] = []

    def kill() -> None:
        orphans.extend(psutil.Process(cluster.workers[0].pid).children(recursive=True))
        cluster.workers[0].send_signal(signal.SIGKILL)
        cluster.workers[0].wait()

    disturbed(process, log, begun, kill)
    assert not psutil.wait_procs(orphans, PATIENCE)[1]
    assert cluster.workers[1].poll() is None


def test_traces_of_a_killed_worker_are_whole(cluster: Dask, environment: dict[str, str], tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "command.log"
    process = started(cluster, environment, log, GENERATE, *TRACES, "--out", str(out))
    with_a_worker_killed(process, cluster, log, lambda: traces_begun(out))
    traces_are_whole(out, environment, tmp_path / "alone")


def test_a_benchmark_with_a_killed_worker_is_whole(cluster: Dask, environment: dict[str, str], tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "command.log"
    process = started(cluster, environment, log, RUN, *BENCHMARK, "--out", str(out))
    with_a_worker_killed(process, cluster, log, lambda: fits_begun(out))
    benchmark_is_whole(out, environment, tmp_path / "alone")
