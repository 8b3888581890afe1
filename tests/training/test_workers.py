"""Jobs on workers: what becomes of those whose workers die."""

import os
import subprocess
import sys

import pytest

from pysr_neural.errors import NeuralProposerError
from pysr_neural_training.workers import Workers

dask_config = pytest.importorskip("dask.config")
pytest.importorskip("distributed")


def run(job: int) -> int:
    """Double a number; the worker that gets a 2 dies of it."""
    if job == 2:
        os._exit(1)
    return 2 * job


@pytest.mark.slow
def test_a_job_that_workers_die_of_is_told_after_all_others_are_done() -> None:
    done: list[tuple[int, int]] = []
    # One job at a time on a worker: what waits there with a deadly one would be suspected too.
    settings = {"distributed.scheduler.allowed-failures": 0, "distributed.scheduler.worker-saturation": 1.0}
    with (
        dask_config.set(settings),
        pytest.raises(NeuralProposerError, match="1 of 3 were given up"),
    ):
        done.extend(Workers(1).results(run, [1, 2, 3]))
    assert sorted(done) == [(1, 2), (3, 6)]


def test_ctrl_c_stays_what_it_was() -> None:
    pytest.importorskip("dask_jobqueue")
    code = """
import signal, sys
from pysr_neural_training import workers
before = signal.getsignal(signal.SIGINT)
try:
    workers._slurm()
except ValueError:
    pass  # No cluster is described.
assert "dask_jobqueue.runner" in sys.modules
assert signal.getsignal(signal.SIGINT) is before
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env={**os.environ, "DASK_CONFIG": os.devnull})
