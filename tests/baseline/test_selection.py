"""Tournaments, acceptance, frequencies of sizes, replacement."""

import math

import numpy as np
import pytest

from pysr_neural.expression.text import parse
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.population import Member, Population
from pysr_neural_baseline.selection import AllLeave, Frequencies, OldestLeaves, Selection, best_of

LEAF, LARGE = parse("x0"), parse("x0 + x0 * x0")


def members(costs, tree=LEAF):
    return [Member(tree, cost, cost, ref, birth=ref) for ref, cost in enumerate(costs)]


def winners(config, population, count=6000, weights=None):
    selection, source = Selection(config, 10), np.random.default_rng(4)
    found = [selection.parent(population, source, weights) for _ in range(count)]
    return np.bincount(found, minlength=len(population)) / count


@pytest.mark.parametrize(("size", "population"), [(3, 10), (1, 5), (5, 5), (9, 5)])
def test_reference_tournament_is_the_best_of_distinct_members(size, population):
    observed = winners(BasicSRConfig.reference(tournament_size=size), members(range(population)))
    size = min(size, population)
    expected = np.array(
        [np.prod([population - i - 1 - k for k in range(size - 1)], dtype=float) for i in range(population)]
    )
    np.testing.assert_allclose(observed, expected / expected.sum(), atol=0.025)


def test_the_i_th_best_wins_with_falling_probability():
    p = 0.6
    config = BasicSRConfig(tournament_size=4, tournament_p=p, frequency_parsimony=0.0)
    expected = np.array([p * (1 - p) ** i for i in range(4)])
    observed = winners(config, members([3.0, 1.0, 2.0, 4.0]))
    np.testing.assert_allclose(observed, (expected / expected.sum())[[2, 0, 1, 3]], atol=0.025)


def test_pysr_s_tournament_has_the_winner_ranks_of_facts():
    observed = winners(BasicSRConfig(), members(np.arange(1.0, 28.0)), 20_000)
    np.testing.assert_allclose(observed[:4], [0.556, 0.256, 0.113, 0.047], atol=0.015)


def test_proposer_weights_tilt_tournaments():
    config = BasicSRConfig(tournament_size=3, tournament_p=1.0, frequency_parsimony=0.0)
    assert winners(config, members([1.0, 2.0, 3.0]), 50, {1: 4.0})[1] == 1.0
    assert winners(config, members([1.0, 2.0, 3.0]), 50, {0: 0.0})[1] == 1.0
    assert winners(config, members([0.0, 0.0, 0.0]), 50, {0: 0.0}).sum() == 1.0


def test_sizes_that_abound_lose_tournaments():
    config = BasicSRConfig(tournament_size=2, tournament_p=1.0, frequency_parsimony=20.0)
    selection = Selection(config, 10)
    pair = [Member(LEAF, 1.0, 1.0, 0), Member(LARGE, 1.5, 1.5, 1)]
    source = np.random.default_rng(0)
    assert selection.parent(pair, source) == 0
    selection.frequencies.count([1] * 40)
    assert selection.parent(pair, source) == 1


def refusals(config, cost, rival_cost, temperature, kind="add", count=4000, size=1, frequencies=()):
    selection, source = Selection(config, 10), np.random.default_rng(1)
    selection.frequencies.count(frequencies)
    rival = members([rival_cost])[0]
    found = [selection.refusal(kind, cost, size, rival, temperature, source) for _ in range(count)]
    return {reason: found.count(reason) / count for reason in set(found)}


def test_annealing():
    config = BasicSRConfig(frequency_parsimony=0.0, annealing=2.0)
    assert refusals(config, 1.0, 2.0, 0.5) == {"": 1.0}
    assert refusals(config, 1.0, 1.0, 0.0) == {"": 1.0}
    assert refusals(config, 1.0, 1.5, 0.0) == {"": 1.0}
    assert refusals(config, 1.0001, 1.0, 0.0) == {"annealing": 1.0}
    assert refusals(config, 2.0, 1.0, 0.5)[""] == pytest.approx(math.exp(-1), abs=0.03)
    assert refusals(config, 1.0, math.inf, 0.5) == {"": 1.0}
    assert refusals(config, math.inf, 1.0, 1.0) == {"loss": 1.0}
    assert refusals(BasicSRConfig(annealing=math.inf, frequency_parsimony=0.0), 9.0, 1.0, 0.0 + 1e-9) == {"": 1.0}


def test_crossover_and_the_like_are_accepted_at_any_cost():
    for kind in ("crossover", "simplify", "do_nothing", "optimize"):
        assert refusals(BasicSRConfig(), 9.0, 1.0, 0.0, kind) == {"": 1.0}
    assert refusals(BasicSRConfig(), math.inf, 1.0, 0.0, "crossover") == {"loss": 1.0}


def test_rare_sizes_are_accepted_more_easily():
    config = BasicSRConfig(annealing=math.inf)
    crowded = refusals(config, 1.0, 1.0, 1.0, size=5, frequencies=[5] * 9)
    assert crowded["frequency"] == pytest.approx(0.9, abs=0.03)
    assert refusals(config, 1.0, 1.0, 1.0, size=5, frequencies=[1] * 9) == {"": 1.0}


def test_frequencies_are_shares_and_forget():
    frequencies = Frequencies(4)
    assert frequencies.of(3) == 0.25
    frequencies.count([3] * 6 + [9])
    assert frequencies.of(3) == 0.7
    assert frequencies.of(9) > 0
    frequencies.count([1] * 300_000)
    assert sum(frequencies.of(size) for size in range(1, 5)) == pytest.approx(1.0)
    assert frequencies.of(2) == pytest.approx(1e-5, rel=0.01)


def test_the_oldest_leaves():
    population = Population(0, [Member(LEAF, 1.0, 1.0, ref, birth=birth) for ref, birth in enumerate((7, 3, 5))])
    cycle = OldestLeaves(population)
    child = Member(LARGE, 9.0, 9.0, 3, birth=8)
    assert cycle.elite is None
    assert cycle.rival().ref == 1
    assert cycle.place(child).ref == 1
    assert cycle.place(Member(LARGE, 9.0, 9.0, 4, birth=9)).ref == 2
    assert [member.ref for member in population.members] == [0, 3, 4]
    assert cycle.finish() == ()


def test_all_leave_at_the_end():
    population = Population(0, members([2.0, 1.0]))
    cycle = AllLeave(population)
    assert cycle.elite.ref == 1
    assert cycle.place(Member(LEAF, 5.0, 5.0, 2)) is None
    assert [member.ref for member in cycle.finish()] == [0, 1]
    assert [member.ref for member in population.members] == [2]


def test_best_of():
    assert [member.cost for member in best_of(members([3.0, 1.0, 2.0]), 2)] == [1.0, 2.0]
