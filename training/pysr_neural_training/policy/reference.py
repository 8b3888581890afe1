"""How likely the decisions of BasicSR's reference preset are under the preset itself, exactly.

Owns: `reference_losses`.  Does not own: the preset (`pysr_neural_baseline`), what a policy makes of the same decisions
(`learner.likelihood`).

A policy cannot have a lower mean negative log-likelihood than the algorithm, but by chance; by how much it has a higher
one, decision by decision, tells where it is not the algorithm yet.  A child without room becomes ``do_nothing`` on its
first parent, so that every decision here is conditional on there being room.  Only for sizes as a limit: no nesting,
arguments or depths, and populations of at most `LARGEST` members, because the order in which a tournament draws equals
matters and is enumerated.
"""

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from itertools import product

import numpy as np

from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.proposer.base import Action
from pysr_neural.proposer.policy.language import Ints, Language
from pysr_neural.proposer.policy.population import PopulationState
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_training.policy.from_traces import Visit

LARGEST = 60


def reference_losses(visits: Iterable[Visit], config: BasicSRConfig) -> dict[str, float]:
    """Return the mean negative log-likelihood of each head's decisions under the reference preset.

    Parameters
    ----------
    visits : iterable of Visit
    config : BasicSRConfig
        Of the searches.

    Returns
    -------
    dict of str to float
        By head, comparable with `pysr_neural_training.policy.learner.likelihood` of the same visits.
    """
    totals: defaultdict[str, float] = defaultdict(float)
    counts: defaultdict[str, int] = defaultdict(int)
    for visit in visits:
        rules = _Rules(visit.state, config)
        for action in visit.actions:
            for head, loss, decisions in rules.losses(action):
                totals[head] += loss
                counts[head] += decisions
    return {head: float(totals[head]) / counts[head] for head in totals}


class _Rules:
    """The preset's probabilities on one population."""

    def __init__(self, state: PopulationState, config: BasicSRConfig) -> None:
        self.state, self.config = state, config
        self.wins = winners(state.keys, config.tournament_size)
        self.mates = state.fit_shares @ self.wins
        self.crossing = config.crossover_probability
        sizes = planted_sizes(state.language, config)
        self.room_chance = np.cumsum([sizes.get(size, 0.0) for size in range(state.max_size + 1)])

    def losses(self, action: Action) -> list[tuple[str, float, int]]:
        """Return head, negative log-likelihood and number of decisions, for each head that an action asks."""
        first, wins, mates = action.parents[0], self.wins, self.mates
        crossed = self.crossing * float(wins @ mates)
        if action.kind == "crossover":
            own, chance = wins * mates, crossed
        else:
            own, chance = wins * (1 - self.crossing * mates), 1 - crossed
        found = [("cross", -np.log(chance), 1), ("parent", -np.log(own[first] / own.sum()), 1)]
        return found + (self._crossover(action) if action.kind == "crossover" else self._mutation(action))

    def _crossover(self, action: Action) -> list[tuple[str, float, int]]:
        state, (first, second) = self.state, action.parents
        mates = self.wins * state.fit_shares[first]
        nodes = state.fitting[second, state.budgets[first]] * state.present[first]
        return [
            ("second", -np.log(mates[second] / mates.sum()), 1),
            ("node", -np.log(nodes[action.edit.node] / nodes.sum()), 1),
            ("other", np.log(nodes[action.edit.node]), 1),
        ]

    def _mutation(self, action: Action) -> list[tuple[str, float, int]]:
        first, (node, _, planted) = action.parents[0], action.edit
        size = self.state.sizes[first]
        chances = self.room_chance[self.state.budgets[first, :size]]
        mutated = (1 - self.crossing) * float(chances.mean())
        everything = 1 - self.crossing * self.mates[first]
        if planted is None:
            return [("kind", -np.log(1 - mutated / everything), 1)]
        likely = planted_chance(planted, self.state.language, self.config)
        return [
            ("kind", -np.log(mutated / everything), 1),
            ("node", -np.log(chances[node] / chances.sum()), 1),
            ("token", -np.log(likely / chances[node]), planted.size),
        ]


def winners(keys: Array, size: int) -> Array:
    """Return each member's chance to win a tournament in which, among equals, the one drawn first wins.

    Parameters
    ----------
    keys : array, shape (members,)
        Lower is better.
    size : int
        Of the tournament; members beyond the population are not drawn.
    """
    if len(keys) > LARGEST:
        raise ValueError(f"A population must have at most {LARGEST} members to be enumerated; got {len(keys)}.")
    drawn = _draws(min(size, len(keys)), len(keys))
    best = drawn[np.arange(len(drawn)), np.argmin(keys[drawn], axis=1)]
    return np.bincount(best, minlength=len(keys)) / len(drawn)


@cache
def _draws(size: int, total: int) -> Ints:
    """Return all equally likely outcomes of `pysr_neural_baseline.selection`'s way of drawing, in order."""
    found = []
    for candidates in product(*(range(upper + 1) for upper in range(total - size, total))):
        drawn: list[int] = []
        for upper, candidate in enumerate(candidates, total - size):
            drawn.append(upper if candidate in drawn else candidate)
        found.append(drawn)
    return np.array(found)


def planted_sizes(language: Language, config: BasicSRConfig) -> dict[int, float]:
    """Return the distribution of sizes that a mutation plants, whatever the room."""
    unary = _unary_share(language, config)
    one: dict[int, float] = {1: 1.0}
    for level in range(config.mutation_depth - 1, -1, -1):
        made: defaultdict[int, float] = defaultdict(float)
        stop = config.grow.stop if level else 0.0
        made[1] += stop
        for size, share in one.items():
            made[1 + size] += (1 - stop) * unary * share
            for other, rest in one.items():
                made[1 + size + other] += (1 - stop) * (1 - unary) * share * rest
        one = dict(made)
    terminal = config.terminal_mutation
    mixed = {size: (1 - terminal) * share for size, share in one.items()}
    return {**mixed, 1: mixed.get(1, 0.0) + terminal}


def planted_chance(tree: Node, language: Language, config: BasicSRConfig) -> float:
    """Return the probability that a mutation plants a tree, whatever the room; constants are one symbol."""
    terminal = config.terminal_mutation * _leaf(tree, language, config) if not tree.children else 0.0
    return terminal + (1 - config.terminal_mutation) * _grown(tree, 0, language, config)


def _grown(tree: Node, level: int, language: Language, config: BasicSRConfig) -> float:
    deepest = level >= config.mutation_depth
    stop = 1.0 if deepest else config.grow.stop if level else 0.0
    if not tree.children:
        return stop * _leaf(tree, language, config)
    arity = len(tree.children)
    unary = _unary_share(language, config)
    share = (unary if arity == 1 else 1 - unary) / len(language.problem.operators.of_arity(arity))
    below = np.prod([_grown(child, level + 1, language, config) for child in tree.children])
    return float((1 - stop) * share * below)


def _leaf(tree: Node, language: Language, config: BasicSRConfig) -> float:
    constants = bool(config.constants) and language.problem.limits.constants
    variable = config.grow.variable if constants else 1.0
    return 1 - variable if tree.index is None else variable / language.features


def _unary_share(language: Language, config: BasicSRConfig) -> float:
    unary, binary = (language.problem.operators.of_arity(arity) for arity in (1, 2))
    return 0.0 if not unary else config.grow.unary if binary else 1.0
