"""Starting, sharing and ending proposer servers from the process that searches.

Owns: the private directory and the token, the server process's start and end, one server per proposer for all fits of
this process.  Does not own: what the server does (`server`).

A checkpoint or a ``"module:attribute"`` is served by a process of its own; a proposer given as an object is served by a
thread of this one, over the same socket (PySR releases Python's lock for the whole search).
"""

import atexit
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from pysr_neural import errors
from pysr_neural.config import NeuralProposer
from pysr_neural.errors import EngineUnavailableError, NeuralProposerError
from pysr_neural.interop.addresses import UNIX_PATH_LIMIT, Address
from pysr_neural.interop.server import ProposerServer

STOP_SECONDS = 5.0
MAX_SERVERS = 4
"""Servers kept for later fits; the least recently used one is ended beyond that."""


class ServerHandle(Protocol):
    """A server that this process started."""

    token: str

    def wait_until_ready(self, timeout: float) -> str:
        """Return the address once the server answers there."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it is still running."""
        ...

    def stop(self) -> None:
        """End it and remove its traces; callable more than once."""
        ...


class ServerProcess:
    """A server in a process of its own.

    Parameters
    ----------
    config : NeuralProposer
    host : str, optional
        Listen on TCP at this name, for workers on other machines.
    """

    def __init__(self, config: NeuralProposer, host: str | None = None) -> None:
        self.token = secrets.token_hex(32)
        self._directory, address = _endpoint(config, host)
        self._log = open(self._directory / "server.log", "w+b")  # noqa: SIM115 - lives as long as the process
        self._first_line: list[str] = []
        self._answered = threading.Event()
        self._process = subprocess.Popen(
            _command(config, address, self._directory),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=_environment(),
        )
        with suppress(OSError):
            _pipe(self._process.stdin).write(self.token.encode() + b"\n")
            _pipe(self._process.stdin).flush()
        threading.Thread(target=self._read_first_line, daemon=True).start()

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def wait_until_ready(self, timeout: float) -> str:
        """Wait for the model to be loaded.

        Returns
        -------
        str
            The address to hand to the engine.

        Raises
        ------
        CheckpointError, ConfigError
            As the server found.
        EngineUnavailableError
            If it died or took too long; the message ends with its last words.
        """
        if not self._answered.wait(timeout):
            words = self._last_words()
            self.stop()
            raise EngineUnavailableError(
                f"The proposer server must be ready within {timeout:g} s; it was not. Raise "
                f"NeuralProposer(start_timeout=...). Its last words: {words}"
            )
        status, _, rest = self._first_line[0].partition(" ")
        if status == "ready":
            return rest
        words = self._last_words()
        self.stop()
        if status == "error":
            name, _, message = rest.partition(" ")
            found = getattr(errors, name, EngineUnavailableError)
            raise (found if issubclass(found, NeuralProposerError) else EngineUnavailableError)(message)
        raise EngineUnavailableError(f"The proposer server ended before it was ready. Its last words: {words}")

    def stop(self) -> None:
        """End the process, first politely; remove its directory."""
        with suppress(OSError):
            _pipe(self._process.stdin).close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _pipe(self._process.stdout).close()
        self._log.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _read_first_line(self) -> None:
        line = b""
        with suppress(OSError, ValueError):
            line = _pipe(self._process.stdout).readline()
        self._first_line.append(line.decode(errors="replace").strip())
        self._answered.set()

    def _last_words(self) -> str:
        with suppress(OSError, ValueError):
            self._log.seek(0)
            return self._log.read()[-600:].decode(errors="replace").strip() or "(none)"
        return "(none)"


