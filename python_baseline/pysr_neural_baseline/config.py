"""Settings of BasicSR, with the reference preset.

Owns: `BasicSRConfig` and its checks.  Does not own: data, operators and limits of a search (`pysr_neural.problem`).
"""

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any

from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural.expression.sample import GrowRules
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.state import levels_of


@dataclass(frozen=True)
class BasicSRConfig:
    """How BasicSR searches.

    The defaults are the reference algorithm with a sounder objective: ordinary arithmetic, every point counted, loss
    relative to the variance of y, constants fitted now and then.  `reference` is the algorithm as first published.

    Parameters
    ----------
    population_size : int
        Members per generation, at least 2.
    generations : int
        Generations after the initial population.
    max_size : int
        Largest number of nodes; the problem's own limit holds as well.
    initial_depth : int
        Most operators on any path of an initial random tree.
    mutation_depth : int
        The same for a subtree that a mutation plants.
    tournament_size : int
        Members compared to choose a parent.
    crossover_probability : float
        Per child; otherwise it is made by mutation.
    terminal_mutation : float
        Chance that a mutation plants a terminal in place of a grown subtree.
    constants : tuple of float
        What random constants may be; empty means none.
    grow : GrowRules
        Of random trees.
    parsimony : float
        Cost per node, in units of the loss that the cost holds.
    relative_loss : bool
        Whether the cost holds the loss divided by the variance of y.
    skip_bad_points : bool
        Whether points are left out whose prediction is not finite or at least 1e6 in size, as long as
        max(3, half of all) points are left.
    guarded_arithmetic : bool
        Whether operators clip instead of leaving their domain (`pysr_neural.operators.Operator.guarded`).
    early_stop_loss : float
        Mean squared error (over the variance of y if ``relative_loss``) that counts as solved.
    extra_generations : int
        Generations spent on a simpler solution once solved.
    optimize_constants : bool
        Whether constants are fitted by least squares.
    optimize_every, optimize_count : int
        Every how many generations, and how many of the best members.
    timeout_seconds : float or None
        Wall-clock limit, looked at once per generation.
    max_evaluations : int or None
        Limit on the number of trees evaluated, looked at once per generation.
    proposal_share : float
        Share of each generation's children that an injected proposer is asked for.
    levels : tuple of str
        What an injected proposer is asked for; see `pysr_neural.state.LEVELS`.  BasicSR acts on ``seed``, ``parents``,
        ``child``, ``crossover`` and ``refresh``.
    stagnation : int
        Generations without a lower cost after which ``refresh`` asks for children.
    guard : GuardRules
        Limits of an injected proposer.
    """

    population_size: int = 100
    generations: int = 1000
    max_size: int = 30
    initial_depth: int = 4
    mutation_depth: int = 2
    tournament_size: int = 3
    crossover_probability: float = 0.7
    terminal_mutation: float = 0.5
    constants: tuple[float, ...] = (1.0,)
    grow: GrowRules = field(default_factory=GrowRules)
    parsimony: float = 0.001
    relative_loss: bool = True
    skip_bad_points: bool = False
    guarded_arithmetic: bool = False
    early_stop_loss: float = 3e-16
    extra_generations: int = 50
    optimize_constants: bool = True
    optimize_every: int = 5
    optimize_count: int = 5
    timeout_seconds: float | None = None
    max_evaluations: int | None = None
    proposal_share: float = 0.2
    levels: tuple[str, ...] = ("seed", "child")
    stagnation: int = 50
    guard: GuardRules = field(default_factory=GuardRules)

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", levels_of(self.levels))
        object.__setattr__(self, "constants", tuple(float(value) for value in self.constants))
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise ConfigError(f"{name} must be at least {least}; got {value}.")
        for name in ("crossover_probability", "terminal_mutation", "proposal_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie in 0..1; got {getattr(self, name)}.")
        if not all(math.isfinite(value) for value in self.constants):
            raise ConfigError(f"Constants must be finite; got {self.constants}.")
        if self.tournament_size > self.population_size:
            raise ConfigError(
                f"A tournament must fit in the population of {self.population_size}; "
                f"got tournament_size={self.tournament_size}."
            )

    @classmethod
    def reference(cls, **changes: Any) -> "BasicSRConfig":
        """Return the reference preset (FACTS.md §1), with changes."""
        return _REFERENCE.changed(**changes)

    @classmethod
    def of(cls, **settings: Any) -> "BasicSRConfig":
        """Return the defaults with changes, refusing unknown names with a suggestion.

        Raises
        ------
        ConfigError
            If a setting is unknown or out of range.
        """
        return cls(**_known(settings))

    def changed(self, **settings: Any) -> "BasicSRConfig":
        """Return this configuration with changes; errors as in `of`."""
        return replace(self, **_known(settings))


_LEAST = {
    "population_size": 2,
    "generations": 0,
    "max_size": 1,
    "initial_depth": 0,
    "mutation_depth": 0,
    "tournament_size": 1,
    "parsimony": 0,
    "early_stop_loss": 0,
    "extra_generations": 0,
    "optimize_every": 1,
    "optimize_count": 0,
    "timeout_seconds": 0,
    "max_evaluations": 1,
    "stagnation": 1,
}


def _known(settings: dict[str, Any]) -> dict[str, Any]:
    names = [each.name for each in fields(BasicSRConfig)]
    for name in settings:
        if name not in names:
            raise ConfigError(f"BasicSR has no setting {name!r}." + did_you_mean(name, names))
    return settings


_REFERENCE = BasicSRConfig(
    generations=50,
    max_size=15,
    parsimony=0.01,
    relative_loss=False,
    skip_bad_points=True,
    guarded_arithmetic=True,
    extra_generations=500,
    optimize_constants=False,
)
