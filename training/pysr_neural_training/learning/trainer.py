"""Hugging Face's Trainer as it is used here: its data, its learning rate, its log, its faults.

Owns: `StreamTrainer`, its callbacks, and what happens when a loss is not finite or the disk is full.  Does not own: the
run itself (`train`), the data (`examples`), what is measured (`evaluate`).
"""

import errno
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pysr_neural.errors import TrainingError
from pysr_neural_training.learning.resume import CLOCK, elapsed, last_step
from pysr_neural_training.learning.run_dir import Record, replace_file

if TYPE_CHECKING:
    from pysr_neural_training.learning.config import Schedule

FAILED = "failed"
"""Folder of the batch and the weights with which the loss stopped being finite."""
DECAYS: dict[str, Callable[[float], float]] = {
    "linear": lambda progress: 1 - progress,
    "cosine": lambda progress: (1 + math.cos(math.pi * progress)) / 2,
    "constant": lambda progress: 1.0,
}
LEAST_RATE = 0.05
"""Share of the learning rate that is left in the end."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StreamTrainer(Trainer):
    """Trains on a stream that knows of processes and yields whole batches: nothing is left to be shared out.

    Parameters
    ----------
    out : Path
        Directory of the run.
    evaluator : callable
        Maps the model to metrics.
    **given
        Of `transformers.Trainer`.
    """

    train_dataset: IterableDataset[dict[str, Tensor]]

    def __init__(self, out: Path, evaluator: Callable[[Any], dict[str, float]], **given: Any) -> None:
        super().__init__(**given)
        self.out, self.evaluator = out, evaluator
        self.last_evaluation: dict[str, float] = {}
        self._batch: dict[str, Tensor] = {}
        self._examples, self._logged = 0, time.monotonic()

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the stream's loader as it is."""
        return DataLoader(
            self.train_dataset,
            batch_size=None,
            num_workers=self.args.dataloader_num_workers,
            prefetch_factor=self.args.dataloader_prefetch_factor,
        )

    def training_step(self, model: nn.Module, inputs: dict[str, Tensor], *others: Any, **named: Any) -> Tensor:
        """Compute gradients for one batch; stops the run if the loss is not finite."""
        self._batch = inputs
        self._examples += len(inputs["labels"])
        loss: Tensor = super().training_step(model, inputs, *others, **named)
        if not bool(torch.isfinite(loss)):
            self._stop("loss", float(loss))
        return loss

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        norm = super()._clip_grad_norm(model)
        if norm is not None and not math.isfinite(norm):
            self._stop("norm of the gradient", float(norm))
        return norm

    def _stop(self, what: str, value: float) -> None:
        """Save the last batch, and the weights from before this step; then give up."""
        from safetensors.torch import save_file

        folder = self.out / FAILED
        folder.mkdir(parents=True, exist_ok=True)
        batch = folder / f"batch-{self.args.process_index}.safetensors"
        save_file({name: tensor.cpu().contiguous() for name, tensor in self._batch.items()}, batch)
        if self.is_world_process_zero():
            self.accelerator.unwrap_model(self.model).save_pretrained(folder)
        raise TrainingError(
            f"The {what} must be finite; got {value} at step {self.state.global_step + 1}. The last batch is in {batch}"
            f", beside the weights before this step; the last checkpoint is of step {last_step(self.out)}. Lower "
            "schedule.learning_rate, or look for what is odd in the batch."
        )

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Save what a resumed run needs; a checkpoint that does not fit on the disk is removed."""
        from safetensors import SafetensorError

        try:
            super()._save_checkpoint(model, trial)
        except (OSError, RuntimeError, SafetensorError) as error:
            if self.is_world_process_zero():
                shutil.rmtree(self.out / f"checkpoint-{self.state.global_step}", ignore_errors=True)
            raise _refused(self.out, error) from error

    def evaluate(self, *given: Any, **named: Any) -> dict[str, float]:
        """Measure the model, in the first process only, and log what was found."""
        if self.is_world_process_zero():
            model = self.accelerator.unwrap_model(self.model)
            self.last_evaluation = self.evaluator(model)
            self.log({f"eval_{name}": value for name, value in self.last_evaluation.items()})
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, self.last_evaluation)
        return self.last_evaluation

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log a record; those of training tell the rate used, and all processes' examples per second since then."""
        schedules = [each for each in self.callback_handler.callbacks if isinstance(each, TimedSchedule)]
        if schedules and "learning_rate" in logs:
            logs["learning_rate"] = schedules[0].rate  # Trainer knows its own schedule only, which is constant.
        if "loss" in logs:
            now = time.monotonic()
            logs["examples_per_second"] = self._examples * self.args.world_size / (now - self._logged)
            self._examples, self._logged = 0, now
        super().log(logs, start_time)


