"""Clusters of this machine's own."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters import slurm

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def slurm_cluster() -> Iterator[slurm.Slurm]:
    """A SLURM cluster of two nodes, both this machine."""
    if reason := slurm.missing():
        pytest.skip(reason)
    with slurm.cluster() as running:
        yield running


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What a command of ours needs that is started from elsewhere: our packages and this Python's programs."""
    places = [str(ROOT), *sys.path]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(place for place in places if place)),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "DASK_CONFIG": str(tmp_path / "dask"),
    }
