import contextlib
import re
import struct
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from pysr_neural.expression.node import apply, variable
from pysr_neural.expression.text import parse
from pysr_neural.problem import Complexities, Limits
from pysr_neural.proposer.base import KINDS, Child, MemberView, Prior, ProposalBatch, ProposalRequest
from pysr_neural.proposer.scripted import RandomProposer, ScriptedProposer
from pysr_neural.wire.codes import decode
from pysr_neural.wire.frames import FRAME_VERSION, HEADER, MAGIC, MAX_PAYLOAD, MessageType, frame, pack, read_frame
from tests.interop.wire_client import WireClient, open_frame, request_frame

REQUEST = ProposalRequest(members=(), count=8, levels=("seed",), seed=3)


def trees_of(batch, problem):
    trees, at, constant_at = [], 0, 0
    for length in batch.fields["lengths"]:
        codes = batch.fields["codes"][at : at + length]
        zeros = int((codes == 0).sum())
        constants = batch.fields["constants"][constant_at : constant_at + zeros]
        trees.append(decode(codes, constants, problem.operators, problem.X.shape[1]))
        at, constant_at = at + int(length), constant_at + zeros
    return trees


def test_a_search_gets_the_proposer_s_children(serve, problem):
    address, token, _ = serve(RandomProposer())
    with WireClient(address, token) as client:
        assert client.welcome.type is MessageType.WELCOME
        assert client.welcome.text("kinds").split("\n") == list(KINDS)
        assert client.ask(open_frame(problem)).type is MessageType.OPENED
        batch = client.ask(request_frame(problem, REQUEST))
    expected = RandomProposer().open(problem).propose(REQUEST)
    assert batch.type is MessageType.BATCH
    assert batch.request == 3
    assert trees_of(batch, problem) == [child.tree for child in expected.children]
    assert len(expected.children) > 0


def test_all_parts_of_a_batch_and_of_a_request_travel(serve, problem):
    answer = ProposalBatch(
        (Child(parse("x0 + 2.5"), "crossover", (1, 0), -3.5), Child(parse("cos(x1)"), "neural", (1,))),
        kind_weights=np.arange(len(KINDS), dtype=float),
        crossover_probability=0.25,
        parent_weights=np.array([0.75, 0.25]),
        prior=Prior(np.array([1.0, 2, 3, 4, 5]), np.array([0.5, 0.5]), np.ones((6, 7))),
    )
    members = (MemberView(parse("x0 * 1.5 - 0.25"), 0.5, 5), MemberView(parse("x1"), float("inf"), 1))
    asked = ProposalRequest(
        members, 4, ("parents", "child"), seed=9, temperature=0.7, max_size=11, progress=0.5, seconds=2.5
    )
    limits = Limits(
        13,
        7,
        nested=((0, 0, 1), (0, 4, 2)),
        arguments=((4, 1, 3), (0, 0, 5)),
        complexities=Complexities(2.0, (1.0, 1.5), (3.0, 1.0, 1.0, 1.0, 2.5)),
    )
    problem = replace(problem, limits=limits)
    seen = []

    class Recording:
        def open(self, opened):
            seen.append(opened)
            return self

        def propose(self, request):
            seen.append(request)
            return answer

    address, token, _ = serve(Recording())
    with WireClient(address, token) as client:
        client.ask(open_frame(problem))
        batch = client.ask(request_frame(problem, asked))
    assert seen[1] == asked
    assert seen[0].operators == problem.operators
    assert seen[0].limits == problem.limits
    assert np.array_equal(seen[0].X, problem.X)
    assert trees_of(batch, problem) == [child.tree for child in answer.children]
    assert batch.fields["parents"].tolist() == [[1, 0], [1, -1]]
    assert [KINDS[k] for k in batch.fields["kinds"]] == ["crossover", "neural"]
    assert batch.fields["log_probabilities"][0] == -3.5
    assert batch.scalar("crossover_probability") == 0.25
    assert batch.fields["pair_weights"].shape == (6, 7)


