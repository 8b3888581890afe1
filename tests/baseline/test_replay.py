"""Recorded actions, done again, give the same search, step for step; a policy in a search's place."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from pysr_neural.errors import TraceError
from pysr_neural.problem import Limits
from pysr_neural.proposer.base import Action, ProposalBatch
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.proposer.policy.network import PolicyNetwork
from pysr_neural.proposer.policy.proposer import PolicyProposer
from pysr_neural.trace.io import Trace, encode_table, problems_table, write_part
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.many import fit_many
from pysr_neural_baseline.recorder import record_search
from pysr_neural_baseline.replay import Decision, config_of, decisions_of, replay
from pysr_neural_baseline.search import run_search
from tests.strategies import make_problem

PROBLEM = make_problem(("+", "-", "*", "/", "sin"), rows=15, target=lambda a, b: a * b + 1.5 * a, limits=Limits(12))
CONFIGS = {
    "reference": BasicSRConfig.reference(population_size=20, generations=12),
    "default": BasicSRConfig(populations=2, population_size=16, generations=24, cycles_per_iteration=4),
}


class Steps:
    """Notes everything that happens."""

    def __init__(self):
        self.told = []

    def population(self, population, iteration, members):
        self.told.append(("population", population, iteration, tuple(members)))

    def proposal(self, told):
        self.told.append(repr(told._replace(edit=None)))

    def relink(self, population, iteration, event, old_ref, member):
        self.told.append((event, old_ref, member))

    def death(self, population, iteration, cycle, ref):
        self.told.append(("death", ref))


def traced(folder, config, seed=3):
    recorded = record_search(PROBLEM, config, seed=seed)
    write_part(folder, 0, {name: encode_table(table) for name, table in recorded.tables.items()})
    write_part(folder, 0, {"problems": encode_table(problems_table([PROBLEM]))})
    return recorded.result, Trace(folder)


@pytest.mark.parametrize("preset", CONFIGS)
def test_recorded_actions_give_the_same_search_step_for_step(preset, tmp_path):
    config, first, second = CONFIGS[preset], Steps(), Steps()
    result, trace = traced(tmp_path, config)
    run_search(PROBLEM, config, seed=3, observer=first)
    row = trace.table("runs").to_pylist()[0]
    decisions = decisions_of(trace, 0, trace.problems[0])
    again = replay(trace.problems[0], config_of(row), row["seed"], decisions, observer=second)
    assert second.told == first.told
    assert len(decisions) > 150
    assert (again.best.tree, again.evaluations) == (result.best.tree, result.evaluations)


def test_the_config_of_a_run_is_read_back(tmp_path):
    config = CONFIGS["reference"].changed(constants=(1.0, 2.0))
    row = {"engine": "basic", "config": json.dumps(asdict(config))}
    assert config_of(row) == config
    with pytest.raises(TraceError, match="one of 'pysr'"):
        config_of({**row, "engine": "pysr"})


class Again:
    """Proposes the recorded actions of a generation, by the positions of their parents."""

    def __init__(self, batches):
        self.batches = iter(batches)

    def open(self, problem):
        return self

    def propose(self, request):
        return ProposalBatch(actions=next(self.batches))


def test_actions_from_a_proposer_give_the_same_search(tmp_path):
    config, first, second = CONFIGS["reference"], Steps(), Steps()
    _, trace = traced(tmp_path, config)
    batches = {}

    def witness(search, members, action, fits):
        batches.setdefault(search.generation, []).append(action)

    replay(PROBLEM, config, 3, decisions_of(trace, 0, PROBLEM), witness, first)
    asked = config.changed(proposal_share=1.0, levels=("child",), guard=GuardRules(max_overhead=1.0))
    found = run_search(PROBLEM, asked, Again(map(tuple, batches.values())), 3, observer=second)
    assert found.counts.fallbacks == 0
    assert [str(each).replace("neural=True", "neural=False") for each in second.told] == [str(e) for e in first.told]


def test_a_replay_that_takes_another_way_is_an_error(tmp_path):
    _, trace = traced(tmp_path, CONFIGS["reference"])
    decisions = decisions_of(trace, 0, PROBLEM)
    with pytest.raises(TraceError, match="action 2 has"):
        replay(PROBLEM, CONFIGS["reference"], 3, [decisions[0], Decision("do_nothing", (10**6,), decisions[0].edit)])
    with pytest.raises(TraceError, match="has None"):
        replay(PROBLEM, CONFIGS["reference"], 3, decisions[:50])


@pytest.mark.parametrize("preset", CONFIGS)
def test_a_policy_in_the_search_s_place(preset):
    config = CONFIGS[preset].changed(proposal_share=1.0, levels=("child",), guard=GuardRules(max_overhead=1.0))
    policy = PolicyProposer(PolicyNetwork.initial())
    alone = run_search(PROBLEM, config, policy, 1)
    assert not alone.failures
    assert alone.counts.fallbacks == 0
    assert alone.counts.served == alone.generations * config.children
    (together,) = fit_many([PROBLEM], config, policy, 1)
    assert together.best == alone.best


def test_actions_that_cannot_be_done_are_counted_and_replaced():
    class Wrong:
        def open(self, problem):
            return self

        def propose(self, request):
            return ProposalBatch(actions=(Action("neural", (0,)), Action("add", (99,)), Action("crossover", (0,))))

    config = CONFIGS["reference"].changed(proposal_share=1.0, levels=("child",), guard=GuardRules(max_overhead=1.0))
    found = run_search(PROBLEM, config, Wrong(), 1)
    assert found.counts.invalid == {"child: kind": 12, "child: parent": 24}
    assert found.counts.fallbacks == 12 * config.children


def test_a_search_s_own_rules_draw_what_is_left_open():
    class Open:
        def open(self, problem):
            return self

        def propose(self, request):
            from pysr_neural.expression.edits import UNDRAWN, Edit

            return ProposalBatch(actions=(Action("randomize", (0,), Edit(0, -1, UNDRAWN)),))

    seen = Steps()
    for config in CONFIGS.values():
        asked = config.changed(proposal_share=0.05, levels=("child",), guard=GuardRules(max_overhead=1.0))
        found = run_search(PROBLEM, asked, Open(), 1, observer=seen)
        assert found.counts.served == found.generations
    assert not any("nan" in str(each) and "child=constant(nan" in str(each) for each in seen.told)
    assert np.isfinite(found.best.loss)
