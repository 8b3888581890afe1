import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from pysr_neural.config import NeuralProposer
from pysr_neural.errors import CheckpointError, ConfigError, EngineUnavailableError
from pysr_neural.interop.process import ServerProcess, Servers, ServerThread
from pysr_neural.proposer.base import ProposalRequest
from pysr_neural.proposer.scripted import RandomProposer
from pysr_neural.wire.frames import MessageType, frame
from tests.interop.wire_client import WireClient, open_frame, request_frame

RANDOM = NeuralProposer(proposer="pysr_neural.proposer.scripted:RandomProposer")
REQUEST = ProposalRequest(members=(), count=4, levels=("seed",), seed=1)


def gone(pid: int, timeout: float = 60.0) -> bool:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def server():
    started = ServerProcess(RANDOM)
    yield started
    started.stop()


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_a_server_process_answers_and_leaves_nothing_behind(problem, transport):
    server = ServerProcess(NeuralProposer(proposer=RANDOM.proposer, transport=transport))
    address = server.wait_until_ready(30)
    assert address.startswith(transport)
    directory = server._directory
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    with WireClient(address, server.token) as client:
        client.ask(open_frame(problem))
        assert client.ask(request_frame(problem, REQUEST)).type is MessageType.BATCH
    assert server.alive
    server.stop()
    assert not server.alive
    assert gone(server.pid)
    assert not directory.exists()
    server.stop()


def test_the_token_is_in_no_argument_and_no_environment(server):
    server.wait_until_ready(30)
    process = Path(f"/proc/{server.pid}")
    if not process.exists():
        pytest.skip("needs /proc")
    assert server.token.encode() not in (process / "cmdline").read_bytes()
    assert server.token.encode() not in (process / "environ").read_bytes()


def test_ctrl_c_does_not_end_the_server_and_sigterm_does(server):
    address = server.wait_until_ready(30)
    os.kill(server.pid, signal.SIGINT)
    with WireClient(address, server.token) as client:
        assert client.ask(frame(MessageType.PING, 5)).type is MessageType.PONG
    os.kill(server.pid, signal.SIGTERM)
    assert gone(server.pid)
    assert not server._directory.exists()


