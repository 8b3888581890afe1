"""Scripted and random proposers."""

import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.expression.constraints import check_tree
from pysr_neural.expression.text import parse
from pysr_neural.problem import Limits
from pysr_neural.proposer.base import Child, ProposalBatch, ProposalRequest, Proposer, Session
from pysr_neural.proposer.scripted import RandomProposer, ScriptedProposer
from tests.strategies import make_problem

A, B, C = parse("x0"), parse("x1"), parse("x0 + x1")
PROBLEM = make_problem()


def ask(session, count=1, **kws):
    return session.propose(ProposalRequest((), count, ("child",), **{"seed": 0, **kws}))


def proposed(session, count=1):
    return [child.tree for child in ask(session, count).children]


def test_both_follow_the_protocol():
    for proposer in (ScriptedProposer([]), RandomProposer()):
        assert isinstance(proposer, Proposer)
        assert isinstance(proposer.open(PROBLEM), Session)


def test_trees_come_in_order_and_then_no_more():
    session = ScriptedProposer([A, Child(B, "crossover"), C]).open(PROBLEM)
    assert proposed(session, 2) == [A, B]
    assert proposed(session, 2) == [C]
    assert proposed(session, 2) == []


def test_each_search_reads_the_script_from_its_head():
    proposer = ScriptedProposer([A, B])
    assert proposed(proposer.open(PROBLEM)) == proposed(proposer.open(PROBLEM)) == [A]


def test_cycling_starts_again():
    session = ScriptedProposer([A, B], cycle=True).open(PROBLEM)
    assert proposed(session, 5) == [A, B, A, B, A]


def test_batches_errors_and_nonsense_answer_one_request_each():
    batch = ProposalBatch((Child(A), Child(B)), crossover_probability=0.5)
    session = ScriptedProposer([C, batch, RuntimeError("no"), 17, A]).open(PROBLEM)
    assert proposed(session, 3) == [C]
    assert ask(session, 1) is batch
    with pytest.raises(RuntimeError, match="no"):
        ask(session)
    assert ask(session) == 17
    assert proposed(session) == [A]
    assert len(session.requests) == 5


def test_random_trees_are_valid_and_reproducible():
    session = RandomProposer(max_depth=3, constants=(1.0, 2.0)).open(PROBLEM)
    first, again, other = ask(session, 30), ask(session, 30), ask(session, 30, seed=1)
    assert first == again
    assert first != other
    assert len(first.children) == 30
    assert all(check_tree(child.tree, PROBLEM) is None for child in first.children)


def test_random_trees_obey_the_tighter_limit():
    session = RandomProposer().open(make_problem(limits=Limits(max_size=9)))
    assert all(child.tree.size <= 5 for child in ask(session, 50, max_size=5).children)
    assert all(child.tree.size <= 9 for child in ask(session, 50, max_size=50).children)


def test_random_proposer_refuses_a_negative_depth():
    with pytest.raises(ConfigError, match="at least 0; got -1"):
        RandomProposer(max_depth=-1)


def test_random_trees_have_no_constants_where_there_are_none():
    problem = make_problem(limits=Limits(constants=False))
    answer = RandomProposer().open(problem).propose(ProposalRequest((), 50, ("seed",), seed=0))
    assert not any(child.tree.constants() for child in answer.children)
