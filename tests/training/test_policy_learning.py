"""Learning the policy from traces: lessons, steps of learning, agreement with the algorithm."""

from collections import Counter

import numpy as np
import pytest
import torch

from pysr_neural.errors import ConfigError, TraceError
from pysr_neural.problem import Limits
from pysr_neural.proposer.base import ProposalBatch
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.proposer.policy.choosers import Recorded, Sampler
from pysr_neural.proposer.policy.language import Language
from pysr_neural.proposer.policy.network import HEADS, PolicyConfig, PolicyNetwork
from pysr_neural.proposer.policy.proposer import state_of
from pysr_neural.proposer.policy.walk import Walk
from pysr_neural.trace.io import Trace, encode_table, problems_table, write_part
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.recorder import record_search
from pysr_neural_baseline.replay import config_of, decisions_of
from pysr_neural_baseline.search import run_search
from pysr_neural_training.policy.agreement import ASPECTS, agreement, total_variation
from pysr_neural_training.policy.from_traces import Visit, learn_visit, lessons_from, visits_in
from pysr_neural_training.policy.learner import FitConfig, TorchPolicy, fit, likelihood
from pysr_neural_training.policy.lessons import Lessons, sizes
from tests.strategies import make_problem

PROBLEM = make_problem(("+", "-", "*", "/", "sin"), rows=15, target=lambda a, b: a * b + 1.5 * a, limits=Limits(12))
CONFIGS = {
    "reference": BasicSRConfig.reference(population_size=20, generations=15),
    "default": BasicSRConfig(populations=1, population_size=16, generations=20, cycles_per_iteration=5),
}


