"""Runs the parts of the tests side by side: ``python -m tests.parts [arguments for pytest]``.

Owns: which parts there are, what the terminal shows, one exit status for all, an end for all.  Does not own: which test
belongs to which part (markers, in `pyproject.toml`).

Julia has to be loaded before torch and keeps its signals for itself: what is tested in it has a process of its own,
beside that of the other tests.  The first part writes to the terminal; the second into a file, which is shown, and
followed from there on, once the first has ended.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

FAST = "not slow and not gpu"
PYTHON = f"{FAST} and not julia"
JULIA = f"julia and {FAST} and not julia_package"
JULIA_PACKAGE = f"{FAST} and julia_package"
NOTHING_COLLECTED = 5
GRACE = 10.0
"""Seconds between asking a part to end and ending it: Julia may never look up."""


class Part:
    """Commands that are run one after the other, whatever their statuses.

    Parameters
    ----------
    name : str
    commands : sequence of sequence of str
    log : Path, optional
        Where they write; default the terminal.
    """

    def __init__(self, name: str, commands: Sequence[Sequence[str]], log: Path | None = None):
        self.name = name
        self.statuses: list[int] = []
        self.seconds = 0.0
        self._due = list(commands)
        self._running: subprocess.Popen | None = None
        self._began = time.monotonic()
        self._written = None if log is None else log.open("wb")
        self._read = None if log is None else log.open("rb")

    def goes_on(self) -> bool:
        """Start what is due; tell whether something is still to be done."""
        if self._running is not None:
            status = self._running.poll()
            if status is None:
                return True
            self.statuses.append(status)
            self._running, self.seconds = None, time.monotonic() - self._began
        if not self._due:
            return False
        command = self._due.pop(0)
        errors = None if self._written is None else subprocess.STDOUT
        # A session of its own: what ends it ends all that its tests have started.
        self._running = subprocess.Popen(command, stdout=self._written, stderr=errors, start_new_session=True)
        return True

    def show(self) -> None:
        """Write to the terminal what has been added to the log."""
        if self._read is not None:
            sys.stdout.buffer.write(self._read.read())
            sys.stdout.flush()

    def end(self, number: int) -> None:
        """Send a signal to the command that runs and all that it has started; start no other."""
        self._due.clear()
        if self._running is not None and self._running.poll() is None:
            os.killpg(self._running.pid, number)

    def close(self) -> None:
        """Close the log."""
        for file in (self._written, self._read):
            if file is not None:
                file.close()

    def verdict(self) -> str:
        """Say in a line how it ended."""
        failed = [str(status) for status in self.statuses if status not in (0, NOTHING_COLLECTED)]
        said = f"FAILED, exit status {' and '.join(failed)}" if failed else "passed"
        return f"{self.name}: {said}, {self.seconds:.0f} s"


@contextmanager
def ended_together(parts: Sequence[Part]) -> Iterator[None]:
    """End all parts when one is told to stop, by Ctrl-C or by SIGTERM."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGKILL):
            for part in parts:
                part.end(number)
            until = time.monotonic() + GRACE
            while any(part.goes_on() for part in parts) and time.monotonic() < until:
                time.sleep(0.05)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
        for part in parts:
            part.close()


def side_by_side(commands: Mapping[str, Sequence[Sequence[str]]]) -> int:
    """Run parts at the same time, show them one after the other, and return one exit status.

    Parameters
    ----------
    commands : mapping of the name of a part to its commands
        The first part is shown from the beginning.
    """
    with tempfile.TemporaryDirectory() as folder:
        logs = [None, *(Path(folder, f"{i}.log") for i in range(1, len(commands)))]
        parts = [Part(name, todo, log) for (name, todo), log in zip(commands.items(), logs, strict=True)]
        with ended_together(parts):
            for i, part in enumerate(parts):
                print(f"{'' if i == 0 else chr(10)}-- {part.name} --", flush=True)
                while [each.goes_on() for each in parts][i]:
                    part.show()
                    time.sleep(0.1)
                part.show()
    print("", *(part.verdict() for part in parts), sep="\n", flush=True)
    statuses = {status for part in parts for status in part.statuses}
    if statuses - {0, NOTHING_COLLECTED}:
        return 1
    return 0 if 0 in statuses else NOTHING_COLLECTED


def pytest_with(markers: str, arguments: Sequence[str]) -> list[str]:
    """Return the command for the tests of some markers."""
    return [sys.executable, "-m", "pytest", "-m", markers, *arguments]


def marked(marker: str) -> list[str]:
    """Return the files in which a marker is used: importing all others would take half a minute."""
    files = Path(__file__).parent.rglob("test_*.py")
    return sorted(str(file) for file in files if re.search(rf"\bmark\.{marker}\b", file.read_text(encoding="utf-8")))


def main(arguments: Sequence[str]) -> int:
    """Run all fast tests; those that need Julia where there is one."""
    import pysr_neural

    python = [pytest_with(PYTHON, arguments)]
    chosen = any(Path(each.partition("::")[0]).exists() for each in arguments)
    if not pysr_neural.julia_available():
        status = side_by_side({"Python": python})
        print("Julia tests skipped: no Julia on this machine. 'make test-julia' installs one, given a network.")
        return status
    # The package's own tests stand where there is less to do.
    python.append(pytest_with(JULIA_PACKAGE, [*arguments, *([] if chosen else marked("julia_package"))]))
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    julia = pytest_with(JULIA, [*colour, *arguments, *([] if chosen else marked("julia"))])
    return side_by_side({"Python": python, "Julia": [julia]})


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
