"""Results name no folder of the machine that they were made on."""

import json

import pyarrow.parquet as pq
import pytest

from pysr_neural_benchmarks.report import command as report
from pysr_neural_benchmarks.runner import published, store
from pysr_neural_benchmarks.runner.run import main

SUITE = """
source = "somebody"
licence = "none"
points = 20
[[problems]]
name = "line"
formula = "x0 + 1.0"
variables = [{ name = "x0", low = 0.0, high = 1.0 }]
"""


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("nguyen", "nguyen"),
        ("suites/own.toml", "suites/own.toml"),
        ("/home/ada/own.toml", "own.toml"),
        ("/home/ada l/own suite.toml", "own suite.toml"),
        ("../../ada/own.toml", "own.toml"),
        ("~/own.toml", "own.toml"),
        ("--out=/home/ada/results/", "--out=results"),
        ("pysr-neural:seed,overhead=0.3", "pysr-neural:seed,overhead=0.3"),
        ("neuralsr@outputs/model", "neuralsr@outputs/model"),
        ("neuralsr@somebody/model", "neuralsr@somebody/model"),
    ],
)
def test_of_a_path_outside_the_working_folder_its_last_part_is_left(given, left):
    assert published.name(given) == left


def test_checkpoints_of_one_name_stay_apart():
    first, second = (published.name(f"neuralsr@/home/ada/{run}/model") for run in "ab")
    assert first != second
    assert first.startswith("neuralsr@model~")
    assert "ada" not in first + published.name("pysr-distilled:/home/ada/weights.json")


def test_messages_keep_what_is_no_path():
    told = 'File "/home/ada/lib/x.py", line 3: (x0 / x1) of https://example.org/a/b, a/b, 5 s/fit, see ~/log.txt'
    assert published.text(told) == (
        'File "x.py", line 3: (x0 / x1) of https://example.org/a/b, a/b, 5 s/fit, see log.txt'
    )


def test_a_run_s_table_and_report_can_be_published(tmp_path, capsys):
    (tmp_path / "own.toml").write_text(SUITE)
    out = tmp_path / "results"
    given = ["--suite", str(tmp_path / "own.toml"), "--methods", "basicsr", "--budget", "50evals", "--out", str(out)]
    assert main(given) == 0
    table = pq.read_table(out / store.TABLE)
    plan = json.loads(table.schema.metadata[b"plan"])
    assert plan["plans"][0]["suites"] == table["suite"].to_pylist() == ["own.toml"]
    line = "pysr-neural bench run --suite own.toml --methods basicsr --budget 50evals --out results"
    assert [each["command"] for each in plan["commands"]] == [line]
    assert report.main([str(out)]) == 0
    shown = (out / "report.html").read_text() + (out / "report.md").read_text()
    assert line in shown
    assert str(tmp_path) not in shown + json.dumps(plan) + json.dumps(table.to_pylist())
    assert main(given) == 0, "the same command goes on"
    assert len((out / store.RUNS).read_text().splitlines()) == 1


def test_a_folder_of_another_time_is_published_without_its_folders(tmp_path):
    entry = {
        "method": "neuralsr@/home/ada/model",
        "suite": "/home/ada/own.csv",
        "message": "no /home/ada/x",
        "front": [],
    }
    (tmp_path / store.RUNS).write_text(json.dumps({"key": ["a"], "row": entry}) + "\n")
    plans = [{"suites": [entry["suite"]], "methods": [entry["method"]]}]
    commands = [{"command": "bench run --out '/home/ada/out", "at": "now"}]
    (tmp_path / store.PLAN).write_text(json.dumps({"limits": {}, "commands": commands, "plans": plans}))
    rows, plan = store.load(store.write_table(tmp_path))
    assert "ada" not in json.dumps([rows, plan])
    assert rows[0]["method"] == plan["plans"][0]["methods"][0]
    assert store.load(tmp_path)[0][0]["suite"] == "/home/ada/own.csv"
