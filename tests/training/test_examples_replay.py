"""A recorded run, played again: the populations are those that a proposer was shown, prompt for prompt."""

from pathlib import Path

import numpy as np
import pytest

from pysr_neural.expression.text import parse, to_string
from pysr_neural.interop.recording import import_recordings
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import ProposalBatch, ProposalRequest
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.proposer.neural.asking import SHOWN_MEMBERS
from pysr_neural.proposer.neural.transformer import TransformerSession
from pysr_neural.proposer.scripted import RandomProposer
from pysr_neural.rng import generator
from pysr_neural.trace.io import Trace, encode_table, problems_table, write_part
from pysr_neural.wire import prompt as p
from pysr_neural.wire.context import CONTEXTS, context_of
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.recorder import record_search
from pysr_neural_training.examples.from_traces import TraceSource
from pysr_neural_training.examples.layouts import Example
from pysr_neural_training.examples.replay import AFTER, Replay
from pysr_neural_training.examples.stage import Stage
from tests.core import test_from_pysr as theirs
from tests.interop import test_recording as ours
from tests.strategies import make_problem

PROBLEM = make_problem(("+", "-", "*", "/"), target=lambda a, b: a / (b + 1) - a * b)
UNLIMITED = GuardRules(max_overhead=1.0)
REFERENCE = BasicSRConfig.reference(population_size=12, generations=12, extra_generations=0, guard=UNLIMITED)
STEADY = BasicSRConfig(
    populations=2, population_size=12, cycles_per_iteration=4, generations=32, max_size=12, guard=UNLIMITED
)


class Spy:
    """Proposes at random, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[ProposalRequest] = []

    def open(self, problem: Problem) -> "Spy":
        self.inner = RandomProposer().open(problem)
        return self

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        if request.members:
            self.asked.append(request)
        return self.inner.propose(request)


def written(folder: Path, tables: dict, problem: Problem = PROBLEM, formula: str = "") -> Trace:
    parts = {"problems": problems_table([problem], [formula]), **tables}
    write_part(folder, 0, {name: encode_table(table) for name, table in parts.items()})
    return Trace(folder)


def recorded(folder: Path, config: BasicSRConfig, rate: float = 0.1) -> tuple[Replay, Spy]:
    spy = Spy()
    tables = record_search(PROBLEM, config, spy, 3, population_rate=rate, proposer_name="spy").tables
    return Replay(written(folder, tables), 0), spy


@pytest.mark.parametrize("config", [REFERENCE, STEADY])
@pytest.mark.parametrize("rate", [0.1, 1.0])
def test_populations_are_those_that_the_proposer_was_shown(tmp_path, config, rate):
    replay, spy = recorded(tmp_path, config, rate)
    shown = [tuple(replay.views(rows)) for rows in replay.standing.values()][: len(spy.asked)]
    assert [request.members for request in spy.asked] == shown
    assert len(spy.asked) == config.generations


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("config", [REFERENCE, STEADY])
def test_the_prompt_of_a_record_is_the_prompt_of_the_live_search(tmp_path, config, context):
    """Every layout; ``onestep`` and ``direct`` as the transformer's own session asks."""
    replay, spy = recorded(tmp_path, config)
    sizes = {"width": 16, "heads": 2, "layers": 1, "feedforward": 16, "latents": 2}
    model = ProposerModel(ProposerConfig(**sizes, context=context))
    session = TransformerSession(model, PROBLEM, combine=False)
    source = TraceSource([str(tmp_path)], max_members=SHOWN_MEMBERS, context=context)
    live = dict(zip(replay.standing, spy.asked, strict=False))
    told = context_of(context, PROBLEM.X, PROBLEM.y, (0, 1))
    seen = set()
    for event in replay.proposals[::5].tolist():
        place = replay.place_of[event]
        request, child = live[place], replay.child(event).tree
        questions = session.plan(request, generator(1, "plan"))
        if child.size <= questions[0].grammar.max_size:
            found = source.state_example(replay, event, "onestep")
            same(found, questions[0].prompt)
            np.testing.assert_array_equal(found.data, questions[0].data)
            seen.add("onestep")
        parents = replay.parents(event)
        limit = max(questions[0].grammar.max_size, child.size)
        known = {"members": request.members, "variance": session.variance, "max_members": SHOWN_MEMBERS}
        given = (PROBLEM.operators, session.slots, limit)
        kind = replay.kinds[event]
        if parents and set(parents) <= set(request.members):
            wanted = p.build_prompt("edit", *given, **known, kind=kind, parents=parents, context=told)
            same(source.state_example(replay, event, "edit"), wanted)
            seen.add("edit")
    for now, then in replay.transitions():
        if then not in live:  # The end of the search: nobody was asked.
            assert then[1] == AFTER
            continue
        found = source.population_example(replay, now, then)
        live_now, live_then = live[now].members, live[then].members
        limit = min(live[now].max_size, PROBLEM.limits.max_size)
        known = {"members": live_now, "variance": session.variance, "max_members": SHOWN_MEMBERS, "context": told}
        same(found, p.build_prompt("population", PROBLEM.operators, session.slots, limit, **known))
        assert found.target == p.population_tokens(live_then, session.slots)
        seen.add("population")
    direct = session._direct_questions(PROBLEM.y, 12, 3, 1.0, generator(1, "direct"))
    found = source.scene(replay.problem).direct(parse("x0"), 12)
    same(found, next(question.prompt for question in direct if question.grammar.max_size == 12))
    np.testing.assert_array_equal(found.data, session._own_data)
    assert seen == {"onestep", "edit", "population"}


