"""`pysr-neural train CONFIG.toml`: supervised training of a proposer on generated problems.

Owns: the training configuration, the command, the run directory.  Does not own: examples (`examples`), the optimiser
loop (Hugging Face `Trainer`).

A run directory holds the resolved configuration, Trainer checkpoints to resume from, `metrics.jsonl`, and `model/`, a
plain checkpoint that `neural_proposer=` reads.
"""

import argparse
import json
import time
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural.model.checkpoint import load
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural.wire.vocabulary import VOCABULARY_HASH
from pysr_neural_training.examples import ExampleConfig, batches
from pysr_neural_training.generate import ProblemPrior


@dataclass(frozen=True)
class ModelSize:
    """Sizes of the model; see `ProposerConfig`."""

    width: int = 128
    heads: int = 4
    layers: int = 4
    feedforward: int = 384
    latents: int = 16
    encoder_layers: int = 2
    probes: bool = True


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Parameters
    ----------
    steps : int
        Optimiser steps.
    accumulate : int
        Batches per process and step.
    minutes : float
        Wall-clock limit, ``inf`` for none; the learning rate follows whichever of steps and minutes is further.
    learning_rate : float
    warmup : int
        Steps of linear warm-up.
    weight_decay, gradient_clip : float
    workers : int
        Processes that generate data.
    threads : int
        CPU threads of the model.
    save_every, log_every : int
        Steps between checkpoints, and between records in ``metrics.jsonl``.
    bf16 : bool
        Mixed precision.
    """

    steps: int = 10_000
    accumulate: int = 1
    minutes: float = 60.0
    learning_rate: float = 1.5e-3
    warmup: int = 300
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    workers: int = 1
    threads: int = 1
    save_every: int = 250
    log_every: int = 25
    bf16: bool = False


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Parameters
    ----------
    name : str
    seed : int
    initial : str
        Checkpoint whose weights to start from, by any name that ``neural_proposer=`` takes; empty for random ones.
    model, schedule, prior, examples
        See their classes.
    """

    name: str = "tiny"
    seed: int = 1
    initial: str = ""
    model: ModelSize = field(default_factory=ModelSize)
    schedule: Schedule = field(default_factory=Schedule)
    prior: ProblemPrior = field(default_factory=ProblemPrior)
    examples: ExampleConfig = field(default_factory=ExampleConfig)


def load_config(path: Path, settings: list[str]) -> TrainConfig:
    """Read a TOML file over the defaults, then ``section.key=value`` settings over both.

    Raises
    ------
    ConfigError
        If the file is missing or not TOML, or a key is unknown.
    """
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text())
        for setting in settings:
            key, _, text = setting.partition("=")
            *sections, last = key.split(".")
            target = values
            for section in sections:
                target = target.setdefault(section, {})
            target[last] = tomllib.loads(f"value = {text}")["value"]
    except (OSError, tomllib.TOMLDecodeError, AttributeError) as error:
        raise ConfigError(
            f"A configuration must be a readable TOML file with settings KEY=VALUE; got: {error}."
        ) from error
    return _filled(TrainConfig(), values, "")


def _filled(default: Any, values: dict[str, Any], where: str) -> Any:
    known = {f.name for f in fields(default)}
    changes = {}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"A configuration key must be known; got {where + key!r}." + did_you_mean(key, known))
        present = getattr(default, key)
        if isinstance(value, dict):
            value = _filled(present, value, f"{where}{key}.")
        elif isinstance(value, list):
            value = tuple(value)
        changes[key] = value
    return replace(default, **changes)


