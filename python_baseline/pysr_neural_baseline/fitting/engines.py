"""The engines behind the commands: PySR where Julia is, BasicSR elsewhere, with the same checkpoint.

Owns: the choice, what each engine is told, and its answer in one form.  Does not own: the engines.
"""

import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import numpy as np

from pysr_neural.config import neural_proposer_of
from pysr_neural.errors import ConfigError, EngineUnavailableError, NeuralProposerError
from pysr_neural.expression.node import Node
from pysr_neural.expression.text import parse, to_string
from pysr_neural.interop.julia import HOW_TO_GET_JULIA, is_interrupt, julia_available, load_package
from pysr_neural.operators import OPERATORS, Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.base import Proposer
from pysr_neural_baseline.fitting.measurements import Measurements
from pysr_neural_baseline.fitting.outcome import Member, rounded, shown

Say = Callable[[str], None]
Help = str | Proposer | None
DEFAULT_OPERATORS = "+,-,*,/,sqrt,exp,log,sin,cos"
"""Of commands, with commas between."""
DIGITS = 3
ENDLESS = 1_000_000
"""Iterations, never reached: time ends a search."""
NO_HELP = "No proposer took part."
EARLY = 0.9
"""Share of its time below which a search of PySR, which nothing else ends, was ended by the user."""


@dataclass(frozen=True)
class Settings:
    """What a search is told beside its data.

    Parameters
    ----------
    operators : OperatorSet
    max_size : int
    seconds : float
    seed : int
        Of BasicSR's search; with PySR, of the model's samples alone.
    precision : int
        Of PySR's numbers, in bits; BasicSR has 64.
    units : tuple of str
        Of the columns and, last, of the target, which PySR searches by; empty for none.
    guesses : tuple of Node
        Members to begin with.
    """

    operators: OperatorSet
    max_size: int
    seconds: float
    seed: int = 0
    precision: int = 64
    units: tuple[str, ...] = ()
    guesses: tuple[Node, ...] = ()


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    Parameters
    ----------
    members : tuple of Member
    report : str
    interrupted : bool
        Whether Ctrl-C ended the search.
    """

    members: tuple[Member, ...]
    report: str
    interrupted: bool = False


class Engine(Protocol):
    """What the commands ask of an engine."""

    name: str
    sentence: str

    def warm_up(self, settings: Settings, say: Say) -> None:
        """Do what would otherwise count into the first search's time."""
        ...

    def search(self, data: Measurements, settings: Settings) -> Found:
        """Search for laws for about as long as the settings say; Ctrl-C ends it early with what was found.

        Raises
        ------
        KeyboardInterrupt
            If that is nothing.
        """
        ...


