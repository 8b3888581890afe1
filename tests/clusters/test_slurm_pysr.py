"""A PySR search whose Julia workers are tasks of a SLURM job, with the proposer on the first node."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clusters.slurm import Slurm

pytestmark = [pytest.mark.slow, pytest.mark.julia, pytest.mark.timeout(3600)]
PACKAGE = "SlurmClusterManager"
SEARCH = """\
import numpy as np
from pysr_neural import PySRRegressor

X = np.random.default_rng(0).uniform(0.5, 2.0, (40, 2))
model = PySRRegressor(
    niterations=4, populations=4, progress=False, verbosity=0, temp_equation_file=True, binary_operators=["+", "*"],
    parallelism="multiprocessing", procs=2, cluster_manager="slurm", neural_proposer="default",
).fit(X, X[:, 0] * X[:, 1] + X[:, 0])
report = model.neural_report_
print("FOUND", model.equations_.loss.min() < 1e-6, report.calls, report.served + report.seeded + report.injected)
print("FAILURES", report.failures)
"""


def lacking() -> str:
    """Return why PySR cannot have the Julia package that it takes for SLURM; empty if it can."""
    project = os.environ.get("PYTHON_JULIACALL_PROJECT")
    if not project:
        return ""  # PySR installs it.
    if PACKAGE in (Path(project) / "Project.toml").read_text():
        return ""
    return f"{PACKAGE}.jl is not in the Julia project {project}, which PySR does not change"


def test_a_search_has_its_workers_on_two_nodes(slurm_cluster: Slurm, on_slurm: dict[str, str], tmp_path: Path) -> None:
    if reason := lacking():
        pytest.skip(reason)
    (tmp_path / "search.py").write_text(SEARCH)
    (tmp_path / "job.sh").write_text(f"#!/bin/sh\nexec {sys.executable} {tmp_path}/search.py\n")
    log = tmp_path / "job.log"
    command = ["sbatch", "--wait", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpus-per-task=1", "--time=55"]
    command += [f"--output={log}", f"--chdir={tmp_path}", str(tmp_path / "job.sh")]
    ended = subprocess.run(command, env=on_slurm, capture_output=True, text=True, timeout=3500, check=False)
    told = log.read_text(errors="replace") if log.exists() else ended.stderr
    assert ended.returncode == 0, told[-3000:]
    found = told.split("FOUND ", 1)[1].split()
    assert found[0] == "True"
    assert int(found[1]) > 0, told[-3000:]
    assert int(found[2]) > 0, told[-3000:]
