"""`pysr-neural traces`: generated, continued after a kill, looked at, exported."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from pysr_neural.cli import commands, main
from pysr_neural.errors import ConfigError, DataError, TraceError
from pysr_neural.trace import io
from pysr_neural.trace.io import Trace, encode_table, problems_table, write_part
from pysr_neural_baseline.recorder import record_search
from pysr_neural_training.problems.sources import SourceProblem, from_table, generated
from pysr_neural_training.traces import export as export_command
from pysr_neural_training.traces import generate as generate_command
from pysr_neural_training.traces import inspect as inspect_command
from pysr_neural_training.traces import jobs, lineage
from pysr_neural_training.workers import Workers
from tests.strategies import make_problem

QUICK = ["--preset=reference", "--set=population_size=8", "--set=generations=5", "--workers=0", "--runs-per-part=2"]


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """Some machines take long to flush; no test here cuts the power."""
    monkeypatch.setattr(io.os, "fsync", lambda descriptor: None)


def make(folder, *more):
    assert generate_command.main(["--out", str(folder), "--suite=nguyen", "--seeds=1", *QUICK, *more]) == 0
    return Trace(folder)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traces") / "default"
    options = ["--set=populations=2", "--set=population_size=10", "--set=generations=30", "--workers=0", "--seeds=2"]
    options += ["--set=cycles_per_iteration=5", "--population-rate=1"]
    generate_command.main(["--out", str(folder), "--generated=2", *options])
    return folder


# generate


def test_the_commands_are_installed():
    assert {("traces", name) for name in ("generate", "inspect", "lineage", "export")} <= set(commands())


def test_a_suite_is_recorded_run_by_run(tmp_path, capsys):
    trace = make(tmp_path / "a")
    runs = trace.table("runs").to_pandas()
    assert runs["run"].tolist() == list(range(len(trace.problems)))
    assert len(trace.parts) == (len(runs) + 1) // 2
    assert trace.problems[0].name == "nguyen/Nguyen-1"
    assert trace.table("problems")["formula"][0].as_py() == "x1 ^ 3 + x1 ^ 2 + x1"
    assert f"{len(runs)} runs" in capsys.readouterr().out


def test_an_interrupted_generation_is_continued_and_the_same(tmp_path, monkeypatch):
    make(tmp_path / "whole")
    real, calls = generate_command.run_job, []

    def dies(job):
        calls.append(job.part)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(job)

    monkeypatch.setattr(generate_command, "run_job", dies)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "again")
    assert Trace(tmp_path / "again").parts == (0, 1)
    make(tmp_path / "again")
    assert calls == [0, 1, 2, *range(2, len(calls) - 1)]
    assert files(tmp_path / "again") == files(tmp_path / "whole")


def test_runs_can_have_a_seed_each(tmp_path):
    sources = [SourceProblem(make_problem(), "")] * 2
    settings = jobs.Settings("basic", "reference", {"population_size": 8, "generations": 2}, "", 0.1)
    for name, apart in (("alike", False), ("apart", True)):
        trace = generate_command.generate(tmp_path / name, sources, [5], settings, 2, Workers(0), True, apart)
        assert trace.columns("runs", ["seed"])["seed"].tolist() == [5, 5 + apart]
    events = [Trace(tmp_path / name).table("events").to_pandas() for name in ("alike", "apart")]
    same = [each[each["run"] == 0]["node"].tolist() == each[each["run"] == 1]["node"].tolist() for each in events]
    assert same == [True, False]
    with pytest.raises(ConfigError, match="settings that it was begun with"):
        generate_command.generate(tmp_path / "apart", sources, [5], settings, 3, Workers(0), True, True)


def test_generated_problems_of_one_operator_set_and_seeds_apart(tmp_path):
    given = ["--generated=3", "--operators=*,sin,+", "--apart", "--first-seed=4", "--set=generations=2", *QUICK[:2]]
    assert generate_command.main(["--out", str(tmp_path), "--workers=0", *given]) == 0
    trace = Trace(tmp_path)
    assert {problem.operators.names for problem in trace.problems.values()} == {("sin", "*", "+")}
    assert trace.columns("runs", ["seed"])["seed"].tolist() == [4, 5, 6]


def test_a_full_disk_loses_nothing_that_was_written(tmp_path, monkeypatch):
    make(tmp_path / "whole")
    real, left = io.os.fsync, [9]

    def fills(descriptor):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(io.os, "fsync", fills)
    with pytest.raises(TraceError, match="must have room for a trace"):
        make(tmp_path / "full")
    monkeypatch.undo()
    assert Trace(tmp_path / "full").table("events").num_rows > 0
    make(tmp_path / "full")
    assert files(tmp_path / "full") == files(tmp_path / "whole")


def test_other_settings_or_problems_are_refused(tmp_path):
    make(tmp_path)
    with pytest.raises(ConfigError, match=r"has population_rate = 0\.1, got 0\.5"):
        make(tmp_path, "--population-rate=0.5")
    with pytest.raises(ConfigError, match="the problems that it was begun with"):
        make(tmp_path, "--points=20")


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match="needs an empty folder"):
        make(tmp_path)


def test_an_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TraceError, match="folder that takes files"):
        make(tmp_path / "file" / "inner")


def test_nothing_to_do(tmp_path):
    with pytest.raises(ConfigError, match="at least one problem"):
        generate_command.main(["--out", str(tmp_path), *QUICK])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--set=generation=3"], "Did you mean 'generations'"),
        (["--set=generations"], "takes KEY=VALUE"),
        (["--operators=+,sine"], "Did you mean"),
        (["--suite=nguyenn"], "Did you mean 'nguyen'"),
        (["--workers=-1"], "at least 0"),
        (["--scheduler=a", "--slurm"], "got both"),
        (["--workers=0", "--slurm"], "at least one worker; got 0"),
        (["--population-rate=2"], "population_rate is a share"),
    ],
)
def test_bad_options(tmp_path, given, message):
    with pytest.raises(ConfigError, match=message):
        make(tmp_path / "a", *given)


def test_slurm_without_its_package(monkeypatch):
    for module in ("dask_jobqueue", "dask_jobqueue.slurm"):  # Another test may have imported both.
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match="pip install dask-jobqueue"):
        list(Workers(1, slurm=True).results(str, [1]))


def test_a_missing_dask_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pysr-neural\[training\]"):
        list(Workers(1).results(str, [1]))


def test_generated_problems_bring_their_operators():
    first, again = (list(generated(3, seed=5)) for _ in range(2))
    assert [source.formula for source in first] == [source.formula for source in again]
    assert all(source.problem.name == f"generated-5/{i}" for i, source in enumerate(first))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_your_own_table(tmp_path, form):
    frame = pd.DataFrame({"mass": [1.0, 2, 3, 4], "energy": [2.0, 4, 6, 8], "speed": [1, 1, 2, 2]})
    path = tmp_path / f"data.{form}"
    frame.to_csv(path, index=False) if form == "csv" else frame.to_parquet(path)
    problem = from_table(path, "energy", ("+", "*"), 20).problem
    assert problem.variable_names == ("mass", "speed")
    assert problem.y.tolist() == [2, 4, 6, 8]
    trace = tmp_path / "trace"
    generate_command.main(["--out", str(trace), "--data", str(path), "--target=energy", *QUICK])
    assert Trace(trace).problems[0].variable_names == ("mass", "speed")


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        ("a,b\n1,2\n", "energy", "must be a column of"),
        ("a,b\n1,x\n", "a", "must hold numbers"),
        ("a,b\n1,\n", "a", "must be finite"),
        ("", "a", "must be a readable CSV"),
    ],
)
def test_bad_tables(tmp_path, text, target, message):
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        from_table(path, target, ("+",), 20)


def test_proposers_are_recorded(tmp_path):
    trace = make(tmp_path, "--neural=random")
    assert set(trace.table("runs")["proposer"].to_pylist()) == {"random"}
    assert trace.columns("events", ["neural"])["neural"].any()


def test_pysr_is_recorded_through_the_plugin(tmp_path, monkeypatch):
    """With a PySR that writes down a search of BasicSR, to see what it is asked and what becomes of its trace."""
    import pysr_neural

    asked = []

    class FakeRegressor:
        def __init__(self, **parameters):
            self.parameters = parameters

        def fit(self, X, y, variable_names):
            asked.append((self.parameters, variable_names))
            tables = record_search(make_problem(("+", "*")), jobs.BasicSRConfig.reference(generations=2)).tables
            parts = {"problems": problems_table([make_problem()]), **tables}
            folder = io.Path(self.parameters["neural_proposer"].trace)
            write_part(folder, 0, {name: encode_table(table) for name, table in parts.items()})

    monkeypatch.setitem(vars(pysr_neural), "PySRRegressor", FakeRegressor)
    trace = make(tmp_path, "--engine=pysr", "--first-seed=3", "--population-rate=0.5")
    parameters, names = asked[1]
    assert (parameters["random_state"], parameters["deterministic"], parameters["population_size"]) == (3, True, 8)
    assert (parameters["neural_proposer"].levels, parameters["neural_proposer"].trace_rate) == ((), 0.5)
    assert names == ["x1"]
    assert trace.table("runs")["run"].to_pylist() == list(range(len(asked)))
    assert trace.table("runs")["seed"].to_pylist() == [3] * len(asked)
    assert sorted(set(trace.table("events")["run"].to_pylist())) == list(range(len(asked)))


# inspect


def test_the_summary_counts_what_there_is(folder, capsys):
    trace = Trace(folder)
    found = inspect_command.summarize(trace)
    frame = trace.table("events").to_pandas()
    made = frame[frame["event"] == "proposal"]
    assert found.proposals == len(made)
    assert found.runs == 4
    for kind, moves in found.kinds.items():
        own = made[made["kind"] == kind]
        improved = own["accepted"] & (own["after_loss"] < own["before_loss"])
        assert (moves.proposals, moves.accepted, moves.improved) == (len(own), own["accepted"].sum(), improved.sum())
    assert dict(found.reasons) == made.loc[~made["accepted"], "reason"].value_counts().loc[lambda n: n > 0].to_dict()
    assert inspect_command.quantiles(found.sizes)[2] == np.sort(made["complexity"])[(len(made) - 1) // 2]
    assert inspect_command.main([str(folder), "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 25
    assert max(map(len, lines[:-1])) <= 100
    assert json.loads(lines[-1])["proposals"] == len(made)


def test_an_empty_trace_is_inspected(tmp_path, capsys):
    write_part(tmp_path, 0, {"problems": encode_table(problems_table([make_problem()]))})
    assert inspect_command.main([str(tmp_path)]) == 0
    assert "1 problems, 0 runs" in capsys.readouterr().out


def test_errors_are_one_line(tmp_path, capsys):
    assert main(["traces", "inspect", str(tmp_path / "none")]) == 2
    assert "A trace must be a folder" in capsys.readouterr().err


# lineage


def test_the_lineage_reaches_the_initial_population(folder):
    trace = Trace(folder)
    for run in range(4):
        ancestors = lineage.lineage(trace, run)
        refs = {each.ref for each in ancestors}
        assert any(each.made_by == "initial" for each in ancestors)
        assert all(set(each.parents) <= refs for each in ancestors)
        assert all(each.parents or each.made_by == "initial" for each in ancestors)
        assert not any(each.made_by == "do_nothing" for each in ancestors)
        (row,) = trace.table("runs", run=run).to_pylist()
        assert any(each.loss == row["best_loss"] for each in ancestors)


def test_lineage_as_a_picture_and_as_a_table(folder, tmp_path, capsys):
    png, csv = tmp_path / "a.png", tmp_path / "a.csv"
    assert lineage.main([str(folder), "--run=1", f"--picture={png}", f"--table={csv}"]) == 0
    assert png.read_bytes()[1:4] == b"PNG"
    assert len(pd.read_csv(csv)) == len(capsys.readouterr().out.splitlines()) - 1


def test_lineage_of_nobody(folder, tmp_path):
    with pytest.raises(TraceError, match="finished runs"):
        lineage.main([str(folder), "--run=99"])
    with pytest.raises(TraceError, match="must be part of run 0"):
        lineage.main([str(folder), "--ref=123456789"])
    with pytest.raises(ConfigError, match="files that can be written"):
        lineage.main([str(folder), f"--picture={tmp_path / 'no' / 'a.png'}"])


def test_a_circle_of_ancestors():
    one, two = (lineage.Ancestor(ref, (3 - ref,), 0, 0, "add", 1.0, 1, "x0", False) for ref in (1, 2))
    with pytest.raises(TraceError, match="own ancestor"):
        lineage.picture([one, two], "circle")


# export


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("table", ["problems", "runs", "members", "events"])
def test_exports_hold_every_row(folder, tmp_path, form, table):
    out = tmp_path / f"out.{form}"
    assert export_command.main([str(folder), "--table", table, "--out", str(out)]) == 0
    read = {
        "jsonl": lambda path: pd.read_json(path, lines=True, precise_float=True),
        "csv": pd.read_csv,
        "parquet": pd.read_parquet,
    }[form]
    frame, trace = read(out), Trace(folder)
    assert len(frame) == trace.table(table).num_rows
    if table == "events":
        losses = trace.columns(table)["after_loss"]
        expected = np.where(np.isfinite(losses), losses, np.nan) if form == "jsonl" else losses
        np.testing.assert_array_equal(frame["after_loss"], expected)
        assert frame["expression"].notna().sum() == (frame["complexity"] >= 0).sum()


def test_bad_exports(folder, tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'jsonl'"):
        export_command.export(Trace(folder), "events", tmp_path / "a.json")
    with pytest.raises(ConfigError, match="can be written"):
        export_command.export(Trace(folder), "events", tmp_path / "no" / "a.csv")


def test_json_has_no_infinity(tmp_path):
    assert export_command._plain(float("inf")) is None
    assert export_command._plain(np.array([1, 2])) == [1, 2]


def test_several_parts_share_their_names(tmp_path):
    trace = make(tmp_path)
    kinds = trace.columns("events", ["kind"])["kind"]
    assert len(set(kinds.names)) == len(kinds.names)


# Kills


def command(folder, *more):
    program = "import sys; from pysr_neural.cli import main; sys.exit(main())"
    options = ["--suite=basicsr_harder", "--seeds=8", "--preset=reference", "--set=population_size=20"]
    options += ["--set=generations=60", "--runs-per-part=2", "--out", str(folder), *more]
    return [sys.executable, "-c", program, "traces", "generate", *options]


@pytest.mark.slow
def test_three_kills_at_random_moments_change_nothing(tmp_path):
    subprocess.run(command(tmp_path / "whole", "--workers=0"), check=True, capture_output=True)
    rng, kills = np.random.default_rng(int(time.time())), 0
    while kills < 3:
        process = subprocess.Popen(
            command(tmp_path / "killed", "--workers=2"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        began, before = time.monotonic(), len(list((tmp_path / "killed").glob("runs/part-*")))
        while process.poll() is None and len(list((tmp_path / "killed").glob("runs/part-*"))) == before:
            time.sleep(0.02)
            assert time.monotonic() - began < 120
        time.sleep(float(rng.uniform(0.0, 0.5)))
        os.kill(process.pid, signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        if (tmp_path / "killed" / "runs").is_dir() and len(Trace(tmp_path / "killed").parts) >= 24:
            break
    subprocess.run(command(tmp_path / "killed", "--workers=2"), check=True, capture_output=True)
    for path in (tmp_path / "killed").rglob(".*.tmp"):  # What the last kill left half written.
        path.unlink()
    assert kills == 3
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
