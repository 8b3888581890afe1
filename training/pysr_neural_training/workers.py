"""Where jobs run: here, on this machine's cores, or on a cluster; all but the first through Dask.

Owns: starting and stopping workers, results as they come.  Does not own: what a job is (whoever has some).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

from pysr_neural._optional import require
from pysr_neural.errors import ConfigError

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

        Raises
        ------
        ConfigError
            If a package is missing or the scheduler cannot be reached.
        """
        if not jobs:
            return
        if self.count == 0 and not self.scheduler and not self.slurm:
            for job in jobs:
                yield job, run(job)
            return
        distributed = require("distributed", "training", PURPOSE)
        with ExitStack() as stack:
            client = stack.enter_context(self._client(distributed, stack, len(jobs)))
            waiting = {client.submit(run, job, pure=False): job for job in jobs}
            for future, result in distributed.as_completed(list(waiting), with_results=True):
                job = waiting.pop(future)
                future.release()
                yield job, result

    def _client(self, distributed: Any, stack: ExitStack, jobs: int) -> AbstractContextManager[Any]:
        if self.scheduler:
            try:
                return distributed.Client(self.scheduler, timeout="20s")
            except (OSError, ValueError) as error:
                raise ConfigError(
                    f"A Dask scheduler must answer at its address; got {self.scheduler!r}: {error}. Start one with "
                    "`dask scheduler`."
                ) from error
        cluster = stack.enter_context(self._slurm() if self.slurm else self._local(distributed, jobs))
        return distributed.Client(cluster)

    def _local(self, distributed: Any, jobs: int) -> AbstractContextManager[Any]:
        return distributed.LocalCluster(
            n_workers=min(self.count, jobs), threads_per_worker=1, dashboard_address=None, silence_logs="ERROR"
        )

    def _slurm(self) -> AbstractContextManager[Any]:
        try:
            from dask_jobqueue.slurm import SLURMCluster
        except ModuleNotFoundError as error:
            raise ConfigError(
                "Workers on a SLURM cluster need the package dask-jobqueue; it is not installed. Run `pip install "
                "dask-jobqueue` and describe your cluster in ~/.config/dask/jobqueue.yaml."
            ) from error
        cluster = SLURMCluster()
        cluster.scale(self.count)
        return cluster
