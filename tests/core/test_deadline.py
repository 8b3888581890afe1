"""Deadlines, and proposers that keep to them."""

import math

import numpy as np
import pytest

from pysr_neural.deadline import Deadline
from pysr_neural.expression.text import parse
from pysr_neural.proposer.base import MemberView, ProposalRequest
from pysr_neural.proposer.guarded import GuardedProposer, GuardRules
from pysr_neural.proposer.scripted import ScriptedProposer
from tests.strategies import make_problem


def test_a_deadline_passes_once_its_moment_has_come():
    now = [5.0]
    deadline = Deadline(2.0, lambda: now[0])
    assert (deadline.passed(), deadline.left) == (False, 2.0)
    now[0] = 7.0
    assert (deadline.passed(), deadline.left) == (True, 0.0)
    now[0] = 9.0
    assert deadline.left == 0.0
    assert Deadline(0.0).passed()


def test_without_seconds_it_never_comes_and_no_clock_is_looked_at():
    deadline = Deadline(None, lambda: 1 / 0)
    assert not deadline.passed()
    assert deadline.left == math.inf


def test_a_proposer_is_not_asked_for_what_it_has_no_time_to_answer():
    now = [0.0]

    class Slow(ScriptedProposer):
        def open(self, problem):
            session = super().open(problem)
            answered = session.propose

            def propose(request):
                now[0] += 4.0
                return answered(request)

            session.propose = propose
            return session

    session = GuardedProposer(Slow([parse("x0")], cycle=True), GuardRules(max_overhead=1.0), lambda: now[0]).open(
        make_problem()
    )
    for seconds, served in ((5.0, 1), (3.9, 0), (4.0, 1), (None, 1)):
        assert len(session.propose(ProposalRequest((), 1, ("child",), 0, seconds=seconds)).children) == served
    assert session.counts.skipped == {"too little time left": 1}


@pytest.mark.parametrize("members", [(), (MemberView(parse("x0 + x1"), 0.5, 3),)])
def test_a_transformer_without_time_neither_joins_nor_fits(members, monkeypatch):
    from pysr_neural.model.config import ProposerConfig
    from pysr_neural.model.policy import ProposerModel
    from pysr_neural.proposer.neural.transformer import TransformerProposer

    model = ProposerModel(ProposerConfig(width=32, heads=2, layers=2, feedforward=64, latents=4, encoder_layers=1))
    problem = make_problem(("+", "-", "*", "/"), rows=40, target=lambda a, b: np.sin(a) * b + 0.3)
    session = TransformerProposer(model.eval()).open(problem)
    fits = []
    refined = session._refinement.refined
    monkeypatch.setattr(session._refinement, "refined", lambda *args: fits.append(args) or refined(*args))
    late = session.propose(ProposalRequest(members, 12, ("child",), 0, seconds=0.0))
    assert not fits
    assert not session.joiner.answers.prices
    assert not late.children
    assert session.propose(ProposalRequest(members, 12, ("child",), 0, seconds=60.0)).children
    assert fits
    assert session.joiner.answers.prices
