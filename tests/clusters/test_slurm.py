"""What the commands do on a SLURM cluster, and what is left when a job is requeued or its node dies."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysr_neural.trace.io import Trace
from pysr_neural_benchmarks.runner import store
from tests.clusters.commands import (
    BENCHMARK,
    GENERATE,
    RUN,
    TRACES,
    benchmark_is_whole,
    disturbed,
    fits_begun,
    ran,
    traces_are_whole,
    traces_begun,
)
from tests.clusters.slurm import Slurm, immortal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def jobs(slurm_cluster: Slurm) -> dict[str, dict[str, str]]:
    """Return all jobs that the cluster remembers, running or ended."""
    lines = slurm_cluster.run("scontrol", "--oneliner", "show", "job").splitlines()
    facts = [dict(each.split("=", 1) for each in line.split() if "=" in each) for line in lines]
    return {each["JobId"]: each for each in facts if "JobId" in each}


def test_traces_are_generated_by_jobs(slurm_cluster: Slurm, on_slurm: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    given = ["--suite=toy", "--preset=reference", "--set=population_size=8", "--set=generations=3"]
    before = set(jobs(slurm_cluster))
    ran(on_slurm, GENERATE, *given, "--out", tmp_path / "there", "--workers=2", "--slurm")
    assert len(set(jobs(slurm_cluster)) - before) == 2
    ran(on_slurm, GENERATE, *given, "--out", tmp_path / "here", "--workers=0")
    there, here = (Trace(tmp_path / name) for name in ("there", "here"))
    columns = ["run", "seed", "problem", "evaluations", "best", "best_loss"]
    assert there.table("runs").select(columns).equals(here.table("runs").select(columns))
    assert there.table("events").equals(here.table("events"))


def test_a_benchmark_runs_in_jobs(slurm_cluster: Slurm, on_slurm: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    before, out = set(jobs(slurm_cluster)), tmp_path / "out"
    given = ["--methods=basicsr", "--suite=toy", "--every=5", "--budget=300evals", "--seeds=2", "--out", out]
    ran(on_slurm, RUN, *given, "--slurm", "--workers=2")
    assert len(set(jobs(slurm_cluster)) - before) == 2
    rows = store.read(out)
    assert len(rows) == 10
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert (out / store.TABLE).is_file()


@pytest.fixture(params=["requeued", "node killed"])
def harm(request: pytest.FixtureRequest, slurm_cluster: Slurm) -> Iterator["Harm"]:
    """What becomes of the only worker's job; a killed node is started again at the end."""
    pytest.importorskip("dask_jobqueue")
    if request.param == "node killed" and (reason := immortal()):
        pytest.skip(reason)
    done = Harm(slurm_cluster, request.param)
    yield done
    if done.node:
        slurm_cluster.start(done.node)


class Harm:
    """Something that ends the one job that runs, and with it the only worker of a command."""

    def __init__(self, slurm_cluster: Slurm, kind: str) -> None:
        self.cluster, self.kind, self.node = slurm_cluster, kind, ""
        self.before = set(jobs(slurm_cluster))

    def __call__(self) -> None:
        """Do it."""
        ((job, facts),) = self._ours().items()
        assert facts["JobState"] == "RUNNING"
        if self.kind == "requeued":
            self.cluster.run("scontrol", "requeue", job)
        else:
            self.node = facts["NodeList"]
            self.cluster.kill(self.node)

    def was_made_up_for(self) -> bool:
        """Tell whether there was another job in place of the one that ended."""
        return len(self._ours()) > 1

    def _ours(self) -> dict[str, dict[str, str]]:
        return {job: facts for job, facts in jobs(self.cluster).items() if job not in self.before}


def command(environment: dict[str, str], log: Path, module: str, *given: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        whole = [sys.executable, "-m", module, *given, "--workers=1", "--slurm"]
        return subprocess.Popen(whole, stdout=out, stderr=out, env=environment)


def test_traces_survive_the_end_of_a_job(harm: Harm, on_slurm: dict[str, str], tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    process = command(on_slurm, log, GENERATE, *TRACES, f"--out={out}")
    disturbed(process, log, lambda: traces_begun(out), harm)
    assert harm.was_made_up_for()
    traces_are_whole(out, on_slurm, tmp_path / "alone")


def test_a_benchmark_survives_the_end_of_a_job(harm: Harm, on_slurm: dict[str, str], tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    process = command(on_slurm, log, RUN, *BENCHMARK, f"--out={out}")
    disturbed(process, log, lambda: fits_begun(out), harm)
    assert harm.was_made_up_for()
    benchmark_is_whole(out, on_slurm, tmp_path / "alone")


REFUSED = ["SLURM must take the workers' jobs", "invalid partition specified: nowhere"]
ENDED = ["Jobs of SLURM must come to work; 3 ended before"]


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        pytest.param("QUEUE", "nowhere", REFUSED, id="refused"),
        pytest.param("PYTHON", "/bin/false", ENDED, id="ended at once"),
    ],
)
def test_jobs_that_do_no_work_are_told(
    on_slurm: dict[str, str], tmp_path: Path, setting: str, value: str, told: list[str]
) -> None:
    pytest.importorskip("dask_jobqueue")
    given = ["--suite=toy", "--out", str(tmp_path / "out"), "--workers=1", "--slurm"]
    done = subprocess.run(
        [sys.executable, "-m", GENERATE, *given], env={**on_slurm, f"DASK_JOBQUEUE__SLURM__{setting}": value},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    for text in told:
        assert text in done.stderr, done.stderr[-3000:]
