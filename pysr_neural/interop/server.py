"""The proposer server: one process that answers every search of its parent.

Owns: connections, the handshake, sessions per connection, the process's life.  Does not own: what frames mean
(`messages`), starting it (`process`), proposing.

``python -m pysr_neural.interop.server --address unix:/path --checkpoint default``; the token comes as the first line of
standard input, and the end of standard input, like the parent's death, ends the server.  When it listens and the
proposer is loaded it writes ``ready ADDRESS`` on standard output, or ``error TYPE MESSAGE``.

One thread per connection, one lock around the proposer.  A bad request is answered with ERROR and the connection goes
on; only bytes that are no frame close it.  The time reported to the engine is processor time, which is what the search
loses: on a machine whose cores are all searching, a clock would count the waiting for a core as well.
"""

import argparse
import hmac
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from pysr_neural.config import is_policy
from pysr_neural.errors import ConfigError, NeuralProposerError, WireError
from pysr_neural.interop.addresses import Address
from pysr_neural.interop.explained import Explained
from pysr_neural.interop.messages import batch_frame, problem_of, request_of
from pysr_neural.model.checkpoint import resolve
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Proposer, Session
from pysr_neural.proposer.load import TRANSFORMER, load_proposer
from pysr_neural.state import KINDS
from pysr_neural.wire.frames import MAX_PAYLOAD, Frame, MessageType, frame, pack, read_header, read_payload, unpack

logger = logging.getLogger("pysr_neural.server")
SERVER_NAME = "pysr_neural"
HANDSHAKE_SECONDS = 10.0
HANDSHAKE_BYTES = 4096
POLL_SECONDS = 0.5
MAX_SEARCHES = 1024
"""Open searches per connection; the oldest is closed beyond that."""


