"""A policy beside the joins: who is asked for what, the report, resumption."""

import json

from pysr_neural.proposer.base import ProposalBatch, ProposalRequest
from pysr_neural_benchmarks.studies import beside
from tests.strategies import make_problem


class Named:
    def __init__(self, name, asked):
        self.name, self.asked = name, asked

    def open(self, problem):
        return self

    def propose(self, request):
        self.asked.append((self.name, request.levels[0]))
        return ProposalBatch()


def test_each_is_asked_for_its_own_levels():
    asked = []
    problem = make_problem()
    both = beside.InTurns(Named("joins", asked), Named("policy", asked)).open(problem)
    alone = beside.InTurns(Named("joins", asked), None).open(problem)
    for session in (both, alone):
        for level in ("seed", "child", "refresh"):
            session.propose(ProposalRequest((), 1, (level,), 0))
    assert asked == [
        ("joins", "seed"),
        ("policy", "child"),
        ("joins", "refresh"),
        ("joins", "seed"),
        ("joins", "refresh"),
    ]


def test_the_two_that_are_compared_differ_in_who_varies_only():
    own, policy = (beside.config_of(arm, 1.0) for arm in (beside.OWN, beside.POLICY))
    assert own.changed(levels=policy.levels) == policy
    assert "child" not in own.levels


def test_the_command_ends_in_a_report_and_goes_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(beside, "PRIORS", {"arithmetic": beside.PRIORS["arithmetic"]})
    given = ["--problems", "1", "--seconds", "0.3", "--out", str(tmp_path), "--json"]
    assert beside.main(given) == 0
    *page, last = capsys.readouterr().out.splitlines()
    solved = json.loads(last)["solved"]["all"]
    assert set(solved) == set(beside.ARMS)
    assert any(line.startswith("| all | 1 |") for line in page)
    monkeypatch.setattr(beside, "run_search", None)  # Nothing is left to be run.
    assert beside.main(given) == 0
    assert capsys.readouterr().out.splitlines()[-1] == last
