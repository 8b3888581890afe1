"""How closely a policy's decisions are distributed as the algorithm's, on populations that the algorithm met.

Owns: the distributions over kinds, ranks of first parents and sizes of what is put in, and their total variation.  Does
not own: replays (`from_traces`).
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping

import numpy as np

from pysr_neural.expression.edits import Edit
from pysr_neural.proposer.policy import shapes as s
from pysr_neural.proposer.policy.choosers import Sampler
from pysr_neural.proposer.policy.network import PolicyNetwork
from pysr_neural.proposer.policy.population import PopulationState
from pysr_neural.proposer.policy.walk import Walk
from pysr_neural_training.policy.from_traces import Visit

ASPECTS = ("kinds", "ranks", "sizes")
Decided = tuple[str, tuple[int, ...], Edit]
Counts = dict[str, Counter[Hashable]]


def total_variation(first: Mapping[Hashable, float], second: Mapping[Hashable, float]) -> float:
    """Return half the sum of differences of two distributions, given as weights; 0 is equal, 1 disjoint."""
    totals = [max(sum(each.values()), 1e-300) for each in (first, second)]
    keys = set(first) | set(second)
    return 0.5 * sum(abs(first.get(key, 0) / totals[0] - second.get(key, 0) / totals[1]) for key in keys)


def aspects_of(state: PopulationState, decided: Iterable[Decided]) -> Counts:
    """Count kinds, ranks of the first parents, and sizes of what is put in, by kind."""
    counts: Counts = {aspect: Counter() for aspect in ASPECTS}
    for kind, parents, edit in decided:
        counts["kinds"][kind] += 1
        counts["ranks"][int(state.ranks[parents[0]])] += 1
        if kind == "crossover":
            counts["sizes"][kind, int(state.rows[parents[1], edit.place, s.SIZE])] += 1
        elif edit.planted is not None:
            counts["sizes"][kind, edit.planted.size] += 1
    return counts


def agreement(network: PolicyNetwork, visits: Iterable[Visit], seed: int, draws: int) -> dict[str, float]:
    """Return the total variation of each aspect, over all populations together.

    Parameters
    ----------
    network : PolicyNetwork
    visits : iterable of Visit
    seed : int
    draws : int
        Actions of the policy for each of the algorithm's.

    Returns
    -------
    dict of str to float
        By aspect; ``chance`` prefixed, what two halves of the algorithm's own actions differ by, which no policy of
        this many draws can be expected to beat.
    """
    rng = np.random.default_rng(seed)
    theirs, ours = _nothing(), _nothing()
    halves = (_nothing(), _nothing())
    for visit in visits:
        algorithm = [(action.kind, action.parents, action.edit) for action in visit.actions]
        _add(theirs, aspects_of(visit.state, algorithm))
        for action in algorithm:
            _add(halves[int(rng.random() < 0.5)], aspects_of(visit.state, [action]))
        count = draws * len(algorithm)
        made = Walk(visit.state, count, network.config.kinds).run(Sampler(network, count, rng))
        _add(ours, aspects_of(visit.state, made))
    found = {aspect: total_variation(theirs[aspect], ours[aspect]) for aspect in ASPECTS}
    chance = {f"chance_{aspect}": total_variation(halves[0][aspect], halves[1][aspect]) for aspect in ASPECTS}
    return {**found, **chance}


def _nothing() -> Counts:
    return {aspect: Counter() for aspect in ASPECTS}


def _add(counts: Counts, more: Counts) -> None:
    for aspect in ASPECTS:
        counts[aspect].update(more[aspect])