def test_what_leaves_only_noise_is_told_of_children_and_members(serve, problem):
    rng = np.random.default_rng(4)
    X = rng.uniform(0, 2, (300, 2))
    law, near = parse("cos(x0) + x1"), parse("x1 - x0 + 1.0")
    noisy = replace(problem, X=X, y=np.cos(X[:, 0]) + X[:, 1] + 0.01 * rng.standard_normal(300))
    answer = ProposalBatch((Child(near), Child(apply("foreign", variable(0))), Child(law)))
    told = []
    for member in (near, law):
        address, token, _ = serve(SimpleNamespace(open=lambda _: SimpleNamespace(propose=lambda _: answer)))
        with WireClient(address, token) as client:
            client.ask(open_frame(noisy))
            asked = ProposalRequest((MemberView(member, 0.5, member.size),), 4, ("refresh",), seed=0)
            batch = client.ask(request_frame(noisy, asked))
        told.append((batch.fields["leave_noise"].tolist(), bool(batch.scalar("explained"))))
    assert told == [([0, 1], False), ([0, 1], True)]


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"limits": [5]}, "max_size, max_depth"),
        ({"nested": [[0, 0]]}, "outer, inner, count"),
        ({"nested": [[0, 5, 1]]}, r"positions below \(5, 5\); got \(0, 5, 1\)"),
        ({"arguments": [1, 2, 3, 4]}, "operator, argument, size"),
        ({"arguments": [[-1, 0, 4]]}, "OPEN.arguments must hold positions"),
        ({"arguments": [[0, 3, 4]]}, "OPEN.arguments must hold positions"),
        ({"complexities": [1.0] * 7}, "2 variables and 5 operators"),
        ({"complexities": [-1.0] * 8}, "complexity must be"),
        ({"complexities": [np.nan] * 8}, "complexity must be"),
    ],
)
def test_limits_that_make_no_sense_are_refused_and_the_connection_lives(serve, problem, changed, part):
    address, token, _ = serve(RandomProposer())
    with WireClient(address, token) as client:
        wrong = open_frame(problem)
        answer = client.ask(frame(MessageType.OPEN, wrong.request, **{**wrong.fields, **changed}))
        assert answer.type is MessageType.ERROR
        assert re.search(part, answer.text("message"))
        assert client.ask(open_frame(problem)).type is MessageType.OPENED


def test_without_a_limit_of_time_there_are_no_seconds(serve, problem):
    seen = []

    class Recording(RandomProposer):
        def open(self, opened):
            session = super().open(opened)
            return SimpleNamespace(propose=lambda request: seen.append(request.seconds) or session.propose(request))

    address, token, _ = serve(Recording())
    with WireClient(address, token) as client:
        client.ask(open_frame(problem))
        for seconds in (np.nan, 0.25, -3.0):
            client.ask(request_frame(problem, REQUEST, seconds=seconds))
    assert seen == [None, 0.25, 0.0]


def test_a_wrong_token_is_refused_before_anything_else(serve, problem):
    address, token, _ = serve(RandomProposer())
    with WireClient(address, "wrong") as client:
        assert client.welcome.type is MessageType.ERROR
        assert read_frame(client.stream) is None
    with WireClient(address, token, hello=False) as client:
        answer = client.ask(frame(MessageType.PING, 1))
        assert answer.type is MessageType.ERROR
    with WireClient(address, token, hello=False) as client:
        assert client.ask(frame(MessageType.SHUTDOWN)).type is MessageType.ERROR
    with WireClient(address, token) as client:
        assert client.ask(frame(MessageType.PING, 5)).type is MessageType.PONG


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"search": 99}, "opened before"),
        ({"count": -1}, "count"),
        ({"count": 10**6}, "count"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"lengths": [3]}, "length"),
        ({"lengths": [2], "codes": [1, 1], "losses": [1.0], "complexities": [1]}, "one tree"),
        ({"lengths": [1], "codes": [77], "losses": [1.0], "complexities": [1]}, "language"),
        ({"lengths": [1], "codes": [0], "losses": [1.0], "complexities": [1]}, "constant"),
    ],
)
def test_a_bad_request_is_answered_and_the_connection_lives(serve, problem, changed, part):
    address, token, _ = serve(RandomProposer())
    with WireClient(address, token) as client:
        client.ask(open_frame(problem))
        answer = client.ask(request_frame(problem, REQUEST, **changed))
        assert answer.type is MessageType.ERROR
        assert answer.request == 3
        assert part in answer.text("message")
        assert client.ask(request_frame(problem, REQUEST)).type is MessageType.BATCH


