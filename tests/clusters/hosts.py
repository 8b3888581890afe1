"""Several hosts on one machine, and a Dask cluster on them, for tests.

Owns: network namespaces joined by a bridge, or else several addresses of the loopback device; a Dask scheduler on the
first host and a worker on each of the others, stopped by their process ids.  Does not own: what is run there.

The namespaces are made and named by us, and all that is in them goes with them; the machine's own network is not
changed.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

STARTING = 600.0
NETWORK = "10.231.7"
"""Of the namespaces, which nothing outside of them sees."""
Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Host:
    """Where a command may run.

    Parameters
    ----------
    address : str
    prefix : tuple of str
        What comes before a command that is to run there.
    """

    address: str
    prefix: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dask:
    """A cluster that runs.

    Parameters
    ----------
    scheduler : str
        Its address.
    head : Host
        Where the scheduler is, and where commands are to be run.
    workers : tuple of Popen
        One on each of the other hosts.
    """

    scheduler: str
    head: Host
    workers: tuple[Process, ...]


@contextmanager
def addresses(count: int) -> Iterator[list[Host]]:
    """Yield hosts that differ by a loopback address only."""
    yield [Host(f"127.0.0.{number}") for number in range(1, count + 1)]


def forbidden() -> str:
    """Return why there can be no network namespaces here; empty if there can."""
    if shutil.which("ip") is None:
        return "needs ip; Debian: apt-get install iproute2"
    name = f"pn{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespace can be made here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return ""


@contextmanager
def namespaces(count: int) -> Iterator[list[Host]]:
    """Yield hosts in network namespaces of their own; the first one holds the bridge that joins them."""
    names = [f"pn{os.getpid()}-{number}" for number in range(count)]
    with ExitStack() as stack:
        for name in names:
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            _ip("-n", name, "link", "set", "lo", "up")
        head = names[0]
        _ip("-n", head, "link", "add", "bridge", "type", "bridge")
        _ip("-n", head, "addr", "add", f"{NETWORK}.1/24", "dev", "bridge")
        _ip("-n", head, "link", "set", "bridge", "up")
        for number, name in enumerate(names[1:], start=2):
            _ip("-n", head, "link", "add", f"to{number}", "type", "veth", "peer", "name", "net", "netns", name)
            _ip("-n", head, "link", "set", f"to{number}", "master", "bridge", "up")
            _ip("-n", name, "addr", "add", f"{NETWORK}.{number}/24", "dev", "net")
            _ip("-n", name, "link", "set", "net", "up")
        yield [Host(f"{NETWORK}.{number}", ("ip", "netns", "exec", name)) for number, name in enumerate(names, start=1)]


def _ip(*options: str) -> None:
    subprocess.run(["ip", *options], check=True, capture_output=True)


@contextmanager
def dask(hosts: Sequence[Host], folder: Path, environment: dict[str, str]) -> Iterator[Dask]:
    """Run a scheduler on the first host and a worker of one thread on each other; none is restarted when it dies.

    Every worker has a folder of its own for temporary files, as on a machine of its own.
    """
    head, *others = hosts
    facts = folder / "scheduler.json"
    with ExitStack() as stack:
        common = ["--port=0", "--no-dashboard", "--protocol=tcp"]
        given = [*common, f"--host={head.address}", f"--scheduler-file={facts}"]
        _start(stack, head, folder / "scheduler.log", environment, "dask_scheduler", *given)
        _until(lambda: facts.exists() and facts.read_text().strip().endswith("}"), folder / "scheduler.log")
        scheduler = json.loads(facts.read_text())["address"]
        workers = []
        for number, host in enumerate(others):
            given = [scheduler, f"--host={host.address}", "--nthreads=1", "--no-nanny", "--no-dashboard"]
            given += [f"--local-directory={folder}", f"--name=worker{number}", "--death-timeout=600"]
            log, own = folder / f"worker{number}.log", folder / f"tmp{number}"
            own.mkdir()
            workers.append(_start(stack, host, log, {**environment, "TMPDIR": str(own)}, "dask_worker", *given))
            _until(partial(_says, log, "Registered to"), log)
        yield Dask(scheduler, head, tuple(workers))


def _start(stack: ExitStack, host: Host, log: Path, environment: dict[str, str], kind: str, *given: str) -> Process:
    """Start one of Dask's processes, and see to its end; `ip netns exec` becomes it, and keeps its id."""
    out = stack.enter_context(log.open("wb"))
    command = [*host.prefix, sys.executable, "-m", f"distributed.cli.{kind}", *given]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment)
    stack.callback(_stop, process)
    return process


def _says(log: Path, words: str) -> bool:
    return words in log.read_text(errors="replace")


def _stop(process: Process) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _until(holds: Callable[[], bool], log: Path) -> None:
    end = time.monotonic() + STARTING
    while not holds():
        if time.monotonic() > end:
            raise RuntimeError(f"Dask must start within {STARTING:g} s; {log.name} says: {log.read_text()[-2000:]}")
        time.sleep(0.2)
