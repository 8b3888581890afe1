"""Dask's workers as jobs of a SLURM cluster: as many as were asked for, for as long as there is work.

Owns: submitting them, and submitting others for those that are gone.  Does not own: what they do (`workers`), the
description of the cluster (dask-jobqueue's configuration).

Dask by itself asks for jobs once.  A job that ends early, at its time limit or with its node, would be missed for the
rest of the run, and without any job the run would never end.  A job that SLURM requeues is no help: Dask cancels what
a lost worker ran in, within seconds.
"""

import os
import time
from typing import Any

from pysr_neural.errors import ConfigError

LOOK_EVERY = 20.0
"""Seconds between two questions to SLURM."""
IN_VAIN = 3
"""Times that all jobs may end before one of them has come to work."""


class SlurmJobs:
    """The jobs of a dask-jobqueue cluster.

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
        self._looked = time.monotonic()
        self._ended, self._at_work = 0, False
        cluster.scale(count)
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
        if time.monotonic() - self._looked < LOOK_EVERY:
            return
        self._cluster.sync(self._replaced)
        self._looked = time.monotonic()
        if not self._at_work and self._ended >= IN_VAIN * self._count:
            raise ConfigError(
                f"Jobs of SLURM must come to work; {self._ended} ended before. Their output tells why "
                "(`log-directory` in ~/.config/dask/jobqueue.yaml); this Python must run on every node."
            )

    async def _submitted(self) -> None:
        await self._cluster

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
