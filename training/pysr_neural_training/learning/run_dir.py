"""The directory of a training run: whose it is, where it stands, what it leaves behind.

Owns: the recorded configuration, finding the checkpoint to resume from, the time spent so far, writing the finished
model and its card.
Does not own: checkpoints to resume from (Hugging Face's Trainer writes them), training (`train`).
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pysr_neural.errors import CheckpointError, ConfigError
from pysr_neural.model.policy import ProposerModel
from pysr_neural.wire.vocabulary import VOCABULARY_HASH
from pysr_neural_training.learning.config import TrainConfig

CONFIG = "config.json"
MODEL = "model"
CARD = "card.json"
CLOCK = "elapsed.json"
FREE = (
    "name",
    "track",
    "evaluation",
    "schedule.steps",
    "schedule.minutes",
    "schedule.workers",
    "schedule.threads",
    "schedule.save_every",
    "schedule.log_every",
)
"""What a resumed run may change: how long it goes on, how fast it runs and what it reports, not what it learns from."""


def claim(out: Path, config: TrainConfig) -> None:
    """Make a run's directory and write its configuration, or check that it is the one that is there.

    Raises
    ------
    ConfigError
        If the directory belongs to a run with other settings.
    """
    path = out / CONFIG
    if path.exists() and last_step(out):
        differing = list(_differences(path, config))
        if differing:
            raise ConfigError(
                f"A run is resumed with the settings that it was begun with; {out} has {'; '.join(differing)}. Choose "
                f'another --out, there perhaps with initial="{out / MODEL}" to go on from these weights, or the same '
                "settings."
            )
    out.mkdir(parents=True, exist_ok=True)
    replace_file(path, json.dumps(asdict(config), indent=1))


def last_step(out: Path) -> int:
    """Return the step of a run's last complete checkpoint, 0 without one; its state is what Trainer writes last."""
    complete = [0]
    for path in out.glob("checkpoint-*/trainer_state.json"):
        try:
            complete.append(int(json.loads(path.read_text())["global_step"]))
        except (json.JSONDecodeError, KeyError):
            continue
    return max(complete)


def elapsed(out: Path) -> float:
    """Return the seconds of training up to a run's last complete checkpoint, 0 without one."""
    clock = out / CLOCK
    return float(json.loads(clock.read_text())) if last_step(out) and clock.exists() else 0.0


def finished_step(out: Path) -> int:
    """Return the step of a run's finished model, 0 without one."""
    card = out / MODEL / CARD
    return int(json.loads(card.read_text())["steps"]) if card.exists() else 0


def finish(
    out: Path, config: TrainConfig, model: ProposerModel, facts: dict[str, Any], metrics: dict[str, float]
) -> Path:
    """Write the finished checkpoint with its card; an earlier one stays until the new one is whole.

    Parameters
    ----------
    out : Path
    config : TrainConfig
    model : ProposerModel
    facts : dict
        Steps, examples and the like, for the card.
    metrics : dict
        The last evaluation, for the card.
    """
    card = {
        "name": config.name,
        "command": f"pysr-neural train {config.name}",
        "seed": config.seed,
        **facts,
        "vocabulary_hash": VOCABULARY_HASH,
        "metrics": metrics,
        "config": asdict(config),
        "torch": torch.__version__,
    }
    part, final = out / f"{MODEL}.part", out / MODEL
    shutil.rmtree(part, ignore_errors=True)
    model.float().save_pretrained(part, safe_serialization=True)
    (part / CARD).write_text(json.dumps(card, indent=1) + "\n")
    shutil.rmtree(final, ignore_errors=True)
    part.rename(final)
    return final


def replace_file(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    written = path.with_name(path.name + ".part")
    written.write_text(text)
    written.replace(path)


def _differences(path: Path, config: TrainConfig) -> Iterator[str]:
    try:
        recorded = dict(_flat(json.loads(path.read_text())))
    except (json.JSONDecodeError, AttributeError) as error:
        raise CheckpointError(f"{path} must hold a run's configuration; got: {error}. Choose another --out.") from error
    # A run of an older version lacks the settings that are new; they had their defaults.
    defaults, wanted = (dict(_flat(json.loads(json.dumps(asdict(each))))) for each in (TrainConfig(), config))
    for key, value in wanted.items():
        found = recorded.get(key, defaults[key])
        if found != value and not any(key == free or key.startswith(f"{free}.") for free in FREE):
            yield f"{key} = {json.dumps(found)}, got {json.dumps(value)}"


def _flat(values: dict[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{where}{key}.")
        else:
            yield where + key, value
