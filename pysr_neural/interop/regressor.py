"""The estimator: PySR's, with one more parameter.

Owns: `PySRRegressor`: the parameter ``neural_proposer``, the checks before a search, adding the plugin for the search
alone, the report after it.  Does not own: the plugin (`plugin`), the server (`process`), Julia's start (`julia`).

Importing this module imports PySR and so starts Julia.
"""

import inspect
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from difflib import get_close_matches
from functools import wraps
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import numpy as np

from pysr_neural.config import LEVELS_IN_PYSR, NeuralProposer, neural_proposer_of
from pysr_neural.errors import DataError
from pysr_neural.interop import julia
from pysr_neural.interop.plugin import NeuralProposerPlugin
from pysr_neural.interop.precision import lost_in
from pysr_neural.interop.report import WEIGHTS, NeuralReport
from pysr_neural.interop.suggestions import Suggestion, suggestions
from pysr_neural.state import NATIVE_LEVELS

_Parent = julia.boot().PySRRegressor
PARAMETER = "neural_proposer"
SHOWN = 3
"""Most columns that a warning names; the report has all."""
UNWEIGHTED = f"{WEIGHTS} the engine judges by them; the proposer sees all rows alike."


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
        config = neural_proposer_of(self.neural_proposer)
        if config is None and self.warm_start and hasattr(self, "neural_report_"):
            julia.load_package()  # The state that PySR goes on from mentions its types.
        if config is not None:
            notes = self._check_before_search(config, X, y)
            if options.get("weights") is not None and config.levels != ():
                notes += (UNWEIGHTED,)
            self._plugin(config).start_server()
            _NOTES[self] = notes
        super().fit(X, y, **options)
        return self

    @classmethod
    @_like(_Parent.from_file.__func__)
    def from_file(cls, *args: Any, **kwargs: Any) -> "PySRRegressor":
        """Read a run back; see PySR's `from_file`.

        A run of PySR's own estimator becomes one of ours: with ``warm_start=True, neural_proposer="default"`` it goes
        on with help.
        """
        ours = {PARAMETER: kwargs.pop(PARAMETER)} if PARAMETER in kwargs else {}
        model: PySRRegressor = super().from_file(*args, **kwargs)
        if type(model) is _Parent:
            model.__class__ = cls
            model.neural_proposer = None
        return model.set_params(**ours)  # type: ignore[no-any-return]

    def _check_before_search(self, config: NeuralProposer, X: Any, y: Any) -> tuple[str, ...]:
        """Refuse what cannot be searched, and warn of what may go wrong; returns what the report is to say of it."""
        notes: tuple[str, ...] = ()
        if self.type_spec is None:
            check_fit_data(X, y)
            notes = lost_in(self.precision, X, y)
        if notes:
            more = f" And so for {len(notes) - SHOWN} more." if len(notes) > SHOWN else ""
            self._warn("PySR's numbers cannot hold all of these data: " + " ".join(notes[:SHOWN]) + more, UserWarning)
        asking = set(LEVELS_IN_PYSR if config.levels is None else config.levels) - set(NATIVE_LEVELS)
        if asking and config.proposer is None:
            from pysr_neural.model.checkpoint import resolve

            resolve(config.checkpoint)
        if self.default_mutations is not None and "child" in (config.levels or ()):
            self._warn(
                "PySR's default_mutations drops the mutations that plugins bring, so the level 'child' does nothing in "
                "this search. Use mutations= to change weights, and leave default_mutations at None.",
                UserWarning,
            )
        return notes

    def _warn(self, text: str, category: type[Warning]) -> None:
        """Warn, unless the user wants to hear nothing; the report says it anyway."""
        if self.verbosity:
            warnings.warn(text, category, stacklevel=4)

    def _plugin(self, config: NeuralProposer, parallelism: str | None = None) -> NeuralProposerPlugin:
        """Make the plugin: synchronous where the search is to be reproducible, on TCP where workers are remote."""
        serial = (parallelism or self.parallelism) == "serial"
        host = socket.getfqdn() if self.cluster_manager is not None else None
        synchronous, verbose = bool(self.deterministic and serial), bool(self.verbosity)
        return NeuralProposerPlugin(config, synchronous=synchronous, host=host, verbose=verbose)

    @_like(_Parent._run)
    def _run(self, *args: Any, **kwargs: Any) -> Any:
        config = neural_proposer_of(self.neural_proposer)
        if config is None:
            result = super()._run(*args, **kwargs)
            self.__dict__.pop("neural_report_", None)
            return result
        call = inspect.signature(super()._run).bind(*args, **kwargs)
        parallelism = call.arguments.get("parallelism", self.parallelism)
        plugin = self._plugin(config, parallelism)
        with self._added(plugin, parallelism), plugin.on_data(call.arguments["X"], call.arguments["y"]):
            result = super()._run(*args, **kwargs)
        report = self._report_of(plugin)
        notes = dict.fromkeys([*_NOTES.pop(self, ()), *report.notes])
        report = replace(report, notes=tuple(notes))
        self.neural_report_ = replace(report, suggestions=self._suggestions(call.arguments, report))
        if config.trace is not None:
            self._import_trace(plugin)
        return result

    def _report_of(self, plugin: NeuralProposerPlugin) -> NeuralReport:
        """Fetch the report; a finished search is never lost over its report."""
        try:
            frames = self.equations_ if isinstance(self.equations_, list) else [self.equations_]
            return plugin.report([dict(zip(f["complexity"], f["equation"], strict=True)) for f in frames])
        except Exception as error:  # noqa: BLE001
            self._warn(f"The search ended, but its neural report could not be read: {error}", RuntimeWarning)
            return NeuralReport(levels=plugin.levels, failures=(f"report: {error}",))

    def _suggestions(self, given: Mapping[str, Any], report: NeuralReport) -> tuple[Suggestion, ...]:
        """Read suggestions out of a search of one output; a finished search is never lost over them."""
        special = self.type_spec is not None or self.expression_spec is not None or np.iscomplexobj(given["X"])
        if special or isinstance(self.equations_, list) or np.iscomplexobj(given["y"]):
            return ()
        front = dict(zip(self.equations_["complexity"], self.equations_["equation"], strict=True))
        operators = {name: list(getattr(self, name) or ()) for name in ("unary_operators", "binary_operators")}
        try:
            about = given["X"], np.ravel(given["y"]), list(self.feature_names_in_), front, operators
            return suggestions(*about, self.maxsize, report.notes)
        except Exception as error:  # noqa: BLE001
            self._warn(f"The search ended, but suggestions for the next one failed: {error}", RuntimeWarning)
            return ()

    def _import_trace(self, plugin: NeuralProposerPlugin) -> None:
        """Add this search to its trace; a finished search is never lost over its trace."""
        seed = self.random_state if isinstance(self.random_state, int) else -1
        try:
            plugin.import_trace(seed, self.get_params())
        except Exception as error:  # noqa: BLE001
            self._warn(f"The search ended, but its trace could not be written: {error}", RuntimeWarning)
            failures = (*self.neural_report_.failures, f"trace: {error}")
            self.neural_report_ = replace(self.neural_report_, failures=failures)

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


_NOTES: WeakKeyDictionary[PySRRegressor, tuple[str, ...]] = WeakKeyDictionary()
"""What the report of the search under way is to say; kept here so that PySR's checkpoints stay as they are."""
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