class PySREngine:
    """PySR with neural help.

    Parameters
    ----------
    proposer : None, str, or Proposer
        As ``neural_proposer`` of `pysr_neural.PySRRegressor`.

    Raises
    ------
    EngineUnavailableError
        If Julia or the Julia package cannot be loaded.
    """

    name = "pysr"

    def __init__(self, proposer: Help) -> None:
        load_package()
        self.proposer = neural_proposer_of(proposer)
        self.sentence = f"PySR (Julia) {_help(proposer)}."

    def warm_up(self, settings: Settings, say: Say) -> None:
        """Compile the search, once, on a problem that is thrown away; units compile anew."""
        say("Starting Julia and compiling the search; this takes half a minute, and minutes the first time of all.")
        X = np.linspace(1.0, 2.0, 8 * max(1, len(settings.units) - 1)).reshape(8, -1)
        with tempfile.TemporaryDirectory(prefix="pysr-neural-fit-") as folder:
            model = self._model(replace(settings, seconds=2.0, guesses=()), folder)
            self._fit(model.set_params(niterations=1), X, X[:, 0] ** 2, settings.units)

    def search(self, data: Measurements, settings: Settings) -> Found:
        """See `Engine`; a search that ends long before its time was ended by the user."""
        started = monotonic()
        with tempfile.TemporaryDirectory(prefix="pysr-neural-fit-") as folder, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The search was interrupted")  # Said by whoever asked.
            model = self._model(settings, folder)
            try:
                self._fit(model, data.X, data.y, settings.units)
                return self._found(model, data, settings, monotonic() - started)
            except BaseException as error:
                rows = saved_equations(Path(folder))
                if is_interrupt(error) and rows:
                    return Found(members_of(rows, data), "The search was interrupted before its report.", True)
                if is_interrupt(error):
                    raise KeyboardInterrupt from error
                raise

    @staticmethod
    def _found(model: Any, data: Measurements, settings: Settings, seconds: float) -> Found:
        """Read what a search has found out of its estimator."""
        table, report = model.equations_, getattr(model, "neural_report_", None)
        listed = report.neural_hall_of_fame if report is not None else ()
        neural = are_listed(table["equation"], listed)
        rows = list(zip(table["complexity"], table["loss"], table["equation"], neural, strict=True))
        if not rows:
            raise ConfigError(
                f"PySR must have time for its first expressions; {settings.seconds:g} s were not enough. "
                "Raise --seconds."
            )
        text = NO_HELP
        if report is not None:
            named = tuple(shown(parse(each), data.features) for each in listed)
            text = str(replace(report, neural_hall_of_fame=named))
        interrupted = getattr(model, "interrupted_", False) or seconds < EARLY * settings.seconds
        return Found(members_of(rows, data), text, interrupted)

    @staticmethod
    def _fit(model: Any, X: Array, y: Array, units: tuple[str, ...]) -> None:
        names = [f"x{i}" for i in range(X.shape[1])]  # PySR takes plain words only, and not all of them.
        given = {"X_units": list(units[:-1]), "y_units": units[-1]} if units else {}
        try:
            model.fit(X, y, variable_names=names, **given)
        except Exception as error:
            if not units or isinstance(error, NeuralProposerError) or is_interrupt(error):
                raise
            raise ConfigError(
                f"PySR must be able to search with units {', '.join(units)}; it says: {error}. Write them as m/s^2, "
                "km, Constants.au, or leave --units out."
            ) from error

    def _model(self, settings: Settings, folder: str) -> Any:
        """Make the estimator, without ``random_state``: threads that time ends repeat nothing, as PySR would warn."""
        from pysr_neural import PySRRegressor

        names, proposer = settings.operators.of_arity, self.proposer
        return PySRRegressor(
            neural_proposer=None if proposer is None else replace(proposer, seed=settings.seed),
            binary_operators=[OPERATORS[name].julia[0] for name in names(2)],
            unary_operators=[OPERATORS[name].julia[0] for name in names(1)],
            maxsize=settings.max_size,
            niterations=ENDLESS,
            timeout_in_seconds=settings.seconds,
            precision=settings.precision,
            guesses=[to_string(tree) for tree in settings.guesses] or None,
            progress=False,
            verbosity=0,
            output_directory=folder,
            run_id="search",
        )


