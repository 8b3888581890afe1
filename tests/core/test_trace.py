"""Traces on disk: columns in and out, part files whole or absent, clear errors for everything else."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysr_neural._optional import require
from pysr_neural.errors import ConfigError, TraceError
from pysr_neural.expression.text import parse
from pysr_neural.trace import io
from pysr_neural.trace.io import Trace, encode_table, problems_table, trees, write_part
from pysr_neural.trace.schema import TABLES, Lists, Names, arrow_schema, document, make_table
from pysr_neural.trace.trees import NO_TREE, TreeColumns
from pysr_neural.wire.codes import encode
from tests.strategies import ALL_OPERATORS, FEATURES, make_problem
from tests.strategies import trees as any_tree

DOCUMENT = Path(__file__).parents[2] / "docs" / "traces.md"
PROBLEM = make_problem()


def runs(*numbers):
    row = {"engine": "basic", "version": "0", "proposer": "", "seed": 1, "config": "{}", "stopped_by": "solved"}
    row |= dict.fromkeys(("population_rate", "best_loss", "best_cost", "lowest_loss"), 0.5)
    row |= dict.fromkeys(("problem", "populations", "iterations", "evaluations", "best"), 0)
    columns = {name: [row[name]] * len(numbers) for name in row} | {
        "run": list(numbers),
        "solved": [True] * len(numbers),
    }
    return make_table("runs", columns)


def events(*numbers):
    count = len(numbers)
    codes, constants, sizes = (tree_columns := TreeColumns(PROBLEM.operators, 2)).columns(
        [tree_columns.index(parse("x0 + 2.5")) if i % 2 else NO_TREE for i in range(count)]
    )
    columns = {name: np.arange(count) for name in ("population", "iteration", "cycle", "parent", "parent2", "ref")}
    columns |= {name: np.full(count, 0.25) for name in ("before_loss", "before_cost", "after_loss", "after_cost")}
    columns |= {"accepted": [True] * count, "neural": [False] * count, "run": list(numbers), "complexity": sizes}
    named = {"event": ["proposal"] * count, "kind": ["swap", "add"] * (count // 2), "reason": [""] * count}
    return make_table("events", {**columns, **named, "codes": codes, "constants": constants})


def write(folder, part, *numbers):
    rows = [number for number in numbers for _ in range(2)]
    write_part(folder, part, {"events": encode_table(events(*rows)), "runs": encode_table(runs(*numbers))})


def test_the_document_is_current():
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "Run python -m pysr_neural.trace.schema > docs/traces.md"


def test_every_field_is_documented_in_the_file_itself():
    for name, table in TABLES.items():
        for field in arrow_schema(name):
            assert field.metadata[b"meaning"]
            assert b"unit" in field.metadata
        assert len(set(table.names)) == len(table.names)


def test_columns_come_back_as_they_were(tmp_path):
    write(tmp_path, 0, 0, 1)
    write(tmp_path, 1, 2)
    trace = Trace(tmp_path)
    assert trace.parts == (0, 1)
    assert trace.part_of == {0: 0, 1: 0, 2: 1}
    columns = trace.columns("events")
    assert columns["run"].tolist() == [0, 0, 1, 1, 2, 2]
    kinds = columns["kind"]
    assert isinstance(kinds, Names)
    assert [kinds.names[i] for i in kinds.ids] == ["swap", "add"] * 3
    assert isinstance(columns["codes"], Lists)
    assert list(trees(columns, PROBLEM)) == [None, parse("x0 + 2.5")] * 3
    assert trace.columns("events", ["ref"], run=2)["ref"].tolist() == [0, 1]
    assert trace.disk_bytes["events"] > 0


def test_the_same_table_gives_the_same_bytes():
    assert encode_table(events(0, 0, 1, 1)) == encode_table(events(0, 0, 1, 1))


def test_problems_come_back(tmp_path):
    first, second = make_problem(), make_problem(rows=7, features=3, seed=2)
    write_part(tmp_path, 0, {"problems": encode_table(problems_table([first, second], ["x0 * x1", ""]))})
    found = Trace(tmp_path).problems
    for number, problem in enumerate((first, second)):
        np.testing.assert_array_equal(found[number].X, problem.X)
        np.testing.assert_array_equal(found[number].y, problem.y)
        assert found[number].operators == problem.operators
        assert found[number].limits == problem.limits


def test_a_trace_without_runs_is_empty_not_broken(tmp_path):
    write_part(tmp_path, 0, {"problems": encode_table(problems_table([PROBLEM]))})
    assert Trace(tmp_path).table("events").num_rows == 0
    assert Trace(tmp_path).columns("events", ["codes", "kind"])["codes"].values.size == 0


@settings(max_examples=30)
@given(st.lists(any_tree(max_leaves=6), min_size=1, max_size=8))
def test_tree_columns_are_the_wire_codes(found):
    columns = TreeColumns(ALL_OPERATORS, FEATURES)
    rows = [columns.index(tree) for tree in found] + [NO_TREE]
    codes, constants, sizes = columns.columns(rows)
    assert sizes.tolist() == [*[tree.size for tree in found], -1]
    for tree, own, numbers in zip(found, codes[:-1].to_pylist(), constants[:-1].to_pylist(), strict=True):
        expected_codes, expected_constants = encode(tree, ALL_OPERATORS, FEATURES)
        assert own == expected_codes.tolist()
        assert np.array(numbers).tobytes() == expected_constants.tobytes()
    assert codes[-1].as_py() is None


# Errors


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"sizes": []}, "has no column 'sizes'"),
        ({}, "needs all of its columns; got none for run"),
        ({name: ["x"] if name == "run" else [] for name in TABLES["runs"].names}, "must have its types"),
    ],
)
def test_wrong_columns(columns, message):
    with pytest.raises(TraceError, match=message):
        make_table("runs", columns)


def test_unknown_table_column_and_run(tmp_path):
    write(tmp_path, 0, 0)
    trace = Trace(tmp_path)
    with pytest.raises(TraceError, match="Did you mean 'events'"):
        trace.table("event")
    with pytest.raises(TraceError, match="Did you mean 'after_loss'"):
        trace.table("events", ["after_los"])
    with pytest.raises(TraceError, match=r"finished runs, 0\.\.0; got 7"):
        trace.table("events", run=7)


def test_a_folder_that_is_no_trace(tmp_path):
    with pytest.raises(TraceError, match="must be a folder with problems, runs"):
        Trace(tmp_path)


def test_another_version_is_refused(tmp_path):
    write(tmp_path, 0, 0)
    path = tmp_path / "runs" / "part-000000.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"pysr_neural.trace_version": b"9"}), path)
    with pytest.raises(TraceError, match=r"must be of version 1 or 2; .* is of version 9"):
        Trace(tmp_path).table("runs")
    pq.write_table(table.replace_schema_metadata({}), path)
    with pytest.raises(TraceError, match="names none"):
        Trace(tmp_path).table("runs")


@pytest.mark.parametrize("kept", [0, 3, 0.5])
def test_a_truncated_part(tmp_path, kept):
    write(tmp_path, 0, 0)
    path = tmp_path / "events" / "part-000000.parquet"
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(TraceError, match="must be a whole Parquet file"):
        Trace(tmp_path).table("events")


def test_a_full_disk_leaves_a_readable_trace(tmp_path, monkeypatch):
    write(tmp_path, 0, 0)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(io.os, "fsync", full)
    with pytest.raises(TraceError, match=r"must have room for a trace.*run the same command again"):
        write(tmp_path, 1, 1)
    monkeypatch.undo()
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]
    assert Trace(tmp_path).table("events")["run"].to_pylist() == [0, 0]


def test_an_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TraceError, match="must be written to a folder that takes files"):
        write(tmp_path / "file", 0, 0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(TraceError, match="must be written to a folder"):
        write(tmp_path, 0, 0)


def test_parts_that_were_not_finished_are_not_read(tmp_path):
    write(tmp_path, 0, 0)
    write_part(tmp_path, 1, {"events": encode_table(events(1, 1))})
    (tmp_path / "runs" / ".part-000001.parquet.tmp").write_bytes(b"half")
    assert Trace(tmp_path).table("events")["run"].to_pylist() == [0, 0]


def test_codes_beyond_16_bits():
    with pytest.raises(TraceError, match="at most 32767"):
        TreeColumns(ALL_OPERATORS, 2**15)


def test_a_missing_package_names_the_extra():
    with pytest.raises(ConfigError, match=r'pip install "pysr-neural\[training\]"'):
        require("no_such_package.part", "training", "A trace")


def test_traces_need_no_pyarrow_until_they_are_written():
    code = "import sys, pysr_neural.trace.io, pysr_neural.trace.schema; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_large_column_in_several_chunks():
    chunked = pa.chunked_array([pa.array([1, 2]), pa.array([3])])
    assert io.arrays(pa.table({"ref": chunked}))["ref"].tolist() == [1, 2, 3]