def same(found: "Example | str", prompt: p.Prompt) -> None:
    assert isinstance(found, Example), found
    for name in ("tokens", "positions", "segments"):
        assert getattr(found.prompt, name).tolist() == getattr(prompt, name).tolist()


def test_targets_are_what_they_are_called(tmp_path):
    replay, _ = recorded(tmp_path, STEADY)
    events = replay.trace.table("events").to_pandas()
    chosen = {name: replay.select(name) for name in ("all", "accepted", "improving", "ancestors")}
    assert len(chosen["all"]) > len(chosen["accepted"]) > len(chosen["improving"]) > 0
    assert set(events["event"][chosen["all"]]) == {"proposal"}
    assert "do_nothing" not in set(events["kind"][chosen["all"]])
    assert events["accepted"][chosen["accepted"]].all()
    assert (events["after_loss"] < events["before_loss"])[chosen["improving"]].all()
    line = replay.ancestors()
    assert set(events["ref"][chosen["ancestors"]]) <= line
    best = int(replay.trace.table("runs")["best"][0].as_py())
    assert best in line
    for now, then in replay.select_transitions("improving"):
        losses = [min(m.loss for m in replay.views(replay.standing[place])) for place in (now, then)]
        assert losses[1] < losses[0]
    for now, then in replay.select_transitions("ancestors"):
        refs = [{replay.row_of[ref] for ref in line if ref in replay.row_of} & set(replay.standing[place].tolist())
                for place in (now, then)]  # fmt: skip
        assert refs[1] - refs[0]


def test_a_recording_of_pysr_tells_populations_from_the_second_cycle_on(tmp_path):
    ours.write(tmp_path, ours.history())
    import_recordings(tmp_path, ours.FACTS)
    replay = Replay(Trace(tmp_path), 0)
    assert [replay.kinds[event] for event in replay.proposals] == ["neural"]
    (event,) = replay.proposals
    assert replay.place_of[event] == (0, 0, 1)
    assert [to_string(member.tree) for member in replay.population_of(event)] == ["x0"]
    assert to_string(replay.child(event).tree) == "(x0 + 5.0)"
    assert [to_string(parent.tree) for parent in replay.parents(event)] == ["x0"]


def test_pysr_s_own_tracing_tells_populations_of_iterations(tmp_path):
    tables = theirs.read(tmp_path, theirs.SEARCH, theirs.ITERATION)
    replay = Replay(written(tmp_path / "trace", tables, theirs.PROBLEM), 0)
    assert len(replay.proposals)
    shown = {tuple(to_string(m.tree) for m in replay.population_of(event)) for event in replay.proposals}
    assert shown == {("x0", "cos((x1 * 0.0015))")}


def test_births_take_the_places_of_deaths_in_their_order():
    """PySR's recorder tells the deaths of a cycle after all of its births; the next iteration begins anew."""
    stage, bases = Stage(generational=False, first_cycle=1), {(0, 0): [1, 2, 3], (0, 1): [9]}
    assert stage.enter((0, 0, 0), bases) is None
    stage.take("proposal", 0, 7, -1)
    assert stage.enter((0, 0, 1), bases) == [1, 2, 3]
    for what, ref in (("proposal", 4), ("proposal", 5), ("death", 3), ("death", 1), ("death", 77)):
        stage.take(what, 0, ref, -1)
    assert stage.enter((0, 0, 2), bases) == [5, 2, 4]
    assert stage.enter((0, 1, 0), bases) is None
    assert stage.enter((0, 1, 1), bases) == [9]
