"""Trainer callbacks: metrics as JSON lines, and a learning rate that follows the clock.

Owns: what is written during a run.  Does not own: the run itself (`train`).
"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

if TYPE_CHECKING:
    from pysr_neural_training.train import Schedule


class MetricsLog(TrainerCallback):  # type: ignore[misc]
    """Append every log record to a file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **others: Any,
    ) -> None:
        """Write one record."""
        with self.path.open("a") as file:
            file.write(json.dumps({"step": state.global_step, **(logs or {})}) + "\n")


class TimedSchedule(TrainerCallback):  # type: ignore[misc]
    """Warm up linearly, then decay linearly to a twentieth by the later of steps and minutes; stop at either limit.

    Time spent before an interruption is kept beside the checkpoints, so that a resumed run goes on where it was.
    """

    def __init__(self, schedule: "Schedule", trainer: Trainer) -> None:
        self.schedule = schedule
        self.trainer = trainer
        self.clock = Path(trainer.args.output_dir) / "elapsed.json"
        self.before = json.loads(self.clock.read_text()) if self.clock.exists() else 0.0
        self.began = time.monotonic()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Set the learning rate for this step."""
        schedule = self.schedule
        elapsed = self.before + time.monotonic() - self.began
        progress = min(1.0, max(state.global_step / schedule.steps, elapsed / (60 * schedule.minutes)))
        warmth = min(1.0, (state.global_step + 1) / schedule.warmup)
        for group in self.trainer.optimizer.param_groups:
            group["lr"] = schedule.learning_rate * warmth * max(1 - progress, 0.05)
        if progress >= 1.0:
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Remember the time spent so far."""
        written = self.clock.with_suffix(".part")
        written.write_text(json.dumps(self.before + time.monotonic() - self.began))
        written.replace(self.clock)
