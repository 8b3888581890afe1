"""Datasets of problems: the same from the same plan, without duplicates, no prefix of another; bad ones refused."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pysr_neural.errors import ConfigError, DatasetError
from pysr_neural.expression.canonical import canonical, fingerprint
from pysr_neural.expression.evaluate import evaluate
from pysr_neural_training.examples.build import ExampleConfig, batches, make_batch
from pysr_neural_training.problems import dataset as command
from pysr_neural_training.problems.dataset import Drawn, draw, generate, main, run_job
from pysr_neural_training.problems.plan import MANIFEST, Plan
from pysr_neural_training.problems.priors import ProblemPrior
from pysr_neural_training.problems.reader import Dataset, training_dataset
from pysr_neural_training.problems.shards import CorruptShardError, read_shard, shard_path
from pysr_neural_training.problems.split import in_training, is_held_out, split_key
from pysr_neural_training.workers import Workers

PRIOR = ProblemPrior(rows=(5, 9), row_weights=(1.0, 1.0), distractor_share=0.0)
PLAN = Plan(60, 3, 7, prior=PRIOR)
HERE = Workers(0)


def make(folder: Path, plan: Plan = PLAN, workers: Workers = HERE) -> Dataset:
    return generate(folder, plan, "command", workers, quiet=True)


def contents(dataset: Dataset) -> list[tuple[str, bytes, bytes, float]]:
    return [(repr(g.tree), g.problem.X.tobytes(), g.problem.y.tobytes(), g.noise) for g in dataset]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture
def own(made: Dataset, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in made.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_problems_come_back_as_they_were_drawn(made: Dataset) -> None:
    drawn = Drawn(PLAN.stream(0).bit_generator.state)
    draw(PLAN, drawn, 20, command.Counter())
    stored = list(islice(made, 20))
    assert [g.tree for g in stored] == [g.tree for g in drawn.problems]
    for one, other in zip(stored, drawn.problems, strict=True):
        assert np.array_equal(one.problem.X, other.problem.X)
        assert np.array_equal(one.problem.y, other.problem.y)
        assert one.problem.operators == other.problem.operators
        assert one.problem.limits == other.problem.limits
        assert one.noise == other.noise


def test_data_are_those_of_the_expression_and_all_variables_are_used(made: Dataset) -> None:
    assert len(made) == sum(1 for _ in made) == 60
    for given in made:
        assert given.tree.variables() == set(range(given.problem.X.shape[1]))
        if not given.noise:
            assert np.array_equal(evaluate(given.tree, given.problem.X), given.problem.y)


def test_no_expression_occurs_twice_and_each_is_named_by_its_fingerprint(made: Dataset) -> None:
    prints = made.fingerprints()
    assert len(set(prints)) == 60
    assert prints == [fingerprint(given.tree) for given in made]


def test_copies_are_as_many_as_allowed(tmp_path: Path) -> None:
    few = replace(PRIOR, operators=("+", "*"), max_operators=2, feature_weights=(1.0, 1.0))
    prints = make(tmp_path / "set", Plan(30, 2, copies=3, prior=few)).fingerprints()
    assert max(map(prints.count, prints)) == 3


@pytest.mark.parametrize("split", ["train", "held-out"])
def test_each_split_holds_its_own_side(tmp_path: Path, split: str) -> None:
    keys = [split_key(canonical(given.tree)) for given in make(tmp_path / "set", Plan(6, 1, split=split, prior=PRIOR))]
    assert all(map(is_held_out if split == "held-out" else in_training, keys))


@pytest.mark.parametrize(
    "change", [{"count": 90}, {"split": "held-out", "count": 9}, {"seed": 8}, {"shards": 2}, {"copies": 2}]
)
def test_no_dataset_is_a_prefix_of_another(made: Dataset, tmp_path: Path, change: dict) -> None:
    other = make(tmp_path / "other", replace(PLAN, **change))
    firsts = [{repr(g.problem.X.tolist()) for g in islice(each, 20)} for each in (made, other)]
    assert not firsts[0] & firsts[1]


def test_streams_of_shards_differ() -> None:
    states = {PLAN.stream(shard).integers(2**63) for shard in range(3)}
    assert len(states) == 3


def test_the_dataset_does_not_depend_on_how_many_workers_draw_it(made: Dataset, tmp_path: Path) -> None:
    """As workers do it that see no finished shards at all; small expressions, so that shards have duplicates."""
    few = replace(PLAN, prior=replace(PRIOR, max_operators=2))
    serial = make(tmp_path / "serial", few)

    class Blind(Workers):
        def results(self, run, jobs):
            for job in reversed(jobs):
                yield job, run_job(replace(job, folder=tmp_path / "elsewhere"))

    parallel = make(tmp_path / "parallel", few, Blind(2))
    assert serial.rejected["duplicate"] > 10
    assert contents(parallel) == contents(serial)
    assert parallel.rejected == serial.rejected


def test_a_killed_command_goes_on_and_ends_with_the_same_dataset(tmp_path: Path) -> None:
    given = ["--count=240", "--shards=12", "--seed=3", "--points", "3", "9"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    running = subprocess.Popen(
        [sys.executable, "-m", "pysr_neural_training.problems.dataset", "--out", str(killed), *given],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not shard_path(killed, 0).exists() and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    finished = {path.name: path.stat().st_mtime_ns for path in killed.glob("shard-*.parquet")}
    assert 1 <= len(finished) < 12
    for folder in (killed, whole):
        assert main(["--out", str(folder), *given]) == 0
    assert {name: (killed / name).stat().st_mtime_ns for name in finished} == finished
    assert contents(Dataset(killed)) == contents(Dataset(whole))


def test_the_manifest_holds_command_parameters_and_versions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "set"
    arguments = ["--out", str(folder), "--count=5", "--shards=1", "--prior=wide", "--operators=+,*,sin", "--json"]
    assert main(arguments) == 0
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["command"].split()[:3] == ["pysr-neural", "data", "generate"]
    assert all(word in manifest["command"] for word in ("--count=5", "--prior=wide", "+,*,sin"))
    assert manifest["plan"]["prior"]["operators"] == ["+", "*", "sin"]
    assert manifest["plan"]["prior"]["max_operators"] == 17
    assert min(manifest["plan"]["prior"]["rows"]) == 3
    assert max(manifest["plan"]["prior"]["rows"]) == 1000
    assert {"pysr_neural", "numpy", "python", "pyarrow"} <= set(manifest["versions"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["problems"] == 5


def test_a_pass_of_batches_shows_every_problem_once_and_passes_differ(made: Dataset) -> None:
    def one_pass(turn: int) -> list[str]:
        in_a_pass = 3 * 4  # Shards of 20 in batches of 5.
        return [
            repr(given.tree)
            for number in range(turn * in_a_pass, (turn + 1) * in_a_pass)
            for given in islice(made.stream(1, number, 5), 5)
        ]

    assert sorted(one_pass(0)) == sorted(one_pass(1)) == sorted(repr(given.tree) for given in made)
    assert one_pass(0) != one_pass(1)
    assert one_pass(0) == one_pass(0)


def test_training_takes_its_batches_from_a_dataset(made: Dataset) -> None:
    config = ExampleConfig(batch_size=6, onestep_share=0.5, data=str(made.folder))
    stored = {given.problem.y.astype(np.float32).tobytes() for given in made}
    for number in range(4):
        batch = make_batch(ProblemPrior(), config, 1, number)
        for data, mask in zip(batch["data"].numpy(), batch["row_mask"].numpy(), strict=True):
            assert data[mask, -2].tobytes() in stored
    turns = batches(ProblemPrior(), config, 1, 1, 2)
    for number in (1, 3):
        assert np.array_equal(next(turns)["labels"], make_batch(ProblemPrior(), config, 1, number)["labels"])


def test_training_refuses_a_dataset_that_is_held_out(tmp_path: Path) -> None:
    make(tmp_path / "set", Plan(2, 1, split="held-out", prior=PRIOR))
    with pytest.raises(DatasetError, match="must not see held-out"):
        training_dataset(str(tmp_path / "set"))


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif how == "a byte flipped":
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    elif how == "foreign":
        path.write_bytes(b"no Parquet at all")
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["truncated", "a byte flipped", "foreign", "missing"])
def test_a_corrupt_shard_is_named_and_skipped_only_on_request(own: Path, how: str) -> None:
    damage(shard_path(own, 1), how)
    with pytest.raises(CorruptShardError, match=r"shard-00001\.parquet is not.*run the dataset's command again"):
        list(Dataset(own))
    config = ExampleConfig(batch_size=6, data=str(own))
    with pytest.raises(CorruptShardError, match="shard-00001"):
        list(islice(batches(ProblemPrior(), config, 1), 30))
    left = Dataset(own, skip_corrupt=True)
    assert len(left) == sum(1 for _ in left) == 40
    assert ["shard-00001" in told for told in left.skipped] == [True]
    assert len(list(islice(batches(ProblemPrior(), replace(config, skip_corrupt=True), 1), 30))) == 30


def test_a_missing_shard_is_made_anew_by_the_same_command(own: Path, made: Dataset) -> None:
    shard_path(own, 1).unlink()
    assert contents(make(own)) == contents(made)


def rewrite(path: Path, table=None, **metadata: str) -> None:
    table = pq.read_table(path) if table is None else table
    known = pq.read_schema(path).metadata
    changed = {f"pysr_neural.{name}".encode(): value.encode() for name, value in metadata.items()}
    pq.write_table(table.replace_schema_metadata({**known, **changed}), path)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"vocabulary_hash": "0123456789abcdef"}, "must be of one vocabulary"),
        ({"dataset_version": "99"}, "must be of one version"),
        ({"plan": "0123456789abcdef"}, "must be of one plan"),
    ],
)
def test_mixed_datasets_are_refused_even_if_corrupt_shards_are_skipped(own: Path, metadata: dict, said: str) -> None:
    rewrite(shard_path(own, 2), **metadata)
    for skip in (False, True):
        with pytest.raises(DatasetError, match=rf"{said}.*shard-00002"):
            Dataset(own, skip)


def test_columns_of_other_types_are_refused_by_name(own: Path) -> None:
    path = shard_path(own, 0)
    table = pq.read_table(path)
    at = table.column_names.index("noise")
    rewrite(path, table.set_column(at, "noise", table["noise"].cast("float32")))
    with pytest.raises(DatasetError, match=r"column 'noise' must be double"):
        Dataset(own)


def test_rows_that_are_no_problem_are_told(own: Path) -> None:
    path = shard_path(own, 0)
    table = pq.read_table(path)
    operators = table["operators"].to_pylist()
    operators[4] = ["sinn"]
    at = table.column_names.index("operators")
    rewrite(path, table.set_column(at, table.field(at), [operators]))
    with pytest.raises(CorruptShardError, match="row 4"):
        read_shard(path)


@pytest.mark.parametrize(
    ("key", "value", "said"), [("version", 99, "of version 99"), ("vocabulary_hash", "0" * 16, "release's vocabulary")]
)
def test_a_dataset_of_another_release_is_refused(own: Path, key: str, value: object, said: str) -> None:
    manifest = json.loads((own / MANIFEST).read_text())
    (own / MANIFEST).write_text(json.dumps({**manifest, key: value}))
    with pytest.raises(DatasetError, match=said):
        Dataset(own)


def test_no_dataset_and_empty_datasets_are_refused(own: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="readable manifest"):
        Dataset(tmp_path / "nowhere")
    for shard in range(3):
        shard_path(own, shard).unlink()
    with pytest.raises(DatasetError, match="at least one problem"):
        Dataset(own, skip_corrupt=True)
    with pytest.raises(ConfigError, match="no shard is empty"):
        Plan(0, 1)


def test_another_plan_and_other_files_in_the_folder_are_refused(own: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="count = 60, got 61"):
        make(own, replace(PLAN, count=61))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="empty folder"):
        make(tmp_path / "other")


def test_a_prior_with_too_few_expressions_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "PATIENCE", 100)
    few = replace(PRIOR, operators=("+",), max_operators=3, feature_weights=(1.0, 1.0))
    with pytest.raises(ConfigError, match="last 100 were duplicates"):
        make(tmp_path / "set", Plan(500, 2, prior=few))


def test_a_full_disk_leaves_finished_shards_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, written = tmp_path / "set", []

    def full(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) > 4:  # The manifest and a shard, each with its folder.
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DatasetError, match="room for a dataset"):
            make(folder)
    assert sorted(path.name for path in folder.iterdir()) == [MANIFEST, "shard-00000.parquet"]
    assert len(make(folder)) == 60


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--operators=+,sinn"], "Did you mean 'sin'"),
        (["--operators=sin,exp"], "joins two variables"),
        (["--operators="], "names with commas"),
        (["--points", "2", "9"], "3 ≤ low"),
        (["--points", "9", "2000"], "high ≤ 1000"),
        (["--variables=0"], "--variables must lie in 1"),
        (["--count=3", "--shards=8"], "no shard is empty"),
        (["--seed=-1"], "at least 0"),
        (["--copies=0"], "copies at least 1"),
        (["--noise-share=2"], "between 0 and 1"),
    ],
)
def test_impossible_requests_are_refused_before_anything_is_written(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        main(["--out", str(tmp_path / "set"), *arguments])
    assert not (tmp_path / "set").exists()
