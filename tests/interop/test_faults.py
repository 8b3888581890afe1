"""Whatever the server does, the search goes on, and the report says what happened."""

import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from pysr_neural.config import NeuralProposer
from pysr_neural.interop import plugin as plugin_module
from pysr_neural.interop.process import servers
from pysr_neural.wire.frames import FRAME_VERSION, HEADER, MAGIC, MessageType, frame, pack
from tests.interop.conftest import LONGER, small_data
from tests.interop.fake_server import FakeServer, batch, children

pytestmark = [pytest.mark.julia, pytest.mark.filterwarnings("default")]

CONFIG = NeuralProposer(proposer="nobody:asks", levels="all", max_overhead=1.0, seed_timeout=1.0, request_timeout=1.0)
PATIENT = replace(CONFIG, seed_timeout=60.0, request_timeout=60.0)
"""Where answers come: a busy machine must not make them late."""


@pytest.fixture
def search_against(small_fit, monkeypatch, tmp_path):
    """Run a search against a server that answers requests as given; returns its report."""
    started = []

    def run(answer, welcome=True, **changed):
        fake = FakeServer(answer, welcome, tmp_path)
        started.append(fake)
        monkeypatch.setattr(plugin_module, "servers", fake.as_servers())
        model = small_fit(**{"neural_proposer": CONFIG, **LONGER, **changed})
        assert len(model.equations_) > 0
        return model.neural_report_, fake

    yield run
    for fake in started:
        fake.stop()


@pytest.mark.parametrize("parallelism", ["serial", "multithreading"])
def test_a_hanging_server(search_against, parallelism):
    report, _ = search_against(lambda message: "hang", parallelism=parallelism)
    assert any("no answer within" in text for text in report.failures)
    assert report.served == 0


@pytest.mark.parametrize("levels", [("seed",), ("seed", "child", "refresh")])
def test_waiting_for_a_slow_proposer_keeps_to_the_limit_of_time(small_fit, levels):
    from pysr_neural.proposer.scripted import ScriptedProposer

    def slow(seconds):
        proposer = ScriptedProposer([], delay=seconds)
        return NeuralProposer(
            proposer=proposer, levels=levels, max_overhead=1.0, seed_timeout=ANSWER, request_timeout=ANSWER
        )

    small_fit(neural_proposer=slow(0.0), niterations=1)  # Compiles what these levels need.
    started = time.monotonic()
    model = small_fit(neural_proposer=slow(ANSWER), niterations=10**6, timeout_in_seconds=1)
    assert time.monotonic() - started < ANSWER  # Before the answer that it would have waited for, if it waited.
    assert model.neural_report_.served == 0
    assert len(model.equations_) > 0


ANSWER = 45.0
"""Seconds that a proposer takes which nothing should wait for: more than any search of a second on a busy machine."""


def test_with_verbosity_0_nothing_is_heard(search_against, capfd):
    capfd.readouterr()
    report, _ = search_against(lambda message: b"HTTP/1.1 200 OK\r\n\r\n" * 10)
    assert report.failures
    assert capfd.readouterr().err == ""


def test_a_server_that_never_says_welcome(search_against):
    report, _ = search_against(lambda message: b"", welcome=False)
    assert report.failures
    assert report.served == 0


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda message: os.urandom(4000), id="noise"),
        pytest.param(lambda message: b"HTTP/1.1 200 OK\r\n\r\n" * 10, id="another protocol"),
        pytest.param(lambda message: pack(batch(message))[:40], id="truncated, then silence"),
        pytest.param(lambda message: None, id="closed"),
        pytest.param(
            lambda message: HEADER.pack(MAGIC, FRAME_VERSION, 6, message.request, 1 << 60), id="absurd length"
        ),
        pytest.param(lambda message: HEADER.pack(MAGIC, 9, 6, message.request, 0), id="another version"),
        pytest.param(lambda message: HEADER.pack(MAGIC, FRAME_VERSION, 77, message.request, 0), id="unknown type"),
        pytest.param(lambda message: HEADER.pack(MAGIC, FRAME_VERSION, 6, message.request, 3) + b"abc", id="no fields"),
        pytest.param(lambda message: frame(MessageType.PONG, message.request), id="an answer to something else"),
        pytest.param(lambda message: batch(message, search=-5), id="another search"),
        pytest.param(
            lambda message: batch(message, lengths=[9], kinds=[13], log_probabilities=[0], leave_noise=[0]),
            id="lengths lie",
        ),
    ],
)
def test_nonsense_on_the_wire(search_against, answer):
    report, _ = search_against(answer)
    assert report.failures
    assert report.served == 0


