"""Fixtures of the interop tests: a small problem, a served proposer, and Julia or a skip that says why."""

import os
import socket
import subprocess
import sys
import threading

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
        thread.join(5)
        assert not thread.is_alive()


def _why_no_julia() -> str | None:
    """Boot Julia in a process of its own: a start that fails half way cannot be repeated in this one."""
    code = "from pysr_neural.interop.julia import load_package; load_package()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)}
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=900, env=environment)
    except subprocess.TimeoutExpired:
        return "Julia did not start within 15 minutes"
    return None if done.returncode == 0 else f"Julia does not start: {done.stderr.strip()[-500:]}"


@pytest.fixture(scope="session")
def julia():
    """The running Julia with our package loaded; one for the whole session."""
    reason = _why_no_julia()
    if reason is not None:
        if "julia" in os.environ.get("PYSR_NEURAL_REQUIRE", "").split(","):
            pytest.fail(reason)
        pytest.skip(reason)
    from pysr_neural.interop.julia import load_package

    return load_package()
