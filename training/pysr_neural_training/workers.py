"""Where jobs run: here, on this machine's cores, or on a cluster; all but the first through Dask.

Owns: starting and stopping workers, results as they come, what becomes of jobs whose workers die.  Does not own: what a
job is (whoever has some), the description of a SLURM cluster (dask-jobqueue's configuration).
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

from pysr_neural._optional import require
from pysr_neural.errors import ConfigError, NeuralProposerError

LEFT_ALONE = (
    "The Dask scheduler must stay until all is done; it is gone, or it dropped this command's work. What was done is "
    "kept; start it anew and give the same command again."
)
LOOK_EVERY, ASK_EVERY = 0.05, 20.0
"""Seconds between two looks for results, and between two questions to SLURM."""
IN_VAIN = 3
"""Times that all jobs of SLURM may end before one of them has come to work."""
JobType = TypeVar("JobType")
Result = TypeVar("Result")
PURPOSE = "Running on several workers"


@dataclass(frozen=True)
class Workers:
    """Where to run.

    Parameters
    ----------
    count : int
        Worker processes; 0 runs everything in this one.
    scheduler : str
        Address of a Dask scheduler whose workers are used instead; empty for none.
    slurm : bool
        Whether the workers are jobs of a SLURM cluster, set up as dask-jobqueue's configuration says.

    Raises
    ------
    ConfigError
        If the count is negative, both a scheduler and SLURM are wanted, or SLURM without a worker.
    """

    count: int
    scheduler: str = ""
    slurm: bool = False

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ConfigError(f"The number of workers must be at least 0; got {self.count}.")
        if self.scheduler and self.slurm:
            raise ConfigError("Workers come from a scheduler's address or from SLURM; got both.")
        if self.slurm and self.count == 0:
            raise ConfigError("SLURM must be asked for at least one worker; got 0. Give --workers.")

    def results(self, run: Callable[[JobType], Result], jobs: Sequence[JobType]) -> Iterator[tuple[JobType, Result]]:
        """Run jobs; yields each with its result as soon as it is there, in any order.

        A job whose worker dies is done again by another one.

        Raises
        ------
        ConfigError
            If a package is missing, the scheduler cannot be reached, or SLURM takes no jobs or ends them at once.
        NeuralProposerError
            After all others, if jobs were given up, since one worker after the other died of them.
        """
        if not jobs:
            return
        if self.count == 0 and not self.scheduler and not self.slurm:
            for job in jobs:
                yield job, run(job)
            return
        distributed = require("distributed", "training", PURPOSE)
        with ExitStack() as stack:
            cluster = None if self.scheduler else stack.enter_context(self._cluster(distributed, len(jobs)))
            client = stack.enter_context(distributed.Client(cluster) if cluster else self._client(distributed))
            slurm = SlurmJobs(cluster, min(self.count, len(jobs))) if self.slurm else None
            waiting = {client.submit(run, job, pure=False): job for job in jobs}
            given_up: list[str] = []
            for future, result in _completed(distributed, list(waiting), slurm):
                job = waiting.pop(future)
                if future.status == "finished":
                    yield job, result
                elif future.status != "error":
                    raise NeuralProposerError(LEFT_ALONE)
                elif isinstance(result[1], distributed.KilledWorker):
                    given_up.append(str(result[1]))
                else:
                    raise result[1].with_traceback(result[2])
                future.release()
            if given_up:
                raise NeuralProposerError(_told(given_up, len(jobs)))

    def _client(self, distributed: Any) -> AbstractContextManager[Any]:
        try:
            return distributed.Client(self.scheduler, timeout="20s")
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"A Dask scheduler must answer at its address; got {self.scheduler!r}: {error}. Start one with "
                "`dask scheduler`."
            ) from error

    def _cluster(self, distributed: Any, jobs: int) -> AbstractContextManager[Any]:
        if self.slurm:
            return _slurm()
        return distributed.LocalCluster(
            n_workers=min(self.count, jobs), threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs="ERROR"
        )


class SlurmJobs:
    """Dask's workers as jobs of SLURM: as many as were asked for, for as long as there is work.

    Dask by itself asks for jobs once.  A job that ends early, at its time limit or with its node, would be missed for
    the rest of the run, and without any job the run would never end.  A job that SLURM requeues is no help: Dask
    cancels what a lost worker ran in, within seconds.

    Parameters
    ----------
    cluster : dask_jobqueue.SLURMCluster
    count : int

    Raises
    ------
    ConfigError
        If SLURM does not take them.
    """

    def __init__(self, cluster: Any, count: int) -> None:
        self._cluster, self._count = cluster, count
        self._asked = time.monotonic()
        self._ended, self._at_work = 0, False
        try:
            cluster.sync(self._submitted)
        except RuntimeError as error:
            raise ConfigError(
                f"SLURM must take the workers' jobs; got: {error} Their description is dask-jobqueue's, in "
                "~/.config/dask/jobqueue.yaml."
            ) from error

    def look_after(self) -> None:
        """Submit others for jobs that are gone; does nothing if that was just done.

        Raises
        ------
        ConfigError
            If all end again and again before one has come to work.
        """
        if time.monotonic() - self._asked < ASK_EVERY:
            return
        self._cluster.sync(self._replaced)
        self._asked = time.monotonic()
        if not self._at_work and self._ended >= IN_VAIN * self._count:
            raise ConfigError(
                f"Jobs of SLURM must come to work; {self._ended} ended before. Their output tells why "
                "(`log-directory` in ~/.config/dask/jobqueue.yaml); this Python must run on every node."
            )

    async def _submitted(self) -> None:
        self._cluster.scale(self._count)
        await self._cluster
        for job in list(self._cluster.workers.values()):
            if job.job_id is None:  # Refused, and the error went to a task of Dask's that nobody waits for.
                await job.start()

    async def _replaced(self) -> None:
        """Forget jobs that SLURM no longer has, and ask for the number again."""
        cluster = self._cluster
        self._at_work = self._at_work or bool(cluster.scheduler_info["workers"])
        asked = dict(cluster.workers)
        try:
            known = await cluster.job_cls._call(["squeue", "--noheader", "--format=%A", f"--user={os.getuid()}"])
        except RuntimeError:  # SLURM's controller may be away for a while.
            return
        for name, job in asked.items():
            if job.job_id not in known.split() and cluster.workers.get(name) is job:
                self._ended += 1
                del cluster.workers[name]
        cluster.scale(self._count)


def _completed(distributed: Any, futures: Sequence[Any], slurm: SlurmJobs | None) -> Iterator[tuple[Any, Any]]:
    """Yield futures as they are done, with a result or what was raised; looks after SLURM's jobs meanwhile."""
    completed = distributed.as_completed(futures, with_results=True, raise_errors=False)
    while not completed.is_empty():
        if slurm is not None:
            slurm.look_after()
        if completed.has_ready():
            yield next(completed)
        else:
            time.sleep(LOOK_EVERY)


def _slurm() -> AbstractContextManager[Any]:
    interrupted = signal.getsignal(signal.SIGINT)
    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ModuleNotFoundError as error:
        raise ConfigError(
            "Workers on a SLURM cluster need the package dask-jobqueue; it is not installed. Run `pip install "
            "dask-jobqueue` and describe your cluster in ~/.config/dask/jobqueue.yaml."
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, interrupted)  # Its import makes Ctrl-C an end without error (0.9.0).
    return SLURMCluster()


def _told(given_up: Sequence[str], jobs: int) -> str:
    return (
        f"Every job must find a worker that lives as long; {len(given_up)} of {jobs} were given up: {given_up[0]} All "
        "others are done. See what ends the workers (their logs; often memory), then give the same command again."
    )
