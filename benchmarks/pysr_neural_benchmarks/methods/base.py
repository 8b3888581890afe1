"""The contract that every benchmarked method keeps: `fit(problem, budget, seed)` returns fronts with times.

Owns: `Budget`, `Found`, `Step`, `Outcome`, the protocol `Method`, `Front` (a front in the making).  Does not own: the
methods, their names (`methods.registry`), how good what they found is (`judging.scoring`).
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from pysr_neural.errors import ConfigError
from pysr_neural.operators import Array
from pysr_neural.problem import Problem

STOP_AT = 1e-10
"""Fraction of variance unexplained, on the rows searched, at which every method that can may stop early."""
_BUDGET = re.compile(r"(?P<number>[0-9.]+(?:e\+?[0-9]+)?)(?P<unit>s|evals)")


@dataclass(frozen=True)
class Budget:
    """How much a fit may cost; whichever limit is reached first ends it.

    Parameters
    ----------
    seconds : float or None
        Of wall-clock time, counted from the call of `Method.fit`.
    evaluations : int or None
        Of expressions on the data, as the method itself counts them.

    Raises
    ------
    ConfigError
        If there is no limit, or one is not above 0.
    """

    seconds: float | None = None
    evaluations: int | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.seconds, self.evaluations) if value is not None]
        if not given or not all(math.isfinite(value) and value > 0 for value in given):
            raise ConfigError(
                f"A budget must have a limit above 0; got seconds={self.seconds}, evaluations={self.evaluations}."
            )

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Read a budget such as ``"10s"``, ``"1e5evals"`` or ``"10s,1e6evals"``.

        Raises
        ------
        ConfigError
            If the text is anything else.
        """
        limits: dict[str, float] = {}
        for part in text.split(","):
            found = _BUDGET.fullmatch(part.strip())
            try:
                limits[found["unit"]] = float(found["number"])  # type: ignore[index]
            except (TypeError, ValueError) as error:
                raise ConfigError(
                    f"A budget must be seconds such as 10s, evaluations such as 1e5evals, or both as 10s,1e6evals; got "
                    f"{text!r}.{_nearest_budget(part)}"
                ) from error
        evaluations = limits.get("evals")
        return cls(limits.get("s"), None if evaluations is None else int(evaluations))

    def __str__(self) -> str:
        parts = [] if self.seconds is None else [f"{self.seconds:g}s"]
        return ",".join([*parts, *([] if self.evaluations is None else [f"{self.evaluations:g}evals"])])

    def spent(self, seconds: float, evaluations: int) -> bool:
        """Tell whether a limit is reached."""
        return (self.seconds is not None and seconds >= self.seconds) or (
            self.evaluations is not None and evaluations >= self.evaluations
        )

    def holds(self, seconds: float, evaluations: int) -> bool:
        """Tell whether no limit is exceeded."""
        return (self.seconds is None or seconds <= self.seconds) and (
            self.evaluations is None or evaluations <= self.evaluations
        )


def _nearest_budget(part: str) -> str:
    number = re.match(r"\s*[0-9.]+(?:e\+?[0-9]+)?", part)
    if number is None:
        return ""
    unit = "evals" if "ev" in part[number.end() :].lower() else "s"
    return f" Did you mean {number[0].strip() + unit!r}?"


@dataclass(frozen=True)
class Found:
    """One member of a front.

    Parameters
    ----------
    complexity : int
        Number of nodes.
    loss : float
        Mean squared error on the rows searched.
    equation : str
        In the syntax of `pysr_neural.expression.text`, with variables ``x0``, ``x1``, …
    """

    complexity: int
    loss: float
    equation: str


@dataclass(frozen=True)
class Step:
    """A front as it stood from some moment on.

    Parameters
    ----------
    seconds : float
        Since the start of the fit, by a monotonic clock.
    evaluations : int
        So far.
    front : tuple of Found
    iteration : int
        Generations, iterations or batches so far: the method's own measure of progress.
    """

    seconds: float
    evaluations: int
    front: tuple[Found, ...]
    iteration: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a fit found, and when.

    Parameters
    ----------
    steps : tuple of Step
        A step for every change of the front, in order of time.
    seconds : float
        That the whole fit took.
    evaluations, iterations : int
    counters : mapping
        What neural help did, as `pysr_neural.interop.report.NeuralReport.to_dict`, or empty.
    """

    steps: tuple[Step, ...]
    seconds: float
    evaluations: int
    iterations: int = 0
    counters: Mapping[str, Any] = field(default_factory=dict)


class Method(Protocol):
    """A method, made once per process and used for many fits."""

    def warm_up(self, problem: Problem) -> None:
        """Do what happens once and is no part of a fit: imports, compilation, loading of weights.

        Called once for every operator set before its first fit, with a small problem of the same operators and limits.
        """
        ...

    def fit(self, problem: Problem, budget: Budget, seed: int) -> Outcome:
        """Search for expressions of a problem's data."""
        ...


class Front:
    """The steps of a method that keeps the best expression of each complexity itself.

    Parameters
    ----------
    max_size : int
        Larger expressions are no candidates.
    """

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size
        self.best: dict[int, Found] = {}
        self.steps: list[Step] = []

    @property
    def lowest_loss(self) -> float:
        """Least loss so far; infinite before the first candidate."""
        return min((found.loss for found in self.best.values()), default=math.inf)

    def offer(self, candidates: Iterable[Found], seconds: float, evaluations: int, iteration: int = 0) -> None:
        """Take candidates in, and note a step if the front changes."""
        before = pareto(self.best.values())
        for found in candidates:
            known = self.best.get(found.complexity)
            fits = found.complexity <= self.max_size and math.isfinite(found.loss)
            if fits and (known is None or found.loss < known.loss):
                self.best[found.complexity] = found
        front = pareto(self.best.values())
        if front != before:
            self.steps.append(Step(seconds, evaluations, front, iteration))


def solved_loss(y: Array) -> float:
    """Return the mean squared error at which a fit may stop early."""
    return STOP_AT * (float(np.var(y)) or 1.0)


def pareto(candidates: Iterable[Found]) -> tuple[Found, ...]:
    """Return the candidates that no simpler one equals in loss, from simple to complex."""
    front: list[Found] = []
    for found in sorted(candidates, key=lambda each: (each.complexity, each.loss)):
        if not front or found.loss < front[-1].loss:
            front.append(found)
    return tuple(front)
