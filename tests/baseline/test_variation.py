"""Ordinary variation: the reference initial population, tournaments, mutation, crossover."""

import numpy as np
import pytest

from pysr_neural.expression.constraints import check_tree
from pysr_neural.expression.text import parse, to_string
from pysr_neural.problem import Limits
from pysr_neural.proposer.base import MemberView, ProposalBatch, ProposalRequest, Proposer, Session
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.population import Member
from pysr_neural_baseline.variation import EvolutionaryProposer, Variation
from tests.strategies import make_problem


def variation(config=None, **problem):
    return Variation(make_problem(**problem), config or BasicSRConfig.reference())


def rng(seed=0):
    return np.random.default_rng(seed)


def members(trees, costs=(0.1, 0.2, 0.3)):
    return [Member(tree, cost, cost, ref) for ref, (tree, cost) in enumerate(zip(trees, costs, strict=True))]


def children(made, trees, costs, count, source):
    steps = [made.child(members(trees, costs), 1.0, source) for _ in range(count)]
    return [child for child, fits in steps if fits]


def test_reference_initial_population_in_order():
    made = variation(BasicSRConfig.reference(constants=(1.0, 2.0)), operators=("+", "*", "sin", "exp"))
    assert [to_string(tree) for tree in made.initial(18, rng())] == [
        "x0",
        "x1",
        "1.0",
        "2.0",
        "(x0 + 1.0)",
        "(x0 * 1.0)",
        "(x0 + 2.0)",
        "(x0 * 2.0)",
        "(x1 + 1.0)",
        "(x1 * 1.0)",
        "(x1 + 2.0)",
        "(x1 * 2.0)",
        "(x0 * x0)",
        "(x1 * x1)",
        "sin(x0)",
        "sin(x1)",
        "exp(x0)",
        "exp(x1)",
    ]


def test_initial_population_is_cut_or_filled_with_random_trees():
    made = variation()
    assert [to_string(tree) for tree in made.initial(2, rng())] == ["x0", "x1"]
    trees = made.initial(200, rng())
    assert len(trees) == 200
    assert len(set(trees[20:])) > 100
    assert all(tree.depth <= 5 and tree.size <= 15 for tree in trees)


def test_initial_population_uses_the_search_s_operators_only():
    made = variation(operators=("-", "cos"))
    assert {node.operator for tree in made.initial(50, rng()) for node in tree} == {"-", "cos", None}


def test_it_is_a_proposer():
    proposer = EvolutionaryProposer(BasicSRConfig.reference())
    session = proposer.open(make_problem())
    assert isinstance(proposer, Proposer)
    assert isinstance(session, Session)
    seeds = session.propose(ProposalRequest((), 5, ("seed",), 0))
    assert [to_string(child.tree) for child in seeds.children] == ["x0", "x1", "1.0", "(x0 + 1.0)", "(x0 * 1.0)"]
    members = tuple(MemberView(child.tree, 1.0, child.tree.size) for child in seeds.children)
    request = ProposalRequest(members, 20, ("child",), 3)
    assert session.propose(request) == session.propose(request)
    assert len(session.propose(request).children) == 20


TREES = [parse("x0 + x1 * 1"), parse("sin(x0)"), parse("x1")]


def test_crossover_puts_a_subtree_of_the_second_parent_into_the_first():
    made = variation(BasicSRConfig.reference(crossover_probability=1.0))
    for child in children(made, TREES, [0.1, 0.2, 0.3], 300, rng()):
        assert child.kind == "crossover"
        first, second = (TREES[i] for i in child.parents)
        donors = set(second)
        assert any(first.replace(i, donor) == child.tree for i in range(first.size) for donor in donors)


def test_mutation_plants_terminals_and_small_trees():
    made = variation(BasicSRConfig.reference(crossover_probability=0.0))
    found = children(made, [TREES[2]] * 3, [0.1, 0.2, 0.3], 3000, rng())
    assert {child.kind for child in found} == {"randomize"}
    assert {child.parents for child in found} == {(0,)}
    assert np.mean([child.tree.size == 1 for child in found]) == pytest.approx(0.5, abs=0.03)
    assert max(child.tree.depth for child in found) == 3
    positions = {tuple(node for node in child.tree) for child in children(made, TREES[:1] * 3, [1.0] * 3, 200, rng())}
    assert len(positions) > 50


def test_oversize_children_become_the_unchanged_parent():
    made = variation(BasicSRConfig.reference(max_size=5))
    found = children(made, [TREES[0]] * 3, [0.1] * 3, 500, rng())
    assert max(child.tree.size for child in found) == 5
    unchanged = [child for child in found if child.kind == "do_nothing"]
    assert unchanged
    assert all(child.tree is TREES[0] and len(child.parents) == 1 for child in unchanged)


def test_problem_limits_are_kept_too():
    limits = Limits(max_size=12, max_depth=3, nested=((0, 0, 0),))
    problem = make_problem(operators=("sin", "+", "*"), limits=limits)
    made = Variation(problem, BasicSRConfig.reference())
    start = made.initial(40, rng())
    for child in children(made, start, [1.0] * 40, 400, rng()):
        assert check_tree(child.tree, problem) is None


def test_parent_weights_and_crossover_probability_can_be_given():
    made = variation()
    made.heed(ProposalBatch(crossover_probability=0.0, parent_weights=np.array([0.0, 0.0, 1.0])), members(TREES))
    assert {child.parents for child in children(made, TREES, [0.1, 0.2, 0.3], 50, rng())} == {(2,)}
    made.heed(ProposalBatch(crossover_probability=1.0), members(TREES))
    assert {child.parents for child in children(made, TREES, [0.1, 0.2, 0.3], 50, rng())} == {(2, 2)}
    made.heed(ProposalBatch(parent_weights=np.array([0.0, 1.0, 0.0])), members(TREES))
    assert {child.parents for child in children(made, TREES, [0.1, 0.2, 0.3], 50, rng())} == {(1, 1)}
