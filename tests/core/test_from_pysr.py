"""PySR's own tracing becomes a trace: one small search written by hand in its format."""

import json
import math

import pytest

from pysr_neural.errors import TraceError
from pysr_neural.expression.text import parse
from pysr_neural.trace.from_pysr import read_pysr_trace
from pysr_neural.trace.io import Trace, encode_table, trees, write_part
from tests.strategies import make_problem

PROBLEM = make_problem(("+", "*", "cos"), features=2)
SEARCH = {"schema_version": 1, "record_type": "search", "started_at": 1.0, "options": "Options(...)"}
A, B, C, D, E, F, G, H = range(4_000_000_000_000_000_001, 4_000_000_000_000_000_009)


def in_julia(text):
    """PySR's tracing counts variables from 1."""
    return text.replace("x1", "x2").replace("x0", "x1")


def member(ref, tree, loss, parent=-1):
    return {
        "tree": in_julia(tree),
        "loss": loss,
        "cost": loss + 0.5,
        "complexity": 3,
        "birth": ref % 100,
        "ref": ref,
        "parent": parent,
    }


def entry(tree, loss, parent, *events):
    return {"events": list(events), "tree": in_julia(tree), "cost": loss + 0.5, "loss": loss, "parent": parent}


def mutate(time, child, kind, result="accept", reason="pass", selected=True):
    mutation = {"type": kind, "result": result, "reason": reason}
    return {"type": "mutate", "time": time, "child": child, "selected": selected, "mutation": mutation}


def crossover(time):
    details = {"type": "subtree_crossover", "result": "accept", "reason": "pass"}
    parents = {"parent1": A, "parent2": B, "child1": E, "child2": F}
    return {"type": "crossover", "time": time, **parents, "details": details}


def death(time):
    return {"type": "death", "time": time}


def tuning(time, child):
    mutation = {"type": "simplification_and_optimization"}
    return {"type": "tuning", "time": time, "child": child, "mutation": mutation}


MUTATIONS = {
    str(A): entry(
        "x0",
        2.0,
        -1,
        mutate(1.0, C, "mutate_constant"),
        crossover(3.0),
        mutate(2.0, D, "rotate_tree", "reject", "nan_loss"),
    ),
    str(B): entry("cos(x1 * 1.5f-3)", 3.0, -1, crossover(3.0), death(1.1)),
    str(C): entry("x0 + -2.5", 1.0, A, tuning(5.0, G), death(5.1), death(3.1)),
    str(D): entry("x0", 2.0, A),
    str(E): entry("cos(x0)", 1.5, A),
    str(F): entry("x1 * x0", float("inf"), A, mutate(4.0, H, "backsolve", "reject", "backsolve_single_node")),
    str(G): entry("x0 + -2.75", 0.5, C),
    str(H): entry("x1 * x0", float("inf"), F),
}
ITERATION = {
    "schema_version": 1,
    "record_type": "iteration",
    "output": 1,
    "population": 2,
    "iteration": 0,
    "started_at": 1.0,
    "members": [member(A, "x0", 2.0), member(B, "cos(x1 * 1.5f-3)", 3.0)],
    "mutations": MUTATIONS,
}


def read(tmp_path, *records, **given):
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return read_pysr_trace(path, PROBLEM, **given)


