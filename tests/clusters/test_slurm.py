"""What the commands and the run script do on a SLURM cluster."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pysr_neural.trace.io import Trace
from pysr_neural_benchmarks.runner import store
from tests.clusters.conftest import ROOT
from tests.clusters.slurm import Slurm

pytestmark = pytest.mark.slow
PATIENCE = 1200.0
"""Seconds; machines are shared."""
TRAINING = [
    "model.width=32", "model.heads=2", "model.layers=1", "model.feedforward=32", "model.latents=4",
    "examples.batch_size=16", "schedule.workers=0", "schedule.bf16=false", "evaluation.every=0", "schedule.warmup=2",
    "schedule.minutes=inf",
]  # fmt: skip


def ran(environment: dict[str, str], module: str, *options: str | Path) -> str:
    command = [sys.executable, "-m", module, *map(str, options)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def jobs(slurm_cluster: Slurm) -> set[str]:
    """Ids of all jobs that the cluster remembers, running or ended."""
    lines = slurm_cluster.run("scontrol", "--oneliner", "show", "job").splitlines()
    return {line.split()[0] for line in lines if line.startswith("JobId=")}


def test_traces_are_generated_by_jobs(slurm_cluster: Slurm, on_slurm: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    given = ["--suite=toy", "--preset=reference", "--set=population_size=8", "--set=generations=3"]
    module, before = "pysr_neural_training.traces.generate", jobs(slurm_cluster)
    ran(on_slurm, module, *given, "--out", tmp_path / "there", "--workers=2", "--slurm")
    assert len(jobs(slurm_cluster) - before) == 2
    ran(on_slurm, module, *given, "--out", tmp_path / "here", "--workers=0")
    there, here = (Trace(tmp_path / name) for name in ("there", "here"))
    columns = ["run", "seed", "problem", "evaluations", "best", "best_loss"]
    assert there.table("runs").select(columns).equals(here.table("runs").select(columns))
    assert there.table("events").equals(here.table("events"))


def test_a_benchmark_runs_in_jobs(slurm_cluster: Slurm, on_slurm: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    before, out = jobs(slurm_cluster), tmp_path / "out"
    given = ["--methods=basicsr", "--suite=toy", "--every=5", "--budget=300evals", "--seeds=2", "--out", out]
    ran(on_slurm, "pysr_neural_benchmarks.runner.run", *given, "--slurm", "--workers=2")
    assert len(jobs(slurm_cluster) - before) == 2
    rows = store.read(out)
    assert len(rows) == 10
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert (out / store.TABLE).is_file()


def submit(slurm_cluster: Slurm, environment: dict[str, str], tmp_path: Path, *options: str) -> str:
    """Submit the run script; returns the job's id."""
    settings = [f"--set={setting}" for setting in TRAINING]
    command = [
        "sbatch", "--parsable", "--nodes=2", "--gpus-per-node=1", "--cpus-per-task=1", "--time=45",
        f"--output={tmp_path}/job.log", str(ROOT / "training/runs/slurm.sh"), "tiny", "--out", str(tmp_path / "run"),
        *settings, *(f"--set={option}" for option in options),
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def state(slurm_cluster: Slurm, job: str) -> str:
    facts = dict(
        each.split("=", 1) for each in slurm_cluster.run("scontrol", "show", "job", job).split() if "=" in each
    )
    return facts["JobState"]


def ended(slurm_cluster: Slurm, job: str, seconds: float = PATIENCE) -> str:
    """Wait for a job's end; returns its state."""
    end = time.monotonic() + seconds
    while (now := state(slurm_cluster, job)) in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED"):
        assert time.monotonic() < end, f"the job is still {now}"
        time.sleep(1)
    return now


def steps(tmp_path: Path) -> list[int]:
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    return [record["step"] for record in map(json.loads, lines) if "loss" in record]


def test_the_run_script_trains_on_two_nodes(slurm_cluster: Slurm, on_slurm: dict[str, str], tmp_path: Path) -> None:
    job = submit(slurm_cluster, on_slurm, tmp_path, "schedule.steps=20", "schedule.save_every=10")
    assert ended(slurm_cluster, job) == "COMPLETED", (tmp_path / "job.log").read_text()[-3000:]
    card = json.loads((tmp_path / "run/model/card.json").read_text())
    assert card["steps"] == 20
    assert (tmp_path / "run/model/model.safetensors").is_file()


def test_a_job_that_is_requeued_goes_on(slurm_cluster: Slurm, on_slurm: dict[str, str], tmp_path: Path) -> None:
    job = submit(slurm_cluster, on_slurm, tmp_path, "schedule.steps=40", "schedule.save_every=5")
    end = time.monotonic() + PATIENCE
    while not list((tmp_path / "run").glob("checkpoint-*")):
        assert time.monotonic() < end
        assert state(slurm_cluster, job) in ("PENDING", "CONFIGURING", "RUNNING")
        time.sleep(0.2)
    slurm_cluster.run("scontrol", "requeue", job)
    assert ended(slurm_cluster, job) == "COMPLETED", (tmp_path / "job.log").read_text()[-3000:]
    assert "Restarts=1" in slurm_cluster.run("scontrol", "show", "job", job)
    assert len(steps(tmp_path)) == len(set(steps(tmp_path)))
    assert json.loads((tmp_path / "run/model/card.json").read_text())["steps"] == 40
