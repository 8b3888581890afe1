"""Rollouts: states are the policy's own, draws what was sampled, prompts and probabilities those of inference."""

import itertools
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from pysr_neural.expression.text import parse
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural.problem import OperatorSet, Problem
from pysr_neural.proposer.base import Child, ProposalBatch, ProposalRequest
from pysr_neural.proposer.neural import transformer
from pysr_neural.proposer.neural.transformer import TransformerProposer
from pysr_neural.proposer.scripted import ScriptedProposer
from pysr_neural.rng import generator
from pysr_neural_training.examples.build import IGNORED, Example, collate
from pysr_neural_training.improve.config import ImproveConfig
from pysr_neural_training.improve.episodes import Episode, Planned, summary
from pysr_neural_training.improve.lessons import Lesson, example_of, questions_of
from pysr_neural_training.improve.rollout import RolloutJob, collect, roll_out, run_rollout
from pysr_neural_training.improve.scoring import score
from pysr_neural_training.problems.generate import GeneratedProblem, Sampler
from pysr_neural_training.workers import Workers
from tests.core.conftest import SMALL

CONFIG = ImproveConfig(generations=4, population_size=10, max_operators=3, solved_below=0.0)


@pytest.fixture(scope="module")
def model() -> ProposerModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ProposerModel(ProposerConfig(**SMALL)).eval()


def planned(count: int, temperature: float = 1.0) -> list[Planned]:
    given = itertools.islice(Sampler(CONFIG.prior, generator(0, "rollout test")), count)
    return [Planned(each, i, i, temperature) for i, each in enumerate(given)]


def noise() -> GeneratedProblem:
    """A problem that nobody can solve."""
    rng = generator(3, "noise")
    problem = Problem(rng.normal(size=(64, 2)), rng.normal(size=64), OperatorSet.of("+", "*"))
    return GeneratedProblem(problem, parse("x0 + x1"))


def test_recorded_states_are_those_that_a_scripted_policy_was_shown() -> None:
    shown: list[ProposalRequest] = []
    opened: list[Problem] = []

    class Policy:
        def open(self, problem: Problem) -> "Policy":
            opened.append(problem)
            return self

        def propose(self, request: ProposalRequest) -> ProposalBatch:
            shown.append(request)
            answer = parse("x0 + 1.5") if len(shown) % 2 else parse("x0 * x1")
            return ProposalBatch((Child(answer),))

    given = noise()
    (episode,) = roll_out([Planned(given, 0, 7)], CONFIG.search, Policy(), 0.0)
    assert len(opened) == 1
    assert [visit.request for visit in episode.visits] == shown
    assert len(shown) == 1 + CONFIG.generations
    assert [visit.children[0] for visit in episode.visits[:3]] == [
        parse("x0 + 1.5"),
        parse("x0 * x1"),
        parse("x0 + 1.5"),
    ]
    proposed = [event for event in episode.events if event.neural and event.visit == 2]
    assert [event.tree for event in proposed] == [parse("x0 + 1.5")]
    again = roll_out([Planned(given, 0, 7)], CONFIG.search, ScriptedProposer([parse("x1")], cycle=True), 0.0)[0]
    later = [visit.request.members for visit in episode.visits[2:]]
    assert [visit.request.members for visit in again.visits[2:]] != later


def test_a_watched_search_is_the_unwatched_one(model: ProposerModel) -> None:
    from pysr_neural_baseline.many import fit_many

    searches = planned(3)
    episodes = roll_out(searches, CONFIG.search, TransformerProposer(model, combine=False), 0.0)
    plain = fit_many(
        [s.given.problem for s in searches], CONFIG.search, TransformerProposer(model, combine=False), [0, 1, 2]
    )
    assert [e.evaluations for e in episodes] == [r.evaluations for r in plain]
    assert [e.best for e in episodes] == [
        min(r.hall_of_fame.front(), key=lambda member: member.loss).tree for r in plain
    ]


def test_temperature_reaches_the_policy(model: ProposerModel) -> None:
    cold, hot = (
        roll_out(planned(1, temperature), CONFIG.search, TransformerProposer(model, combine=False), 0.0)[0]
        for temperature in (0.3, 3.0)
    )
    assert {visit.request.temperature for visit in hot.visits} == {3.0}

    def mean(episode: Episode) -> float:
        return float(np.mean([draw.log_probability for visit in episode.visits for draw in visit.draws]))

    assert mean(cold) > mean(hot)


