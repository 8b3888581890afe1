"""Many searches in a row: no freeze, and nothing left behind."""

import os
import tempfile
import threading
from pathlib import Path

import pytest

from pysr_neural.config import NeuralProposer
from pysr_neural.interop.process import servers

pytestmark = [pytest.mark.julia, pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.filterwarnings("default")]
RANDOM = NeuralProposer(proposer="pysr_neural.proposer.scripted:RandomProposer", max_overhead=1.0)


def children_of_this_process() -> set[int]:
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rsplit(") ", 1)[1].split()
        except OSError:
            continue
        if fields[0] != "Z" and int(fields[1]) == os.getpid():
            found.add(int(entry.parent.name))
    return found


def private_folders() -> int:
    return len(list(Path(tempfile.gettempdir()).glob("pysr-neural-*")))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("fits", "parameters"),
    [(30, {"parallelism": "multithreading"}), (3, {"parallelism": "multiprocessing", "procs": 2})],
    ids=["thirty multithreaded", "three with two processes"],
)
def test_fits_in_a_row_neither_freeze_nor_leak(small_fit, fits, parameters):
    servers.stop()
    processes, folders = children_of_this_process(), private_folders()
    small_fit(neural_proposer=RANDOM, **parameters)
    files, threads = open_files(), threading.active_count()
    for _ in range(fits):
        model = small_fit(neural_proposer=RANDOM, **parameters)
        assert len(model.equations_) > 0
        assert not model.neural_report_.failures
    assert len(children_of_this_process() - processes) <= 1
    assert private_folders() <= folders + 1
    assert open_files() <= files + 5
    assert threading.active_count() <= threads + 1
    servers.stop()
    assert children_of_this_process() <= processes
    assert private_folders() <= folders
