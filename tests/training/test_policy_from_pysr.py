"""Learning from PySR's traces: actions are inferred, populations put together, and policies made of both."""

import shutil
from collections import Counter
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from pysr_neural.errors import TraceError
from pysr_neural.expression.edits import Edit, edited
from pysr_neural.interop.recording import import_recordings
from pysr_neural.problem import Limits
from pysr_neural.trace.io import Trace
from pysr_neural.wire.codes import decode, encode_lists
from pysr_neural.wire.frames import MessageType, frame
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.population import Member
from pysr_neural_baseline.replay import decisions_of
from pysr_neural_baseline.variation import Variation
from pysr_neural_training.policy.from_traces import lessons_from, visits_in
from tests.interop.test_recording import FACTS, record, write
from tests.strategies import make_problem

PROBLEM = make_problem(("+", "-", "*", "sin"), limits=Limits(12))
SIZE, CYCLES, ITERATIONS = 9, 30, 2
FIRST, LAST = range(2)


class Engine:
    """Evolves a population as PySR does, and tells of it as its recorder does; losses are random."""

    def __init__(self, seed):
        self.rng, self.numbers = np.random.default_rng(seed), count(1)
        self.variation = Variation(PROBLEM, BasicSRConfig())
        self.met = []  # Of each step: place, whether other kinds of steps share its cycle, losses, children of it.

    def frames(self):
        opening = frame(
            MessageType.OPEN, search=255, X=PROBLEM.X, y=PROBLEM.y, operator_names="\n".join(PROBLEM.operators.names),
            operator_arities=list(PROBLEM.operators.arities), limits=[12, 12], nested=np.zeros((0, 3)),
            arguments=np.zeros((0, 3)), complexities=[],
        )  # fmt: skip
        members = [self.member(tree) for tree in self.variation.initial(SIZE, self.rng)]
        made = [opening]
        for iteration in range(ITERATIONS):
            seen, events, deaths = [], [], []
            for cycle in range(1, CYCLES + 1):
                mutated, crossed, died = self.cycle(members, iteration, cycle)
                events += [(cycle, *event) for event in mutated + crossed]
                deaths += [(cycle, ref) for ref in died]
                if cycle in (1, CYCLES):
                    seen += [self.row(FIRST if cycle == 1 else LAST, member) for member in members]
            made.append(record(1, iteration, seen, events, deaths))
            members = [Member(m.tree, m.loss, m.cost, next(self.numbers), (m.ref,), birth=m.birth) for m in members]
        return made

    def member(self, tree, parent=-1):
        number, loss = next(self.numbers), self.rng.random()
        return Member(tree, loss, loss / 10, number, (parent,), birth=number)

    def row(self, moment, member):
        told = encode_lists(member.tree, PROBLEM.operators, 2)
        return (moment, member.ref, member.parents[0], member.loss, *told, member.birth)

    def cycle(self, members, iteration, cycle):
        mutated, crossed, died, met = [], [], [], []
        for _ in range(2):
            child, fits = self.variation.child(members, 1.0, self.rng)
            parents, losses = [members[i] for i in child.parents], sorted(member.loss for member in members)
            trees = [child.tree]
            if child.kind == "crossover":
                first, second = (member.tree for member in parents)
                trees.append(edited("crossover", Edit(child.edit.place, child.edit.node), second, first))
                if not fits or trees[1].size > 12:
                    continue
            met.append((child.kind == "crossover", losses))
            for tree, mates in zip(trees, (parents, parents[::-1]), strict=False):
                accepted = child.kind == "crossover" or (fits and self.rng.random() < 0.5)
                new = self.member(tree, mates[0].ref)
                told = encode_lists(tree, PROBLEM.operators, 2) if fits else ([], [])
                refs = (mates[0].ref, mates[1].ref if len(mates) > 1 else -1)
                event = (child.kind, refs, new.ref if accepted else -1, (1.0, new.loss), int(not accepted), 0, *told)
                (crossed if child.kind == "crossover" else mutated).append(event)
                if accepted:
                    oldest = min(members, key=lambda member: member.birth)
                    died.append(oldest.ref)
                    members[members.index(oldest)] = new
        if cycle > 1:
            alike = len({crossover for crossover, _ in met}) == 1
            self.met += [(alike, losses) for _, losses in met]
        return mutated, crossed, died


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder, engine = tmp_path_factory.mktemp("pysr"), Engine(4)
    write(folder, engine.frames())
    import_recordings(folder, FACTS)
    return Trace(folder), engine


def visits_of(trace, share=1.0):
    run = trace.table("runs").to_pylist()[0]
    return list(visits_in(trace, run, share, np.random.default_rng(0), looks_ahead=False))


def test_populations_are_as_the_engine_met_them(recorded):
    trace, engine = recorded
    ours = [sorted(member.loss for member in visit.state.members) for visit in visits_of(trace)]
    assert {len(losses) for losses in ours} == {SIZE}
    certain = [losses for alike, losses in engine.met if alike]
    assert len(certain) > 40
    found = [losses in ours for losses in certain]
    assert np.mean(found) > 0.97  # A mutation beyond the limits tells no child, so that nobody decided there.
    assert np.mean([losses in ours for _, losses in engine.met]) < 1
    progress = [visit.state.progress for visit in visits_of(trace)]
    assert progress == sorted(progress)
    assert 0 < progress[0] < 0.1 < 0.9 < progress[-1] < 1