class BasicSREngine:
    """BasicSR, the reference engine in pure Python, with neural help.

    Parameters
    ----------
    proposer : None, str, or Proposer
        As ``neural_proposer`` of `pysr_neural.PySRRegressor`.

    Raises
    ------
    ConfigError, CheckpointError
        If there is no such proposer.
    """

    name = "basicsr"

    def __init__(self, proposer: Help) -> None:
        from pysr_neural.proposer.load import proposer_of

        told = neural_proposer_of(proposer)
        self._label = "" if told is None else told.label
        # Loaded here, once, so that it takes none of a search's time.
        self.proposer = None if told is None else proposer_of(told)
        self.sentence = f"BasicSR (pure Python) {_help(proposer)}."

    def warm_up(self, settings: Settings, say: Say) -> None:
        """Do nothing: there is nothing to compile."""

    def search(self, data: Measurements, settings: Settings) -> Found:
        """See `Engine`."""
        from pysr_neural_baseline.estimator import BasicSR

        model = BasicSR(
            binary_operators=settings.operators.of_arity(2),
            unary_operators=settings.operators.of_arity(1),
            proposer=self.proposer,
            max_size=settings.max_size,
            generations=ENDLESS,
            timeout_in_seconds=settings.seconds,
            random_state=settings.seed,
            guesses=settings.guesses,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The search was interrupted")  # Said by whoever asked.
            model.fit(data.X, data.y, variable_names=data.features)
        table, report = model.equations_, model.neural_report_
        rows = list(zip(table["complexity"], table["loss"], table["tree"], table["neural"], strict=True))
        text = NO_HELP if report is None else str(replace(report, checkpoint=self._label))
        return Found(members_of(rows, data), text, model.interrupted_)


ENGINES: dict[str, Callable[[Help], Engine]] = {"pysr": PySREngine, "basicsr": BasicSREngine}


def _help(proposer: Help) -> str:
    return "without neural help" if proposer is None else "with neural help"


def choose(name: str, proposer: Help, say: Say, install: bool = True) -> Engine:
    """Return an engine by name; ``"auto"`` takes PySR, or BasicSR if Julia cannot be started, and says so.

    Parameters
    ----------
    name : str
        ``"auto"``, ``"pysr"`` or ``"basicsr"``.
    proposer : None, str, or Proposer
        As ``neural_proposer`` of `pysr_neural.PySRRegressor`.
    say : callable
        Takes what the user should know.
    install : bool
        Whether ``"auto"`` lets PySR install Julia where there is none.

    Raises
    ------
    EngineUnavailableError
        If PySR was asked for by name and Julia cannot be started.
    ConfigError, CheckpointError
        If there is no such checkpoint.
    """
    if name != "auto":
        return ENGINES[name](proposer)
    if not install and not julia_available():
        say("No Julia on this machine, so BasicSR searches, in pure Python; --engine pysr lets PySR install Julia.")
        return BasicSREngine(proposer)
    try:
        return PySREngine(proposer)
    except EngineUnavailableError as error:
        say(f"{str(error).partition(chr(10))[0]}\nBasicSR searches instead, with the same checkpoint.")
        say(HOW_TO_GET_JULIA + "\n")
        return BasicSREngine(proposer)


Row = tuple[Any, Any, Any, Any]


def members_of(rows: Iterable[Row], data: Measurements) -> tuple[Member, ...]:
    """Turn an engine's rows of complexity, mean squared error, expression (a tree, or a text in x0, x1, …), and whether
    it has a neural ancestor, into members, from small to large."""
    scale = float(np.var(data.y))
    members = [
        Member(tree if isinstance(tree, Node) else parse(str(tree)), int(size), float(loss) / scale, bool(neural))
        for size, loss, tree, neural in rows
    ]
    return tuple(sorted(members, key=lambda member: member.complexity))


def saved_equations(folder: Path) -> list[Row]:
    """Read what PySR had written of a search that it did not end: its newest readable table of equations."""
    import pandas as pd

    files = sorted(folder.rglob("hall_of_fame*.csv*"), key=lambda path: path.suffix == ".bak")
    for path in files:
        try:
            table = pd.read_csv(path)
            return [(size, loss, text, False) for size, loss, text in table[["Complexity", "Loss", "Equation"]].values]
        except (ValueError, KeyError):  # Cut off in the middle: the other copy is whole.
            continue
    return []


def are_listed(equations: Iterable[str], listed: Iterable[str]) -> list[bool]:
    """Tell for each equation whether a report lists it.

    Both are read as expressions and compared with constants rounded, as they may be printed differently.
    """
    known = {rounded(parse(text), DIGITS) for text in listed}
    return [rounded(parse(text), DIGITS) in known for text in equations]


def operators_of(names: Sequence[str]) -> OperatorSet:
    """Read operators as PySR's users name them.

    Raises
    ------
    ConfigError
        If the operator table lacks one, or there are none.
    """
    if not names:
        raise ConfigError("There must be at least one operator; got none. Try --operators '+,-,*,/'.")
    return OperatorSet.of(*dict.fromkeys(names))
