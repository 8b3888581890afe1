"""A SLURM cluster of this machine's own, for tests: ``python -m tests.clusters.slurm COMMAND …`` runs a command in it.

Owns: munged, slurmctld and one slurmd per node, started from Debian's packages (munge, slurmctld, slurmd,
slurm-client) in a temporary folder with their own configuration, key and ports, and stopped by their process ids.
Does not own: what is run there.

Nothing of a cluster that the machine may belong to is read or touched: every client finds ours through SLURM_CONF.
Both nodes are this machine, and their names are addresses of it, so that what takes a node's name for a host finds it.
Each has a folder of its own for temporary files and, where that is allowed, process ids of its own, so that it can be
killed with all that runs on it, as when a machine loses its power.  The graphics cards are declared, not there.
Processes are tracked by their parents, since a sandbox may forbid control groups.
"""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "sinfo")
PACKAGES = "munge slurmctld slurmd slurm-client"
STARTING = 600.0
CARDS = ("/dev/null", "/dev/zero")
"""Devices that every machine has, which stand for a node's graphics cards."""
_SYSTEM = ("/usr/sbin", "/sbin")
_APART = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL")
"""Runs a command as the first process of a namespace: all others end with it, and it ends with `unshare`."""
_PROLOG = """\
#!/bin/sh
mkdir -p "{folder}/tmp-$SLURMD_NODENAME"
echo "export TMPDIR={folder}/tmp-$SLURMD_NODENAME"
"""
Process = subprocess.Popen[bytes]

_CONFIGURATION = """\
ClusterName=pysrneural
SlurmctldHost={host}({address})
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
MinJobAge=86400
SlurmdTimeout=60
TaskProlog={folder}/prolog
MailProg=/bin/true
KillWait=2
SchedulerParameters=sched_interval=2,batch_sched_delay=1
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
_NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr={address} Port={port} CPUs=8 RealMemory=16000 Gres=gpu:{cards} "
    "State=UNKNOWN"
)


@dataclass(frozen=True)
class Slurm:
    """A cluster that runs.

    Parameters
    ----------
    folder : Path
        Configuration, logs, state.
    environment : dict
        For clients: SLURM_CONF, and the daemons' folders on PATH.
    nodes : tuple of str
    daemons : dict
        The process of every node's slurmd.
    version : str
    """

    folder: Path
    environment: dict[str, str]
    nodes: tuple[str, ...]
    daemons: dict[str, Process] = field(default_factory=dict)
    version: str = ""

    def run(self, *command: str, seconds: float = 60.0) -> str:
        """Run a client; returns what it printed."""
        ran = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=seconds, check=False
        )
        if ran.returncode:
            raise RuntimeError(f"{command} ended with {ran.returncode}: {ran.stdout}{ran.stderr}")
        return ran.stdout

    def kill(self, node: str) -> None:
        """End a node and all that runs on it at once; nobody is told."""
        self.daemons[node].kill()
        self.daemons[node].wait()

    def start(self, node: str) -> None:
        """Start a node, and wait until it can be used."""
        self.daemons[node] = _start(self, "slurmd", "-D", "-N", node, log=f"slurmd-{node}", before=_apart())
        _until(lambda: node in _idle(self), self.folder, "slurmctld.log")


def immortal() -> str:
    """Return why nodes cannot be killed here; empty if they can."""
    return "" if _apart() else f"a node can be killed only where `{' '.join(_APART)}` may be run"


@cache
def _apart() -> tuple[str, ...]:
    """Return what gives a command process ids of its own; nothing where that is not allowed."""
    if shutil.which(_APART[0]) is None:
        return ()
    tried = subprocess.run([*_APART, "true"], capture_output=True, check=False)
    return () if tried.returncode else _APART


def missing() -> str:
    """Return why there can be no cluster here; empty if there can."""
    if not sys.platform.startswith("linux"):
        return "SLURM runs on Linux only"
    lacking = [name for name in PROGRAMS if _found(name) is None]
    if lacking:
        return f"needs {', '.join(lacking)}; Debian: apt-get install {PACKAGES}"
    return ""


def _found(program: str) -> str | None:
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM]))


@contextmanager
def cluster(nodes: int = 2) -> Iterator[Slurm]:
    """Run a cluster; at the end its jobs are cancelled and its daemons stopped."""
    names = tuple(f"127.0.0.{number}" for number in range(1, nodes + 1))
    with ExitStack() as stack:
        # Not pytest's folder: a Unix socket's path has little room.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True)))
        folder.chmod(0o755)
        environment = _prepare(folder, names)
        running = Slurm(folder, environment, names)
        stack.callback(_stop, _start(running, "munged", "--foreground", *_munge_options(folder)))
        _until(lambda: (folder / "munge.socket").exists(), folder, "munged.out")
        stack.callback(_stop, _start(running, "slurmctld", "-D", "-i"))
        stack.callback(_kill_all, running)
        stack.callback(_cancel, running)
        for name in names:
            running.start(name)
        yield replace(running, version=running.run("sinfo", "--version").strip())


def _prepare(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Write the configuration and a key; returns the environment of clients and daemons."""
    host, user = socket.gethostname().partition(".")[0], pwd.getpwuid(os.geteuid()).pw_name
    ports = _free_ports(1 + len(names))
    nodes = [
        _NODE.format(name=name, host=host, address=name, port=port, cards=len(CARDS))
        for name, port in zip(names, ports[1:], strict=True)
    ]
    text = _CONFIGURATION.format(
        host=host, address="127.0.0.1", controller=ports[0], user=user, folder=folder, nodes="\n".join(nodes)
    )
    (folder / "slurm.conf").write_text(text)
    (folder / "prolog").write_text(_PROLOG.format(folder=folder))
    (folder / "prolog").chmod(0o755)
    (folder / "gres.conf").write_text("".join(f"Name=gpu File={device}\n" for device in CARDS))
    (folder / "munge.key").touch(0o600)
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    for name in ("state", *(f"spool-{name}" for name in names)):
        (folder / name).mkdir()
    path = os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM])
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
    return {**kept, "PATH": path, "SLURM_CONF": str(folder / "slurm.conf")}