def test_a_payload_that_is_no_message_is_answered_and_the_connection_lives(serve):
    address, token, _ = serve(RandomProposer())
    with WireClient(address, token) as client:
        for type_, payload in ((5, b"garbage"), (4711, b""), (int(MessageType.CLOSE), b"")):
            answer = client.ask(HEADER.pack(MAGIC, FRAME_VERSION, type_, 12, len(payload)) + payload)
            assert answer.type is MessageType.ERROR
            assert answer.request == 12
        assert client.ask(frame(MessageType.WELCOME, 1, server="x", kinds="y")).type is MessageType.ERROR
        assert client.ask(frame(MessageType.PING, 5)).type is MessageType.PONG


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        struct.pack("<4sHHQQ", MAGIC, 99, 7, 1, 0),
        struct.pack("<4sHHQQ", MAGIC, FRAME_VERSION, 7, 1, MAX_PAYLOAD + 1),
    ],
)
def test_bytes_that_are_no_frame_close_their_connection_only(serve, data):
    address, token, _ = serve(RandomProposer())
    with WireClient(address, token) as good, WireClient(address, token) as bad:
        with contextlib.suppress(ConnectionError):
            assert bad.ask(data) is None
        assert good.ask(frame(MessageType.PING, 5)).type is MessageType.PONG


def test_before_the_token_nobody_may_announce_a_large_payload(serve):
    address, token, _ = serve(RandomProposer())
    with WireClient(address, token, hello=False) as client, contextlib.suppress(ConnectionError):
        assert client.ask(HEADER.pack(MAGIC, FRAME_VERSION, 1, 1, 10**6)) is None


def test_a_failing_proposer_is_reported_and_survived(serve, problem):
    address, token, _ = serve(ScriptedProposer([RuntimeError("out of memory"), "nonsense", parse("x0")]))
    with WireClient(address, token) as client:
        client.ask(open_frame(problem))
        first = client.ask(request_frame(problem, REQUEST))
        assert first.type is MessageType.ERROR
        assert "out of memory" in first.text("message")
        assert client.ask(request_frame(problem, REQUEST)).type is MessageType.ERROR
        assert trees_of(client.ask(request_frame(problem, REQUEST)), problem) == [parse("x0")]


def test_a_child_outside_the_search_s_language_is_left_out_with_a_log_entry(serve, problem, caplog):
    address, token, _ = serve(
        ScriptedProposer([ProposalBatch((Child(parse("x9")), Child(parse("exp(x0)")), Child(parse("x1"))))])
    )
    with WireClient(address, token) as client:
        client.ask(open_frame(problem))
        assert trees_of(client.ask(request_frame(problem, REQUEST)), problem) == [parse("x1")]
    assert caplog.text.count("left out") == 2


@pytest.mark.parametrize("broken", ["X", "y"])
def test_data_that_is_not_finite_is_refused(serve, problem, broken):
    address, token, _ = serve(RandomProposer())
    message = open_frame(problem)
    values = message.fields[broken].copy()
    values.flat[3] = np.nan
    bad = frame(MessageType.OPEN, 2, **{**message.fields, broken: values})
    with WireClient(address, token) as client:
        answer = client.ask(bad)
        assert answer.type is MessageType.ERROR
        assert "finite" in answer.text("message")


def test_searches_of_different_connections_do_not_mix_and_can_be_closed(serve, problem):
    address, token, _ = serve(RandomProposer())
    with WireClient(address, token) as first, WireClient(address, token) as second:
        first.ask(open_frame(problem))
        assert second.ask(request_frame(problem, REQUEST)).type is MessageType.ERROR
        first.socket.sendall(pack(frame(MessageType.CLOSE, 4, search=7)))
        assert first.ask(request_frame(problem, REQUEST)).type is MessageType.ERROR


def test_shutdown_ends_the_server(serve):
    address, token, server = serve(RandomProposer())
    with WireClient(address, token) as client:
        assert client.ask(frame(MessageType.SHUTDOWN)) is None
    assert server._stopped.wait(60)
