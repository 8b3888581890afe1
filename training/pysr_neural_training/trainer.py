"""Hugging Face's Trainer as it is used here: its data, its learning rate, its log.

Owns: `StreamTrainer` and its callbacks.  Does not own: the run itself (`train`), the data (`examples`).
"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

if TYPE_CHECKING:
    from pysr_neural_training.train import Schedule


class StreamTrainer(Trainer):  # type: ignore[misc]
    """Trains on a stream that knows of processes and yields whole batches: nothing is left to be shared out."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the stream's loader as it is."""
        return DataLoader(
            self.train_dataset,
            batch_size=None,
            num_workers=self.args.dataloader_num_workers,
            prefetch_factor=self.args.dataloader_prefetch_factor,
        )


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
        if not state.is_world_process_zero:
            return
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
        elapsed = torch.tensor(self.before + time.monotonic() - self.began, device=args.device)
        if args.world_size > 1:  # All must agree, or one would stop and the others wait for it.
            torch.distributed.all_reduce(elapsed, torch.distributed.ReduceOp.MAX)
        progress = min(1.0, max(state.global_step / schedule.steps, float(elapsed) / (60 * schedule.minutes)))
        warmth = min(1.0, (state.global_step + 1) / schedule.warmup)
        for group in self.trainer.optimizer.param_groups:
            group["lr"] = schedule.learning_rate * warmth * max(1 - progress, 0.05)
        if progress >= 1.0:
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Remember the time spent so far."""
        if not state.is_world_process_zero:
            return
        written = self.clock.with_suffix(".part")
        written.write_text(json.dumps(self.before + time.monotonic() - self.began))
        written.replace(self.clock)
