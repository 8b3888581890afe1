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
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.sample import GrowSampler
from pysr_neural.expression.text import parse
from pysr_neural.problem import OperatorSet
from pysr_neural_benchmarks.judging.scoring import THRESHOLD
from pysr_neural_benchmarks.runner import srbf_worker
from pysr_neural_benchmarks.suites.data import Case, draw
from pysr_neural_benchmarks.suites.reader import load_suite

X = np.random.default_rng(0).uniform(-2.0, 2.0, (48, 2))
Y = 2.0 * X[:, 0] - 0.5 * X[:, 1] + 1.0
OPTIONS = {"method": "basicsr", "seconds": None, "evaluations": 20_000, "operators": ["+", "-", "*"]}


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


def test_a_budget_without_a_limit_is_refused():
    with pytest.raises(ConfigError, match="must have a limit"):
        srbf_worker.load({"seconds": None})


def test_evaluations_alone_give_the_same_answer_again():
    state = srbf_worker.load({**OPTIONS, "evaluations": 3000})
    found, again = (srbf_worker.fit(X.tolist(), Y.tolist(), variables=["v1", "b"], state=state) for _ in range(2))
    assert found["expression"] == again["expression"]
    assert found["extra"]["front"] == again["extra"]["front"]


@pytest.mark.parametrize(("variables", "mixed"), [(["t", "x1"], "x1"), (["x2", "t"], "x2"), (["x1", "b", "x2"], "x2")])
def test_columns_that_srbf_would_mix_up_are_refused(variables, mixed):
    error = srbf_worker.fit(X.tolist(), Y.tolist(), variables=variables, state={})["error"]
    assert repr(mixed) in error


def test_other_columns_are_not():
    state = {**srbf_worker.load(OPTIONS), "seconds": 1e-9}
    for variables in (["v1", "b"], ["x1", "x2"], ["x3", "x1"], ["x1", "t"]):
        assert "found nothing" in srbf_worker.fit(X.tolist(), Y.tolist(), variables=variables, state=state)["error"]


def test_srbf_s_own_runner_can_run_it():
    package = find_spec("srbf")
    if package is None or package.origin is None:
        pytest.skip("srbf is not installed (it needs Python 3.12)")
    runner = Path(package.origin).parent / "worker" / "runner.py"
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        command = [sys.executable, str(runner), "--connect", address, srbf_worker.__file__]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={"PYTHONPATH": ":".join(sys.path)})
        server.settimeout(600)
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


TEN = [f"Nguyen-{number}" for number in (1, 2, 4, 5, 6, 7, 8, 9, 10, 12)]


@pytest.fixture(scope="module")
def judge():
    """An engine of simplipy, which reads and evaluates for srbf, of our own making: theirs would have to be fetched."""
    simplipy = pytest.importorskip("simplipy", reason="srbf is not installed (it needs Python 3.12)")
    names = {"neg": 1, "inv": 1, "sin": 1, "cos": 1, "exp": 1, "log": 1, "abs": 1, "pow": 2, "rootn": 2}
    operators = {
        **{sign: {"realization": sign, "alias": [], "arity": 2, "commutative": sign in "+*"} for sign in "+-*"},
        "/": {"realization": "simplipy.operators.div", "alias": [], "arity": 2, "commutative": False},
        **{
            name: {"realization": f"simplipy.operators.{name}", "alias": [], "arity": arity, "commutative": False}
            for name, arity in names.items()
        },
    }
    return simplipy.SimpliPyEngine(operators, rules=[])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Of packages that are not ours.
def test_srbf_s_judge_and_ours_agree_on_ten_problems(judge):
    pytest.importorskip("srbf", reason="srbf is not installed (it needs Python 3.12)")
    from srbf.core import EvaluationSample
    from srbf.metrics.numeric import fvu, is_perfect_fit
    from srbf.sample_metadata import build_base_metadata
    from srbf.subprocess_adapter import SubprocessAdapter

    known = {source.name: source for source in load_suite("nguyen")}
    options = {"method": "basicsr", "seconds": None, "evaluations": 4_000}
    adapter = SubprocessAdapter(
        worker=srbf_worker.__file__, python=sys.executable, simplipy_engine=judge, options=options, timeout=600.0
    )
    verdicts = []
    try:
        adapter.prepare()
        for name in TEN:
            data = draw(known[name], Case("nguyen", name, points=64))
            X, y = data.problem.X, data.problem.y[:, None]
            names = [f"x{i + 1}" for i in range(X.shape[1])]
            about = build_base_metadata(
                skeleton=None, expression=None, variables=names, x_support=X, y_support=y, y_support_noisy=y,
                x_validation=data.X_test, y_validation=data.y_test[:, None], y_validation_noisy=data.y_test[:, None],
                noise_level=0.0,
            )  # fmt: skip
            sample = EvaluationSample(X, y, data.X_test, data.y_test[:, None], metadata=about)
            record = adapter.evaluate_sample(sample).to_mapping()
            assert record["prediction_success"], record.get("error")
            theirs = fvu(data.y_test, record["y_pred_val"])
            tree = parse(record["predicted_expression"].replace("**", "^"), names)
            ours = fraction_unexplained(evaluate(tree, data.X_test), data.y_test)
            assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-14), name
            assert (ours <= THRESHOLD) == is_perfect_fit(data.y_test, record["y_pred_val"]), name
            verdicts.append(ours <= THRESHOLD)
    finally:
        adapter.close()
    assert len(verdicts) == len(TEN)
    assert any(verdicts)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Of packages that are not ours.
def test_what_we_hand_over_means_to_srbf_what_it_means_to_us(judge):
    pytest.importorskip("srbf", reason="srbf is not installed (it needs Python 3.12)")
    from srbf.subprocess_adapter import evaluate_prefix
    from symbolic_data.token_ops import desugar_sqrt

    operators = OperatorSet.of(
        "+", "-", "*", "/", "^", "sin", "exp", "log", "sqrt", "abs", "neg", "inv", "square", "cube"
    )
    sampler = GrowSampler(operators, 2, (-1.5, 2.0, 0.5, 1e-7, 3.25e18, -2.0))
    rng, names, compared = np.random.default_rng(0), ["x1", "x2"], 0
    for _ in range(400):
        tree = sampler.tree(4, rng)
        prefix = desugar_sqrt([*judge.read_infix(srbf_worker.written(tree, names))], dict(judge.operator_arity))
        theirs = evaluate_prefix(judge, prefix, names, X)[0].ravel()
        ours = np.broadcast_to(evaluate(tree, X), theirs.shape)
        # Our power of 0 to what is negative is no number, as PySR's; theirs is infinite, and one over it a number.
        known = np.isfinite(ours)
        np.testing.assert_allclose(theirs[known], ours[known], rtol=1e-9, err_msg=str(tree))
        compared += known.any()
    assert compared > 200