class GeneratedBatches(IterableDataset[dict[str, torch.Tensor]]):
    """An endless stream of batches, shared out among processes and their data workers in turns.

    Parameters
    ----------
    config : TrainConfig
    start : int
        Number of the first batch.
    rank, ranks : int
        Which of how many processes this one is.
    """

    def __init__(self, config: TrainConfig, start: int = 0, rank: int = 0, ranks: int = 1) -> None:
        self.config, self.start, self.rank, self.ranks = config, start, rank, ranks

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Yield batches."""
        info = get_worker_info()
        first, stride = (0, 1) if info is None else (info.id, info.num_workers)
        if info is not None:
            torch.set_num_threads(1)
        start = self.start + self.rank + self.ranks * first
        return batches(self.config.prior, self.config.examples, self.config.seed, start, self.ranks * stride)


def train(config: TrainConfig, out: Path) -> Path:
    """Train a model, resuming where the run directory left off; returns the directory of the finished checkpoint.

    A run that was interrupted ends with the same weights, bit for bit on a CPU, if only steps limit it.  Under
    ``accelerate launch``, each process takes its own batches of the one stream: R processes learn what one process does
    that accumulates R times as many batches.
    """
    from transformers import TrainingArguments
    from transformers.trainer_utils import set_seed

    from pysr_neural_training.trainer import MetricsLog, StreamTrainer, TimedSchedule

    schedule = config.schedule
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(schedule.threads)
    set_seed(config.seed)
    model = _initial_model(config)
    arguments = TrainingArguments(
        output_dir=str(out),
        max_steps=schedule.steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=schedule.accumulate,
        learning_rate=schedule.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=schedule.weight_decay,
        max_grad_norm=schedule.gradient_clip,
        adam_beta2=0.98,
        save_steps=schedule.save_every,
        save_total_limit=2,
        logging_steps=schedule.log_every,
        seed=config.seed,
        dataloader_num_workers=schedule.workers,
        dataloader_prefetch_factor=8 if schedule.workers else None,
        bf16=schedule.bf16,
        report_to=[],
        disable_tqdm=False,
        remove_unused_columns=False,
        ignore_data_skip=True,
        use_cpu=not torch.cuda.is_available(),
        label_names=["labels"],
        ddp_find_unused_parameters=True,  # Batches without a population leave the head for kinds alone.
    )
    start, ranks = last_step(out), arguments.world_size
    first = start * schedule.accumulate * ranks
    trainer = StreamTrainer(
        model=model,
        args=arguments,
        train_dataset=GeneratedBatches(config, first, arguments.process_index, ranks),
        callbacks=[MetricsLog(out / "metrics.jsonl")],
    )
    trainer.add_callback(TimedSchedule(schedule, trainer))
    began = time.monotonic()
    trainer.train(resume_from_checkpoint=str(out / f"checkpoint-{start}") if start else None)
    final = out / "model"
    if trainer.is_world_process_zero():
        (out / "config.json").write_text(json.dumps(asdict(config), indent=1))
        model.to(torch.float32).save_pretrained(final, safe_serialization=True)
        batches_seen = trainer.state.global_step * schedule.accumulate * ranks
        _write_card(config, final, trainer.state.global_step, batches_seen, time.monotonic() - began)
    return final


def last_step(out: Path) -> int:
    """Return the step of a run's last complete checkpoint, 0 without one; its state is what Trainer writes last."""
    complete = [0]
    for path in out.glob("checkpoint-*/trainer_state.json"):
        try:
            complete.append(int(json.loads(path.read_text())["global_step"]))
        except (json.JSONDecodeError, KeyError):
            continue
    return max(complete)


def _initial_model(config: TrainConfig) -> ProposerModel:
    """Make the model, with the weights of another checkpoint if one is named.

    Raises
    ------
    ConfigError
        If that checkpoint is of another size.
    """
    model = ProposerModel(ProposerConfig(**asdict(config.model), context=config.examples.context))
    if config.initial:
        other = load(config.initial)
        for name, wanted in asdict(config.model).items():
            found = getattr(other.config, name)
            if found != wanted:
                raise ConfigError(
                    f"Training must start from a checkpoint of the configured size; {config.initial} has {name} = "
                    f"{found}, the configuration {wanted}. Set model.{name}={str(found).lower()}."
                )
        model.load_state_dict(other.state_dict())
    return model


def _write_card(config: TrainConfig, path: Path, steps: int, batches_seen: int, seconds: float) -> None:
    card = {
        "name": config.name,
        "command": f"pysr-neural train {config.name}",
        "seed": config.seed,
        "steps": steps,
        "examples": batches_seen * config.examples.batch_size,
        "seconds_of_last_run": round(seconds),
        "vocabulary_hash": VOCABULARY_HASH,
        "config": asdict(config),
        "torch": torch.__version__,
    }
    (path / "card.json").write_text(json.dumps(card, indent=1) + "\n")


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural train", description=__doc__.splitlines()[0])
    parser.add_argument("config", help="a shipped configuration's name (tiny) or a TOML file")
    parser.add_argument("--out", type=Path, default=None, help="run directory (default: outputs/runs/NAME)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    options = parser.parse_args(argv)
    shipped = Path(__file__).parent / "configs" / f"{options.config}.toml"
    config = load_config(shipped if shipped.exists() else Path(options.config), options.settings)
    final = train(config, options.out or Path("outputs/runs") / config.name)
    print(f"Checkpoint: {final}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