def test_members_and_events(tmp_path):
    tables = read(tmp_path, SEARCH, ITERATION, run=4, problem_number=2, seed=7, version="2.7.2")
    write_part(tmp_path / "trace", 0, {name: encode_table(table) for name, table in tables.items()})
    trace = Trace(tmp_path / "trace")
    rows = trace.table("events").to_pylist()
    found = [(row["event"], row["kind"], row["parent"], row["parent2"], row["ref"], row["reason"]) for row in rows]
    assert found == [
        ("proposal", "constant", A, -1, C, ""),
        ("death", "", -1, -1, B, ""),
        ("proposal", "rotate", A, -1, -1, "loss"),
        ("proposal", "crossover", A, B, E, ""),
        ("proposal", "crossover", A, B, F, ""),
        ("death", "", -1, -1, C, ""),
        ("proposal", "backsolve", F, -1, -1, "backsolve"),
        ("tuning", "", C, -1, G, ""),
    ]
    assert {(row["population"], row["iteration"], row["run"]) for row in rows} == {(1, 0, 4)}
    first, _, rejected, *_, tuned = rows
    assert (first["before_loss"], first["before_cost"], first["after_loss"], first["accepted"]) == (2.0, 2.5, 1.0, True)
    assert rejected["codes"] is None
    assert math.isnan(rejected["after_loss"])
    assert (tuned["before_loss"], tuned["after_loss"]) == (1.0, 0.5)
    children = list(trees(trace.columns("events"), PROBLEM))
    assert children[0] == parse("x0 + -2.5")
    members = trace.table("members").to_pylist()
    assert [(row["ref"], row["slot"], row["birth"], row["complexity"]) for row in members] == [
        (A, 0, 1, 3),
        (B, 1, 2, 3),
    ]
    assert list(trees(trace.columns("members"), PROBLEM))[1] == parse("cos(x1 * 0.0015)")
    (run,) = trace.table("runs").to_pylist()
    assert (run["run"], run["problem"], run["seed"], run["best"], run["lowest_loss"]) == (4, 2, 7, G, 0.5)


def test_a_rejected_copy_that_lives_on_keeps_its_ref(tmp_path):
    later = {**ITERATION, "iteration": 1, "members": [member(D, "x0", 2.0, A)], "mutations": {}}
    rows = read(tmp_path, SEARCH, ITERATION, later)["events"].to_pylist()
    assert [row["ref"] for row in rows if row["kind"] == "rotate"] == [D]


def test_an_attempt_that_another_was_preferred_to(tmp_path):
    mutations = {str(A): entry("x0", 2.0, -1, mutate(1.0, C, "identity", selected=False)), str(C): entry("x0", 2.0, A)}
    (row,) = read(tmp_path, SEARCH, {**ITERATION, "mutations": mutations})["events"].to_pylist()
    assert (row["kind"], row["accepted"], row["reason"]) == ("do_nothing", False, "selection")


def test_trees_of_other_names_are_left_out_with_a_warning(tmp_path):
    with pytest.warns(UserWarning, match=r"1 expressions .* 'mass'\. .* called x1, x2"):
        members = read(tmp_path, SEARCH, {**ITERATION, "members": [member(A, "mass", 1.0)], "mutations": {}})["members"]
    assert members["codes"].to_pylist() == [None]


def test_a_killed_search_is_read_up_to_its_last_whole_line(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text(
        "\n".join(json.dumps(record) for record in (SEARCH, ITERATION, {**ITERATION, "iteration": 1}))[:-40]
    )
    assert read_pysr_trace(path, PROBLEM)["runs"]["iterations"].to_pylist() == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n', "line 1 must be a record of PySR's tracing"),
        ("[]\n", "line 1 must be a record"),
        ("{\n{}\n", "line 1 must be JSON"),
        (json.dumps({**SEARCH, "schema_version": 2}), "must be of version 1; .* is of version 2"),
        (json.dumps(SEARCH) + "\n", "at least one iteration of output 1; got none"),
        (
            json.dumps({**SEARCH, "record_type": "iteration", "output": 1}) + "\n",
            "line 1 must be a record of an iteration",
        ),
    ],
)
def test_other_files(tmp_path, text, message):
    path = tmp_path / "trace.jsonl"
    path.write_text(text)
    with pytest.raises(TraceError, match=message):
        read_pysr_trace(path, PROBLEM)


def test_no_file(tmp_path):
    with pytest.raises(TraceError, match="must be readable text"):
        read_pysr_trace(tmp_path / "none", PROBLEM)
