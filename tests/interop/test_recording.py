"""What the Julia plugin records becomes a trace: from hand-made frames, and from PySR itself."""

import json

import numpy as np
import pytest
import sympy

from pysr_neural.interop.recording import import_recordings
from pysr_neural.state import KINDS
from pysr_neural.trace.io import Lists, Names, Trace
from pysr_neural.wire.codes import KEPT_CODE
from pysr_neural.wire.frames import MessageType, frame, pack
from tests.interop.conftest import SMALL, small_data

FACTS = {
    "version": "2.7",
    "proposer": "",
    "seed": 3,
    "config": {"b": 1, "a": {sympy.sin: (sympy.cos, 2)}},
    "population_rate": 0.5,
}
X1, CONSTANT, PLUS = 1, 0, 3


def opening():
    return frame(
        MessageType.OPEN,
        search=255,
        X=np.arange(6.0).reshape(3, 2),
        y=np.arange(3.0),
        operator_names="+\n*",
        operator_arities=[2, 2],
        limits=[20, 10],
        nested=np.zeros((0, 3)),
        arguments=np.zeros((0, 3)),
        complexities=[],
    )


def record(population, iteration, members=(), events=(), deaths=()):
    """Make a TRACE frame.

    Members are (moment, ref, parent, loss, codes, constants) and perhaps a birth, events (cycle, kind, parents, ref,
    losses, outcome, neural, codes, constants).
    """
    members, events, deaths = list(members), list(events), list(deaths)
    return frame(
        MessageType.TRACE,
        search=255,
        output=1,
        population=population,
        iteration=iteration,
        member_moments=[m[0] for m in members],
        member_refs=[m[1] for m in members],
        member_parents=[m[2] for m in members],
        member_births=[m[6] if len(m) > 6 else number for number, m in enumerate(members)],
        member_losses=[float(m[3]) for m in members],
        member_costs=[m[3] / 10 for m in members],
        member_lengths=[len(m[4]) for m in members],
        member_codes=[code for m in members for code in m[4]],
        member_constants=[float(c) for m in members for c in m[5]],
        event_cycles=[e[0] for e in events],
        event_kinds=[KINDS.index(e[1]) for e in events],
        event_parents=[ref for e in events for ref in e[2]],
        event_refs=[e[3] for e in events],
        event_losses=[float(loss) for e in events for loss in e[4]],
        event_costs=[loss / 10 for e in events for loss in e[4]],
        event_outcomes=[e[5] for e in events],
        event_neural=[int(e[6]) for e in events],
        event_lengths=[len(e[7]) for e in events],
        event_codes=[code for e in events for code in e[7]],
        event_constants=[float(c) for e in events for c in e[8]],
        death_cycles=[d[0] for d in deaths],
        death_refs=[d[1] for d in deaths],
    )


def history():
    nan = float("nan")
    return [
        opening(),
        record(
            1,
            0,
            [(0, 10, 1, 4.0, [X1], []), (1, 10, 1, 4.0, [X1], []), (1, 12, 10, 2.0, [PLUS, X1, CONSTANT], [5.0])],
            [
                (1, "add", (10, -1), -1, (4.0, 9.0), 1, False, [PLUS, X1, X1], []),
                (2, "neural", (10, -1), 12, (4.0, 2.0), 0, True, [PLUS, X1, CONSTANT], [5.0]),
                (3, "operator", (10, -1), -1, (4.0, nan), 2, False, [], []),
            ],
            [(2, 11)],
        ),
        record(
            1,
            1,
            [
                (0, 20, 10, 4.0, [X1], []),
                (0, 21, 12, 1.5, [PLUS, X1, CONSTANT], [4.5]),
                (0, 22, 99, 3.0, [2], []),
                (1, 20, 10, 4.0, [X1], []),
            ],
        ),
        record(-1, -1, [(1, 21, 12, 1.5, [PLUS, X1, CONSTANT], [4.5])]),
    ]


