"""Searches of the real engine with a real server: what must work, and what must fall back."""

import os
from dataclasses import replace

import numpy as np
import pytest

from pysr_neural.config import NeuralProposer
from pysr_neural.errors import CheckpointError, DataError
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.text import parse
from pysr_neural.model.checkpoint import resolve
from pysr_neural.proposer.scripted import RandomProposer, ScriptedProposer
from tests.interop.conftest import LONGER, SMALL, small_data

pytestmark = [pytest.mark.julia, pytest.mark.filterwarnings("default")]

LEVELS = ("seed", "kind", "parents", "child", "crossover", "refresh", "prior", "foresight")
RANDOM = NeuralProposer(proposer="pysr_neural.proposer.scripted:RandomProposer", levels=LEVELS, max_overhead=1.0)
CHECKPOINT = str(resolve("default"))
"""A directory, as users have them."""
LAW = parse("(x0 * x1 - x1) / (x0 * x0 + 3) - x1 * x1")
"""Beyond what a very short search finds."""


def finished(model) -> bool:
    frames = model.equations_ if isinstance(model.equations_, list) else [model.equations_]
    return all(len(frame) > 0 and np.isfinite(frame["loss"]).all() for frame in frames)


@pytest.mark.parametrize("parallelism", ["serial", "multithreading"])
def test_proposals_reach_the_search(small_fit, parallelism):
    model = small_fit(neural_proposer=RANDOM, parallelism=parallelism, **LONGER)
    report = model.neural_report_
    assert finished(model)
    assert report.calls > 0
    assert report.served > 0
    assert report.search_seconds > 0
    assert report.model_seconds > 0
    assert not report.failures
    assert "proposals taken" in str(report)


def test_a_transformer_checkpoint_runs_a_search(small_fit):
    model = small_fit(neural_proposer=NeuralProposer(checkpoint=CHECKPOINT, max_overhead=1.0), **LONGER)
    assert finished(model)
    assert model.neural_report_.calls > 0
    assert not model.neural_report_.failures


def test_a_good_proposal_wins(small_fit):
    X = np.random.default_rng(1).uniform(-2, 2, (40, 2))
    y = evaluate(LAW, X)
    oracle = NeuralProposer(proposer=ScriptedProposer([LAW], cycle=True), levels=("seed", "child"), max_overhead=1.0)
    model = small_fit(X, y, neural_proposer=oracle, maxsize=20)
    assert model.equations_["loss"].min() < 1e-10
    assert model.neural_report_.neural_hall_of_fame
    assert small_fit(X, y, maxsize=20).equations_["loss"].min() > 1e-10


def test_an_object_is_served_from_this_process(small_fit):
    model = small_fit(
        neural_proposer=NeuralProposer(proposer=RandomProposer(), max_overhead=1.0),
        parallelism="multithreading",
        **LONGER,
    )
    assert model.neural_report_.served > 0


def test_proposals_are_made_from_the_data_as_given(small_fit):
    class Watching(RandomProposer):
        def open(self, problem):
            seen.append(problem)
            return super().open(problem)

    X = np.random.default_rng(2).uniform(-2, 2, (40, 2))
    for precision, y in (
        (32, np.cos(X[:, 0])),
        (64, np.cos(X[:, 0])),
        (32, np.stack([X[:, 0] / 3, X[:, 1] / 7], axis=1)),
    ):
        seen = []
        small_fit(X, y, neural_proposer=replace(RANDOM, proposer=Watching()), precision=precision)
        assert len(seen) == (y.ndim if y.ndim == 1 else y.shape[1])
        for problem, target in zip(seen, y.reshape(len(y), -1).T, strict=True):
            np.testing.assert_array_equal(problem.X, X)
            np.testing.assert_array_equal(problem.y, target)


def test_what_the_users_condition_accepts_ends_the_search_at_once(small_fit):
    X = np.random.default_rng(1).uniform(-2, 2, (40, 2))
    y = evaluate(LAW, X)
    oracle = NeuralProposer(proposer=ScriptedProposer([LAW], cycle=True), max_overhead=1.0)
    model = small_fit(
        X, y, neural_proposer=oracle, maxsize=20, populations=30, niterations=10**6, early_stop_condition=1e-9
    )
    assert model.equations_["loss"].min() < 1e-9
    assert not model.interrupted_
    assert model.neural_report_.calls == 1


def test_a_reproducible_neural_search_repeats_itself(small_fit):
    options = {"deterministic": True, "random_state": 3, "neural_proposer": RANDOM, **LONGER}
    first, second = small_fit(**options), small_fit(**options)
    assert first.neural_report_.served > 0
    assert first.equations_["equation"].tolist() == second.equations_["equation"].tolist()
    assert first.equations_["loss"].tolist() == second.equations_["loss"].tolist()


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_works_alone(small_fit, level):
    model = small_fit(neural_proposer=replace(RANDOM, levels=(level,)))
    assert finished(model)
    assert not model.neural_report_.failures


