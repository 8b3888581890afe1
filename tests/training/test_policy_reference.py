"""The reference preset's own probabilities: of winners, of what is planted, of whole actions."""

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest

from pysr_neural.expression.edits import NOTHING, Edit
from pysr_neural.expression.node import Node, constant, variable
from pysr_neural.expression.sample import GrowSampler
from pysr_neural.expression.text import parse
from pysr_neural.problem import Limits
from pysr_neural.proposer.base import Action
from pysr_neural.proposer.policy.language import Language
from pysr_neural.proposer.policy.population import PopulationState
from pysr_neural.state import MemberView
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.population import Member
from pysr_neural_baseline.selection import Selection
from pysr_neural_training.policy.from_traces import Visit
from pysr_neural_training.policy.reference import planted_chance, planted_sizes, reference_losses, winners
from tests.strategies import make_problem

CONFIG = BasicSRConfig.reference()
COSTS = (2.0, 1.0, 2.0, 1.0, 3.0, 2.0)


def test_winners_are_those_of_the_engine_s_tournaments():
    selection, rng = Selection(CONFIG, 9), np.random.default_rng(0)
    members = [Member(variable(0), cost, cost, i) for i, cost in enumerate(COSTS)]
    drawn = Counter(selection.parent(members, rng) for _ in range(4000))
    exact = winners(np.array(COSTS), CONFIG.tournament_size)
    assert exact.sum() == pytest.approx(1)
    assert sum(abs(drawn[i] / 4000 - share) for i, share in enumerate(exact)) / 2 < 0.03


def test_populations_too_large_to_enumerate_are_refused():
    with pytest.raises(ValueError, match="at most 60 members"):
        winners(np.zeros(61), 3)


@pytest.mark.parametrize("operators", [("+", "*"), ("+", "sin"), ("sin",)])
def test_sizes_are_those_of_the_grow_sampler(operators):
    language, rng = Language(make_problem(operators, features=2)), np.random.default_rng(1)
    sampler, sizes = GrowSampler(language.problem.operators, 2, CONFIG.constants), Counter()
    for _ in range(3000):
        terminal = rng.random() < CONFIG.terminal_mutation
        sizes[1 if terminal else sampler.tree(CONFIG.mutation_depth, rng).size] += 1
    exact = planted_sizes(language, CONFIG)
    assert sum(exact.values()) == pytest.approx(1)
    assert sum(abs(sizes[size] / 3000 - exact.get(size, 0)) for size in {*sizes, *exact}) / 2 < 0.03


def test_what_is_never_planted_has_no_chance():
    language = Language(make_problem(("+", "*"), features=2))
    assert planted_chance(parse("x0 + x1"), language, CONFIG) > 0
    assert planted_chance(parse("x0 + (x1 + (x0 + x1))"), language, CONFIG) == 0


def test_chances_of_all_actions_add_up_to_one():
    problem = make_problem(("+", "*"), features=2, limits=Limits(3))
    trees = [parse("x0 + x1"), parse("x1"), parse("x0 * 1.0")]
    views = [MemberView(tree, 2.0 - i // 2, tree.size, birth=i) for i, tree in enumerate(trees)]
    state = PopulationState(Language(problem), views, 3, 0.5)
    leaves = (variable(0), variable(1), constant(1.0))
    planted = [*leaves, *(Node(name, pair) for name in ("+", "*") for pair in product(leaves, leaves))]
    actions = [Action("do_nothing", (i,), NOTHING) for i in range(3)]
    for i, tree in enumerate(trees):
        for node in range(tree.size):
            room = 3 - tree.size + tree.at(node).size
            actions += [Action("randomize", (i,), Edit(node, -1, new)) for new in planted if new.size <= room]
            for j, other in enumerate(trees):
                fitting = [k for k in range(other.size) if other.at(k).size <= room]
                actions += [Action("crossover", (i, j), Edit(node, k)) for k in fitting]
    chances = [math.exp(-_loss(state, action)) for action in actions]
    assert len(actions) == len(set(actions)) > 100
    assert sum(chances) == pytest.approx(1.0, abs=1e-5)


def _loss(state, action):
    lengths = {"token": action.edit.planted.size if action.edit.planted else 1}
    losses = reference_losses([Visit(state, [action])], CONFIG.changed(tournament_size=2))
    return sum(loss * lengths.get(head, 1) for head, loss in losses.items())
