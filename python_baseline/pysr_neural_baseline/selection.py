"""Who reproduces and who stays: tournaments, acceptance of children, replacement.

Owns: tournaments, annealing, the frequencies of sizes, the two kinds of replacement.  Does not own: making children
(`variation`), the order of events (`search`).
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.population import Member, Population, cost_of

UNCONDITIONAL = frozenset({"crossover", "simplify", "do_nothing", "optimize"})
"""Kinds whose children are accepted whatever they cost, as in SymbolicRegression.jl."""
FREQUENCY_WINDOW = 100_000
LARGEST_EXPONENT = 700.0
SMALLEST_WEIGHT = 1e-300


class Selection:
    """Chooses parents and judges children for one search.

    Parameters
    ----------
    config : BasicSRConfig
    max_size : int
        Of the search.
    """

    def __init__(self, config: BasicSRConfig, max_size: int) -> None:
        self.config = config
        self.frequencies = Frequencies(max_size)

    def parent(
        self, members: Sequence[Member], rng: np.random.Generator, weights: Mapping[int, float] | None = None
    ) -> int:
        """Return the position of a tournament's winner.

        Parameters
        ----------
        members : sequence of Member
        rng : numpy.random.Generator
        weights : mapping of int to float, optional
            Proposer's weight of members by ref, 1 for those that it lacks: twice the weight is worth half the cost.
        """
        config = self.config
        drawn = _distinct(min(config.tournament_size, len(members)), len(members), rng)
        if not weights and not config.frequency_parsimony:
            keys = [members[i].cost for i in drawn]
        else:
            keys = [self._log_cost(members[i], weights or {}) for i in drawn]
        if config.tournament_p == 1:
            return drawn[keys.index(min(keys))]
        place = _place(len(drawn), config.tournament_p, rng)
        return sorted(zip(keys, drawn, strict=True))[place][1]

    def score(self, member: Member) -> float:
        """Return what tournaments compare, lower is better: the cost, or its logarithm and the size's frequency."""
        return self._log_cost(member, {}) if self.config.frequency_parsimony else member.cost

    def _log_cost(self, member: Member, weights: Mapping[int, float]) -> float:
        """Return the logarithm of the cost, raised by the frequency of its size and lowered by a proposer's weight."""
        crowd = self.config.frequency_parsimony * self.frequencies.of(member.tree.size)
        return _log(member.cost) + crowd - math.log(max(weights.get(member.ref, 1.0), SMALLEST_WEIGHT))

    def refusal(
        self, kind: str, cost: float, size: int, rival: Member, temperature: float, rng: np.random.Generator
    ) -> str:
        """Say why a child is not accepted: ``"loss"``, ``"annealing"``, ``"frequency"``; empty if it is.

        Parameters
        ----------
        kind : str
        cost : float
        size : int
        rival : Member
            Its first parent; for a child made from the data alone, the member whose place it would take.
        temperature : float
            From 1 to 0.
        rng : numpy.random.Generator
        """
        if not math.isfinite(cost):
            return "loss"
        if kind in UNCONDITIONAL:
            return ""
        draw = rng.random()
        chance, rarity = _boltzmann(cost - rival.cost, self.config.annealing * temperature), 1.0
        if self.config.frequency_parsimony:
            rarity = self.frequencies.of(rival.tree.size) / self.frequencies.of(size)
        if chance * rarity >= draw:
            return ""
        return "annealing" if chance < draw else "frequency"


class Frequencies:
    """How often each size has been seen lately; a snapshot, renewed by `count`.

    Parameters
    ----------
    max_size : int
    """

    def __init__(self, max_size: int) -> None:
        self._counts = np.ones(max_size)
        self._shares = (self._counts / max_size).tolist()

    def of(self, size: int) -> float:
        """Return the share of a size; small, but not 0, for one outside the limits."""
        return self._shares[size - 1] if size <= len(self._shares) else 1e-6

    def count(self, sizes: Iterable[int]) -> None:
        """Add the sizes of a population; counts shrink together once there are very many."""
        for size in sizes:
            if size <= len(self._counts):
                self._counts[size - 1] += 1
        total = self._counts.sum()
        if total > FREQUENCY_WINDOW:
            self._counts = np.maximum(self._counts * (FREQUENCY_WINDOW / total), 1.0)
        self._shares = (self._counts / self._counts.sum()).tolist()


class OldestLeaves:
    """Steady state: a child takes the place of the oldest member at once, if it is accepted.

    Parameters
    ----------
    population : Population
    """

    judges = True
    """Whether `Selection.refusal` is asked."""

    def __init__(self, population: Population) -> None:
        self.population = population
        self._births = [member.birth for member in population.members]

    @property
    def elite(self) -> Member | None:
        """Nobody is carried over: whoever is not replaced stays."""
        return None

    def rival(self) -> Member | None:
        """Return the member that the next child would replace."""
        return self.population.members[self._births.index(min(self._births))]

    def place(self, child: Member) -> Member | None:
        """Put a child in; returns the member that left."""
        position = self._births.index(min(self._births))
        left = self.population.members[position]
        self.population.members[position] = child
        self._births[position] = child.birth
        return left

    def finish(self) -> Sequence[Member]:
        """End the cycle; returns the members that leave only now."""
        return ()


class AllLeave:
    """Generational: the best member and all children, whatever they cost, become the next population.

    Parameters
    ----------
    population : Population
    """

    judges = False

    def __init__(self, population: Population) -> None:
        self.population = population
        self._next: list[Member] = []

    @property
    def elite(self) -> Member | None:
        """The member that is carried over, as slot 0."""
        return self.population.cheapest()

    def rival(self) -> Member | None:
        """Nobody: every child is accepted."""
        return None

    def place(self, child: Member) -> Member | None:
        """Keep a child for the next population; nobody leaves yet."""
        self._next.append(child)
        return None

    def finish(self) -> Sequence[Member]:
        """Make the next population; returns the last one."""
        left, self.population.members = self.population.members, self._next
        return left


REPLACEMENTS: Mapping[str, type[OldestLeaves] | type[AllLeave]] = {"oldest": OldestLeaves, "generational": AllLeave}
"""By the config's ``replacement``."""


def best_of(members: Sequence[Member], count: int) -> list[Member]:
    """Return the members of lowest cost, cheapest first."""
    return sorted(members, key=cost_of)[:count]


def _distinct(size: int, total: int, rng: np.random.Generator) -> list[int]:
    """Draw distinct positions by Floyd's method."""
    drawn: list[int] = []
    for upper in range(total - size, total):
        candidate = int(rng.random() * (upper + 1))
        drawn.append(upper if candidate in drawn else candidate)
    return drawn


def _place(size: int, p: float, rng: np.random.Generator) -> int:
    """Draw the winner's rank, 0 being the best: p(1 - p)^rank, cut off at the tournament's size."""
    rest = rng.random() * (1.0 - (1.0 - p) ** size)
    return min(int(math.log1p(-rest) / math.log1p(-p)), size - 1)


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _boltzmann(rise: float, temperature: float) -> float:
    """Return exp(-rise / temperature), at temperature 0 its limit."""
    if temperature > 0:
        return math.exp(min(-rise / temperature, LARGEST_EXPONENT))
    return 1.0 if rise == 0 else float(rise < 0) * math.exp(LARGEST_EXPONENT)
