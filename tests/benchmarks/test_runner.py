"""The runner: resumable, one runner per folder, and whatever a method does is a recorded result."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pysr_neural.config import NeuralProposer
from pysr_neural.errors import ConfigError
from pysr_neural_benchmarks.methods.pysr import proposer_of, with_precision
from pysr_neural_benchmarks.methods.registry import check, make, read_name
from pysr_neural_benchmarks.runner import store
from pysr_neural_benchmarks.runner.arms import Child
from pysr_neural_benchmarks.runner.plan import Limits, Plan
from pysr_neural_benchmarks.runner.run import Arms, main, plan_of, run
from pysr_neural_benchmarks.suites.data import Case, draw
from pysr_neural_benchmarks.suites.reader import load_suite
from pysr_neural_training.workers import Workers

HERE = Workers(0)


@pytest.fixture
def scripted(tmp_path, monkeypatch):
    """Install a package that registers the scripted methods, for this process and its children."""
    package = tmp_path / "installed"
    facts = package / "somebody-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: somebody\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(
        "[pysr_neural.methods]\nscripted = tests.benchmarks.scripted_methods:Scripted\n"
    )
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))


def plan(*methods, seeds=(0,), problems=("Nguyen-1",), **limits):
    given = {"seconds": 5.0, "evaluations": None, "time_limit": 20.0, "warm_up_limit": 120.0, **limits}
    return Plan(("nguyen",), tuple(methods), seeds, Limits(**given), problems=problems)


def test_a_run_has_all_its_figures(scripted, tmp_path):
    (row,) = run(plan("scripted"), tmp_path / "out", HERE, ["the", "command"], quiet=True)
    assert row["status"] == "ok"
    assert row["solved"]
    assert row["seconds_to_solution"] == 0.6
    assert row["evaluations_to_solution"] == 60
    assert row["curve_seconds"] == [0.1, 0.6]
    assert row["one_complexity"] == 11
    assert row["recovered"] is True
    assert row["recovered_one"] is True
    assert row["cores"]
    rows, known = store.load(tmp_path / "out" / "results.parquet")
    assert rows[0]["fvu"] == row["fvu"]
    assert rows[0]["front"][1][3] == row["front"][1][3]
    assert known["commands"][0]["command"] == "the command"
    assert known["commands"][0]["python"]


def test_whatever_a_method_does_is_recorded_and_the_next_goes_on(scripted, tmp_path):
    ways = ("dies", "raises", "eats", "chatters", "clock", "nostart", "solves")
    methods = [f"scripted:{way}" for way in ways]
    rows = run(plan(*methods, time_limit=60.0, memory_gb=0.9), tmp_path / "out", HERE, quiet=True)
    assert [row["method"] for row in rows] == methods
    found = dict(zip(ways, rows, strict=True))
    assert {way: row["status"] for way, row in found.items()} == {
        "dies": "crashed",
        "raises": "error",
        "eats": "memory",
        "chatters": "ok",
        "clock": "ok",
        "nostart": "error",
        "solves": "ok",
    }
    assert "about to die" in found["dies"]["message"]
    assert "code -9" in found["dies"]["message"]
    assert "a bad day" in found["raises"]["message"]
    assert "0.9 GB" in found["eats"]["message"]
    assert "no engine here" in found["nostart"]["message"]
    assert found["clock"]["seconds"] == 1.0


def test_a_method_that_hangs_is_ended_and_the_next_goes_on(scripted, tmp_path):
    rows = run(plan("scripted:hangs", "scripted:solves", time_limit=4.0), tmp_path / "out", HERE, quiet=True)
    assert [row["status"] for row in rows] == ["timeout", "ok"]
    assert "4 s" in rows[0]["message"]


def test_a_method_that_died_is_started_anew(scripted, tmp_path):
    rows = run(plan("scripted:dies", seeds=(0, 1, 2)), tmp_path / "out", HERE, quiet=True)
    assert [row["status"] for row in rows] == ["crashed"] * 3


def test_a_method_that_never_starts_is_given_up(scripted, tmp_path, monkeypatch):
    asked = []
    ask = Child.ask

    def counted(self, request, seconds):
        asked.append(request["prepare"])
        return ask(self, request, seconds)

    monkeypatch.setattr(Child, "ask", counted)
    rows = run(plan("scripted:nostart", seeds=tuple(range(5))), tmp_path / "out", HERE, quiet=True)
    assert [row["status"] for row in rows] == ["error"] * 5
    assert asked == [True, True]


def test_methods_that_could_not_be_started_are_tried_again(scripted, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_ENGINE", "1")
    rows = run(plan("scripted:late", seeds=(0, 1, 2)), tmp_path / "out", HERE, quiet=True)
    assert [(row["status"], "warm-up" in row["message"]) for row in rows] == [("error", True)] * 3
    monkeypatch.delenv("NO_ENGINE")
    rows = run(plan("scripted:late", seeds=(0, 1, 2)), tmp_path / "out", HERE, quiet=True)
    assert [row["status"] for row in rows] == ["ok"] * 3
    assert len(store.load(tmp_path / "out" / "results.parquet")[0]) == 3


def test_runners_share_cores_only_when_none_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5})
    (job,) = plan("basicsr").jobs()
    arms = [Arms() for _ in range(4)]
    one, other = replace(job, group="one"), replace(job, group="other")
    assert arms[0]._claimed(one) == (3,)
    assert arms[1]._claimed(other) == (5,)
    assert arms[2]._claimed(one) == (5,)
    with pytest.raises(ConfigError, match="core"):
        arms[3]._claimed(one)
    arms[0].stop()
    assert arms[3]._claimed(one) == (3,)
    for each in arms:
        each.stop()


@pytest.mark.slow
# Dask wants a port that another cluster on the machine may have, and then leaves a socket behind.
@pytest.mark.filterwarnings("ignore:(?s)\\s*Port:UserWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_several_workers_have_cores_of_their_own(scripted, tmp_path):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    rows = run(plan("scripted:naps", seeds=tuple(range(6))), tmp_path / "out", Workers(2), quiet=True)
    assert [row["status"] for row in rows] == ["ok"] * 6
    assert len({row["cores"] for row in rows}) == 2


def test_a_killed_runner_loses_nothing_and_repeats_nothing(scripted, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "pysr_neural_benchmarks.runner.run", "--methods", "scripted"]
    command += ["--problems", "Nguyen-1", "--budget", "5s", "--seeds", "300", "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    runner = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while time.monotonic() < end and (not (out / "runs.jsonl").exists() or len(store.read(out)) < 3):
        time.sleep(0.05)
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    done = store.read(out)
    assert 3 <= len(done) < 300
    last = max(key[-1] for key in done)
    with (out / "runs.jsonl").open("a") as file:
        file.write('{"key": ["scr')  # What a process leaves that is killed while it writes.
    assert main([*command[3:-6], "--budget", "5s", "--seeds", str(last + 3), "--out", str(out)]) == 0
    lines = (out / "runs.jsonl").read_text().splitlines()
    keys = [tuple(json.loads(line)["key"]) for line in lines]
    assert len(keys) == len(set(keys)) == last + 3
    assert {key: row for key, row in store.read(out).items() if key in done} == done


def test_a_folder_takes_one_runner_and_one_set_of_limits(scripted, tmp_path):
    out = tmp_path / "out"
    with store.locked(out), pytest.raises(ConfigError, match="one runner at a time"):
        run(plan("scripted"), out, HERE, quiet=True)
    run(plan("scripted"), out, HERE, quiet=True)
    with pytest.raises(ConfigError, match=r"seconds = 5.0, got 6.0"):
        run(plan("scripted", seconds=6.0), out, HERE, quiet=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "runs.jsonl").write_text("no runs\n")
    with pytest.raises(ConfigError, match="must hold runs"):
        store.read(tmp_path / "other")


def test_unknown_names_get_a_suggestion(tmp_path):
    for change, message in (
        (["--methods", "pysr-neurall"], "Did you mean 'pysr-neural'"),
        (["--suite", "nguyn"], "Did you mean 'nguyen'"),
        (["--budget", "10sec"], "Did you mean '10s'"),
        (["--budget", "1e5"], r"Did you mean '1e5s'"),
        (["--budget", "fast"], "such as 10s"),
        (["--budget", "0s"], "limit above 0"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--noise", "-1"], "--noise must be at least 0"),
        (["--cores", "4096"], "4096 core"),
    ):
        with pytest.raises(ConfigError, match=message):
            main(["--methods", "basicsr", "--out", str(tmp_path / "out"), *change])
    assert not (tmp_path / "out").exists()


def test_missing_packages_and_weights_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr("pysr_neural_benchmarks.methods.registry.find_spec", lambda module: None)
    with pytest.raises(ConfigError, match="pip install pyoperon"):
        check("operon")
    monkeypatch.setattr("pysr_neural_benchmarks.methods.registry.find_spec", lambda module: object())
    with pytest.raises(ConfigError, match="flash-ansr:FOLDER"):
        make("flash-ansr")
    with pytest.raises(ConfigError, match=r"config.yaml.*Hugging Face"):
        make(f"nesymres:{tmp_path}")


def test_names_are_taken_apart():
    given = read_name("pysr-neural:seed,child@some/where")
    assert (given.name, given.argument, given.checkpoint) == ("pysr-neural", "seed,child", "some/where")
    with pytest.raises(ConfigError, match="Did you mean 'whole'"):
        make("neuralsr:whol")


def test_an_arm_may_name_its_precision():
    assert with_precision("") == ("", {})
    assert with_precision("seed,precision=64,overhead=0.3") == ("seed,overhead=0.3", {"precision": 64})
    assert with_precision("precision=65") == ("precision=65", {})


def test_levels_and_overhead_of_pysr_are_read_from_its_name():
    given = proposer_of("seed,overhead=0.3,child", "some/where")
    assert (given.levels, given.max_overhead, given.checkpoint) == (("seed", "child"), 0.3, "some/where")
    assert proposer_of("", "default") == NeuralProposer()
    assert proposer_of("all,overhead=0.3", "default").levels == NeuralProposer(levels="all").levels
    for wrong in ("overhead=much", "temperature=2", "sed"):
        with pytest.raises(ConfigError, match=r"overhead=SHARE|[Ss]eed"):
            proposer_of(wrong, "default")


def test_a_formula_that_is_not_finite_is_told_before_anything_starts(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        '[[problems]]\nname = "bad"\nformula = "log(0 - t)"\nvariables = [{ name = "t", low = 1, high = 2 }]\n'
    )
    with pytest.raises(ConfigError, match=r"mine/bad must be finite on its ranges; got 0"):
        main(["--suite", str(path), "--methods", "basicsr", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_data_depend_on_their_case_alone():
    source = load_suite("nguyen")[0]
    case = Case("nguyen", source.name, draw=1, noise=0.1, points=30)
    one, other = draw(source, case), draw(source, case)
    assert (one.problem.y == other.problem.y).all()
    fewer = draw(source, Case("nguyen", source.name, draw=1, noise=0.0, points=10))
    assert (one.problem.X[:10] == fewer.problem.X).all()
    assert (fewer.y_test == one.y_test).all()
    assert not (draw(source, Case("nguyen", source.name, draw=2, points=10)).problem.X == fewer.problem.X).any()
    measured = next(each for each in load_suite("measured") if each.name == "kepler")
    drawn = draw(measured, Case("measured", "kepler"))
    assert len(drawn.problem.y) + len(drawn.y_test) == 6


def test_a_plan_takes_methods_in_turn():
    jobs = plan("basicsr", "basicsr:reference", seeds=(0, 1), problems=("Nguyen-1", "Nguyen-2")).jobs()
    assert [(job.seed, job.case.problem, job.method) for job in jobs[:3]] == [
        (0, "Nguyen-1", "basicsr"),
        (0, "Nguyen-1", "basicsr:reference"),
        (0, "Nguyen-2", "basicsr"),
    ]
    assert len({job.key for job in jobs}) == 8
    with pytest.raises(ConfigError, match="got none"):
        plan("basicsr", problems=("Nguyen-99",)).jobs()


def test_default_limits_follow_the_budget():
    from pysr_neural_benchmarks.runner.run import _parser

    given = plan_of(_parser().parse_args(["--methods", "basicsr", "--out", "x", "--budget", "10s,1e6evals"]))
    assert (given.limits.seconds, given.limits.evaluations, given.limits.time_limit) == (10.0, 1_000_000, 90.0)
    assert str(given.limits.budget) == "10s,1e+06evals"


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="no alarms on this system")
def test_a_process_whose_library_holds_the_interpreter_ends_all_the_same():
    held = "import ctypes; ctypes.PyDLL(None).sleep(50)"  # Without letting other threads have their turn.
    code = f"from pysr_neural_benchmarks.runner import service as s; s.PARENT_FIRST = 0; s._end_after(1.0); {held}"
    ended = subprocess.run([sys.executable, "-c", code], timeout=60)
    assert ended.returncode == -signal.SIGALRM
    code = "from pysr_neural_benchmarks.runner.service import _end_after; _end_after(0.0); _end_after(None)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