def write(folder, frames, process=1):
    folder.mkdir(exist_ok=True)
    path = folder / f"ff-{process}.frames"
    path.write_bytes(b"".join(pack(message) for message in frames))
    return path


def names(column):
    assert isinstance(column, Names)
    return [column.names[i] for i in column.ids]


def test_frames_become_a_trace(tmp_path):
    path = write(tmp_path, history())
    assert import_recordings(tmp_path, FACTS) == [0]
    assert not path.exists()
    trace = Trace(tmp_path)
    run = trace.table("runs").to_pylist()[0]
    assert (run["best"], run["best_loss"], run["lowest_loss"]) == (21, 1.5, 1.5)
    assert (run["populations"], run["iterations"], run["seed"], run["engine"]) == (1, 2, 3, "pysr")
    assert json.loads(run["config"]) == {"a": {"sin": ["cos", 2]}, "b": 1}
    assert trace.problems[0].operators.names == ("+", "*")
    np.testing.assert_array_equal(trace.problems[0].X, np.arange(6.0).reshape(3, 2))
    events = trace.columns("events")
    assert names(events["event"]) == ["proposal", "proposal", "death", "proposal", "tuning", "tuning", "migration"]
    assert names(events["reason"])[:4] == ["acceptance", "", "", "constraints"]
    assert events["neural"].tolist() == [False, True, False, False, False, True, False]
    assert isinstance(events["codes"], Lists)
    assert np.diff(events["codes"].offsets).tolist() == [3, 3, 0, 0, 1, 3, 1]
    members = trace.columns("members")
    neural = dict(zip(members["ref"].tolist(), members["neural"].tolist(), strict=True))
    assert [neural[ref] for ref in (10, 12, 20, 21)] == [False, True, False, True]


def test_actions_are_inferred(tmp_path):
    """Of three ways to make x0 + x0 of x0 one is drawn; whole proposals and unknown children tell nothing."""
    write(tmp_path, history())
    import_recordings(tmp_path, FACTS)
    rows = Trace(tmp_path).table("events").to_pylist()
    assert [row["action"] for row in rows] == [True, *[False] * 6]
    assert (rows[0]["node"], rows[0]["place"], rows[0]["planted_constants"]) == (0, -1, [])
    assert rows[0]["planted"] in ([PLUS, X1, X1], [PLUS, KEPT_CODE, X1], [PLUS, X1, KEPT_CODE])
    assert all((row["node"], row["planted"]) == (-1, None) for row in rows[1:])


def test_a_truncated_file_gives_what_is_whole(tmp_path):
    path = write(tmp_path, history()[:3])
    path.write_bytes(path.read_bytes()[:-7])
    assert import_recordings(tmp_path, FACTS) == [0]
    trace = Trace(tmp_path)
    assert trace.table("runs").to_pylist()[0]["stopped_by"] == "killed"
    assert trace.table("events").num_rows == 4


def test_only_the_searches_asked_for(tmp_path):
    path = write(tmp_path, history())
    assert import_recordings(tmp_path, FACTS, [7]) == []
    assert path.exists()
    assert import_recordings(tmp_path, FACTS, [255]) == [0]
    write(tmp_path, history(), process=2)
    assert import_recordings(tmp_path, FACTS) == [1]
    assert Trace(tmp_path).table("runs").num_rows == 2


