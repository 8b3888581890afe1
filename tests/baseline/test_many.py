"""Many searches in step: each finds what it finds alone."""

import numpy as np
import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.expression.text import parse
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural.proposer.base import BatchProposer, ProposalBatch
from pysr_neural.proposer.guarded import GuardRules, ProposerWarning
from pysr_neural.proposer.neural.transformer import TransformerProposer
from pysr_neural.proposer.scripted import RandomProposer, ScriptedProposer
from pysr_neural_baseline import BasicSRConfig, fit_many, run_search
from tests.baseline.watching import Diary
from tests.strategies import make_problem

FREE = GuardRules(max_overhead=1.0)
PROBLEMS = [
    make_problem(("+", "-", "*", "/", "sin"), rows=rows, features=features, seed=seed, target=target)
    for rows, features, seed, target in (
        (20, 2, 0, lambda a, b: a / (b + 1) - a * b),
        (35, 1, 1, lambda a: 1.7 * a * a + a),
        (12, 3, 2, lambda a, b, c: np.sin(a) * b - c),
    )
]


@pytest.fixture(scope="module")
def transformer():
    import torch

    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    sizes = {"width": 32, "heads": 2, "layers": 2, "feedforward": 48, "latents": 4, "encoder_layers": 1}
    model = ProposerModel(ProposerConfig(**sizes)).eval()
    torch.random.set_rng_state(state)
    return TransformerProposer(model)


def settings(**changes):
    return BasicSRConfig.of(
        **{"populations": 2, "population_size": 12, "generations": 6, "cycles_per_iteration": 2, "guard": FREE}
        | changes
    )


def assert_same(together, alone):
    for one, other in zip(together, alone, strict=True):
        assert [(m.tree, m.cost, m.ref, m.parents) for m in one.population] == [
            (m.tree, m.cost, m.ref, m.parents) for m in other.population
        ]
        assert one.stopped_by == other.stopped_by
        assert one.evaluations == other.evaluations


@pytest.mark.parametrize("levels", [("seed", "child"), "all"])
def test_each_search_is_as_alone(transformer, levels):
    configs = [settings(levels=levels), settings(levels=levels, generations=4), settings(levels=levels, max_size=9)]
    diaries = [Diary() for _ in PROBLEMS]
    together = fit_many(PROBLEMS, configs, transformer, [4, 5, 6], observers=diaries)
    for i, problem in enumerate(PROBLEMS):
        alone = Diary()
        result = run_search(problem, configs[i], transformer, 4 + i, observer=alone)
        assert result.counts.served == together[i].counts.served > 0
        assert_same([together[i]], [result])
        assert diaries[i].events == alone.events


def test_without_a_proposer_and_with_one_that_answers_singly():
    for proposer in (None, RandomProposer()):
        together = fit_many(PROBLEMS, settings(), proposer, 3)
        assert_same(together, [run_search(problem, settings(), proposer, 3) for problem in PROBLEMS])


class Calls:
    """A random proposer that answers together, or fails to."""

    def __init__(self, way="good"):
        self.way, self.inner, self.sizes = way, RandomProposer(), []

    def open(self, problem):
        return self.inner.open(problem)

    def propose_many(self, sessions, requests):
        self.sizes.append(len(requests))
        if self.way == "raise":
            raise RuntimeError("out of memory")
        answers = [session.propose(request) for session, request in zip(sessions, requests, strict=True)]
        return answers[:-1] if self.way == "short" else answers


def test_the_proposer_is_asked_once_per_generation():
    proposer = Calls()
    assert isinstance(proposer, BatchProposer)
    fit_many(PROBLEMS, settings(generations=5), proposer)
    assert proposer.sizes == [3] * 6


@pytest.mark.parametrize("way", ["raise", "short"])
def test_a_failure_of_the_common_call_costs_no_answers(way):
    with pytest.warns(ProposerWarning, match="goes on"):
        found = fit_many(PROBLEMS, settings(), Calls(way))
    assert_same(found, [run_search(problem, settings(), RandomProposer()) for problem in PROBLEMS])
    assert found[0].failures
    assert all(result.counts.served for result in found)


def test_one_broken_session_harms_no_other():
    class OneBroken(Calls):
        def open(self, problem):
            if problem is PROBLEMS[1]:
                raise OSError("no model here")
            return super().open(problem)

    with pytest.warns(ProposerWarning):
        found = fit_many(PROBLEMS, settings(), OneBroken())
    assert [result.counts.served > 0 for result in found] == [True, False, True]


def test_time_budgets_are_kept_per_search():
    class Empty(Calls):
        def propose_many(self, sessions, requests):
            return [ProposalBatch()] * len(requests)

    ticks = iter(range(10**6))
    found = fit_many(PROBLEMS, settings(guard=GuardRules(max_overhead=0.01)), Empty(), clock=lambda: float(next(ticks)))
    assert all(result.counts.skipped for result in found)


def test_lists_must_match_and_may_be_empty():
    assert fit_many([]) == []
    with pytest.raises(ConfigError, match="seeds must be one for all or one per problem, 3; got 2"):
        fit_many(PROBLEMS, seeds=[1, 2])
    with pytest.raises(ConfigError, match="config must be one for all"):
        fit_many(PROBLEMS, [settings()])


def test_seeds_of_any_library():
    problems = [make_problem(("+", "*"), target=lambda a, b: a * b)] * 2
    config = BasicSRConfig(generations=2)
    plain = fit_many(problems, config, seeds=[1, 1])
    for seeds in (np.int64(1), np.array([1, 1]), 1.0):
        assert [r.best.tree for r in fit_many(problems, config, seeds=seeds)] == [r.best.tree for r in plain]
    with pytest.raises(ConfigError, match="seed must be"):
        fit_many(problems, config, seeds=-1)


def test_an_interrupt_ends_all_searches_with_what_they_have():
    config = BasicSRConfig(generations=10**6, guard=FREE, levels=("child",))
    for interrupting in (0, 2):
        diaries = [Diary() for _ in PROBLEMS]

        def proposal(told):
            if told.iteration == 1:
                raise KeyboardInterrupt

        diaries[interrupting].proposal = proposal
        results = fit_many(PROBLEMS, config, RandomProposer(), observers=diaries)
        assert [result.stopped_by for result in results] == ["interrupt"] * 3
        assert all(result.hall_of_fame.front() for result in results)


def test_an_interrupt_while_the_proposer_thinks_ends_all_searches():
    class Tired(RandomProposer):
        def open(self, problem):
            return ScriptedProposer([parse("x0"), KeyboardInterrupt()]).open(problem)

    config = BasicSRConfig(generations=10**6, guard=FREE, levels=("child",), proposal_share=0.01)
    results = fit_many(PROBLEMS, config, Tired())
    assert [result.stopped_by for result in results] == ["interrupt"] * 3