class ProposerServer:
    """Serves one proposer to any number of connections.

    Parameters
    ----------
    listener : socket.socket
    token : bytes
        What a client must say first; not empty.
    proposer : Proposer
    """

    def __init__(self, listener: socket.socket, token: bytes, proposer: Proposer) -> None:
        if not token:
            raise ConfigError("The server's token must not be empty.")
        self._listener = listener
        self._token = token
        self.proposer = proposer
        self.lock = threading.Lock()
        self._stopped = threading.Event()
        self._connections: set[socket.socket] = set()

    def serve(self, keep_going: Callable[[], bool] = lambda: True) -> None:
        """Accept connections until `stop`, a SHUTDOWN frame, or ``keep_going`` answers False."""
        self._listener.settimeout(POLL_SECONDS)
        while not self._stopped.is_set() and keep_going():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                break
            self._connections.add(connection)
            threading.Thread(target=self._serve_connection, args=(connection,), daemon=True).start()
        self.stop()

    def stop(self) -> None:
        """Close the listener and every connection; callable from any thread, more than once."""
        self._stopped.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        for connection in tuple(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve_connection(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                if self._shake_hands(connection, stream):
                    Conversation(self).run(connection, stream)
        except (OSError, WireError) as error:
            logger.info("A connection ended: %s", error)
        finally:
            self._connections.discard(connection)

    def _shake_hands(self, connection: socket.socket, stream: BinaryIO) -> bool:
        connection.settimeout(HANDSHAKE_SECONDS)
        header = read_header(stream, HANDSHAKE_BYTES)
        if header is None:
            return False
        hello = unpack(header.type, header.request, read_payload(stream, header))
        said = hello.fields["token"].tobytes() if hello.type is MessageType.HELLO else b""
        if not hmac.compare_digest(said, self._token):
            _send(connection, _error(header.request, "The first frame must be HELLO with this server's token."))
            return False
        connection.settimeout(None)
        _send(connection, frame(MessageType.WELCOME, header.request, server=SERVER_NAME, kinds="\n".join(KINDS)))
        return True


class Conversation:
    """One connection after its handshake: its searches, and the answer to each frame.

    Parameters
    ----------
    server : ProposerServer
    """

    def __init__(self, server: ProposerServer) -> None:
        self._server = server
        self._searches: dict[int, tuple[Problem, Session, Explained]] = {}
        self._answers: dict[MessageType, Callable[[Frame], Frame | None]] = {
            MessageType.OPEN: self._open,
            MessageType.REQUEST: self._propose,
            MessageType.CLOSE: self._close,
            MessageType.PING: lambda message: frame(MessageType.PONG, message.request),
        }

    def run(self, connection: socket.socket, stream: BinaryIO) -> None:
        """Answer frames until the connection ends or asks for SHUTDOWN.

        Raises
        ------
        WireError
            If what arrives is no frame.
        """
        while (header := read_header(stream, MAX_PAYLOAD)) is not None:
            payload = read_payload(stream, header)
            if header.type == MessageType.SHUTDOWN:
                self._server.stop()
                return
            answer = self._guarded_answer(header.type, header.request, payload)
            if answer is not None:
                _send(connection, answer)

    def _guarded_answer(self, type_: int, request: int, payload: bytes) -> Frame | None:
        try:
            message = unpack(type_, request, payload)
            if message.type not in self._answers:
                raise WireError(f"A client must send OPEN, REQUEST, CLOSE, PING or SHUTDOWN; got {message.type.name}.")
            return self._answers[message.type](message)
        except NeuralProposerError as error:
            return _error(request, str(error))
        # A proposer is foreign code (a user's, or a model on a device): whatever it raises becomes the engine's
        # counted fallback, and the other searches of this server go on.
        except Exception as error:
            logger.exception("The proposer failed")
            return _error(request, f"The proposer raised {type(error).__name__}: {error}")

    def _open(self, message: Frame) -> Frame:
        started = time.thread_time()
        search = int(message.scalar("search"))
        problem = problem_of(message)
        with self._server.lock:
            session = self._server.proposer.open(problem)
        self._searches.pop(search, None)
        while len(self._searches) >= MAX_SEARCHES:
            self._searches.pop(next(iter(self._searches)))
        self._searches[search] = problem, session, Explained(problem)
        return frame(MessageType.OPENED, message.request, search=search, elapsed=time.thread_time() - started)

    def _propose(self, message: Frame) -> Frame:
        search = int(message.scalar("search"))
        if search not in self._searches:
            raise WireError(
                f"A search must be opened before requests; got search {search}, open are {sorted(self._searches)}."
            )
        problem, session, explained = self._searches[search]
        request = request_of(message, problem)
        with self._server.lock:
            started = time.thread_time()
            batch = session.propose(request)
            trees = [child.tree for child in batch.children]
            left = explained.by([*trees, *(member.tree for member in request.members)])
            elapsed = time.thread_time() - started
        return batch_frame(batch, message, problem, elapsed, left[: len(trees)], any(left[len(trees) :]))

    def _close(self, message: Frame) -> None:
        self._searches.pop(int(message.scalar("search")), None)


def _send(connection: socket.socket, message: Frame) -> None:
    connection.sendall(pack(message))


def _error(request: int, text: str) -> Frame:
    return frame(MessageType.ERROR, request, message=text)


def _loaded(name: str, checkpoint: str, device: str) -> Proposer:
    """Load the proposer that this process serves; a model gets one thread, since the search needs the other cores."""
    if name == TRANSFORMER and not is_policy(checkpoint):
        resolve(checkpoint)  # Before torch is imported, which takes seconds.
        import torch

        torch.set_num_threads(1)
    return load_proposer(name, checkpoint, device)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server process; returns its exit status."""
    options = _parser().parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent, orphaned = os.getppid(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: orphaned.set())
    report = _own_output()
    token = sys.stdin.buffer.readline().strip()
    threading.Thread(target=_wait_for_end_of_input, args=(orphaned,), daemon=True).start()
    address = Address.parse(options.address)
    status = 1
    try:
        listener = address.listen()
        server = ProposerServer(listener, token, _loaded(options.proposer, options.checkpoint, options.device))
        report(f"ready {address.bound(listener)}")
        server.serve(lambda: not orphaned.is_set() and os.getppid() == parent)
        status = 0
    except (NeuralProposerError, OSError) as error:
        report(f"error {type(error).__name__} {error}")
    # Foreign code again (torch, a user's module): the parent turns this line into its own error.
    except Exception as error:
        logger.exception("The server could not start")
        report(f"error EngineUnavailableError The proposer server failed with {type(error).__name__}: {error}")
    finally:
        _clean_up(address, options.remove)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pysr_neural.interop.server", description=__doc__.split("\n")[0])
    parser.add_argument("--address", required=True, help="unix:/path or tcp:host:port")
    parser.add_argument("--checkpoint", default="default", help="'default', a directory, or a hub id")
    parser.add_argument("--device", default="cpu", help="where the model runs")
    parser.add_argument("--proposer", default="transformer", help="'transformer', 'random', or 'module:attribute'")
    parser.add_argument("--remove", type=Path, metavar="DIRECTORY", help="remove this private directory at exit")
    return parser


def _wait_for_end_of_input(orphaned: threading.Event) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    orphaned.set()


def _own_output() -> Callable[[str], None]:
    """Take standard output for the answer to the parent alone; whatever a proposer prints goes to standard error."""
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def report(line: str) -> None:
        answers.write(" ".join(line.split()) + "\n")
        answers.flush()

    return report


def _clean_up(address: Address, directory: Path | None) -> None:
    """Remove the socket with its private directory; the parent does so too, unless it was killed."""
    address.remove()
    if directory is not None:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Threads may sit in a model call: leave without waiting for them.
    os._exit(code)
