"""The plugin that PySR is given: `NeuralProposerPlugin`.

Owns: turning `NeuralProposer` into the Julia package's plugin, with a server behind it; fetching the report.  Does not
own: the estimator (`regressor`), the server's life (`process`).

Importing this module does not import PySR: the class has what PySR asks of a plugin, the method `julia_plugin`.
"""

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pysr_neural.checks import AUTO
from pysr_neural.config import LEVELS_IN_PYSR, NeuralProposer, is_policy, neural_proposer_of
from pysr_neural.errors import ConfigError
from pysr_neural.interop import julia
from pysr_neural.interop.process import ServerHandle, servers
from pysr_neural.interop.report import NeuralReport
from pysr_neural.proposer.policy import native
from pysr_neural.state import NATIVE_LEVELS

NOBODY = ""
"""Address given to the engine where no level is on that asks anybody."""


@dataclass
class NeuralProposerPlugin:
    """Neural help for PySR's own estimator.

    Parameters
    ----------
    neural_proposer : str, path, NeuralProposer, or Proposer
        As in `pysr_neural.PySRRegressor`.
    synchronous : bool
        Wait for each answer; needed for reproducible searches, and only useful with ``parallelism="serial"``.
    host : str, optional
        Name of this machine as remote workers reach it; the server then listens on TCP at that name.
    verbose : bool
        Whether the engine may warn; the report tells everything anyway.
    foresight : sequence of float, optional
        Weights of the level ``foresight`` in place of the bundled ones; none at all: all changes are equally likely.
    foresight_share : float
        Share of mutations that look ahead, between 0 and 1.
    foresight_places : int
        Places of a tree that such a step looks at; its price grows with them.

    Attributes
    ----------
    session : str
        Names the latest search; the engine keys its counts by it.

    Raises
    ------
    ConfigError
        If ``neural_proposer`` is none of these.

    Examples
    --------
    ``pysr.PySRRegressor(plugins=[NeuralProposerPlugin("default")])``; with ``parallelism="multiprocessing"`` add
    ``worker_imports=["NeuralProposer"]``.
    """

    neural_proposer: Any = "default"
    synchronous: bool = False
    host: str | None = None
    verbose: bool = True
    foresight: Sequence[float] | None = None
    foresight_share: float = 0.1
    foresight_places: int = 1
    session: str = field(default="", init=False, repr=False, compare=False)
    _data: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if is_policy(self.config.checkpoint):
            raise ConfigError(
                "PySR makes its own decisions: a policy of actions is for BasicSR(proposer=...); got "
                f"checkpoint={self.config.checkpoint!r}. Give PySR a transformer, such as 'default'."
            )

    @property
    def config(self) -> NeuralProposer:
        """The settings in full form."""
        config = neural_proposer_of(self.neural_proposer)
        if config is None:
            raise ConfigError("NeuralProposerPlugin needs a proposer; leave the plugin out for plain PySR.")
        return config

    @property
    def levels(self) -> tuple[str, ...]:
        """Where the model helps."""
        levels = self.config.levels
        return LEVELS_IN_PYSR if levels is None else levels

    def start_server(self) -> ServerHandle | None:
        """Start the server, without waiting for it, so that it loads while Julia compiles; None if none is needed."""
        return servers.get(self.config, self.host) if set(self.levels) - set(NATIVE_LEVELS) else None

    def julia_plugin(self) -> Any:
        """Make the Julia plugin; called by PySR before each search.

        Raises
        ------
        EngineUnavailableError
            If Julia, its package or the server cannot be started.
        CheckpointError
            If the server cannot load the checkpoint.
        ConfigError
            If the trace's directory cannot be written.
        """
        config, server = self.config, self.start_server()
        trace = _prepared(config.trace)
        package = julia.load_package()
        address = NOBODY if server is None else server.wait_until_ready(config.start_timeout)
        self.session = uuid.uuid4().hex
        if self._data is not None:
            package.keep_data(self.session, *self._data)
        return package.NeuralProposerPlugin(
            address=address,
            token="" if server is None else server.token,
            levels=julia.vector_of_strings(self.levels),
            max_overhead=AUTO if config.max_overhead == AUTO else float(config.max_overhead),
            batch_size=int(config.batch_size),
            temperature=float(config.temperature),
            seed=int(config.seed),
            weight=float(config.weight),
            foresight=julia.vector_of_floats(self._weights()),
            foresight_share=float(self.foresight_share),
            foresight_places=int(self.foresight_places),
            synchronous=self.synchronous,
            seed_timeout=float(config.seed_timeout),
            request_timeout=float(config.request_timeout),
            session=self.session,
            trace=trace,
            trace_rate=float(config.trace_rate),
            cores=cores(),
            verbose=self.verbose,
        )

    def _weights(self) -> Sequence[float]:
        if "foresight" not in self.levels:
            return ()
        return native.load().tolist() if self.foresight is None else self.foresight

    @contextmanager
    def on_data(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Iterator[None]:
        """Let the proposer see data as they are for the length of a search, which rounds them to PySR's precision.

        Parameters
        ----------
        X : array, shape (rows, features)
        y : array, shape (rows,) or (rows, outputs)
            What is not real is left to the engine.
        """
        columns, targets = np.asarray(X), np.asarray(y)
        if columns.dtype == targets.dtype == np.float64:
            self._data = columns.T, targets.reshape(len(targets), -1).T
        try:
            yield
        finally:
            self._data = None
            if self.session:
                julia.load_package().forget_data(self.session)

    def report(self, fronts: Sequence[Mapping[int, str]] = ()) -> NeuralReport:
        """Return what this plugin's latest search counted.

        Parameters
        ----------
        fronts : sequence of mapping of int to str
            Per output, the final front's expression of each complexity; only names the neural members.
        """
        config = self.config
        answer = julia.plain(julia.load_package().report(self.session))
        return NeuralReport.from_engine(
            answer,
            engine=f"PySR {julia.boot().__version__}",
            checkpoint=config.label,
            levels=self.levels,
            fronts=fronts,
        )

    def import_trace(self, seed: int = -1, parameters: Mapping[str, Any] | None = None) -> list[int]:
        """Turn what this plugin's latest search recorded into a part of its trace.

        Parameters
        ----------
        seed : int
            Of the search, if it had one.
        parameters : mapping, optional
            The estimator's, to be stored with the run.

        Returns
        -------
        list of int
            Numbers of the new runs, one per output; empty if no trace was wanted or nothing was recorded.

        Raises
        ------
        TraceError
            If the trace cannot be written; the recordings then stay beside it.
        """
        from pysr_neural.interop.recording import import_recordings

        config = self.config
        if config.trace is None:
            return []
        answer = julia.plain(julia.load_package().report(self.session))
        facts = {
            "version": str(julia.boot().__version__),
            "proposer": config.label if self.levels else "",
            "seed": seed,
            "config": dict(parameters or {}),
            "population_rate": config.trace_rate,
        }
        return import_recordings(Path(config.trace), facts, [int(output["search"]) for output in answer["outputs"]])


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _prepared(trace: str | None) -> str:
    """Make the trace's directory, before the search; its full name, or nothing if no trace is wanted."""
    if trace is None:
        return ""
    try:
        os.makedirs(trace, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"trace must be a directory that can be written; got {trace!r}: {error}.") from error
    if not os.access(trace, os.W_OK):
        raise ConfigError(f"trace must be a directory that can be written; {trace!r} cannot.")
    return os.path.abspath(trace)
