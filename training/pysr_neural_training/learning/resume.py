"""How far a training run came before it was ended, and what it may change when it goes on.

Owns: finding the checkpoint to resume from, the time spent so far.  Does not own: what every run has in its directory
(`run_dir`), checkpoints to resume from (Hugging Face's Trainer writes them).
"""

import json
from pathlib import Path

from pysr_neural_training.learning.run_dir import CARD, MODEL

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
