"""Settings of BasicSR, with its two presets.

Owns: `BasicSRConfig`, `MutationWeights` and their checks.  Does not own: data, operators and limits of a search
(`pysr_neural.problem`).
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass, field, fields, replace
from typing import Any

from pysr_neural.checks import flag, number, whole
from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural.expression.evaluate import GUARDED, IEEE
from pysr_neural.expression.sample import GrowRules
from pysr_neural.operators import Array
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.state import levels_of

VARIATIONS = ("kinds", "grow")
REPLACEMENTS = ("oldest", "generational")


@dataclass(frozen=True)
class MutationWeights:
    """How often each kind of mutation is tried, relative to the others; PySR's defaults.

    A kind that cannot apply to a tree is not tried on it; see `mutation.Mutations.weights`.
    """

    constant: float = 0.0346
    operator: float = 0.293
    feature: float = 0.1
    swap: float = 0.198
    rotate: float = 4.26
    add: float = 2.47
    insert: float = 0.0112
    delete: float = 0.87
    simplify: float = 0.00209
    randomize: float = 0.0005
    do_nothing: float = 0.273
    optimize: float = 0.0

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, number(each.name, getattr(self, each.name), least=0))
        if not any(astuple(self)):
            raise ConfigError("At least one mutation must have a weight above 0; got none.")


@dataclass(frozen=True)
class BasicSRConfig:
    """How BasicSR searches.

    The defaults are a small PySR: populations that take turns, mutation kinds, annealing, replacement of the oldest.
    `reference` is the generational algorithm that BasicSR was first published with.  Both run in the same loop; they
    differ in ``variation`` (how children are made), ``replacement`` (who makes room), and in numbers.

    Parameters
    ----------
    populations : int
        They take turns, an iteration each.
    population_size : int
        Members of each population, at least 2.
    generations : int
        Limit on the cycles of all populations together.  In a cycle a proposer is asked once, and as many children are
        made as the population has members.
    cycles_per_iteration : int
        After so many cycles a population is simplified and tuned, receives migrants, and gives way to the next one.
    max_size : int
        Largest number of nodes; the problem's own limit holds as well.
    variation : str
        ``"kinds"``: SymbolicRegression.jl's kinds of mutation, and crossover; ``"grow"``: a random subtree is planted,
        or another member's.
    replacement : str
        ``"oldest"``: an accepted child takes the place of the oldest member at once; ``"generational"``: all children
        and the best member become the next population.
    simultaneous : bool
        Whether all children of a cycle are made from the population at its beginning, as a proposer's are; otherwise
        each from what the one before has left.  Generational children always are.
    tournament_size : int
        Members compared to choose a parent; at most the population.
    tournament_p : float
        The i-th best of a tournament wins with probability p (1 - p)^(i - 1).
    crossover_probability : float
        Per child; otherwise it is made by mutation.
    mutations : MutationWeights
        Of the kinds.
    perturbation, negation : float
        Greatest relative change of a constant by mutation, less 0.1, at temperature 1; chance of a change of sign.
    annealing : float
        A child that costs more by d is accepted with probability exp(-d / (annealing * temperature)), where the
        temperature falls from 1 to 0 in each iteration; infinite means always.
    frequency_parsimony : float
        How strongly sizes that abound are held back, in tournaments and in acceptance; 0 switches it off.
    simplify : bool
        Whether members are simplified at the end of an iteration.
    optimize_constants : bool
        Whether constants are fitted by least squares: at the end of an iteration and of the search.
    optimize_probability : float
        Share of members fitted at the end of an iteration.
    migration, migration_best : float
        Share of a population that makes room at the end of an iteration: for the best of all populations, and for the
        hall of fame.
    migration_count : int
        How many of each population count as its best.
    initial_depth, mutation_depth : int
        Of ``"grow"``: most operators on any path of an initial tree; the same for a planted subtree.
    terminal_mutation : float
        Of ``"grow"``: chance that a mutation plants a terminal.
    constants : tuple of float
        Of ``"grow"``: what random constants may be.  ``"kinds"`` draws them from the normal distribution.  Empty means
        that there are none: neither variation nor simplification brings any in, and a proposer's are refused.
    grow : GrowRules
        Of ``"grow"``.
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
    timeout_seconds : float or None
        Wall-clock limit of the search; some of it may be kept for the last fits of constants.
    max_evaluations : int or None
        Limit on the number of trees evaluated, looked at once per generation.
    proposal_share : float
        Share of each generation's children that an injected proposer is asked for; 1 leaves all to it.
    proposal_temperature : float
        At which an injected proposer is asked to sample, above 0.
    levels : tuple of str
        What an injected proposer is asked for; see `pysr_neural.state.LEVELS`.  ``"grow"`` has no kinds to weigh.
    stagnation : int
        Generations without a lower cost after which ``refresh`` asks for children.
    guard : GuardRules
        Limits of an injected proposer.
    """

    populations: int = 4
    population_size: int = 27
    generations: int = 1000
    cycles_per_iteration: int = 10
    max_size: int = 30
    variation: str = "kinds"
    replacement: str = "oldest"
    simultaneous: bool = False
    tournament_size: int = 15
    tournament_p: float = 0.982
    crossover_probability: float = 0.2
    mutations: MutationWeights = field(default_factory=MutationWeights)
    perturbation: float = 0.129
    negation: float = 0.00743
    annealing: float = 3.17
    frequency_parsimony: float = 1040.0
    simplify: bool = True
    optimize_constants: bool = True
    optimize_probability: float = 0.14
    migration: float = 0.00036
    migration_best: float = 0.0614
    migration_count: int = 12
    initial_depth: int = 4
    mutation_depth: int = 2
    terminal_mutation: float = 0.5
    constants: tuple[float, ...] = (1.0,)
    grow: GrowRules = field(default_factory=GrowRules)
    parsimony: float = 0.0
    relative_loss: bool = True
    skip_bad_points: bool = False
    guarded_arithmetic: bool = False
    early_stop_loss: float = 3e-16
    extra_generations: int = 50
    timeout_seconds: float | None = None
    max_evaluations: int | None = None
    proposal_share: float = 0.2
    proposal_temperature: float = 1.0
    levels: tuple[str, ...] = ("seed", "child")
    stagnation: int = 50
    guard: GuardRules = field(default_factory=GuardRules)

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", levels_of(self.levels))
        object.__setattr__(self, "constants", _constants(self.constants))
        for each in fields(self):
            checked = _checked(each.name, getattr(self, each.name), getattr(type(self), each.name, None))
            object.__setattr__(self, each.name, checked)
        for name, known in (("variation", VARIATIONS), ("replacement", REPLACEMENTS)):
            if getattr(self, name) not in known:
                got = getattr(self, name)
                raise ConfigError(f"{name} must be one of {known}; got {got!r}." + did_you_mean(str(got), known))
        for name in ("annealing", "tournament_p", "proposal_temperature"):
            number(name, getattr(self, name), above=0, finite=False)
        for name, kind in _PARTS.items():
            if not isinstance(getattr(self, name), kind):
                raise ConfigError(f"{name} must be a {kind.__name__}; got {getattr(self, name)!r}.")

    @classmethod
    def reference(cls, **changes: Any) -> "BasicSRConfig":
        """Return the reference preset, with changes."""
        return _REFERENCE.changed(**changes)

    @classmethod
    def of(cls, preset: str = "default", **settings: Any) -> "BasicSRConfig":
        """Return a preset by name with changes, refusing unknown names with a suggestion.

        Parameters
        ----------
        preset : str
            ``"default"`` or ``"reference"``.
        **settings
            In place of the preset's.

        Raises
        ------
        ConfigError
            If the preset or a setting is unknown, or a value is out of range.
        """
        if preset not in PRESETS:
            raise ConfigError(f"BasicSR has no preset {preset!r}." + did_you_mean(preset, PRESETS))
        return (cls() if preset == "default" else _REFERENCE).changed(**settings)

    def changed(self, **settings: Any) -> "BasicSRConfig":
        """Return this configuration with changes; errors as in `of`."""
        return replace(self, **_known(settings))

    @property
    def functions(self) -> Mapping[str, Callable[..., Array]]:
        """The meaning of operators, for `pysr_neural.expression.evaluate.evaluate`."""
        return GUARDED if self.guarded_arithmetic else IEEE

    @property
    def children(self) -> int:
        """How many children a generation makes."""
        return self.population_size - (self.replacement == "generational")


PRESETS = ("default", "reference")
_LEAST = {
    "populations": 1,
    "population_size": 2,
    "generations": 0,
    "cycles_per_iteration": 1,
    "max_size": 1,
    "tournament_size": 1,
    "perturbation": 0,
    "frequency_parsimony": 0,
    "migration_count": 1,
    "initial_depth": 0,
    "mutation_depth": 0,
    "parsimony": 0,
    "early_stop_loss": 0,
    "extra_generations": 0,
    "timeout_seconds": 0,
    "max_evaluations": 1,
    "stagnation": 1,
}
_ENDLESS = ("annealing", "timeout_seconds", "early_stop_loss")
"""May be infinite."""
_OPTIONAL = {"timeout_seconds": float, "max_evaluations": int}
_PARTS = {"mutations": MutationWeights, "grow": GrowRules, "guard": GuardRules}
_SHARES = (
    "tournament_p",
    "crossover_probability",
    "negation",
    "optimize_probability",
    "migration",
    "migration_best",
    "terminal_mutation",
    "proposal_share",
)


def _checked(name: str, value: Any, default: Any) -> Any:
    """Return a setting as the type of its default, within its bounds; what is no number or truth value as it is."""
    kind = _OPTIONAL.get(name, type(default))
    if value is None and name in _OPTIONAL:
        return None
    if kind is bool:
        return flag(name, value)
    if kind is int:
        return whole(name, value, _LEAST[name])
    if kind is float:
        most = 1 if name in _SHARES else None
        return number(name, value, 0 if name in _SHARES else _LEAST.get(name), most, finite=name not in _ENDLESS)
    return value


def _constants(values: object) -> tuple[float, ...]:
    if not isinstance(values, Iterable) or isinstance(values, str):
        raise ConfigError(f"constants must be a sequence of numbers, empty for none; got {values!r}.")
    return tuple(number("constants", value) for value in values)


def _known(settings: dict[str, Any]) -> dict[str, Any]:
    names = [each.name for each in fields(BasicSRConfig)]
    for name in settings:
        if name not in names:
            raise ConfigError(f"BasicSR has no setting {name!r}." + did_you_mean(name, names))
    return settings


_REFERENCE = BasicSRConfig(
    populations=1,
    population_size=100,
    generations=50,
    cycles_per_iteration=1,
    max_size=15,
    variation="grow",
    replacement="generational",
    tournament_size=3,
    tournament_p=1.0,
    crossover_probability=0.7,
    annealing=math.inf,
    frequency_parsimony=0.0,
    simplify=False,
    optimize_constants=False,
    migration=0.0,
    migration_best=0.0,
    parsimony=0.01,
    relative_loss=False,
    skip_bad_points=True,
    guarded_arithmetic=True,
    extra_generations=500,
)
