"""What goes wrong in training: bad values, foreign checkpoints, losses that are not finite, disks that are full."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pysr_neural.errors import CheckpointError, ConfigError, TrainingError
from pysr_neural.model.checkpoint import load
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural.wire import vocabulary as v
from pysr_neural_training.learning import train as training
from pysr_neural_training.learning.config import TrainConfig, load_config
from pysr_neural_training.learning.resume import last_step
from pysr_neural_training.learning.train import initial_model, train

CONFIGS = Path(__file__).parents[2] / "training/pysr_neural_training/configs"
SIZES = {"width": 32, "heads": 2, "layers": 1, "feedforward": 32, "latents": 4}
SMALL = [
    *(f"model.{name}={value}" for name, value in SIZES.items()),
    "examples.batch_size=8",
    "schedule.workers=0",
    "schedule.bf16=false",
    "schedule.minutes=inf",
    "schedule.log_every=1",
    "evaluation.every=0",
]
QUIET = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")


def config(*settings: str) -> TrainConfig:
    return load_config(CONFIGS / "tiny.toml", [*SMALL, *settings])


@contextmanager
def small_files() -> Iterator[None]:
    """Bound the size of files, which fails a write in the middle as a full disk does."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("model.width=-32", r"model\.width must be at least 1; got -32"),
        ("model.heads=5", r"multiple of model\.heads; got 32 and 5 heads\. Try model\.width=30"),
        ("model.pair_rank=-1", r"pair_rank must be at least 0"),
        ("schedule.steps=0", r"schedule\.steps must be at least 1"),
        ("schedule.steps=1.5", "must be a whole number"),
        ('schedule.steps="many"', "must be a whole number; got 'many'"),
        ("schedule.bf16=1", "must be true or false"),
        ("schedule.minutes=0", "above 0"),
        ("schedule.learning_rate=nan", "at least 0; got nan"),
        ('schedule.decay="cosin"', "Did you mean 'cosine'"),
        ('track=["tensorbord"]', "Did you mean 'tensorboard'"),
        ("model=3", "must be a section"),
        ("seed=-1", "seed must be at least 0"),
        ("examples.batch_size=1", "at least 2"),
        ("examples.onestep_share=1.5", "between 0 and 1"),
        ("prior.rows=[]", "numbers of points"),
        ("prior.rows=[8, 16]", "as many"),
        ("prior.row_weights=[0, 0, 0, 0]", "not all of them 0"),
        ("prior.feature_weights=[]", "not all of them 0"),
        ("evaluation.draws=0", "at least 1"),
    ],
)
def test_impossible_values_are_refused(setting: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        config(setting)


@QUIET
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_loss_that_is_not_finite_stops_the_run_with_the_batch_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    real = training.batches

    def poisoned(*given: object) -> object:
        for number, batch in enumerate(real(*given)):
            if number == 5:
                batch["presence"] = torch.full_like(batch["presence"], float("nan") if what == "loss" else 1e36)
            yield batch

    monkeypatch.setattr(training, "batches", poisoned)
    with pytest.raises(
        TrainingError, match=rf"{what}.* must be finite; got (nan|inf) at step 6.*checkpoint is of step 4"
    ):
        train(config("schedule.steps=8", "schedule.save_every=2"), tmp_path)
    batch = load_file(tmp_path / "failed/batch-0.safetensors")
    assert not batch["presence"].isfinite().all() or batch["presence"].max() > 1e35
    assert {"data", "tokens", "labels", "row_mask"} <= set(batch)
    weights = load_file(tmp_path / "failed/model.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values())
    assert last_step(tmp_path) == 4


@QUIET
def test_a_full_disk_leaves_the_checkpoint_before_and_the_run_goes_on_from_there(tmp_path: Path) -> None:
    constant = ('schedule.decay="constant"', "schedule.save_every=2")
    whole = train(config("schedule.steps=4", *constant), tmp_path / "whole")
    out = tmp_path / "run"
    train(config("schedule.steps=2", *constant), out)
    finished = (out / "model/model.safetensors").read_bytes()
    with (
        small_files(),
        pytest.raises(TrainingError, match=r"disk must take .* checkpoint of step 2 is whole: make room"),
    ):
        train(config("schedule.steps=4", *constant), out)
    assert last_step(out) == 2
    assert not (out / "checkpoint-4").exists()
    assert (out / "model/model.safetensors").read_bytes() == finished
    resumed = train(config("schedule.steps=4", *constant), out)
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    shutil.rmtree(resumed)
    with small_files(), pytest.raises(TrainingError, match="checkpoint of step 4 is whole"):
        train(config("schedule.steps=4", *constant), out)
    assert not resumed.exists()


@QUIET
def test_a_run_is_resumed_with_its_own_settings_only(tmp_path: Path) -> None:
    train(config("schedule.steps=2", "schedule.save_every=2"), tmp_path)
    for setting, reason in (
        ("schedule.learning_rate=1e-4", r"schedule\.learning_rate = 0\.0015, got 0\.0001"),
        ("examples.max_members=3", r"examples\.max_members = 6, got 3"),
        ("seed=2", "initial="),
    ):
        with pytest.raises(ConfigError, match=reason):
            train(config("schedule.steps=3", setting), tmp_path)
    recorded = json.loads((tmp_path / "config.json").read_text())
    del recorded["config"]["evaluation"], recorded["config"]["schedule"]["decay"]  # As an older version wrote it.
    (tmp_path / "config.json").write_text(json.dumps(recorded))
    train(config("schedule.steps=3", "schedule.save_every=1", 'name="longer"'), tmp_path)
    assert last_step(tmp_path) == 3


@QUIET
def test_a_truncated_checkpoint_is_named_when_a_run_is_resumed(tmp_path: Path) -> None:
    train(config("schedule.steps=2", "schedule.save_every=2"), tmp_path)
    weights = tmp_path / "checkpoint-2/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"checkpoint-2.*complete safetensors file"):
        train(config("schedule.steps=3"), tmp_path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("foreign", "another program"),
        ("older", "vocabulary must be"),
        ("truncated", "complete safetensors file"),
        ("pickle", "never read"),
        ("missing", "does not exist"),
    ],
)
def test_a_checkpoint_that_cannot_be_started_from_is_refused(tmp_path: Path, damage: str, reason: str) -> None:
    path = tmp_path / "model"
    ProposerModel(ProposerConfig(**SIZES)).save_pretrained(path)
    weights, described = path / "model.safetensors", path / "config.json"
    if damage == "foreign":
        described.write_text(described.read_text().replace("pysr_neural_proposer", "gpt2"))
    elif damage == "older":
        described.write_text(described.read_text().replace(v.VOCABULARY_HASH, "0" * 16))
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "pickle":
        weights.rename(path / "pytorch_model.bin")
    else:
        path = tmp_path / "nowhere"
    with pytest.raises(CheckpointError, match=reason):
        initial_model(config(f'initial="{path.as_posix()}"'))


def test_every_process_makes_the_same_model_whatever_was_drawn_before() -> None:
    one = initial_model(config()).state_dict()
    torch.rand(7)
    other = initial_model(config()).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    different = initial_model(config("seed=2")).state_dict()
    assert not torch.equal(one["token.weight"], different["token.weight"])


def test_a_head_for_pairs_may_be_added_to_a_checkpoint_without_one(tmp_path: Path) -> None:
    first = initial_model(config())
    first.save_pretrained(tmp_path)
    more = initial_model(config(f'initial="{tmp_path.as_posix()}"', "model.pair_rank=4", "seed=2"))
    assert torch.equal(more.token.weight, first.token.weight)
    assert more.pair_head is not None
    more.save_pretrained(tmp_path / "more")
    with pytest.raises(ConfigError, match="pair_rank = 4"):
        initial_model(config(f'initial="{(tmp_path / "more").as_posix()}"'))


def test_wandb_must_be_installed_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(ConfigError, match="wandb"):
        training.trackers(config('track=["wandb-offline"]'), tmp_path)


def test_half_precision_is_taken_only_where_the_hardware_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    assert not training.has_bf16()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert training.has_bf16()


@QUIET
def test_without_such_hardware_a_run_says_so_and_is_in_single_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "has_bf16", lambda: False)
    final = train(config("schedule.steps=1", "schedule.bf16=true"), tmp_path)
    assert "single precision" in capsys.readouterr().out
    assert json.loads((final / "card.json").read_text())["bf16"] is False
    assert load(str(final)).dtype == torch.float32