def test_errors_from_the_server(search_against):
    report, _ = search_against(lambda message: frame(MessageType.ERROR, message.request, message="no model today"))
    assert any("no model today" in text for text in report.failures)


def test_impossible_children_are_refused_one_by_one(search_against):
    # Codes: 0 constant, 1-2 variables, 3 +, 4 -, 5 /, 6 *
    def answer(message):
        wrong = [([3, 1], []), ([1, 1], []), ([99], []), ([-1], []), ([3] * 20 + [1] * 21, [])]
        return children(message, [*wrong, ([3, 1, 2], [])])

    report, _ = search_against(answer, neural_proposer=PATIENT)
    assert sum(report.invalid.values()) > 0
    assert any("decode" in reason for reason in report.invalid)
    assert not report.failures
    assert report.served > 0


def test_weights_of_the_wrong_length_are_refused(search_against):
    report, _ = search_against(
        lambda message: children(
            message,
            [([3, 1, 2], [])],
            kind_weights=[1.0] * 3,
            parent_weights=[0.5] * 500,
            operator_weights=[1.0] * 99,
            variable_weights=[1.0],
            pair_weights=[1.0],
            crossover_probability=7.0,
        ),
        neural_proposer=PATIENT,
    )
    assert any("prior of another size" in reason for reason in report.invalid)
    assert not report.failures


def test_weights_that_are_no_numbers(search_against):
    def answer(message):
        return children(
            message,
            [([3, 1, 2], [])],
            kind_weights=[np.nan] * 14,
            operator_weights=[np.nan] * 4,
            variable_weights=[-1.0, np.inf],
            pair_weights=np.full((5, 6), np.nan),
            crossover_probability=np.nan,
        )

    report, _ = search_against(answer, neural_proposer=PATIENT)
    assert not report.failures


def test_a_server_killed_in_mid_search(small_fit):
    config = NeuralProposer(
        proposer="pysr_neural.proposer.scripted:RandomProposer", max_overhead=1.0, seed=77, request_timeout=2.0
    )
    handle = servers.get(config)
    handle.wait_until_ready(60)

    def kill():
        time.sleep(2.0)
        os.kill(handle.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    X, y = small_data()
    noisy = y + np.random.default_rng(0).normal(0, 0.3, len(y))  # Once there is an answer, nothing is asked any more.
    limits = {"niterations": 10**6, "timeout_in_seconds": 6, "parallelism": "multithreading"}
    model = small_fit(X, noisy, neural_proposer=config, **limits)
    killer.join()
    assert not handle.alive
    assert len(model.equations_) > 0
    assert model.neural_report_.failures
    again = small_fit(neural_proposer=config, **LONGER)
    assert servers.get(config).pid != handle.pid
    assert again.neural_report_.calls > 0


def test_a_proposer_that_raises(small_fit):
    from pysr_neural.proposer.scripted import ScriptedProposer

    raising = ScriptedProposer([RuntimeError("the device is lost")], cycle=True)
    model = small_fit(neural_proposer=NeuralProposer(proposer=raising, max_overhead=1.0), **LONGER)
    assert any("the device is lost" in text for text in model.neural_report_.failures)
