"""Clusters of this machine's own."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters import slurm

ROOT = Path(__file__).parents[2]
JOBQUEUE = """\
jobqueue:
  slurm:
    cores: 1
    processes: 1
    memory: 2GB
    walltime: "00:45:00"
    death-timeout: 600
    log-directory: {folder}
    local-directory: {folder}
    scheduler-options:
      host: 127.0.0.1
      dashboard_address: "127.0.0.1:0"
    worker-extra-args: ["--host", "127.0.0.1", "--no-dashboard"]
    job-extra-directives: ["--exclusive"]
"""


@pytest.fixture(scope="module")
def slurm_cluster() -> Iterator[slurm.Slurm]:
    """A SLURM cluster of two nodes, both this machine."""
    if reason := slurm.missing():
        pytest.skip(reason)
    with slurm.cluster() as running:
        yield running


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a command of ours needs that is started from elsewhere: our packages and this Python's programs."""
    places = [str(ROOT), *sys.path]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(place for place in places if place)),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "DASK_CONFIG": str(tmp_path_factory.mktemp("dask")),
    }


@pytest.fixture(scope="module")
def on_slurm(slurm_cluster: slurm.Slurm, environment: dict[str, str]) -> dict[str, str]:
    """The environment of a command that finds the cluster, and dask-jobqueue's description of it."""
    folder = Path(environment["DASK_CONFIG"])
    (folder / "jobqueue.yaml").write_text(JOBQUEUE.format(folder=folder))
    both = dict.fromkeys([*environment["PATH"].split(":"), *slurm_cluster.environment["PATH"].split(":")])
    return {**environment, "SLURM_CONF": slurm_cluster.environment["SLURM_CONF"], "PATH": ":".join(both)}
