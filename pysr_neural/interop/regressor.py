"""The estimator: PySR's, with one more parameter.

Owns: `PySRRegressor`: the parameter ``neural_proposer``, the checks before a search, adding the plugin for the search
alone, the report after it.  Does not own: the plugin (`plugin`), the server (`process`), Julia's start (`julia`).

Importing this module imports PySR and so starts Julia.
"""

import inspect
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from difflib import get_close_matches
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np

from pysr_neural.config import NeuralProposer, neural_proposer_of
from pysr_neural.errors import DataError
from pysr_neural.interop import julia
from pysr_neural.interop.plugin import NeuralProposerPlugin
from pysr_neural.interop.report import NeuralReport

_Parent = julia.boot().PySRRegressor
PARAMETER = "neural_proposer"


Method = TypeVar("Method", bound=Callable[..., Any])


def _like(original: Callable[..., Any]) -> Callable[[Method], Method]:
    """Give a method the signature of the one that it overrides, for scikit-learn to read; typed as itself."""
    return cast(Callable[[Method], Method], wraps(original))


def _signature() -> inspect.Signature:
    """PySR's parameters, then ours: scikit-learn reads them from here."""
    parameters = list(inspect.signature(_Parent.__init__).parameters.values())
    ours = inspect.Parameter(PARAMETER, inspect.Parameter.KEYWORD_ONLY, default=None)
    named = [p for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
    return inspect.Signature([*named, ours, *(p for p in parameters if p not in named)])


class PySRRegressor(_Parent):  # type: ignore[misc, valid-type]
    """PySR's estimator with neural help.

    Parameters
    ----------
    model_selection : str
        As in PySR.
    neural_proposer : None, str, path, NeuralProposer, or Proposer
        None: plain PySR, bit for bit.  ``"default"``: the bundled checkpoint; a text or path: another one; a
        `NeuralProposer` says everything; an object with the Proposer protocol is asked in place of the transformer.
    **parameters
        All of PySR's, unchanged.

    Attributes
    ----------
    neural_report_ : NeuralReport
        After `fit` with neural help: what it did.  ``print(model.neural_report_)`` fits one screen.

    Raises
    ------
    ConfigError, CheckpointError, DataError, EngineUnavailableError
        By `fit`, before the search, each with its remedy.
    """

    neural_report_: NeuralReport
    plugins: Any
    worker_imports: Any

    def __init__(self, model_selection: str = "best", *, neural_proposer: Any = None, **parameters: Any) -> None:
        for name in parameters:
            if name not in _PARENT_PARAMETERS and get_close_matches(name, [PARAMETER], cutoff=0.75):
                raise TypeError(
                    f"`{name}` is not a valid keyword argument for PySRRegressor. Did you mean `{PARAMETER}`?"
                )
        super().__init__(model_selection, **parameters)
        self.neural_proposer = neural_proposer

    __init__.__signature__ = _signature()  # type: ignore[attr-defined]

    @_like(_Parent.fit)
    def fit(self, X: Any, y: Any, **options: Any) -> "PySRRegressor":
        """Search for expressions; see PySR's `fit`.  `neural_report_` tells what the neural help did."""
        helped = self.__dict__.pop("neural_report_", None) is not None
        config = neural_proposer_of(self.neural_proposer)
        if helped and config is None and self.warm_start:
            julia.load_package()  # The state that PySR goes on from mentions its types.
        if config is not None:
            self._check_before_search(config, X, y)
            self._plugin(config).start_server()
        super().fit(X, y, **options)
        return self

    def _check_before_search(self, config: NeuralProposer, X: Any, y: Any) -> None:
        if self.type_spec is None:
            check_fit_data(X, y)
            self._warn_of_precision(y)
        if config.levels and config.proposer is None:
            from pysr_neural.model.checkpoint import resolve

            resolve(config.checkpoint)
        if self.default_mutations is not None and "child" in config.levels:
            warnings.warn(
                "PySR's default_mutations drops the mutations that plugins bring, so the level 'child' does nothing in "
                "this search. Use mutations= to change weights, and leave default_mutations at None.",
                UserWarning,
                stacklevel=3,
            )

    def _warn_of_precision(self, y: Any) -> None:
        """Warn where squared errors are no numbers of single precision, so that all members would look alike."""
        values = _array(y)
        if self.precision != 32 or values.dtype.kind not in "fiu" or not values.size:
            return
        with np.errstate(over="ignore"):
            deviations = np.atleast_1d(np.std(values, axis=0, dtype=float))
        least, most = np.sqrt(np.finfo(np.float32).tiny / np.finfo(np.float32).eps), np.sqrt(np.finfo(np.float32).max)
        for deviation in deviations[((deviations > 0) & (deviations < least)) | (deviations > most)][:1]:
            warnings.warn(
                f"Squared errors of y, whose standard deviation is {deviation:.1e}, must fit PySR's numbers, which "
                "are of single precision by default, and do not. Set precision=64, or scale y.",
                UserWarning,
                stacklevel=4,
            )

    def _plugin(self, config: NeuralProposer, parallelism: str | None = None) -> NeuralProposerPlugin:
        """Make the plugin: synchronous where the search is to be reproducible, on TCP where workers are remote."""
        serial = (parallelism or self.parallelism) == "serial"
        host = socket.getfqdn() if self.cluster_manager is not None else None
        return NeuralProposerPlugin(config, synchronous=bool(self.deterministic and serial), host=host)

    @_like(_Parent._run)
    def _run(self, *args: Any, **kwargs: Any) -> Any:
        config = neural_proposer_of(self.neural_proposer)
        if config is None:
            return super()._run(*args, **kwargs)
        call = inspect.signature(super()._run).bind(*args, **kwargs)
        parallelism = call.arguments.get("parallelism", self.parallelism)
        plugin = self._plugin(config, parallelism)
        with self._added(plugin, parallelism):
            result = super()._run(*args, **kwargs)
        self.neural_report_ = _report_of(plugin, self.equations_)
        if config.trace is not None:
            self._import_trace(plugin)
        return result

    def _import_trace(self, plugin: NeuralProposerPlugin) -> None:
        """Add this search to its trace; a finished search is never lost over its trace."""
        seed = self.random_state if isinstance(self.random_state, int) else -1
        try:
            plugin.import_trace(seed, self.get_params())
        except Exception as error:  # noqa: BLE001
            text = f"The search ended, but its trace could not be written: {error}"
            warnings.warn(text, RuntimeWarning, stacklevel=4)

    @contextmanager
    def _added(self, plugin: NeuralProposerPlugin, parallelism: str | None) -> Iterator[None]:
        """Show PySR the plugin for the length of the search; the user's parameters are never changed."""
        plugins, imports = self.plugins, self.worker_imports
        self.plugins = [*(plugins or ()), plugin]
        if parallelism == "multiprocessing":
            self.worker_imports = [*(imports or ()), julia.PACKAGE]
        try:
            with julia.load_path_for_workers() if self.cluster_manager is not None else nullcontext():
                yield
        finally:
            self.plugins, self.worker_imports = plugins, imports

    def _define_julia_expression_types(self) -> None:
        """Load the Julia package before PySR reads back a state that mentions its types."""
        if self.neural_proposer is not None or hasattr(self, "neural_report_"):
            julia.load_package()
        super()._define_julia_expression_types()


_PARENT_PARAMETERS = frozenset(inspect.signature(_Parent.__init__).parameters)


def check_fit_data(X: Any, y: Any) -> None:
    """Check shapes and finite values before a search; what is no plain array of numbers is left to PySR.

    Raises
    ------
    DataError
        If X and y differ in length, or y holds a NaN or an infinite value.
    """
    rows, targets = _array(X), _array(y)
    if rows.ndim >= 1 and targets.ndim >= 1 and len(rows) != len(targets):
        raise DataError(
            f"X and y must have one row per observation each; got {len(rows)} rows in X and {len(targets)} in y."
        )
    for name, values in (("X", rows), ("y", targets)):
        if values.dtype.kind not in "fc":
            continue
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            raise DataError(
                f"{name} must be finite; got {len(bad)} NaN or infinite value(s), the first at "
                f"{bad[0].tolist()}. Drop or impute these rows."
            )


def _array(values: Any) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(values)
    except ValueError:  # ragged: PySR's own check names it
        return np.zeros(())


def _report_of(plugin: NeuralProposerPlugin, equations: Any) -> NeuralReport:
    """Fetch the report; a finished search is never lost over its report."""
    try:
        frames = equations if isinstance(equations, list) else [equations]
        return plugin.report([dict(zip(f["complexity"], f["equation"], strict=True)) for f in frames])
    except Exception as error:  # noqa: BLE001
        text = f"The search ended, but its neural report could not be read: {error}"
        warnings.warn(text, RuntimeWarning, stacklevel=4)
        return NeuralReport(levels=plugin.config.levels, failures=(f"report: {error}",))
