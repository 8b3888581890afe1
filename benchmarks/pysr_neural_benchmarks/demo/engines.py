"""The demo's engines: PySR where Julia is, BasicSR elsewhere, with the same checkpoint.

Owns: the choice and what each engine is told.  Does not own: the engines.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from pysr_neural.errors import EngineUnavailableError
from pysr_neural.expression.text import parse
from pysr_neural.interop.julia import HOW_TO_GET_JULIA, load_package
from pysr_neural_benchmarks.demo.cases import BINARY, MAX_SIZE, SEED, UNARY, Case
from pysr_neural_benchmarks.demo.outcome import rounded

Say = Callable[[str], None]
DIGITS = 3
GENERATIONS = 1_000_000
"""Never reached: time ends a search."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    Parameters
    ----------
    equations : data frame
        With columns ``complexity``, ``loss`` (mean squared error), ``equation`` and ``neural`` (whether it has a neural
        ancestor).
    report : str
    """

    equations: pd.DataFrame
    report: str


class Engine(Protocol):
    """What the demo asks of an engine."""

    sentence: str

    def warm_up(self, say: Say) -> None:
        """Do what would otherwise count into the first search's time."""
        ...

    def search(self, case: Case, seconds: float) -> Found:
        """Search for laws for about that many seconds."""
        ...


class PySREngine:
    """PySR with neural help.

    Raises
    ------
    EngineUnavailableError
        If Julia or the Julia package cannot be loaded.
    """

    def __init__(self, checkpoint: str) -> None:
        load_package()
        self.checkpoint = checkpoint
        self.sentence = "PySR (Julia) with neural help."

    def warm_up(self, say: Say) -> None:
        """Compile the search, once, on a problem that is thrown away."""
        say("Starting Julia and compiling the search; this takes half a minute.")
        X = np.linspace(1.0, 2.0, 8)[:, None]
        self._model(2.0).set_params(niterations=1).fit(X, X[:, 0] ** 2)

    def search(self, case: Case, seconds: float) -> Found:
        """See `Engine`."""
        model = self._model(seconds)
        model.fit(case.X, case.y, variable_names=list(case.features))
        report = model.neural_report_
        equations = model.equations_
        neural = are_listed(equations["equation"], report.neural_hall_of_fame, case.features)
        return Found(equations.assign(neural=neural), str(report))

    def _model(self, seconds: float) -> Any:
        from pysr_neural import PySRRegressor

        return PySRRegressor(
            neural_proposer=self.checkpoint,
            binary_operators=list(BINARY),
            unary_operators=list(UNARY),
            maxsize=MAX_SIZE,
            niterations=GENERATIONS,
            timeout_in_seconds=seconds,
            progress=False,
            verbosity=0,
            temp_equation_file=True,
        )


class BasicSREngine:
    """BasicSR, the reference engine in pure Python, with neural help."""

    def __init__(self, checkpoint: str) -> None:
        from pysr_neural.proposer.neural.transformer import TransformerProposer

        self.proposer = TransformerProposer.from_checkpoint(checkpoint)
        self.sentence = "BasicSR (pure Python) with neural help."

    def warm_up(self, say: Say) -> None:
        """Do nothing: there is nothing to compile."""

    def search(self, case: Case, seconds: float) -> Found:
        """See `Engine`."""
        from pysr_neural_baseline import BasicSR

        model = BasicSR(
            binary_operators=BINARY,
            unary_operators=UNARY,
            proposer=self.proposer,
            max_size=MAX_SIZE,
            generations=GENERATIONS,
            timeout_in_seconds=seconds,
            random_state=SEED,
        )
        model.fit(case.X, case.y, variable_names=case.features)
        return Found(model.equations_, str(model.neural_report_))


ENGINES: dict[str, Callable[[str], Engine]] = {"pysr": PySREngine, "basicsr": BasicSREngine}


def choose(name: str, checkpoint: str, say: Say) -> Engine:
    """Return an engine by name; ``"auto"`` takes PySR, or BasicSR if Julia cannot be started, and says so.

    Parameters
    ----------
    name : str
        ``"auto"``, ``"pysr"`` or ``"basicsr"``.
    checkpoint : str
    say : callable
        Takes what the user should know.

    Raises
    ------
    EngineUnavailableError
        If PySR was asked for by name and Julia cannot be started.
    CheckpointError
        If there is no such checkpoint.
    """
    if name != "auto":
        return ENGINES[name](checkpoint)
    try:
        return PySREngine(checkpoint)
    except EngineUnavailableError as error:
        say(f"{str(error).partition(chr(10))[0]}\nBasicSR searches instead, with the same checkpoint.")
        say(HOW_TO_GET_JULIA + "\n")
        return BasicSREngine(checkpoint)


def are_listed(equations: Iterable[str], listed: Iterable[str], features: tuple[str, ...]) -> list[bool]:
    """Tell for each equation whether a report lists it.

    Both are read as expressions and compared with constants rounded, as they may be printed differently.
    """
    known = {rounded(parse(text, features), DIGITS) for text in listed}
    return [rounded(parse(text, features), DIGITS) in known for text in equations]