@pytest.fixture(scope="module", params=CONFIGS)
def trace(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    tables = record_search(PROBLEM, CONFIGS[request.param], seed=2).tables
    write_part(folder, 0, {name: encode_table(table) for name, table in tables.items()})
    write_part(folder, 0, {"problems": encode_table(problems_table([PROBLEM]))})
    return Trace(folder)


@pytest.fixture(scope="module")
def visits(trace):
    return visits_in(trace, trace.table("runs").to_pylist()[0], 1.0, np.random.default_rng(0))


def test_every_action_of_a_trace_is_a_lesson(trace, visits):
    taught = lessons_from(trace)
    assert (taught.impossible, taught.runs) == (0, (0,))
    assert taught.actions == sum(len(visit.actions) for visit in visits) > 150
    counted = sizes(taught.lessons)
    assert counted["cross"] == counted["parent"] == taught.actions
    assert counted["second"] == counted["other"] == taught.actions - counted["kind"]
    for head, lesson in taught.lessons.items():
        assert lesson.options.shape[2] == HEADS[head].options
        assert lesson.mask[np.arange(len(lesson.chosen)), lesson.chosen].all()


def test_fewer_populations_can_be_learned_from(trace, visits):
    some = visits_in(trace, trace.table("runs").to_pylist()[0], 0.3, np.random.default_rng(0))
    assert 0 < len(some) < len(visits)


def test_states_are_those_of_a_proposer_s_requests(trace, visits):
    """One builder: what a replay sees equals what the search would have asked a proposer with."""
    seen = []

    class Asked:
        def open(self, problem):
            return self

        def propose(self, request):
            seen.append(state_of(Language(PROBLEM), request))
            return ProposalBatch()

    config = config_of(trace.table("runs").to_pylist()[0])
    asked = config.changed(levels=("kind",), guard=GuardRules(max_overhead=1.0))
    run_search(PROBLEM, asked, Asked(), 2)
    asked_in = {_key(state): state for state in seen}
    common = [(visit.state, asked_in[key]) for visit in visits if (key := _key(visit.state)) in asked_in]
    assert len(common) >= len(seen) // 2
    for ours, theirs in common:
        assert np.array_equal(ours.member_features, theirs.member_features)
        assert np.array_equal(ours.node_features, theirs.node_features)
        assert np.array_equal(ours.global_features, theirs.global_features)


def _key(state):
    return state.progress, tuple((member.tree, member.birth) for member in state.members)


def test_scores_in_torch_are_those_of_the_policy(visits):
    rng = np.random.default_rng(0)
    plain = PolicyNetwork.initial()
    weights = {name: (w + 0.2 * rng.standard_normal(w.shape)).astype(np.float32) for name, w in plain.weights.items()}
    network, lessons, count = PolicyNetwork(weights), Lessons(), len(visits[-1].actions) * 30
    sampler = Sampler(network, count, rng, watch=lessons.watch)
    Walk(visits[-1].state, count).run(sampler)
    lessons.advance(count)
    total = np.zeros(count)
    for head, lesson in lessons.finished().items():
        rows = np.arange(len(lesson.chosen))
        logs = TorchPolicy(network).log_probabilities(head, lesson, rows).detach().numpy()
        np.add.at(total, lesson.action, logs[rows, lesson.chosen])
    assert total == pytest.approx(sampler.log_probability, abs=0.05)


def test_learning_makes_the_actions_likelier_and_agree(trace, visits):
    taught = lessons_from(trace)
    start = PolicyNetwork.initial(PolicyConfig(width=16))
    learned, losses = fit(start, taught.lessons, FitConfig(steps=150, batch_size=128))
    before, after = likelihood(start, taught.lessons), likelihood(learned, taught.lessons)
    assert set(losses) == set(taught.lessons)
    assert all(after[head] <= before[head] + 1e-3 for head in after)
    assert sum(after.values()) < 0.8 * sum(before.values())
    far, near = (agreement(each, visits, 0, draws=3) for each in (start, learned))
    assert set(near) == {*ASPECTS, *(f"chance_{aspect}" for aspect in ASPECTS)}
    assert near["kinds"] < 0.1 < far["kinds"]
    assert near["ranks"] < far["ranks"]


def test_learning_stops_at_its_limit_of_time(trace):
    taught = lessons_from(trace)
    learned, losses = fit(PolicyNetwork.initial(), taught.lessons, FitConfig(steps=10**6, minutes=0.005))
    assert all(np.isfinite(loss) for loss in losses.values())
    assert np.isfinite(learned.weights["node.K"]).all()
    with pytest.raises(ConfigError, match="above 0"):
        FitConfig(minutes=0)


def test_the_same_seed_learns_the_same(trace):
    taught = lessons_from(trace, most=50)
    config = FitConfig(steps=5, batch_size=32)
    torch.manual_seed(5)
    one, _ = fit(PolicyNetwork.initial(), taught.lessons, config)
    torch.manual_seed(6)
    two, _ = fit(PolicyNetwork.initial(), taught.lessons, config)
    assert all(np.array_equal(one.weights[name], two.weights[name]) for name in one.weights)


def test_actions_that_the_policy_cannot_make_are_left_out(visits):
    from pysr_neural.expression.edits import Edit
    from pysr_neural.expression.text import parse
    from pysr_neural.proposer.base import Action

    state = visits[0].state
    big = parse(" + ".join(["x0"] * 9))
    lessons = Lessons()
    possible = learn_visit(
        lessons, Visit(state, [Action("randomize", (0,), Edit(0, -1, big)), Action("do_nothing", (0,))])
    )
    assert possible.tolist() == [False, True]
    kept = lessons.finished(possible)
    assert {int(number) for lesson in kept.values() for number in lesson.action} == {1}
    assert isinstance(Recorded([], state.language).possible, np.ndarray)


def test_traces_that_tell_no_actions_cannot_be_learned_from(trace, tmp_path):
    import pyarrow.parquet as pq

    for name in ("problems", "members", "runs", "events"):
        table = trace.table(name)
        if name == "events":
            table = table.drop_columns(["action", "node", "place", "planted", "planted_constants"])
        (tmp_path / name).mkdir()
        old = {**table.schema.metadata, b"pysr_neural.trace_version": b"1"}
        pq.write_table(table.replace_schema_metadata(old), tmp_path / name / "part-000000.parquet")
    before = Trace(tmp_path)
    assert not before.columns("events", ["action"])["action"].any()
    assert before.table("events").schema.names == trace.table("events").schema.names
    assert before.table("events", ["planted", "ref"]).num_columns == 2
    with pytest.raises(TraceError, match="Record it again: version 2 does"):
        decisions_of(before, 0, PROBLEM)


def test_total_variation():
    assert total_variation(Counter("aab"), Counter("aab")) == 0
    assert total_variation(Counter("a"), Counter("b")) == 1
    assert total_variation({"a": 1.0, "b": 1.0}, {"a": 3.0, "b": 1.0}) == pytest.approx(0.25)
