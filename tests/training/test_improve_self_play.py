"""Self-play of the policy: what actions earn, the gradient, rounds that are resumed."""

import json
import math

import numpy as np
import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.expression.text import parse
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.proposer.policy.language import Language
from pysr_neural.proposer.policy.network import CHOSEN_KINDS, PolicyConfig, PolicyNetwork
from pysr_neural.proposer.policy.population import PopulationState
from pysr_neural.state import MemberView
from pysr_neural_baseline.observer import Proposal
from pysr_neural_baseline.population import Member
from pysr_neural_training.improve import self_play
from pysr_neural_training.improve.policy_searches import LABELS, OWN, Job, Ledger, run_all, run_job
from pysr_neural_training.improve.self_play import METHODS, SelfPlayConfig, judge, run
from pysr_neural_training.policy.experts import ExpertConfig, LookAhead, imitate
from pysr_neural_training.policy.gradient import GradientConfig, advantages, improve
from pysr_neural_training.policy.learner import TorchPolicy
from pysr_neural_training.policy.lessons import Lessons
from pysr_neural_training.workers import Workers

SMALL = SelfPlayConfig(rounds=1, searches=3, evaluations=80, held_out=2, held_out_seeds=1,
                       gradient=GradientConfig(steps=5, batch_size=128),
                       expert=ExpertConfig(steps=5, batch_size=64, tries=40))  # fmt: skip


@pytest.fixture(scope="module")
def network():
    return PolicyNetwork.initial(PolicyConfig(width=8, kinds=("randomize", "do_nothing")))


@pytest.fixture(scope="module")
def played(network):
    problems = tuple(self_play.held_out_problems(3))
    return run_job(Job(0, network, problems, (0, 1, 2), SMALL.search(), OWN, SMALL.discount))


def told(ref, parents, loss, neural=True):
    tree = parse("x0")
    return Proposal(0, 0, 0, "add", parents, tree, ref, (1.0, 1.0), (loss, loss), "" if ref >= 0 else "loss", neural)


def test_actions_earn_what_they_and_their_descendants_gain():
    ledger = Ledger(scale=2.0, discount=0.5)
    ledger.population(0, 0, [Member(parse("x0"), 2.0, 2.0, 0)])
    ledger.proposal(told(1, (0,), 3.0))  # No better: a step on the way.
    ledger.proposal(told(2, (0,), 1.0))
    ledger.proposal(told(-1, (2,), math.inf))
    ledger.proposal(told(3, (1,), 0.5, neural=False))
    ledger.proposal(told(4, (3, 2), 0.25))
    log2 = math.log(2)
    assert ledger.earned() == pytest.approx([0.5 * log2 + 0.25 * log2, log2 + 0.5 * log2, 0.0, log2])


def test_every_action_of_a_search_earns_something_known(played):
    assert len(played.earned) == len(played.lessons["cross"].chosen)
    assert np.isfinite(played.earned).all()
    assert played.earned.max() > 0
    assert len(played.solved) == len(played.evaluations) == 3
    assert all(0 < used <= made + 20 for used, made in zip(played.evaluations, played.children, strict=True))


def test_what_all_actions_earn_is_no_advantage(played):
    earned, lesson = played.earned, played.lessons["cross"]
    unknown = earned.copy()
    unknown[0] = math.nan
    found = advantages(lesson, unknown)
    assert found[0] == 0.0
    assert found.std() == pytest.approx(1.0, abs=0.05)
    assert advantages(lesson, earned + 7.0) == pytest.approx(advantages(lesson, earned), abs=0.1)


def test_the_gradient_makes_rewarded_choices_likelier(network, played):
    lessons = played.lessons
    kinds, wanted = lessons["kind"], CHOSEN_KINDS.index("randomize")
    earned = np.zeros(len(played.earned))
    earned[kinds.action[kinds.chosen == wanted]] = 1.0
    config = GradientConfig(steps=25, batch_size=256, learning_rate=0.02, kl=0.0, clip=10.0)
    learned, facts = improve(network, network, lessons, earned, config)

    def share(policy):
        rows = np.arange(len(kinds.chosen))
        return TorchPolicy(policy).log_probabilities("kind", kinds, rows).exp()[:, wanted].mean().item()

    assert share(learned) > share(network) + 0.05
    assert facts["kl"] > 0
    assert facts["earned"] == pytest.approx(earned.mean())


def test_divergence_holds_the_policy_where_it_was(network, played):
    lessons, earned = played.lessons, played.earned
    free, strict = (
        improve(network, network, lessons, earned, GradientConfig(steps=30, batch_size=256, learning_rate=0.01, kl=kl))[
            1
        ]
        for kl in (0.0, 50.0)
    )
    assert strict["kl"] < free["kl"]


def test_what_earned_is_imitated_in_proportion(network, played):
    finished = played.lessons
    kinds, wanted = finished["kind"], CHOSEN_KINDS.index("randomize")
    earned = np.zeros(len(played.earned))
    earned[kinds.action[kinds.chosen == wanted]] = 1.0
    earned[kinds.action[kinds.chosen != wanted]] = 0.1
    learned, facts = imitate(network, finished, earned, ExpertConfig(steps=40, batch_size=256, learning_rate=0.02))
    rows = np.arange(len(kinds.chosen))
    before, after = (
        TorchPolicy(each).log_probabilities("kind", kinds, rows).exp()[:, wanted].mean().item()
        for each in (network, learned)
    )
    assert after > before + 0.05
    assert facts["imitated"] == (earned > 0).sum()
    assert facts["last_loss"] < facts["loss"]
    same, nothing = imitate(network, finished, np.zeros(len(played.earned)), ExpertConfig())
    assert same is network
    assert nothing["imitated"] == 0