class MetricsLog(TrainerCallback):
    """Hand every log record, with its step, to whoever keeps them."""

    def __init__(self, keep: Callable[[Record], None]) -> None:
        self.keep = keep

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **others: Any,
    ) -> None:
        """Hand over one record."""
        if state.is_world_process_zero:
            self.keep({"step": state.global_step, **(logs or {})})


class EvaluateEvery(TrainerCallback):
    """Ask for an evaluation every so many steps, and after the last one; 0 never asks."""

    def __init__(self, every: int) -> None:
        self.every = every

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Decide after a step."""
        if self.every and (state.global_step % self.every == 0 or control.should_training_stop):
            control.should_evaluate = True


class TimedSchedule(TrainerCallback):
    """Warm up linearly, then decay by the later of steps and minutes; stop at either limit, with a checkpoint.

    Time spent before an interruption is kept beside the checkpoints, so that a resumed run goes on where it was, and
    one whose time is over stays as it is.
    """

    def __init__(self, schedule: "Schedule", out: Path) -> None:
        self.schedule, self.out = schedule, out
        self.began = time.monotonic() - elapsed(out)
        self.spent = self.progress = self.rate = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Look where the run stands."""
        self.progress = self._progress(args, state)

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Any = None,
        **others: Any,
    ) -> None:
        """Set the learning rate for this step."""
        self.rate = learning_rate(self.schedule, state.global_step, self.progress)
        for group in optimizer.param_groups:
            group["lr"] = self.rate

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Stop at the limits; in between, the batches of a step would be cut short."""
        self.progress = self._progress(args, state)
        if self.progress >= 1.0:
            control.should_training_stop = control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Remember the time spent so far."""
        if state.is_world_process_zero:
            replace_file(self.out / CLOCK, json.dumps(max(self.spent, time.monotonic() - self.began)))

    def _progress(self, args: TrainingArguments, state: TrainerState) -> float:
        """Return what share of the run is over, by the later of steps and minutes; the same in all processes."""
        spent = torch.tensor(time.monotonic() - self.began, device=args.device)
        if args.world_size > 1:  # All must agree, or one would stop and the others wait for it.
            torch.distributed.all_reduce(spent, torch.distributed.ReduceOp.MAX)
        self.spent = float(spent)
        return min(1.0, max(state.global_step / self.schedule.steps, self.spent / (60 * self.schedule.minutes)))


def learning_rate(schedule: "Schedule", step: int, progress: float) -> float:
    """Return the learning rate of a step (from 0) at some progress of the run (0 to 1)."""
    warmth = min(1.0, (step + 1) / schedule.warmup)
    return schedule.learning_rate * warmth * max(DECAYS[schedule.decay](progress), LEAST_RATE)


@contextmanager
def disk_errors(out: Path) -> Iterator[None]:
    """Tell of a full disk in words of what is left of the run."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        if isinstance(error, OSError) and error.errno not in FULL:
            raise
        raise _refused(out, error) from error


def _refused(out: Path, error: Exception) -> TrainingError:
    step = last_step(out)
    left = f"the checkpoint of step {step} is whole" if step else "there is no earlier checkpoint"
    return TrainingError(
        f"The disk must take the run's files; got: {error}. In {out} {left}: make room, then give the same command to "
        "go on from there."
    )
