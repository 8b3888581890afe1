"""What is kept of searches: moves, records, hindsight; samples and losses of the policy gradient; collapse."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pysr_neural.errors import ConfigError, DataError
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node
from pysr_neural.expression.text import parse
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural.problem import OperatorSet, Problem
from pysr_neural.proposer.base import MemberView, ProposalRequest
from pysr_neural.proposer.neural.transformer import TransformerProposer
from pysr_neural.rng import generator
from pysr_neural_training.improve import rl
from pysr_neural_training.improve.config import ExpertIterationConfig, RLConfig
from pysr_neural_training.improve.episodes import Draw, Episode, Event, Planned, Visit
from pysr_neural_training.improve.expert_iteration import (
    FIRST_ENTRY,
    HINDSIGHT,
    SOLUTION,
    Best,
    first_entries,
    hindsight,
    kept_moves,
    own_part,
    read_records,
    updated,
    write_records,
)
from pysr_neural_training.improve.lessons import (
    Lesson,
    examples_of,
    fine_tune,
    is_rehearsal,
    load_examples,
    save_examples,
)
from pysr_neural_training.improve.rollout import roll_out
from pysr_neural_training.improve.rounds import collapse
from pysr_neural_training.problems.generate import GeneratedProblem
from tests.core.conftest import SMALL

X = generator(0, "methods").uniform(-2, 2, (64, 2))
TARGET = parse("x0 * x1 + x0")
PROBLEM = Problem(X, evaluate(TARGET, X), OperatorSet.of("+", "*"))
VARIANCE = float(np.var(PROBLEM.y))
SHOWN = (MemberView(parse("x0"), 1.0, 1),)


@pytest.fixture
def model() -> ProposerModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ProposerModel(ProposerConfig(**SMALL)).eval()


def request(*members: MemberView) -> ProposalRequest:
    return ProposalRequest(members, 4, ("child",), 1, max_size=25)


def draw(text: str, loss: float, question: int = 0, tokens: tuple[int, ...] = (30,), count: int = 1) -> Draw:
    return Draw(question, tokens, -1.0, count, parse(text), loss)


def event(ref: int, text: str, loss: float, *parents: int, visit: int = 0, neural: bool = True) -> Event:
    return Event(visit, ref, parents, parse(text), "neural", loss * VARIANCE, neural)


def episode(*events: Event, line: tuple[int, ...] = (), solved: bool = True, evaluations: int = 50) -> Episode:
    """A search of two states, in each of which everything that happened after it was drawn."""
    visits = tuple(
        Visit(
            request(*members),
            tuple(e.tree for e in events if e.visit == i and e.neural),
            tuple(Draw(i, (30,) * e.tree.size, -1.0, 1, e.tree, e.loss) for e in events if e.visit == i and e.neural),
        )
        for i, members in enumerate(((), SHOWN))
    )
    given = GeneratedProblem(PROBLEM, TARGET)
    best = next((e.tree for e in events if line and e.ref == max(line)), TARGET)
    return Episode(given, 3, 0, 1.0, visits, events, solved, frozenset(line), best, 0.0, evaluations, 1.0, 0.5)


SOLVED = episode(
    event(0, "x1", 2.0, neural=False),
    event(1, "x0", 0.9),
    event(2, "x0 + x0", 0.95),
    event(3, "x0 * x1", 0.3, 1, visit=1),
    event(-1, "x1 * x1", math.nan, visit=1),
    event(4, "x0 * x1 + x0", 0.0, 3, visit=1),
    line=(1, 3, 4),
)


def weights_of(lessons: list[Lesson]) -> dict[Node, float]:
    return {lesson.target: lesson.weight for lesson in lessons}


def test_ancestors_of_a_solution_and_first_entries_are_kept() -> None:
    lessons, counts = kept_moves([SOLVED], {})
    both = SOLUTION + FIRST_ENTRY
    assert weights_of(lessons) == {parse("x0"): both, parse("x0 * x1"): both, TARGET: both}
    assert counts == {"solved": 1, "faster": 0, "shorter": 0, "ancestors": 3, "first_entries": 3}
    assert [lesson.question for lesson in lessons] == [0, 1, 1]
    assert lessons[1].request.members == SHOWN


def test_of_an_unsolved_search_only_first_entries_are_kept() -> None:
    lessons, counts = kept_moves([replace(SOLVED, solved=False)], {})
    assert set(weights_of(lessons).values()) == {FIRST_ENTRY}
    assert (counts["solved"], counts["ancestors"]) == (0, 0)


def test_faster_and_shorter_solutions_count_more() -> None:
    known = {3: Best(60, 3)}
    faster = weights_of(kept_moves([SOLVED], known)[0])[TARGET]
    both = weights_of(kept_moves([SOLVED], {3: Best(60, 5)})[0])[TARGET]
    neither = weights_of(kept_moves([SOLVED], {3: Best(40, 2)})[0])[TARGET]
    assert (neither, faster, both) == (
        SOLUTION + FIRST_ENTRY,
        2 * SOLUTION + FIRST_ENTRY,
        4 * SOLUTION + FIRST_ENTRY,
    )
    assert updated(known, [SOLVED]) == {3: Best(50, 3)}
    assert updated(known, [replace(SOLVED, solved=False)]) == known


def test_the_second_search_of_a_problem_is_compared_with_the_first_of_the_same_round() -> None:
    _, counts = kept_moves([SOLVED, replace(SOLVED, evaluations=20)], {})
    assert (counts["faster"], counts["shorter"]) == (1, 0)


def test_first_entries_are_clear_improvements_in_order_of_birth() -> None:
    found = first_entries(
        episode(
            event(0, "x1", 1.0),
            event(1, "x0", 0.99),  # Hardly better.
            event(2, "x0 + x1", 0.5),
            event(3, "x0 * x1", math.inf),
            event(4, "x0 * x0", 0.5),
        )
    )
    assert found == {0, 2} or found == {2}


def test_nobody_learns_from_problems_that_nobody_solves(model: ProposerModel) -> None:
    rng = generator(3, "noise")
    noise = Problem(rng.normal(size=(64, 2)), rng.normal(size=64), OperatorSet.of("+", "*"))
    settings = ExpertIterationConfig(generations=3, population_size=8)
    searches = [Planned(GeneratedProblem(noise, TARGET), 0, 1)]
    found = roll_out(searches, settings.search, TransformerProposer(model), 1e-10)
    assert not found[0].solved
    assert kept_moves(found, {})[1]["ancestors"] == 0
    assert hindsight(found, 4, rng) == []
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert fine_tune(model, [], [], settings, 1) == {"examples": 0, "steps": 0}
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_hindsight_shows_the_start_and_some_states_with_the_solution(model: ProposerModel) -> None:
    lessons = hindsight([SOLVED, replace(SOLVED, solved=False)], 2, generator(0, "hindsight"))
    assert [(lesson.target, lesson.weight) for lesson in lessons] == [(TARGET, HINDSIGHT)] * 2
    assert [len(lesson.request.members) for lesson in lessons] == [0, 1]
    examples, _, unfit = examples_of(model, lessons)
    assert (len(examples), unfit) == (2, 0)


def test_the_drawn_part_of_a_residual_child_is_its_own(model: ProposerModel) -> None:
    whole = Draw(0, (30, 31, 32), -1.0, 1, parse("x0 * x1"), 0.0)
    residual = Draw(1, (31,), -1.0, 1, parse("sin(x0) + x1"), 0.0)
    assert own_part(whole) == parse("x0 * x1")
    assert own_part(residual) == parse("x1")


def test_records_survive_a_file(tmp_path) -> None:
    records = {3: Best(50, 3), 7: Best(1, 1)}
    write_records(tmp_path / "records.json", records)
    assert read_records(tmp_path / "records.json") == records


def test_examples_survive_a_file(tmp_path, model: ProposerModel) -> None:
    lessons = hindsight([SOLVED], 2, generator(0, "hindsight"))
    examples, weights, _ = examples_of(model, lessons)
    save_examples(tmp_path / "some.npz", examples, weights)
    loaded, loaded_weights = load_examples(tmp_path / "some.npz")
    assert loaded_weights == weights
    for one, other in zip(examples, loaded, strict=True):
        assert (one.target, one.kind) == (other.target, other.kind)
        np.testing.assert_array_equal(one.data, other.data)
        for name in ("tokens", "positions", "segments"):
            np.testing.assert_array_equal(getattr(one.prompt, name), getattr(other.prompt, name))
    save_examples(tmp_path / "none.npz", [], [])
    assert load_examples(tmp_path / "none.npz") == ([], [])
    (tmp_path / "cut.npz").write_bytes((tmp_path / "some.npz").read_bytes()[:300])
    with pytest.raises(DataError, match="must hold a round's examples"):
        load_examples(tmp_path / "cut.npz")


def test_answers_beyond_the_question_are_counted(model: ProposerModel) -> None:
    long = parse("x0 + x0 + x0 + x0 + x0 + x0")
    lessons = [Lesson(PROBLEM, request(*SHOWN), 0, tree) for tree in (TARGET, long)]
    examples, weights, unfit = examples_of(model, lessons)
    assert (len(examples), weights, unfit) == (1, [1.0], 1)


def test_fine_tuning_learns_what_it_is_shown(model: ProposerModel) -> None:
    examples, weights, _ = examples_of(model, hindsight([SOLVED], 2, generator(0, "hindsight")))
    settings = ExpertIterationConfig(steps=30, batch_size=4, learning_rate=3e-3, rehearsal=0.2)
    result = fine_tune(model, examples, weights, settings, 1)
    assert result["loss_last"] < 0.5 * result["loss_first"]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_rehearsal_takes_its_share_of_the_steps(share: float, expected: int) -> None:
    assert sum(is_rehearsal(step, share) for step in range(8)) == expected


def test_gains_follow_the_best_loss_and_reach_the_ancestors() -> None:
    before, later = rl.gains_of(SOLVED, discount=0.5)
    assert before == pytest.approx([1.0, 0.9])
    gained = math.log(0.3) - math.log(1e-12)
    assert later[1, TARGET] == pytest.approx(0.0)
    assert later[1, parse("x0 * x1")] == pytest.approx(0.5 * gained)
    assert later[0, parse("x0")] == pytest.approx(0.5 * math.log(0.9 / 0.3) + 0.25 * gained)
    assert later[0, parse("x0 + x0")] == 0.0
    assert (1, parse("x1 * x1")) not in later


def test_states_without_a_difference_teach_nothing(model: ProposerModel) -> None:
    useless = (draw("x0", 5.0), draw("x1", 7.0))
    visit = Visit(request(*SHOWN), (), useless)
    flat = replace(SOLVED, visits=(visit,), events=(), solved=False)
    samples, counts = rl.samples_of(model, [flat], RLConfig())
    assert (samples, counts["flat"], counts["not_finite"]) == ([], 1, 0)
    assert rl.train(model, samples, RLConfig(), 1) == {"steps": 0}


def test_rewards_that_are_not_finite_are_counted(model: ProposerModel) -> None:
    visit = Visit(request(*SHOWN), (), (draw("x0", math.nan), draw("x0 * x1", 0.01 * VARIANCE), draw("x1", math.inf)))
    bad = replace(SOLVED, visits=(visit,), events=())
    samples, counts = rl.samples_of(model, [bad], RLConfig())
    assert counts["not_finite"] == 1
    assert len(samples) == 3
    assert all(math.isfinite(sample.advantage) for sample in samples)
    assert samples[1].advantage > 0 > samples[0].advantage


def test_policy_gradient_makes_rewarded_draws_likelier(model: ProposerModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rl, "load", lambda name: copy_of(model))
    config = RLConfig(
        steps=12,
        batch_size=16,
        learning_rate=2e-3,
        rehearsal=0.0,
        generations=2,
        population_size=16,
        proposal_share=1.0,
    )
    episodes = roll_out(
        [Planned(GeneratedProblem(PROBLEM, TARGET), 0, 1)], config.search, TransformerProposer(model, combine=False), -1
    )
    samples, _ = rl.samples_of(model, episodes, config)
    assert samples
    good = max(samples, key=lambda sample: sample.advantage)
    old = rl.policy_loss(model, model, [good], config)
    before = rl.score(model, rl.collate([good.example]), [good.grammar]).drawn.item()
    result = rl.train(model, samples, config, 1)
    after = rl.score(model, rl.collate([good.example]), [good.grammar]).drawn.item()
    assert after > before
    assert result["kl"] > 0
    assert old[1]["kl"] == pytest.approx(0.0, abs=1e-6)


def test_entropy_below_the_floor_is_penalised(model: ProposerModel) -> None:
    sample = next(
        iter(
            rl.samples_of(
                model,
                [replace(SOLVED, visits=(Visit(request(*SHOWN), (), (draw("x0", 9.0), draw("x1", 0.01))),))],
                RLConfig(),
            )[0]
        )
    )
    flat = replace(sample, advantage=0.0)
    free = rl.policy_loss(model, model, [flat], RLConfig(entropy_floor=1.0, entropy_weight=1.0))[0]
    narrow = copy_of(model)
    with torch.no_grad():
        narrow.head.weight.mul_(20.0)
    dear = rl.policy_loss(narrow, model, [flat], RLConfig(entropy_floor=1.0, entropy_weight=1.0, kl=0.0))
    assert free.item() == pytest.approx(0.0, abs=1e-5)
    assert dear[0].item() == pytest.approx(dear[1]["floor"] - dear[1]["entropy"], rel=1e-4)
    assert dear[0].item() > 0.1


def test_policy_gradients_need_temperature_one() -> None:
    with pytest.raises(ConfigError, match=r"temperatures = \[1\.0\]"):
        rl.PolicyGradient(RLConfig(temperatures=(0.8,)))


@pytest.mark.parametrize(
    ("answers", "collapsed"),
    [(["x0 * 2.0", "x0 * 3.0"], True), (["x0", "x1", "x0 + x1", "x0 * x1"], False), ([], False)],
)
def test_a_policy_that_proposes_one_expression_is_told(answers: list[str], collapsed: bool) -> None:
    trees = [parse(text) for text in answers]
    visits = tuple(Visit(request(*SHOWN), tuple(trees), ()) for _ in range(4))
    assert collapse([replace(SOLVED, visits=visits)])[0] == collapsed


def copy_of(model: ProposerModel) -> ProposerModel:
    copy = ProposerModel(model.config)
    copy.load_state_dict(model.state_dict())
    return copy.eval()