def test_actions_are_those_that_make_the_children(recorded):
    trace, _ = recorded
    events = trace.table("events").to_pylist()
    told = [event for event in events if event["action"] and event["cycle"] > 0]
    known = [event for event in events if event["event"] == "proposal" and event["codes"] and event["cycle"] > 0]
    assert len(told) == len(known) > 90
    children = {tuple(event["codes"]) for event in known}
    made = []
    for visit in visits_of(trace):
        for action in visit.actions:
            tree = edited(action.kind, action.edit, *(visit.state.members[i].tree for i in action.parents))
            made.append(tuple(encode_lists(tree, PROBLEM.operators, 2)[0]))
    assert set(made) <= children
    assert len(made) == len(told)


def test_tournaments_compare_costs_of_uncrowded_sizes(recorded):
    trace, _ = recorded
    first, *_, last = visits_of(trace)
    for member in first.state.members:  # In the first iteration all sizes are as common.
        assert member.score - np.log(member.loss / 10) == pytest.approx(1040 / 12)
    pays = {member.complexity: member.score - np.log(member.loss / 10) for member in last.state.members}
    starts = [row["complexity"] for row in trace.table("members").to_pylist()[2 * SIZE : 3 * SIZE]]
    for size, paid in pays.items():
        assert paid == pytest.approx(1040 * (1 + starts.count(size)) / (12 + SIZE))


def test_lessons_are_made_of_them(recorded):
    trace, _ = recorded
    taught = lessons_from(trace, looks_ahead=False)
    assert taught.actions == sum(len(visit.actions) for visit in visits_of(trace))
    assert taught.impossible == 0
    assert taught.runs == (0,)
    assert lessons_from(trace, looks_ahead=False, runs=[]).runs == ()
    assert 0 < len(visits_of(trace, 0.3)) < len(visits_of(trace))


def test_what_cannot_be_learned_from_is_said(recorded, tmp_path):
    whole = Engine(0).frames()
    silent = [whole[0], record(1, 0, [(0, 10, 1, 4.0, [1], [])], [(2, "add", (10, -1), -1, (4.0, 9.0), 2, 0, [], [])])]
    helped = [whole[0], record(1, 0, [(0, 10, 1, 4.0, [1], [])], [(2, "add", (10, -1), -1, (4.0, 9.0), 1, 1, [2], [])])]
    for number, (frames, message) in enumerate([(silent, "tells of none"), (helped, "a proposer made children")]):
        write(tmp_path / str(number), frames)
        import_recordings(tmp_path / str(number), FACTS)
        with pytest.raises(TraceError, match=message):
            visits_of(Trace(tmp_path / str(number)))


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    shutil.copy(Path(__file__).parents[1] / "golden" / "pysr_search.frames", folder / "ff-1.frames")
    import_recordings(folder, FACTS)
    return Trace(folder)


def test_all_of_pysr_s_own_actions_are_told(golden):
    """What PySR did, and we only infer, makes the children that it recorded, rejected ones as well."""
    problem = golden.problems[0]
    told = [event for event in golden.table("events").to_pylist() if event["event"] == "proposal" and event["codes"]]
    assert len(told) > 400
    assert all(event["action"] for event in told)
    assert {event["kind"] for event in told} >= {"add", "constant", "crossover", "delete", "feature", "rotate", "swap"}
    trees = {row["ref"]: row for row in [*golden.table("members").to_pylist(), *told]}
    trees = {ref: decode(row["codes"], row["constants"], problem.operators, 2) for ref, row in trees.items()}
    for event, decided in zip(told, decisions_of(golden, 0, problem), strict=True):
        child = decode(event["codes"], event["constants"], problem.operators, 2)
        parents = [trees[ref] for ref in decided.parents]
        assert edited(decided.kind, decided.edit, *parents) == child
        if decided.kind in ("add", "insert", "delete", "feature"):
            assert child != parents[0]


def test_pysr_s_populations_are_put_together(golden):
    visits = visits_of(golden)
    counted = sum(event["action"] and event["cycle"] > 0 for event in golden.table("events").to_pylist())
    assert 0.97 * counted < sum(len(visit.actions) for visit in visits) <= counted
    assert {len(visit.state) for visit in visits} == {16}
    members = golden.table("members").to_pylist()
    ends = {}
    for row in members:
        if row["slot"] >= 0 and row["population"] >= 0 and row["iteration"] > 0:
            ends.setdefault((row["population"], row["iteration"]), []).append(row["loss"])
    ends = [Counter(losses[:16]) for losses in ends.values()]
    met = [Counter(member.loss for member in visit.state.members) for visit in visits]
    assert len(ends) == 5
    # A cycle has three steps and at most six children.
    assert all(any((end & one).total() >= 10 for one in met) for end in ends)
    assert lessons_from(golden, looks_ahead=False).impossible == 0