def test_children_of_a_transformer_are_among_its_draws(model: ProposerModel) -> None:
    (episode,) = roll_out(planned(1), CONFIG.search, TransformerProposer(model, combine=False), 0.0)
    for visit in episode.visits:
        assert set(visit.children) <= {draw.tree for draw in visit.draws}
        assert sum(draw.count for draw in visit.draws) >= len(visit.children)


def test_prompts_of_lessons_are_those_of_inference(model: ProposerModel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    original = transformer.ask

    def spy(given: ProposerModel, questions: list) -> None:
        asked.append(list(questions))
        original(given, questions)

    monkeypatch.setattr(transformer, "ask", spy)
    search = planned(1)[0]
    (episode,) = roll_out([search], CONFIG.search, TransformerProposer(model, combine=False), 0.0)
    assert len(asked) == len(episode.visits)
    for questions, visit in zip(asked, episode.visits, strict=True):
        lesson = Lesson(search.given.problem, visit.request, 0, parse("x0"))
        example = example_of(model, lesson)
        assert example is not None
        assert example.prompt.tokens.tolist() == questions[0].prompt.tokens.tolist()
        np.testing.assert_array_equal(example.data, questions[0].data)


def test_recomputed_probabilities_are_those_of_sampling(model: ProposerModel) -> None:
    search = planned(2)[1]
    (episode,) = roll_out([search], CONFIG.search, TransformerProposer(model, combine=False), 0.0)
    examples, grammars, expected = [], [], []
    for visit in episode.visits:
        questions = questions_of(model, search.given.problem, visit.request)
        for draw in visit.draws:
            question = questions[draw.question]
            examples.append(Example(question.prompt, list(draw.tokens), question.data, IGNORED))
            grammars.append(question.grammar)
            expected.append(draw.log_probability)
    scored = score(model, collate(examples), grammars)
    np.testing.assert_allclose(scored.drawn.detach().numpy(), expected, atol=2e-3)
    assert scored.drawn.requires_grad
    assert float(scored.divergence(scored).detach()) == pytest.approx(0.0, abs=1e-6)
    assert float(scored.entropy().detach()) > 0


def test_searches_in_parts_find_the_same() -> None:
    searches, here = planned(3), RolloutJob("", (), CONFIG.search, 0.0)
    direct = run_rollout(replace(here, searches=tuple(searches)))
    parts = collect(searches, "", CONFIG.search, 0.0, together=2, workers=Workers(0))
    assert [e.best for e in direct] == [e.best for e in parts]
    assert [e.events for e in direct] == [e.events for e in parts] or any(
        np.isnan(event.loss) for e in direct for event in e.events
    )
    assert pickle.loads(pickle.dumps(here)) == here  # What Dask sends to a worker.


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_dask_worker_finds_what_this_process_finds() -> None:
    pytest.importorskip("distributed")
    searches = planned(3)
    here = collect(searches, "", CONFIG.search, 0.0, together=2)
    there = collect(searches, "", CONFIG.search, 0.0, together=2, workers=Workers(1))
    assert [e.best for e in here] == [e.best for e in there]
    assert [e.number for e in there] == [0, 1, 2]


def test_summary_counts_an_unsolved_search_for_its_whole_budget() -> None:
    episodes = roll_out(planned(2), CONFIG.search, None, 0.0)
    solved = replace(episodes[0], solved=True, evaluations=10)
    unsolved = replace(episodes[1], solved=False, evaluations=20)
    result = summary([solved, unsolved], 100)
    assert (result["searches"], result["solved"], result["evaluations"]) == (2, 1, 55.0)


def test_a_failing_policy_costs_no_search(recwarn: pytest.WarningsRecorder) -> None:
    (episode,) = roll_out(planned(1), CONFIG.search, ScriptedProposer([RuntimeError("broken")], cycle=True), 0.0)
    assert episode.failures > 0
    assert np.isfinite(episode.loss)
    assert any("broken" in str(warning.message) for warning in recwarn)