@pytest.mark.julia
@pytest.mark.filterwarnings("default")
def test_a_search_of_pysr_is_recorded_and_unchanged(julia, tmp_path):
    import pysr

    from pysr_neural import NeuralProposer, PySRRegressor

    settings = {**SMALL, "deterministic": True, "random_state": 11, "niterations": 5, "populations": 3}
    plain = pysr.PySRRegressor(**settings).fit(*small_data())
    proposer = NeuralProposer(levels=(), trace=str(tmp_path / "trace"), trace_rate=1.0)
    model = PySRRegressor(**settings, neural_proposer=proposer).fit(*small_data())
    front = ["equation", "loss", "complexity"]
    assert model.equations_[front].to_dict("list") == plain.equations_[front].to_dict("list")
    trace = Trace(tmp_path / "trace")
    run = trace.table("runs").to_pylist()[0]
    assert (run["populations"], run["seed"]) == (3, 11)
    assert run["iterations"] >= 5  # Some populations have begun another one when the engine stops.
    np.testing.assert_allclose(run["lowest_loss"], model.equations_["loss"].min(), rtol=1e-6)
    np.testing.assert_allclose(trace.problems[0].X, small_data()[0], rtol=1e-6)
    events = trace.columns("events")
    assert set(names(events["event"])) >= {"proposal", "death"}
    assert set(names(events["kind"])) >= {"crossover", "add", "delete"}
    known = (np.array(names(events["event"])) == "proposal") & (np.diff(events["codes"].offsets) > 0)
    assert events["action"][known].mean() > 0.99
    assert list((tmp_path / "trace").glob("*.frames")) == []


@pytest.mark.julia
@pytest.mark.filterwarnings("default")
def test_recorder_and_pysr_s_own_tracing_tell_the_same(julia, tmp_path):
    from pysr_neural import NeuralProposer, PySRRegressor
    from pysr_neural.trace.from_pysr import read_pysr_trace
    from pysr_neural.trace.io import arrays

    path = tmp_path / "tracing.jsonl"
    settings = {**SMALL, "deterministic": True, "random_state": 3, "niterations": 4, "populations": 2}
    settings |= {"binary_operators": ["+", "-", "*", "/"], "unary_operators": ["cos"]}
    proposer = NeuralProposer(levels=(), trace=str(tmp_path / "trace"), trace_rate=1.0)
    model = PySRRegressor(**settings, use_tracing=True, tracing_file=str(path), neural_proposer=proposer)
    model.fit(*small_data())
    trace = Trace(tmp_path / "trace")
    theirs = read_pysr_trace(path, trace.problems[0])
    known = {name: arrays(theirs[name]) for name in ("members", "events")}
    iterations = set(zip(*(known["members"][name].tolist() for name in ("population", "iteration")), strict=True))
    assert len(iterations) >= 8
    ours, others = proposals(trace.columns("events"), iterations), proposals(known["events"], iterations)
    # Equal copies of one parent that are born in one cycle may be confused.
    assert len(mutations(ours).items() ^ mutations(others).items()) <= 4
    assert sum(mutations(ours).values()) == sum(mutations(others).values()) > 500
    # A twin that left in the cycle of its birth is never seen: then it is missing, and the other lacks a parent.
    parents_of = {key[-1]: key[-2] for key in others if key[2] == "crossover"}
    found = {key[-1]: key[-2] for key in ours if key[2] == "crossover"}
    assert sum(not parents - {-1} <= parents_of.get(child, set()) for child, parents in found.items()) <= 2
    assert sum(found.get(child) == parents for child, parents in parents_of.items()) > 0.9 * len(parents_of) > 20
    our_refs = set(trace.columns("members")["ref"].tolist()) | set(trace.columns("events")["ref"].tolist())
    their_refs = known["members"]["ref"]
    # A member may leave in the first cycle of an iteration, before our recorder has seen it.
    assert np.mean([ref in our_refs for ref in their_refs.tolist()]) > 0.9


def mutations(counts):
    return {key: count for key, count in counts.items() if key[2] != "crossover"}


def proposals(events, iterations):
    """Count what was proposed by place, kind, parents and child."""
    kinds, what = names(events["kind"]), names(events["event"])
    counts = {}
    for i in range(len(what)):
        place = (int(events["population"][i]), int(events["iteration"][i]))
        if what[i] != "proposal" or place not in iterations:
            continue
        accepted = bool(events["accepted"][i])
        child = int(events["ref"][i]) if accepted else -1
        parents = frozenset((int(events["parent"][i]), int(events["parent2"][i])))
        if kinds[i] == "crossover" and not accepted:
            continue  # The engine tells nobody but its own tracing.
        key = (*place, kinds[i], parents, child)
        counts[key] = counts.get(key, 0) + 1
    return counts
