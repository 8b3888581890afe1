"""Experts: labels improve the visited state and fit it; what cannot be improved is skipped and counted."""

import pytest

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import mean_squared_error
from pysr_neural.expression.text import parse, to_string
from pysr_neural.problem import OperatorSet, Problem
from pysr_neural.proposer.base import MemberView, ProposalRequest
from pysr_neural.proposer.scripted import ScriptedProposer
from pysr_neural.rng import generator
from pysr_neural_training.improve.config import EXPERTS, DaggerConfig
from pysr_neural_training.improve.dagger import lessons_of, states_of
from pysr_neural_training.improve.episodes import Planned
from pysr_neural_training.improve.relabel import State, differences, edits_towards, label
from pysr_neural_training.improve.rollout import roll_out
from pysr_neural_training.improve.traced import record, states_of_trace
from pysr_neural_training.problems.generate import GeneratedProblem, Sampler

TARGET = parse("x0 * x0 + x1")
OPERATORS = OperatorSet.of("+", "-", "*", "sin")


def problem(text: str = "x0 * x0 + x1") -> Problem:
    X = generator(0, "relabel").uniform(-2, 2, (64, 2))
    return Problem(X, evaluate(parse(text), X), OPERATORS)


def state(*members: str, target: str | None = "x0 * x0 + x1") -> State:
    here = problem()
    views = []
    for text in members:
        tree = parse(text)
        views.append(MemberView(tree, mean_squared_error(tree, here.X, here.y), tree.size))
    request = ProposalRequest(tuple(views), 4, ("child",), 1, max_size=25)
    return State(here, request, None if target is None else parse(target))


@pytest.mark.parametrize("expert", EXPERTS)
def test_labels_are_better_than_the_state_and_fit_its_limit(expert: str) -> None:
    config = DaggerConfig(expert=expert, tries=60, lookahead=8)
    here = state("x0", "x1", "x0 + x1", "sin(x0)")
    found = label(here, config, generator(1, "label"))
    assert found is not None
    assert found.loss < 0.99 * here.best.loss
    assert found.loss == pytest.approx(mean_squared_error(found.tree, here.problem.X, here.problem.y))
    assert found.tree.size <= here.limit


def test_reverse_edit_reaches_the_target_and_names_the_move() -> None:
    found = label(state("x0 * x1 + x1"), DaggerConfig(expert="reverse"), generator(0, "label"))
    assert found is not None
    assert (to_string(found.tree), found.kind) == (to_string(TARGET), "feature")


@pytest.mark.parametrize("expert", EXPERTS)
def test_an_expert_that_cannot_improve_a_state_gives_no_label(expert: str) -> None:
    config = DaggerConfig(expert=expert, tries=20, lookahead=2)
    assert label(state("x0 * x0 + x1", "x0"), config, generator(1, "label")) is None


def test_without_a_known_target_there_is_no_reverse_edit() -> None:
    assert label(state("x0", target=None), DaggerConfig(expert="reverse"), generator(0, "label")) is None


def test_states_that_cannot_be_improved_are_skipped_and_counted() -> None:
    rng = generator(3, "noise")
    noise = Problem(rng.normal(size=(64, 2)), rng.normal(size=64), OPERATORS)
    config = DaggerConfig(expert="best", generations=6, states=4, margin=0.9, tries=10, lookahead=1)
    given, solver = GeneratedProblem(noise, TARGET), ScriptedProposer([parse("0.0")], cycle=True)
    episodes = roll_out([Planned(given, 0, 1)], config.search, solver, -1.0)
    states = states_of(episodes, 4, generator(0, "labels"))
    assert len(states) == 4
    assert lessons_of(states, config, generator(0, "labels")) == ([], 4)


def test_labels_are_for_visited_states() -> None:
    given = GeneratedProblem(problem(), TARGET)
    config = DaggerConfig(expert="reverse", generations=6, states=3, population_size=8, max_size=5)
    episodes = roll_out([Planned(given, 0, 1)], config.search, ScriptedProposer([parse("x1")], cycle=True), -1.0)
    visited = [visit.request for visit in episodes[0].visits]
    states = states_of(episodes, 3, generator(0, "labels"))
    assert len(states) == 3
    assert all(each.request.members for each in states)
    lessons, _ = lessons_of(states, config, generator(0, "labels"))
    assert lessons
    assert all(any(lesson.request is request for request in visited) for lesson in lessons)


def test_states_of_a_trace_are_its_populations_and_never_held_out(tmp_path) -> None:
    pytest.importorskip("pyarrow")
    trainable, rng = parse("x0 * x0 + sin(x1)"), generator(0, "traced")
    held_out = next(iter(Sampler(DaggerConfig().prior, rng, held_out=True)))
    given = GeneratedProblem(problem(to_string(trainable)), trainable)
    config = DaggerConfig(generations=20)
    searches = [Planned(given, 0, 1), Planned(given, 0, 2), Planned(held_out, 1, 1)]
    trace = record(searches, "random", config, tmp_path / "trace", "basic")
    states, left_out = states_of_trace(trace, 3, rng)
    assert (len(states), left_out) == (3, 1)
    for state in states:
        assert state.target == trainable
        assert len(state.request.members) == 27  # BasicSR's own population.
        for member in state.request.members:
            assert member.loss == pytest.approx(mean_squared_error(member.tree, state.problem.X, state.problem.y))
    lessons, _ = lessons_of(states, config, rng)
    assert lessons


def test_differences_are_the_topmost_ones() -> None:
    found = list(differences(parse("sin(x0) + x1 * x1"), parse("x0 + x1 * x0")))
    assert [(position, to_string(part)) for position, part in found] == [(1, "x0"), (5, "x0")]
    assert list(differences(parse("x0 * 2.0"), parse("x0 * 3.0"))) == []  # Constants are fitted anyway.


def test_every_step_of_edits_leads_towards_the_target() -> None:
    target = parse("(x0 + x1) * sin(x0)")
    edits = [to_string(edit) for edit in edits_towards(parse("x0 * sin(x1)"), target)]
    assert to_string(parse("(x0 + x1) * sin(x1)")) in edits
    assert to_string(parse("x0 * sin(x0)")) in edits
    assert to_string(target) in edits
    assert to_string(parse("sin(x0)")) in edits
    inserted = [to_string(edit) for edit in edits_towards(parse("x1"), parse("x1 * x0"))]
    assert to_string(parse("x1 * x0")) in inserted