@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM", "exit", "exception"])
def test_no_orphan_whatever_ends_the_parent(tmp_path, end):
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys, time
        from pysr_neural.config import NeuralProposer
        from pysr_neural.interop.process import servers
        server = servers.get(NeuralProposer(proposer={RANDOM.proposer!r}))
        server.wait_until_ready(30)
        print(server.pid, server._directory, flush=True)
        if {end!r} == "exit":
            sys.exit(0)
        if {end!r} == "exception":
            raise RuntimeError("the user's own error")
        time.sleep(60)
    """)
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)}
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    with parent.stdout:
        pid, directory = parent.stdout.readline().split()
    if end.startswith("SIG"):
        parent.send_signal(getattr(signal, end))
    parent.wait(60)
    assert gone(int(pid))
    assert not Path(directory).exists()


def test_a_module_attribute_of_the_user_s_own_folder_is_served(tmp_path, monkeypatch, problem):
    (tmp_path / "my_ideas.py").write_text(
        textwrap.dedent("""
        from pysr_neural.expression.text import parse
        from pysr_neural.proposer.scripted import ScriptedProposer
        always_x1 = ScriptedProposer([parse("x1")], cycle=True)
        not_a_proposer = 3
    """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    server = ServerProcess(NeuralProposer(proposer="my_ideas:always_x1"))
    with WireClient(server.wait_until_ready(30), server.token) as client:
        client.ask(open_frame(problem))
        batch = client.ask(request_frame(problem, REQUEST))
        assert batch.fields["codes"].tolist() == [2, 2, 2, 2]
    server.stop()
    for name, part in (("my_ideas:not_a_proposer", "open"), ("my_ideas:missing", "missing"), ("nowhere:x", "nowhere")):
        server = ServerProcess(NeuralProposer(proposer=name))
        with pytest.raises(ConfigError, match=part):
            server.wait_until_ready(30)
        assert not server._directory.exists()


def test_a_proposer_that_prints_harms_nothing(tmp_path, monkeypatch, problem):
    (tmp_path / "chatty.py").write_text(
        textwrap.dedent("""
        import os
        from pysr_neural.proposer.scripted import RandomProposer
        print("loading")
        class Session:
            def __init__(self, inner):
                self.inner = inner
            def propose(self, request):
                print("x" * 100_000)
                os.write(1, b"y" * 100_000)
                return self.inner.propose(request)
        class Chatty:
            def open(self, problem):
                return Session(RandomProposer().open(problem))
    """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    server = ServerProcess(NeuralProposer(proposer="chatty:Chatty"))
    with WireClient(server.wait_until_ready(30), server.token) as client:
        client.ask(open_frame(problem))
        for _ in range(3):
            assert client.ask(request_frame(problem, REQUEST)).type is MessageType.BATCH
    server.stop()


def test_a_server_that_cannot_load_its_checkpoint_says_why(tmp_path):
    server = ServerProcess(NeuralProposer(checkpoint=str(tmp_path / "missing")))
    with pytest.raises(CheckpointError, match="missing"):
        server.wait_until_ready(120)


def test_a_server_that_takes_too_long_is_ended():
    server = ServerProcess(RANDOM)
    with pytest.raises(EngineUnavailableError, match="start_timeout"):
        server.wait_until_ready(0.0)
    assert gone(server.pid)


def test_an_object_is_served_by_a_thread(problem):
    threads = threading.active_count()
    server = ServerThread(NeuralProposer(proposer=RandomProposer()))
    with WireClient(server.wait_until_ready(1), server.token) as client:
        client.ask(open_frame(problem))
        assert client.ask(request_frame(problem, REQUEST)).type is MessageType.BATCH
    server.stop()
    assert not server.alive
    assert not server._directory.exists()
    assert threading.active_count() <= threads + 1


class FakeServer:
    started = 0

    def __init__(self, config, host=None):
        type(self).started += 1
        self.alive, self.token, self.config = True, "t", config

    def stop(self):
        self.alive = False


def test_fits_share_servers_and_dead_ones_are_replaced():
    FakeServer.started = 0
    servers = Servers(FakeServer, FakeServer)
    first = servers.get(RANDOM)
    assert servers.get(NeuralProposer(proposer=RANDOM.proposer, seed=5, levels=("child",))) is first
    other = servers.get(NeuralProposer(checkpoint="elsewhere"))
    assert other is not first
    first.alive = False
    assert servers.get(RANDOM) is not first
    assert FakeServer.started == 3
    ours = RandomProposer()
    assert servers.get(NeuralProposer(proposer=ours)) is servers.get(NeuralProposer(proposer=ours))
    servers.stop()
    assert not other.alive


def test_a_checkpoint_trained_anew_gets_a_new_server(tmp_path):
    servers = Servers(FakeServer, FakeServer)
    (tmp_path / "model.safetensors").write_bytes(b"old")
    first = servers.get(NeuralProposer(checkpoint=str(tmp_path)))
    assert servers.get(NeuralProposer(checkpoint=str(tmp_path))) is first
    (tmp_path / "model.safetensors").write_bytes(b"newer")
    assert servers.get(NeuralProposer(checkpoint=str(tmp_path))) is not first


def test_the_number_of_servers_is_bounded():
    servers = Servers(FakeServer, FakeServer)
    started = [servers.get(NeuralProposer(checkpoint=f"c{i}")) for i in range(6)]
    assert [s.alive for s in started] == [False, False, True, True, True, True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_end_its_parent_s_servers():
    servers = Servers(FakeServer, FakeServer)
    server = servers.get(RANDOM)
    servers._owner = -1  # as a forked child sees it
    servers.stop()
    assert server.alive
