"""A command in which Julia takes part, in a process of its own, and beside it the one that the user started.

Owns: which signals end such a command, how they are passed on, when the other process is ended, and what is said then.
Does not own: what a command does when it is told to end (`command`; the demo).

From its start on Julia keeps SIGTERM to itself, and no handler of Python's is asked: while Julia starts or compiles,
it prints where it stands and then may wait for ever (Julia 1.12); in a search, it ends without a word about what was
found.  So the process that the user knows runs no Julia.  It passes each signal on as Ctrl-C, which PySR looks for, and
ends the other process if that does not end by itself.
"""

import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from pysr_neural.cli import INTERRUPTED

VARIABLE = "PYSR_NEURAL_ATTENDED"
STARTING, SEARCHING, CONCLUDING, SAID = b"0", b"1", b"2", b"3"
"""Where a command stands: before its search, in it, writing down what was found, with nothing left to be said."""
GRACE = {STARTING: 3.0, SEARCHING: 20.0, CONCLUDING: 60.0, SAID: 3.0}
"""Seconds that a command which was told to end may go on."""
LAST_WORDS = {
    STARTING: "Ended while the search was starting: nothing was found yet, nothing was written.",
    SEARCHING: "Ended: the search did not stop when it was told to, and what it had found is lost.",
    CONCLUDING: "Ended before all was written; each file that was written is whole.",
}
TOLD_MOST = 2
"""Signals that are passed on; one more ends the command."""
TICK = 0.05
Tell = Callable[[bytes], None]


def can_attend() -> bool:
    """Tell whether a command can be attended to here, and is not yet."""
    here = threading.current_thread() is threading.main_thread()
    return os.name == "posix" and here and bool(sys.executable) and VARIABLE not in os.environ


def attend(command: Sequence[str], advice: str = "") -> int:
    """Run a command in a process of its own until it ends; returns its exit status, 130 if it was told to end.

    Parameters
    ----------
    command : sequence of str
        Which calls `attached`.
    advice : str
        What is said beside its last words, if it has to be ended.
    """
    line, its_line = socket.socketpair()
    line.setblocking(False)
    with line, its_line:
        told: list[int] = []
        with _listening(told) as process_of:
            process = process_of[0] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Not merely a group: outside the foreground, a terminal would stop it.
                pass_fds=[its_line.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), VARIABLE: str(its_line.fileno())},
            )
            its_line.close()
            _wait(process, line, told, advice)
    return INTERRUPTED if told and process.returncode else _status(process.returncode)


@contextmanager
def _listening(told: list[int]) -> "Iterator[list[subprocess.Popen[bytes] | None]]":
    """Note the signals that end a command, and let Ctrl-Z stop both processes."""
    attended: list[subprocess.Popen[bytes] | None] = [None]

    def note(number: int, frame: FrameType | None) -> None:
        told.append(number)

    def pause(number: int, frame: FrameType | None) -> None:
        _to_group(attended[0], signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        _to_group(attended[0], signal.SIGCONT)

    wanted = {signal.SIGINT: note, signal.SIGTERM: note, signal.SIGHUP: note, signal.SIGTSTP: pause}
    heard = {number: act for number, act in wanted.items() if signal.getsignal(number) != signal.SIG_IGN}
    before = {number: signal.signal(number, act) for number, act in heard.items()}
    try:
        yield attended
    finally:
        for number, act in before.items():
            signal.signal(number, act)


def _wait(process: "subprocess.Popen[bytes]", line: socket.socket, told: list[int], advice: str) -> None:
    """Wait for a process, pass on what it is told, and end it when it has had its time."""
    stage, passed_on, until = STARTING, 0, math.inf
    while process.poll() is None:
        now = time.monotonic()
        with suppress(BlockingIOError, ConnectionError):
            if heard := line.recv(16):
                stage = heard[-1:]
                until = now + GRACE[stage] if passed_on else until
        if len(told) > passed_on:
            until = now + GRACE[stage] if not passed_on else until
            passed_on = len(told)
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)
        if now > until or passed_on > TOLD_MOST:
            _end(process)
            if stage in LAST_WORDS:
                print(LAST_WORDS[stage], advice, file=sys.stderr, flush=True)
        time.sleep(TICK)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process, and then what it has started: a server of ours cleans up, a compiler need not."""
    process.kill()
    process.wait()
    for number in (signal.SIGTERM, signal.SIGKILL):
        _to_group(process, number)
        time.sleep(1.0 if number == signal.SIGTERM else 0.0)


def _to_group(process: "subprocess.Popen[bytes] | None", number: int) -> None:
    if process is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)


def _status(code: int) -> int:
    return 128 - code if code < 0 else code


def attached() -> Tell:
    """Begin to be attended to, if another process does so; returns what tells it where the command stands."""
    number = os.environ.pop(VARIABLE, "")
    if not number:
        return lambda stage: None
    line = socket.socket(fileno=int(number))
    line.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell has it ignored in what runs in the background.
    threading.Thread(target=_end_with, args=(line,), daemon=True).start()

    def tell(stage: bytes) -> None:
        with suppress(OSError):
            line.sendall(stage)

    return tell


def _end_with(line: socket.socket) -> None:
    """End this process some time after the other one has ended, however that came."""
    with suppress(OSError):
        line.recv(1)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE[SEARCHING])
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def all_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM, and a terminal that closes, end what is done here as Ctrl-C does."""

    def press(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    before = {number: signal.signal(number, press) for number in numbers if signal.getsignal(number) == signal.SIG_DFL}
    try:
        yield
    finally:
        for number, act in before.items():
            signal.signal(number, act)
