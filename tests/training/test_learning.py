"""The training command: learns, writes what it promises, goes on after an interruption, refuses bad configurations."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pysr_neural.errors import ConfigError
from pysr_neural.expression.node import constant
from pysr_neural.model.checkpoint import load
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural_training.examples.build import IGNORED, batches, make_batch
from pysr_neural_training.learning import trainer
from pysr_neural_training.learning.config import TrainConfig, load_config
from pysr_neural_training.learning.recovery import disturbed, held_out_problems, main, prior_candidates, recovers
from pysr_neural_training.learning.resume import last_step
from pysr_neural_training.learning.train import train

CONFIGS = Path(__file__).parents[2] / "training/pysr_neural_training/configs"
SMALL = [
    "model.width=32",
    "model.heads=2",
    "model.layers=1",
    "model.feedforward=32",
    "model.latents=4",
    "examples.batch_size=16",
    "schedule.workers=0",
    "schedule.bf16=false",
    "evaluation.every=0",
]
QUIET = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")


def config(*settings: str) -> TrainConfig:
    return load_config(CONFIGS / "tiny.toml", [*SMALL, *settings])


def losses(out: Path) -> list[float]:
    return [record["loss"] for record in records(out) if "loss" in record]


def records(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@QUIET
def test_short_run_learns_and_resumes(tmp_path: Path) -> None:
    settings = config("schedule.steps=50", "schedule.save_every=25", "schedule.warmup=5")
    final = train(settings, tmp_path)
    assert losses(tmp_path)[-1] < losses(tmp_path)[0]
    assert {"model.safetensors", "config.json", "card.json"} <= {file.name for file in final.iterdir()}
    assert sum(q.numel() for q in load(str(final)).parameters()) > 0
    train(config("schedule.steps=75", "schedule.save_every=25", "schedule.warmup=5"), tmp_path)
    measured = records(tmp_path)
    assert sorted({record["step"] for record in measured}) == [25, 50, 75]
    rates = [record["learning_rate"] for record in measured if "loss" in record]
    assert rates == pytest.approx([1.5e-3 * (1 - 24 / 50), 1.5e-3 * 0.05, 1.5e-3 * 0.05])  # 50 steps, then 75.


@QUIET
def test_a_run_that_is_killed_ends_with_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    limits = ["schedule.steps=30", "schedule.save_every=5", "schedule.minutes=inf", "schedule.workers=2"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(config(*limits), whole)
    given = [f"--set={setting}" for setting in (*SMALL, *limits)]
    command = [sys.executable, "-m", "pysr_neural_training.learning.train", "tiny", "--out", str(killed), *given]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + 600
        while last_step(killed) == 0 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert 0 < last_step(killed) < 30
    train(config(*limits), killed)
    steps = [record["step"] for record in records(killed) if "loss" in record]
    assert steps == [record["step"] for record in records(whole) if "loss" in record]  # None is missing, none twice.
    one, other = (load(str(out / "model")).state_dict() for out in (whole, killed))
    assert all(torch.equal(one[name], other[name]) for name in one)


@QUIET
def test_a_finished_run_learns_no_more_when_the_command_is_given_again(tmp_path: Path) -> None:
    settings = config("schedule.steps=3", "schedule.save_every=3", "schedule.minutes=inf")
    final = train(settings, tmp_path)
    before = (final / "model.safetensors").read_bytes()
    train(settings, tmp_path)
    assert (final / "model.safetensors").read_bytes() == before
    shutil.rmtree(final)  # As if it had been stopped just before.
    train(settings, tmp_path)
    assert (final / "model.safetensors").read_bytes() == before
    assert json.loads((final / "card.json").read_text())["steps"] == 3


@QUIET
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_that_its_minutes_ended_learns_no_more_when_the_command_is_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    limits = [f"schedule.accumulate={accumulate}", "schedule.steps=1000", "schedule.save_every=2"]
    settings = config(*limits, "schedule.minutes=60")
    clock = count(0, 400)  # Whoever looks finds that some minutes have passed.
    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    final = train(settings, tmp_path)
    before = (final / "model.safetensors").read_bytes()
    steps = json.loads((final / "card.json").read_text())["steps"]
    assert 2 < steps == last_step(tmp_path) < 1000
    train(settings, tmp_path)
    assert (final / "model.safetensors").read_bytes() == before
    shutil.rmtree(final)  # As if it had been stopped just before.
    train(settings, tmp_path)
    assert (final / "model.safetensors").read_bytes() == before
    assert last_step(tmp_path) == steps
    train(config(*limits, "schedule.minutes=70"), tmp_path)  # More time: it goes on, instead of starting anew.
    assert steps < json.loads((final / "card.json").read_text())["steps"] == last_step(tmp_path) < 2 * steps


@QUIET
def test_a_finished_model_of_an_earlier_end_is_not_taken_for_that_of_the_last_checkpoint(tmp_path: Path) -> None:
    limits = ["schedule.save_every=2", "schedule.minutes=inf", 'schedule.decay="constant"']
    final = train(config(*limits, "schedule.steps=2"), tmp_path)
    shutil.copytree(final, tmp_path / "earlier")
    train(config(*limits, "schedule.steps=4"), tmp_path)
    wanted = (final / "model.safetensors").read_bytes()
    shutil.rmtree(final)  # As if it had been stopped after the last checkpoint.
    (tmp_path / "earlier").rename(final)
    train(config(*limits, "schedule.steps=4"), tmp_path)
    assert (final / "model.safetensors").read_bytes() == wanted


def test_an_incomplete_checkpoint_is_not_resumed_from(tmp_path: Path) -> None:
    for step, state in ((10, '{"global_step": 10}'), (20, '{"glob'), (30, None)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if state is not None:
            (tmp_path / f"checkpoint-{step}/trainer_state.json").write_text(state)
    assert last_step(tmp_path) == 10


@QUIET
def test_two_processes_learn_what_one_learns_from_the_same_batches(tmp_path: Path) -> None:
    limits = ["schedule.steps=6", "schedule.minutes=inf", "schedule.warmup=1", "schedule.log_every=1"]
    alone, together = tmp_path / "alone", tmp_path / "together"
    train(config(*limits, "schedule.accumulate=2"), alone)
    given = [f"--set={setting}" for setting in (*SMALL, *limits)]
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes=2",
        "--num_machines=1",
    ]
    command = [
        *launch,
        "--mixed_precision=no",
        "--dynamo_backend=no",
        "-m",
        "pysr_neural_training.learning.train",
        "tiny",
    ]
    given += ["--set=evaluation.every=3", "--set=evaluation.problems=2", "--set=evaluation.draws=4"]
    ran = subprocess.run([*command, "--out", str(together), *given], capture_output=True, text=True, timeout=800)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert len(losses(alone)) == 6
    np.testing.assert_allclose(losses(together), losses(alone), rtol=1e-3)
    assert (together / "metrics.jsonl").read_text().count("eval_loss") == 2  # By the first process only.
    cards = [json.loads((out / "model/card.json").read_text()) for out in (alone, together)]
    given = config()
    stream = batches(given.prior, given.examples, given.seed)
    assert cards[0]["examples"] == cards[1]["examples"] == sum(len(next(stream)["labels"]) for _ in range(6 * 2))


@QUIET
def test_training_starts_from_another_checkpoint_of_the_same_size(tmp_path: Path) -> None:
    first = train(config("schedule.steps=3"), tmp_path / "first")
    start = f'initial="{first.as_posix()}"'
    second = train(config(start, "schedule.steps=1", "schedule.learning_rate=0.0"), tmp_path / "second")
    before, after = load(str(first)).state_dict(), load(str(second)).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    with pytest.raises(ConfigError, match="width = "):
        train(config(start, "model.width=16"), tmp_path / "third")


@QUIET
def test_one_batch_is_learned_to_the_last_token(tmp_path: Path) -> None:
    settings = load_config(CONFIGS / "overfit.toml", ["schedule.steps=240", "schedule.save_every=240"])  # Enough here.
    model = load(str(train(settings, tmp_path)))
    batch = make_batch(settings.prior, settings.examples, settings.seed, 0)
    with torch.inference_mode():
        told = model(**batch).logits.argmax(dim=-1)
    counted = batch["labels"] != IGNORED
    assert int(counted.sum()) > 80
    assert torch.equal(told[counted], batch["labels"][counted])


@pytest.mark.parametrize(
    ("name", "least", "most"), [("tiny", 0.5e6, 1.5e6), ("small", 8e6, 15e6), ("research", 2.3e8, 2.8e8)]
)
def test_shipped_configurations_have_the_sizes_that_they_name(name: str, least: float, most: float) -> None:
    with torch.device("meta"):
        model = ProposerModel(ProposerConfig(**asdict(load_config(CONFIGS / f"{name}.toml", []).model)))
    assert least < sum(parameter.numel() for parameter in model.parameters()) < most


def test_settings_reach_their_sections() -> None:
    assert config("schedule.steps=7").schedule.steps == 7
    prior = config("prior.rows=[4, 8]", "prior.row_weights=[1, 0.5]").prior
    assert (prior.rows, prior.row_weights) == ((4, 8), (1.0, 0.5))


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("schedule.step=7", "Did you mean 'steps'"),
        ("modle.width=1", "Did you mean 'model'"),
        ("seed=", "readable TOML"),
    ],
)
def test_bad_settings_are_refused(setting: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        config(setting)


def test_missing_configuration_is_refused() -> None:
    with pytest.raises(ConfigError, match="readable TOML"):
        load_config(Path("nowhere.toml"), [])


def test_recovery_counts_only_true_answers() -> None:
    for given, X_test, y_test in held_out_problems(5, 3, 12):
        assert recovers([given.tree], given, X_test, y_test)
        wrong = [tree for tree in prior_candidates(given, 5, 1) if not tree.variables()]
        assert not recovers(wrong, given, X_test, y_test)


def test_noise_and_few_points_disturb_the_same_problems() -> None:
    for given, X_test, y_test in held_out_problems(3, 3, 12):
        noisy = disturbed(given, 16, 0.1, 1)
        assert len(noisy.problem.y) == 16
        assert np.array_equal(noisy.problem.X, given.problem.X[:16])
        assert 0.02 < np.std(noisy.problem.y - given.problem.y[:16]) / np.std(given.problem.y) < 0.3
        assert np.array_equal(disturbed(given, 64, 0.0, 1).problem.y, given.problem.y)
        assert not recovers([constant(1.0)], noisy, X_test, y_test)


@pytest.mark.parametrize("wrong", [["--points", "1"], ["--points", "65"], ["--noise", "-1"]])
def test_impossible_disturbances_are_refused(wrong: list[str]) -> None:
    with pytest.raises(ConfigError, match="--points must be from 2 to 64"):
        main([*wrong, "--problems", "1"])


def test_recovery_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--problems", "2", "--draws", "4", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["problems"] == 2
    assert set(result["recovered"]) == {"model", "direct", "combined", "prior", "unconditioned"}
