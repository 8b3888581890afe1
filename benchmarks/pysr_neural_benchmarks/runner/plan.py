"""What a benchmark is asked to do: which runs, under which limits.

Owns: `Plan`, its runs in order, the checks before anything starts, what may change when a folder is continued.  Does
not own: running (`runner.run`), results (`runner.store`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pysr_neural.errors import ConfigError
from pysr_neural_benchmarks.methods.base import Budget
from pysr_neural_benchmarks.methods.registry import check
from pysr_neural_benchmarks.suites.data import POINTS, Case, draw
from pysr_neural_benchmarks.suites.reader import load_suite

Key = tuple[str | int | float, ...]


@dataclass(frozen=True)
class Job:
    """One run: a method, a case, a seed.

    Parameters
    ----------
    method : str
    case : Case
    seed : int
        Of the search.
    limits : Limits
    group : str
        Names the runner that it belongs to; workers of one group on one machine use different cores.
    """

    method: str
    case: Case
    seed: int
    limits: "Limits"
    group: str = ""

    @property
    def key(self) -> Key:
        """What names the run in a results file."""
        case = self.case
        return (self.method, case.suite, case.problem, case.draw, case.noise, case.points, self.seed)


@dataclass(frozen=True)
class Limits:
    """What every run of a folder shares.

    Parameters
    ----------
    seconds : float or None
    evaluations : int or None
        Of the budget.
    cores : int
        That each fit, with everything that it starts, may use.
    time_limit : float
        Seconds after which a fit is killed.
    memory_gb : float
    warm_up_limit : float
        Seconds that a method's start and compilation may take.
    data_seed : int
    """

    seconds: float | None
    evaluations: int | None
    cores: int = 1
    time_limit: float = 0.0
    memory_gb: float = 8.0
    warm_up_limit: float = 900.0
    data_seed: int = 0

    @property
    def budget(self) -> Budget:
        """The budget."""
        return Budget(self.seconds, self.evaluations)


@dataclass(frozen=True)
class Plan:
    """All runs of a benchmark.

    Parameters
    ----------
    suites, methods : tuple of str
    seeds, draws : tuple of int
    noise : tuple of float
    points : tuple of int
    limits : Limits
    every : int
        Take every so many-th problem of each suite.
    problems : tuple of str
        Names of problems; all if empty.
    """

    suites: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    limits: Limits
    draws: tuple[int, ...] = (0,)
    noise: tuple[float, ...] = (0.0,)
    points: tuple[int, ...] = (POINTS,)
    every: int = 1
    problems: tuple[str, ...] = ()

    def cases(self) -> list[Case]:
        """Return the data sets, with their data drawn once to see that it is usable.

        Raises
        ------
        ConfigError
            If a suite is unknown, or a formula is not finite on its ranges.
        """
        found = []
        for suite in self.suites:
            for source in load_suite(suite)[:: self.every]:
                if self.problems and source.name not in self.problems:
                    continue
                for number, noise, points in self._data():
                    case = Case(suite, source.name, number, noise, points, self.limits.data_seed)
                    if points == self.points[0] and noise == self.noise[0]:
                        draw(source, case)
                    found.append(case)
        return found

    def _data(self) -> Iterator[tuple[int, float, int]]:
        yield from ((number, noise, points) for noise in self.noise for points in self.points for number in self.draws)

    def jobs(self) -> list[Job]:
        """Return all runs: seed by seed, problem by problem, methods in turn, so that they share the machine's moods.

        Raises
        ------
        ConfigError
            As for `cases`, if a method is unknown or misses a package, or if there is nothing to do.
        """
        for method in self.methods:
            check(method)
        cases = self.cases()
        jobs = [
            Job(method, case, seed, self.limits) for seed in self.seeds for case in cases for method in self.methods
        ]
        if not jobs:
            raise ConfigError("A benchmark must have a problem, a method and a seed; got none.")
        return jobs

    def to_dict(self) -> dict[str, Any]:
        """Return the plan for JSON."""
        return asdict(self)


def numbers(name: str, given: Sequence[float], least: float) -> None:
    """Check a list of numbers.

    Raises
    ------
    ConfigError
        If there are none, or one is too small.
    """
    if not given or min(given) < least:
        raise ConfigError(f"--{name} must be at least {least}; got {list(given)}.")
