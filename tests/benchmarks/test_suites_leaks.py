"""The check that nothing held out is trained on."""

import json

import pytest

from pysr_neural.errors import DatasetError
from pysr_neural.expression.canonical import canonical
from pysr_neural_benchmarks.speed.generator import draw, evaluate_all
from pysr_neural_benchmarks.suites import leaks
from pysr_neural_training.problems import dataset as data_generate
from pysr_neural_training.problems import generate
from pysr_neural_training.problems.plan import Plan
from pysr_neural_training.problems.priors import ProblemPrior
from pysr_neural_training.problems.reader import Dataset
from pysr_neural_training.problems.shards import shard_path
from pysr_neural_training.problems.split import split_key
from pysr_neural_training.workers import Workers


def test_nothing_leaks(capsys):
    assert leaks.main(["--problems", "300", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["leaks"] == 0
    assert result["keys"] > 200


def test_a_split_that_is_broken_is_found(monkeypatch, capsys):
    monkeypatch.setattr(generate, "in_training", lambda key: True)
    assert leaks.main(["--problems", "300", "--json"]) == 1
    said = capsys.readouterr().out
    assert "leaked: " in said
    assert json.loads(said.splitlines()[-1])["leaks"] > 0


def test_a_stale_list_is_found(monkeypatch, tmp_path, capsys):
    stale = tmp_path / "suite_keys.txt"
    stale.write_text("")
    monkeypatch.setattr(leaks, "SUITE_KEYS", stale)
    assert leaks.main(["--problems", "1"]) == 1
    assert "lacks" in capsys.readouterr().out


def test_the_generator_is_measured_in_problems_with_the_points_asked_for():
    for asked in (0.3, 3.0, 30.0):  # A busy machine needs longer for as many.
        count, rejected, seconds, worked = draw(0, 0, 200, asked)
        assert seconds >= asked
        assert 0 < worked < 2 * seconds
        if count > 10:
            break
    assert count > 10
    assert rejected > 0


PRIOR = ProblemPrior(rows=(8,), row_weights=(1.0,))


def make(folder, split="train", count=40):
    return data_generate.generate(folder, Plan(count, 2, split=split, prior=PRIOR), "command", Workers(0), quiet=True)


def checked(capsys, *arguments):
    status = leaks.main([*arguments, "--json"])
    said = capsys.readouterr().out
    return status, said, json.loads(said.splitlines()[-1])


def test_nothing_leaks_from_datasets_of_both_splits(tmp_path, capsys):
    make(tmp_path / "train"), make(tmp_path / "held-out", "held-out", 6)
    status, _, result = checked(capsys, "--data", str(tmp_path / "train"), "--data", str(tmp_path / "held-out"))
    assert (status, result["leaks"], result["problems"]) == (0, 0, 46)


def test_suites_and_held_out_problems_in_a_dataset_are_found(tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as broken:
        broken.setattr(generate, "in_training", lambda key: True)
        dataset = make(tmp_path / "train", count=200)
    keys = [split_key(canonical(given.tree)) for given in dataset]
    wrong = sum(not generate.in_training(key) for key in keys)
    status, said, result = checked(capsys, "--data", str(tmp_path / "train"))
    assert (status, result["leaks"]) == (1, wrong)
    assert f"leaked: {tmp_path / 'train'}: " in said


def test_an_expression_in_datasets_of_both_splits_is_found(tmp_path, monkeypatch, capsys):
    make(tmp_path / "train")
    with monkeypatch.context() as broken:
        broken.setattr(generate, "is_held_out", lambda key: True)
        make(tmp_path / "held-out", "held-out")
    folders = [tmp_path / "train", tmp_path / "held-out"]
    status, _, result = checked(capsys, *[f"--data={folder}" for folder in folders])
    held_out, trained = (set(Dataset(folder).fingerprints()) for folder in reversed(folders))
    wrong = sum(not generate.is_held_out(split_key(canonical(given.tree))) for given in Dataset(folders[1]))
    assert held_out & trained
    assert (status, result["leaks"]) == (1, wrong + len(held_out & trained))


def test_a_corrupt_shard_is_named_and_left_out_only_on_request(tmp_path, capsys):
    dataset = make(tmp_path / "train")
    shard_path(dataset.folder, 1).write_bytes(b"")
    with pytest.raises(DatasetError, match="shard-00001"):
        leaks.main(["--data", str(dataset.folder)])
    status, said, result = checked(capsys, "--data", str(dataset.folder), "--skip-corrupt")
    assert (status, result["problems"]) == (0, 20)
    assert "Skipped: " in said
    assert "shard-00001" in said


def test_evaluation_is_measured_all_ways():
    rates = evaluate_all(20, 8, 0, "cpu")
    assert set(rates) == {"one_by_one", "compiled", "numpy", "torch"}
    assert min(rates.values()) > 0