class ServerThread:
    """A server in a thread of this process, for a proposer given as an object."""

    def __init__(self, config: NeuralProposer, host: str | None = None) -> None:
        self.token = secrets.token_hex(32)
        self._directory, address = _endpoint(config, host)
        listener = address.listen()
        self._address = address.bound(listener)
        self._server = ProposerServer(listener, self.token.encode(), config.proposer)
        self._thread = threading.Thread(target=self._server.serve, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def wait_until_ready(self, timeout: float) -> str:
        """Return the address; a thread is ready at once."""
        return str(self._address)

    def stop(self) -> None:
        """End the thread; remove its directory."""
        self._server.stop()
        self._thread.join(STOP_SECONDS)
        shutil.rmtree(self._directory, ignore_errors=True)


class Servers:
    """The servers of this process, one per proposer and transport.

    Parameters
    ----------
    process, thread : callable, optional
        What starts a server; tests pass their own.
    """

    def __init__(
        self,
        process: Callable[[NeuralProposer, str | None], ServerHandle] = ServerProcess,
        thread: Callable[[NeuralProposer, str | None], ServerHandle] = ServerThread,
    ) -> None:
        self._start_process = process
        self._start_thread = thread
        self._lock = threading.Lock()
        self._running: dict[tuple[object, ...], ServerHandle] = {}
        self._owner = os.getpid()

    def get(self, config: NeuralProposer, host: str | None = None) -> ServerHandle:
        """Return the running server for these settings; start one without waiting for it if there is none."""
        in_thread = config.proposer is not None and not isinstance(config.proposer, str)
        proposer = id(config.proposer) if in_thread else config.proposer
        key = (proposer, config.checkpoint, _stamp(config), config.device, config.transport, host)
        with self._lock:
            self._forget_after_fork()
            server = self._running.pop(key, None)
            if server is not None and not server.alive:
                server.stop()
                server = None
            if server is None:
                server = (self._start_thread if in_thread else self._start_process)(config, host)
            self._running[key] = server
            while len(self._running) > MAX_SERVERS:
                self._running.pop(next(iter(self._running))).stop()
            return server

    def stop(self) -> None:
        """End all servers of this process."""
        with self._lock:
            self._forget_after_fork()
            while self._running:
                self._running.popitem()[1].stop()

    def _forget_after_fork(self) -> None:
        """A forked child must neither use nor end its parent's servers."""
        if self._owner != os.getpid():
            self._running, self._owner = {}, os.getpid()


def _stamp(config: NeuralProposer) -> tuple[tuple[str, int, int], ...]:
    """Tell the files of a checkpoint directory from those of a model trained into the same place later."""
    folder = Path(config.checkpoint)
    if config.proposer is not None or not folder.is_dir():
        return ()
    facts = ((path.name, path.stat()) for path in sorted(folder.iterdir()))
    return tuple((name, status.st_mtime_ns, status.st_size) for name, status in facts)


def _endpoint(config: NeuralProposer, host: str | None) -> tuple[Path, Address]:
    """Make the private directory (mode 0700), and choose the address within it, or on TCP."""
    directory = Path(tempfile.mkdtemp(prefix="pysr-neural-"))
    if host is not None:
        return directory, Address(host=host)
    path = directory / "proposer.sock"
    usable = hasattr(socket, "AF_UNIX") and len(os.fsencode(path)) <= UNIX_PATH_LIMIT
    if config.transport == "unix" and not usable:
        shutil.rmtree(directory)
        raise EngineUnavailableError(
            f"transport='unix' needs Unix sockets and a path of at most {UNIX_PATH_LIMIT} "
            f"bytes; got {path}. Set TMPDIR to a shorter path, or use transport='tcp'."
        )
    if config.transport == "tcp" or not usable:
        return directory, Address()
    return directory, Address(path=str(path))


def _command(config: NeuralProposer, address: Address, directory: Path) -> list[str]:
    if not sys.executable:
        raise EngineUnavailableError(
            "The proposer server needs a Python to run in; sys.executable is empty here. Pass "
            "a proposer object, which is served from this process."
        )
    return [
        sys.executable,
        "-P",
        "-m",
        "pysr_neural.interop.server",
        "--address",
        str(address),
        "--checkpoint",
        config.checkpoint,
        "--device",
        config.device,
        "--proposer",
        config.proposer or "transformer",
        "--remove",
        str(directory),
    ]


def _environment() -> dict[str, str]:
    """Give the server this process's import path, and one thread: the search needs the other cores."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:  # never: all pipes are asked for above
        raise EngineUnavailableError("The proposer server has no pipe.")
    return stream


servers = Servers()
"""The servers of this process; ended at exit."""
atexit.register(servers.stop)