@pytest.mark.parametrize(
    ("rows", "features"),
    [(40, 1), (40, 60), (3, 2), pytest.param(20_000, 2, marks=pytest.mark.timeout(600))],
)
def test_data_of_any_size(small_fit, rows, features):
    X, y = small_data(rows, features)
    model = small_fit(X, y, neural_proposer=RANDOM)
    assert finished(model)
    assert not model.neural_report_.failures


def test_custom_operators(small_fit):
    import sympy

    model = small_fit(
        neural_proposer=RANDOM,
        unary_operators=["cos", "twice(x) = 2 * x"],
        extra_sympy_mappings={"twice": lambda x: sympy.Integer(2) * x},
    )
    assert finished(model)


def test_operators_of_three_arguments(small_fit):
    model = small_fit(
        neural_proposer=RANDOM,
        binary_operators=None,
        unary_operators=None,
        operators={1: ["cos"], 2: ["+", "*"], 3: ["muladd"]},
        extra_sympy_mappings={"muladd": lambda x, y, z: x * y + z},
    )
    assert finished(model)


def test_complex_numbers_fall_back(small_fit):
    X, y = small_data()
    model = small_fit(
        X.astype(np.complex64),
        (y + 1j * X[:, 0]).astype(np.complex64),
        neural_proposer=RANDOM,
        unary_operators=None,
        elementwise_loss="loss(x, y) = abs2(x - y)",
    )
    assert finished(model)


@pytest.mark.slow
@pytest.mark.parametrize("precision", [16, 64])
def test_every_precision(small_fit, precision):
    model = small_fit(neural_proposer=RANDOM, precision=precision)
    assert len(model.equations_) > 0


def test_integer_data(small_fit):
    X = np.arange(40).reshape(-1, 1) % 7
    assert finished(small_fit(X, X[:, 0] ** 2 + 1, neural_proposer=RANDOM))


def test_nested_constraints_are_kept(small_fit):
    X, _ = small_data()
    constraints = {"nested_constraints": {"/": {"/": 0}}, "constraints": {"/": (-1, 3)}}
    model = small_fit(X, X[:, 0] / X[:, 1], neural_proposer=RANDOM, **LONGER, **constraints)  # Needs a quotient.
    assert finished(model)
    fractions = [node for text in model.equations_["equation"] for node in parse(text) if node.operator == "/"]
    assert fractions
    assert all(node.children[1].size <= 3 for node in fractions)
    assert not any(below.operator == "/" for node in fractions for child in node.children for below in child)


def test_units(small_fit):
    X, y = small_data()
    model = small_fit(X, y, fit_options={"X_units": ["m", "s"], "y_units": "m^2"}, neural_proposer=RANDOM)
    assert finished(model)


def test_a_warming_up_size_limit(small_fit):
    assert finished(small_fit(neural_proposer=RANDOM, warmup_maxsize_by=0.9, **LONGER))


def test_weights_and_batching(small_fit):
    X, y = small_data(200)
    model = small_fit(X, y, fit_options={"weights": np.ones(200)}, neural_proposer=RANDOM, batching=True, batch_size=20)
    assert finished(model)


@pytest.mark.timeout(1200)  # Each worker may have to compile the engine first.
def test_two_worker_processes(small_fit):
    # Choosing parents makes another type of plugin, which is not precompiled, and each worker would compile it.
    proposer = replace(RANDOM, levels=tuple(level for level in LEVELS if level != "parents"))
    model = small_fit(neural_proposer=proposer, parallelism="multiprocessing", procs=2, **LONGER)
    assert finished(model)
    assert model.neural_report_.calls > 0
    assert not model.neural_report_.failures
    assert model.worker_imports is None


def test_plain_pysr_takes_the_plugin(julia):
    import pysr

    from pysr_neural import NeuralProposerPlugin

    plugin = NeuralProposerPlugin(RANDOM)
    model = pysr.PySRRegressor(**{**SMALL, **LONGER}, plugins=[plugin]).fit(*small_data())
    assert finished(model)
    assert plugin.report().served > 0


def test_errors_come_before_the_search(small_fit, tmp_path):
    X, y = small_data()
    with pytest.raises(DataError):
        small_fit(X, np.where(np.arange(40) == 2, np.nan, y), neural_proposer=RANDOM)
    with pytest.raises(DataError):
        small_fit(X, y[:-1], neural_proposer=RANDOM)
    with pytest.raises(CheckpointError):
        small_fit(neural_proposer=str(tmp_path / "nothing"))


def test_a_checkpoint_of_other_shapes_is_refused_before_the_search(small_fit, tmp_path):
    import json
    import shutil

    other = tmp_path / "other"
    shutil.copytree(CHECKPOINT, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "width": 2 * config["width"]}))
    with pytest.raises(CheckpointError, match="fit its configuration"):
        small_fit(neural_proposer=str(other))
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".sock")]
