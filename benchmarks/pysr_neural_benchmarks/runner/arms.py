"""Worker processes with limits: one per method, kept while it behaves, killed and started anew when it does not.

Owns: the parent's side of `runner.service`: start, limits on time and memory, the end of a process and all that it
started.  Does not own: what is asked.

A process serves many fits, since starting Julia and compiling take a minute.  It leads a process group of its own, so
that a model server that it started ends with it.  Memory is that of all processes of the group, looked at twice a
second.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any, Self

from pysr_neural._optional import require

LOOK_EVERY = 0.5
TOLD = 600
"""Characters of a log that are told when its process died."""
Answer = dict[str, Any]


class Child:
    """A worker process.

    Parameters
    ----------
    service : sequence of str
        ``("fits", method)`` or ``("symbolic",)``.
    cores : sequence of int
        That it and everything that it starts may use; none for all.
    memory_gb : float
        Limit on the memory of it and of everything that it starts.
    """

    def __init__(self, service: Sequence[str], cores: Sequence[int], memory_gb: float) -> None:
        self.service, self.cores, self.memory_gb = tuple(service), tuple(cores), memory_gb
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = -1
        self._rest = b""
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def ask(self, request: dict[str, Any], seconds: float) -> Answer:
        """Ask, starting the process where it does not run.

        Returns
        -------
        dict
            With ``status``: ``"ok"`` or ``"error"`` (the method's own), ``"timeout"``, ``"memory"`` or ``"crashed"``
            with a ``message``; after the last three the process is gone.
        """
        if not self.alive:
            self._start()
        process = self._process
        if process is None or process.stdin is None:
            raise AssertionError("A process that was started has a standard input.")
        if self._log is not None:
            self._log.seek(0)
            self._log.truncate()
        try:
            process.stdin.write(json.dumps({**request, "seconds": seconds}).encode() + b"\n")
            process.stdin.flush()
        except OSError:
            return self._died()
        return self._wait(seconds)

    def stop(self) -> None:
        """End the process and its group; callable more than once."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        process.wait()
        os.close(self._answers)
        if self._log is not None:
            self._log.close()

    def _start(self) -> None:
        self.stop()
        self._answers, theirs = os.pipe()
        self._rest = b""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        cores = ",".join(map(str, self.cores))
        command = [sys.executable, "-m", "pysr_neural_benchmarks.runner.service", str(theirs), cores, *self.service]
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        environment = {"OMP_NUM_THREADS": str(max(len(self.cores), 1)), **os.environ, "PYTHONPATH": path}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            pass_fds=(theirs,),
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)

    def _wait(self, seconds: float) -> Answer:
        end = time.monotonic() + seconds
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self._answers], [], [], LOOK_EVERY)
            if ready:
                part = os.read(self._answers, 1 << 16)
                if not part:
                    return self._died()
                self._rest += part
            elif time.monotonic() > end:
                return self._ended("timeout", f"no answer within {seconds:g} s")
            elif (used := self._memory_gb()) > self.memory_gb:
                return self._ended("memory", f"{used:.1f} GB in use, the limit is {self.memory_gb:g} GB")
        line, _, self._rest = self._rest.partition(b"\n")
        answer: Answer = json.loads(line)
        return answer

    def _memory_gb(self) -> float:
        psutil = require("psutil", "training", "A limit on memory")
        if self._process is None:
            return 0.0
        try:
            leader = psutil.Process(self._process.pid)
            group = [leader, *leader.children(recursive=True)]
        except psutil.Error:
            return 0.0
        used = 0
        for each in group:
            with suppress(psutil.Error):
                used += each.memory_info().rss
        return used / 1e9

    def _died(self) -> Answer:
        process = self._process
        code = process.wait() if process is not None else None
        told = self._told()
        return self._ended("crashed", f"the process ended with code {code}" + (f": …{told}" if told else ""))

    def _ended(self, status: str, message: str) -> Answer:
        self.stop()
        return {"status": status, "message": message}

    def _told(self) -> str:
        if self._log is None:
            return ""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(size - TOLD, 0))
        return self._log.read().decode(errors="replace").strip()