def _munge_options(folder: Path) -> list[str]:
    files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munged.pid", "seed-file": "munged.seed"}
    return [f"--{option}={folder / name}" for option, name in files.items()]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in held]


def _start(running: Slurm, program: str, *options: str, log: str = "", before: Sequence[str] = ()) -> Process:
    """Start a daemon that stays in the foreground."""
    # Where util-linux allows it, a daemon ends with us, even if we are killed.
    leash = ["setpriv", "--pdeathsig", "KILL" if before else "TERM"] if shutil.which("setpriv") else []
    with (running.folder / f"{log or program}.out").open("ab") as out:
        return subprocess.Popen(
            [*leash, *before, _found(program) or program, *options], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            env=running.environment, start_new_session=True,
        )  # fmt: skip


def _kill_all(running: Slurm) -> None:
    """End the nodes, whose jobs are cancelled; `unshare` is deaf to milder signals."""
    for name in running.daemons:
        running.kill(name)


def _stop(process: Process) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _cancel(running: Slurm) -> None:
    """Cancel what still runs, and wait until its processes are gone."""
    subprocess.run(["scancel", "--user", str(os.geteuid())], env=running.environment, check=False)
    end = time.monotonic() + 20
    while time.monotonic() < end and running.run("squeue", "--noheader").strip():
        time.sleep(0.5)


def _idle(running: Slurm) -> list[str]:
    """Return the nodes that are there and free."""
    ran = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--states=idle", "--responding", "--format=%N"], env=running.environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return ran.stdout.split()


def _until(holds: Callable[[], bool], folder: Path, log: str) -> None:
    end = time.monotonic() + STARTING
    while not holds():
        if time.monotonic() > end:
            path = folder / log
            told = path.read_text(errors="replace")[-3000:] if path.exists() else "nothing"
            raise RuntimeError(f"The cluster must start within {STARTING:g} s; {log} says: {told}")
        time.sleep(0.2)


def main(command: Sequence[str]) -> int:
    """Run a command in a cluster of two nodes; returns its exit status."""
    if reason := missing():
        print(f"No SLURM here: {reason}.", file=sys.stderr)
        return 2
    with cluster() as running:
        return subprocess.run(command or ["sinfo"], env=running.environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
