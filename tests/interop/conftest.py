"""Fixtures of the interop tests: a small problem, a served proposer, and Julia or a skip that says why."""

import os
import socket
import subprocess
import sys
import threading
from typing import NoReturn

import numpy as np
import pytest

from pysr_neural.interop.addresses import Address
from pysr_neural.interop.server import ProposerServer
from pysr_neural.problem import OperatorSet, Problem

TOKEN = "a-token-of-the-tests"


@pytest.fixture
def problem() -> Problem:
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (30, 2))
    return Problem(X, X[:, 0] ** 2 + X[:, 1], OperatorSet.of("+", "-", "*", "/", "cos"))


@pytest.fixture
def serve(tmp_path):
    """Serve a proposer from a thread; returns (address, token, server)."""
    started = []

    def start(proposer):
        if hasattr(socket, "AF_UNIX"):
            address = Address(path=str(tmp_path / f"s{len(started)}.sock"))
        else:
            address = Address()
        listener = address.listen()
        server = ProposerServer(listener, TOKEN.encode(), proposer)
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        started.append((server, thread))
        return str(address.bound(listener)), TOKEN, server

    yield start
    for server, thread in started:
        server.stop()
        thread.join(60)
        assert not thread.is_alive()


def why_no_julia_elsewhere() -> str | None:
    """Boot Julia in a process of its own: a start that fails half way cannot be repeated in this one."""
    code = "from pysr_neural.interop.julia import load_package; load_package()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)}
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    except subprocess.TimeoutExpired:
        return "Julia did not start within 15 minutes"
    return None if done.returncode == 0 else f"Julia does not start: {done.stderr.strip()[-500:]}"


def _why_no_julia() -> str | None:
    if "pysr" in sys.modules:
        return None
    if "torch" in sys.modules:
        return "torch was imported before Julia, which can crash the process: run these tests with -m julia"
    return why_no_julia_elsewhere()


def go_on_without_julia(reason: str) -> NoReturn:
    """Skip the test, or let it fail where Julia is required."""
    if "julia" in os.environ.get("PYSR_NEURAL_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def julia():
    """The running Julia with our package loaded; one for the whole session."""
    reason = _why_no_julia()
    if reason is not None:
        go_on_without_julia(reason)
    from pysr_neural import NeuralProposer, PySRRegressor
    from pysr_neural.interop.julia import load_package

    package = load_package()
    # What is compiled here would otherwise count into the first search's deadlines.
    warm = NeuralProposer(proposer="pysr_neural.proposer.scripted:RandomProposer", seed_timeout=60, max_overhead=1)
    PySRRegressor(**{**SMALL, **LONGER}, neural_proposer=warm).fit(*small_data())
    return package


SMALL = {
    "niterations": 2,
    "populations": 2,
    "population_size": 20,
    "ncycles_per_iteration": 60,
    "maxsize": 12,
    # PySR's own, in its order: what depends on them is precompiled; others cost seconds of Julia's compiler, in each of
    # the workers as well.
    "binary_operators": ["+", "-", "/", "*"],
    "parallelism": "serial",
    "progress": False,
    "verbosity": 0,
    "temp_equation_file": True,
    "input_stream": "devnull",
    "optimizer_iterations": 2,
}


LONGER = {"niterations": 25, "ncycles_per_iteration": 200}
"""Long enough for several requests to be answered."""


def small_data(rows: int = 40, features: int = 2, seed: int = 0):
    X = np.random.default_rng(seed).uniform(-2, 2, (rows, features))
    return X, X[:, 0] ** 2 + np.cos(X[:, -1])  # Which no search of these operators finds whole.


@pytest.fixture
def small_fit(julia):
    """Fit our estimator on a little data with little effort; keywords change the parameters."""
    from pysr_neural import PySRRegressor

    def fit(X=None, y=None, fit_options=None, **changed):
        if X is None:
            X, y = small_data()
        return PySRRegressor(**{**SMALL, **changed}).fit(X, y, **(fit_options or {}))

    return fit