def test_an_expert_that_looks_ahead_labels_states_with_what_is_better_than_all_members(network):
    problems = tuple(self_play.held_out_problems(3))
    job = Job(0, network, problems, (0, 1, 2), SMALL.search(), LABELS, draws=2, expert=ExpertConfig(tries=60))
    found, again = run_job(job), run_job(job)
    assert 0 < len(found.lessons["cross"].chosen) <= 120
    assert (found.earned == 1).all()
    assert np.array_equal(again.lessons["parent"].chosen, found.lessons["parent"].chosen)


def test_jobs_give_the_same_in_worker_processes(network):
    problems = self_play.held_out_problems(4)
    jobs = [Job(i, network, tuple(problems[i : i + 2]), (i, i + 1), SMALL.search(), OWN) for i in (0, 2)]
    alone, together = run_all(jobs, Workers(0)), run_all(jobs, Workers(1))
    assert alone.evaluations == together.evaluations
    assert alone.earned == pytest.approx(together.earned)
    for head, lesson in alone.lessons.items():
        assert np.array_equal(lesson.chosen, together.lessons[head].chosen)
        assert np.array_equal(lesson.action, together.lessons[head].action)
    assert set(alone.lessons["cross"].action) == set(range(len(alone.earned)))


def test_the_label_is_the_best_of_what_was_tried(network):
    X = np.random.default_rng(0).uniform(1, 2, (30, 2))
    problem = Problem(X, X[:, 0] * X[:, 1], OperatorSet.of("+", "*"), Limits(max_size=3, constants=False))
    members = [MemberView(parse(text), loss, 1) for text, loss in (("x0", 5.0), ("x1", 6.0))]
    state = PopulationState(Language(problem), members, 3, 0.1)
    lessons = Lessons()
    LookAhead(network, ExpertConfig(tries=400), lessons, 0).see(state)
    tokens = lessons.finished()["token"]
    assert sorted(tokens.chosen.tolist()) == [1, 2, state.language.index["*", 2]]
    members[0] = MemberView(parse("x0 * x1"), 0.0, 3)
    LookAhead(network, ExpertConfig(tries=50), lessons, 0).see(PopulationState(state.language, members, 3, 0.1))
    assert lessons.actions == 1  # Nothing is better.


@pytest.mark.parametrize("method", METHODS)
def test_rounds_are_kept_and_continued(network, tmp_path, capsys, method):
    config = SelfPlayConfig(**{**vars(SMALL), "method": method})
    records = run(network, config, tmp_path)
    assert [record["round"] for record in records] == [0, 1]
    assert records[0]["basicsr"]["low"] <= records[0]["basicsr"]["solved"] <= records[0]["basicsr"]["high"]
    assert records[1]["actions"] > 0
    again = run(network, SelfPlayConfig(**{**vars(config), "rounds": 2}), tmp_path)
    if method == "dagger":
        assert again[2]["imitated"] == records[1]["actions"] + again[2]["actions"]
    assert again[:2] == records
    assert len(again) == 3
    assert PolicyNetwork.load(tmp_path / "round-002" / "policy.safetensors").config == network.config
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert (tmp_path / "rounds.png").stat().st_size > 10_000
    with pytest.raises(ConfigError, match="settings that it was begun with"):
        run(network, SelfPlayConfig(**{**vars(config), "searches": 4}), tmp_path)


def test_a_policy_that_has_collapsed_is_told_and_stopped(network, tmp_path, capsys):
    weights = {name: value.copy() for name, value in network.weights.items()}
    weights["cross.a"][:] = [1000.0, -1000.0]
    weights["kind.a"][CHOSEN_KINDS.index("do_nothing")] = 1000.0
    records = run(PolicyNetwork(weights, network.config), SMALL, tmp_path)
    assert [record["round"] for record in records] == [0]
    assert records[0]["new"] < self_play.COLLAPSED < records[0]["basicsr"]["new"]
    assert "has stopped" in capsys.readouterr().out
    assert not (tmp_path / "round-001").exists()


def test_the_command(tmp_path, network, capsys):
    network.save(tmp_path / "start.safetensors")
    given = ["--start", str(tmp_path / "start.safetensors"), "--out", str(tmp_path / "run"), "--rounds", "0"]
    assert self_play.main([*given, "--held-out", "1", "--held-out-seeds", "1", "--evaluations", "40"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["round"] == 0


def test_a_policy_is_judged_on_the_same_problems(network):
    assert judge(network, SMALL) == judge(network, SMALL)
    with pytest.raises(ConfigError, match="discount is a share"):
        SelfPlayConfig(discount=1.5)
    with pytest.raises(ConfigError, match="clip must be above 0"):
        GradientConfig(clip=0.0)
    with pytest.raises(ConfigError, match="share above 0 and at most 1"):
        ExpertConfig(share=2.0)
    with pytest.raises(ConfigError, match="Did you mean 'dagger'"):
        SelfPlayConfig(method="daggers")
