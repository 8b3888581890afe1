"""What the run script for training does on two nodes of SLURM, and what is left when it is interrupted."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.clusters.commands import PATIENCE
from tests.clusters.conftest import ROOT
from tests.clusters.slurm import Slurm, immortal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
STEPS = 40
SETTINGS = [
    "model.width=32", "model.heads=2", "model.layers=1", "model.feedforward=32", "model.latents=4",
    "examples.batch_size=16", f"schedule.steps={STEPS}", "schedule.save_every=5", "schedule.log_every=5",
    "schedule.workers=0", "schedule.bf16=false", "schedule.warmup=2", "schedule.minutes=inf", "evaluation.every=0",
]  # fmt: skip


def submit(environment: dict[str, str], folder: Path) -> str:
    """Submit the run script; returns the job's id."""
    command = [
        "sbatch", "--parsable", "--nodes=2", "--gpus-per-node=1", "--cpus-per-task=1", "--time=55",
        "--open-mode=append", f"--output={folder}/job.log", str(ROOT / "training/runs/slurm.sh"), "tiny", "--out",
        str(folder / "run"), *(f"--set={setting}" for setting in SETTINGS),
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def facts(slurm_cluster: Slurm, job: str) -> dict[str, str]:
    told = slurm_cluster.run("scontrol", "show", "job", job)
    return dict(each.split("=", 1) for each in told.split() if "=" in each)


def ended(slurm_cluster: Slurm, job: str) -> dict[str, str]:
    """Wait for a job's end; returns what SLURM says of it."""
    end = time.monotonic() + PATIENCE
    while (now := facts(slurm_cluster, job))["JobState"] in (
        "PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED", "NODE_FAIL",
    ):  # fmt: skip
        assert time.monotonic() < end, f"the job is still {now['JobState']}"
        time.sleep(1)
    return now


def interrupted(slurm_cluster: Slurm, environment: dict[str, str], folder: Path) -> str:
    """Submit the run script, and wait until it can be interrupted; returns the job's id."""
    job = submit(environment, folder)
    end = time.monotonic() + PATIENCE
    while not list((folder / "run").glob("checkpoint-*")):
        assert time.monotonic() < end
        assert facts(slurm_cluster, job)["JobState"] in ("PENDING", "CONFIGURING", "RUNNING"), log(folder)
        time.sleep(0.2)
    return job


def log(folder: Path) -> str:
    return (folder / "job.log").read_text()[-3000:]


def losses(folder: Path) -> list[tuple[int, float]]:
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    return [(record["step"], record["loss"]) for record in map(json.loads, lines) if "loss" in record]


def weights(folder: Path) -> bytes:
    return (folder / "run/model/model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(slurm_cluster: Slurm, on_slurm: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    told = ended(slurm_cluster, submit(on_slurm, folder))
    assert told["JobState"] == "COMPLETED", log(folder)
    return folder


def test_the_run_script_trains_on_two_nodes(whole: Path) -> None:
    assert json.loads((whole / "run/model/card.json").read_text())["steps"] == STEPS
    assert [step for step, _ in losses(whole)] == list(range(5, STEPS + 1, 5))


def test_a_job_that_is_requeued_ends_with_the_same_weights(
    slurm_cluster: Slurm, on_slurm: dict[str, str], whole: Path, tmp_path: Path
) -> None:
    job = interrupted(slurm_cluster, on_slurm, tmp_path)
    slurm_cluster.run("scontrol", "requeue", job)
    goes_on(slurm_cluster, job, whole, tmp_path)


def test_a_job_whose_node_is_killed_ends_with_the_same_weights(
    slurm_cluster: Slurm, on_slurm: dict[str, str], whole: Path, tmp_path: Path
) -> None:
    if reason := immortal():
        pytest.skip(reason)
    job = interrupted(slurm_cluster, on_slurm, tmp_path)
    slurm_cluster.kill(slurm_cluster.nodes[1])
    end = time.monotonic() + PATIENCE
    while facts(slurm_cluster, job)["Restarts"] == "0":
        assert time.monotonic() < end, log(tmp_path)
        assert facts(slurm_cluster, job)["JobState"] not in ("FAILED", "COMPLETED"), log(tmp_path)
        time.sleep(1)
    slurm_cluster.start(slurm_cluster.nodes[1])
    goes_on(slurm_cluster, job, whole, tmp_path)


def goes_on(slurm_cluster: Slurm, job: str, whole: Path, folder: Path) -> None:
    """See that a job that was interrupted once ends as one that was not."""
    told = ended(slurm_cluster, job)
    assert told["JobState"] == "COMPLETED", log(folder)
    assert told["Restarts"] == "1"
    assert losses(folder) == losses(whole)
    assert weights(folder) == weights(whole)
