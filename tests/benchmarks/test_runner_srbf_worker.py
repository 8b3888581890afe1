"""Our methods as a worker of srbf: the contract, and, where srbf's files are, its own runner."""

import json
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.expression.text import parse
from pysr_neural_benchmarks.runner import srbf_worker

X = np.random.default_rng(0).uniform(-2.0, 2.0, (48, 2))
Y = 2.0 * X[:, 0] - 0.5 * X[:, 1] + 1.0
OPTIONS = {"method": "basicsr", "seconds": 3.0, "operators": ["+", "-", "*"]}


def left(expression):
    names = {"v1": X[:, 0], "b": X[:, 1]}
    return np.mean((eval(expression, {}, names) - Y) ** 2) / np.var(Y)


def test_a_formula_is_handed_over_in_srbf_s_names():
    state = srbf_worker.load(OPTIONS)
    assert srbf_worker.info(state)["method"] == "basicsr"
    json.dumps(srbf_worker.info(state))
    found = srbf_worker.fit(X.tolist(), Y.tolist(), x_val=[], variables=["v1", "b"], meta={}, options={}, state=state)
    assert left(found["expression"]) < 1e-6
    assert any(each["expression"] == found["expression"] for each in found["extra"]["front"])
    json.dumps(found)


def test_nothing_in_time_is_an_error_of_that_problem():
    state = {**srbf_worker.load(OPTIONS), "seconds": 1e-9}
    found = srbf_worker.fit(X.tolist(), Y.tolist(), variables=["v1", "b"], state=state)
    assert "found nothing" in found["error"]


def test_expressions_are_written_as_srbf_reads_them():
    text = srbf_worker.written(parse("x0 ^ -2.5 - square(neg(x1)) / sqrt(x0)"), ["v1", "v2"])
    assert text == "((v1 ** (-2.5)) - ((neg(v2) ** 2) / sqrt(v1)))"


def test_unknown_options_are_refused():
    with pytest.raises(ConfigError, match="Did you mean 'seconds'"):
        srbf_worker.load({"second": 1})


def test_srbf_s_own_runner_can_run_it():
    package = find_spec("srbf")
    if package is None or package.origin is None:
        pytest.skip("srbf is not installed (it needs Python 3.12)")
    runner = Path(package.origin).parent / "worker" / "runner.py"
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        command = [sys.executable, str(runner), "--connect", address, srbf_worker.__file__]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={"PYTHONPATH": ":".join(sys.path)})
        server.settimeout(120)
        connection, _ = server.accept()
        with connection, connection.makefile("rw", encoding="utf-8") as lines:

            def ask(**request):
                lines.write(json.dumps(request) + "\n")
                lines.flush()
                return json.loads(lines.readline())

            assert ask(type="init", options=OPTIONS)["type"] == "ready"
            problem = {"x": X.tolist(), "y": Y.tolist(), "x_val": [], "variables": ["v1", "b"], "meta": {}}
            reply = ask(type="fit", id=7, **problem)
            assert (reply["id"], reply["error"]) == (7, None)
            assert left(reply["expression"]) < 1e-6
            assert ask(type="close") == {"type": "closed"}
        assert process.wait(30) == 0
