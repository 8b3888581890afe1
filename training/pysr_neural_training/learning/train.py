"""`pysr-neural train CONFIG.toml`: supervised training of a proposer on generated problems.

Owns: the run, the command.  Does not own: the configuration (`config`), examples (`examples`), the optimiser loop
(Hugging Face `Trainer`, see `trainer`), the run directory (`run_dir`), going on (`resume`), what is measured on the way
(`evaluate`).

A run directory holds the resolved configuration, Trainer checkpoints to resume from, `metrics.jsonl`, TensorBoard's
events, and `model/`, a plain checkpoint that `neural_proposer=` reads.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from pysr_neural._optional import require
from pysr_neural.errors import ConfigError
from pysr_neural.model.checkpoint import load, resolve
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.pairs import pair_targets
from pysr_neural.model.policy import ProposerModel
from pysr_neural_training.examples.build import batches, count_examples
from pysr_neural_training.learning.config import TrainConfig, named_config
from pysr_neural_training.learning.resume import FREE, elapsed, finished_step, last_step
from pysr_neural_training.learning.run_dir import RunDirectory


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

    def __init__(self, config: TrainConfig, start: int, rank: int, ranks: int) -> None:
        self.config, self.start, self.rank, self.ranks = config, start, rank, ranks

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Yield batches."""
        info = get_worker_info()
        first, stride = (0, 1) if info is None else (info.id, info.num_workers)
        if info is not None:
            torch.set_num_threads(1)
        start = self.start + self.rank + self.ranks * first
        for batch in batches(self.config.prior, self.config.examples, self.config.seed, start, self.ranks * stride):
            if self.config.model.pair_rank:
                batch["pairs"] = pair_targets(batch["labels"])
            yield batch


Stream = Callable[[TrainConfig, int, int, int], IterableDataset[dict[str, torch.Tensor]]]
"""Makes the stream of batches; called as `GeneratedBatches` is."""


def train(config: TrainConfig, out: Path, stream: Stream = GeneratedBatches) -> Path:
    """Train a model, resuming where the run directory left off; returns the directory of the finished checkpoint.

    A run that was interrupted ends with the same weights, bit for bit on a CPU, if only steps limit it.  Under
    ``accelerate launch``, each process takes its own batches of the one stream: R processes learn what one process does
    that accumulates R times as many batches.

    Parameters
    ----------
    config : TrainConfig
    out : Path
    stream : callable, optional
        What to train on instead of the configured examples as they are, such as examples with something left out.

    Raises
    ------
    ConfigError
        If the directory belongs to a run with other settings, or a tracker is not installed.
    CheckpointError
        If a checkpoint to start or to go on from cannot be used.
    TrainingError
        If the loss is not finite, or the disk takes no checkpoint.
    """
    from pysr_neural_training.learning.trainer import disk_errors

    schedule, start = config.schedule, last_step(out)
    run = RunDirectory(out, "train", config, FREE)
    torch.set_num_threads(schedule.threads)
    arguments = _arguments(config, out)
    if arguments.process_index == 0:
        run.claim(begun=start > 0)
        # What was measured after the checkpoint is measured again.
        run.replace_records([record for record in run.records() if record["step"] <= start])
    checkpoint = str(resolve(str(out / f"checkpoint-{start}"))) if start else None
    done = start > 0 and (start >= schedule.steps or elapsed(out) >= 60 * schedule.minutes)
    if done and finished_step(out) >= start:
        return run.model
    model = initial_model(config)
    batches_a_step = schedule.accumulate * arguments.world_size
    data = stream(config, start * batches_a_step, arguments.process_index, arguments.world_size)
    trainer = _trainer(config, run, model, arguments, data)
    began = time.monotonic()
    with disk_errors(out):
        if done:  # Stopped between the last checkpoint and the finished model; Trainer would do one more step.
            model.load_state_dict(load(str(checkpoint)).state_dict())
        else:
            trainer.train(resume_from_checkpoint=checkpoint)
        if trainer.is_world_process_zero():
            steps = max(start, trainer.state.global_step)
            facts = {
                "command": f"pysr-neural train {config.name}",
                "steps": steps,
                "examples": count_examples(config.prior, config.examples, config.seed, steps * batches_a_step),
                "seconds_of_last_run": round(time.monotonic() - began),
                "bf16": arguments.bf16,
            }
            run.finish(model, config.name, facts, trainer.last_evaluation)
    return run.model


def _trainer(config: TrainConfig, run: RunDirectory, model: ProposerModel, arguments: Any, data: Any) -> Any:
    """Make Hugging Face's Trainer, with what measures, schedules and reports on the way."""
    from pysr_neural_training.learning.evaluate import Evaluator
    from pysr_neural_training.learning.trainer import EvaluateEvery, MetricsLog, StreamTrainer, TimedSchedule

    own = [MetricsLog(run.add_record), TimedSchedule(config.schedule, run.path), EvaluateEvery(config.evaluation.every)]
    return StreamTrainer(
        out=run.path,
        model=model,
        args=arguments,
        train_dataset=data,
        callbacks=[*own, *(trackers(config, run.path) if arguments.process_index == 0 else [])],
        evaluator=Evaluator(config.evaluation, config.examples.context),
    )


def _arguments(config: TrainConfig, out: Path) -> Any:
    """Return what Hugging Face's Trainer is told."""
    from transformers import TrainingArguments

    schedule = config.schedule
    bf16 = schedule.bf16 and has_bf16()
    if schedule.bf16 and not bf16:
        print("schedule.bf16: this hardware has no bfloat16 arithmetic; training in single precision.")
    return TrainingArguments(
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
        bf16=bf16,
        report_to=[],
        run_name=config.name,
        disable_tqdm=False,
        remove_unused_columns=False,
        ignore_data_skip=True,
        use_cpu=not torch.cuda.is_available(),
        label_names=["labels"],
        ddp_find_unused_parameters=True,  # Batches without a population leave the head for kinds alone.
    )


def initial_model(config: TrainConfig) -> ProposerModel:
    """Make the model, the same in every process, with the weights of another checkpoint if one is named.

    Raises
    ------
    ConfigError
        If that checkpoint is of another size.
    CheckpointError
        If it cannot be used; see `model.checkpoint.load`.
    """
    from transformers.trainer_utils import set_seed

    set_seed(config.seed)
    model = ProposerModel(ProposerConfig(**asdict(config.model), context=config.examples.context))
    if config.initial:
        other = load(config.initial)
        for name, wanted in asdict(config.model).items():
            found = getattr(other.config, name)
            if found != wanted and (name, found) != ("pair_rank", 0):  # That head may begin anew.
                raise ConfigError(
                    f"Training must start from a checkpoint of the configured size; {config.initial} has {name} = "
                    f"{found}, the configuration {wanted}. Set model.{name}={str(found).lower()}."
                )
        model.load_state_dict(model.state_dict() | other.state_dict())
    return model


def has_bf16() -> bool:
    """Tell whether the hardware computes with bfloat16, instead of emulating it."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    found: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def trackers(config: TrainConfig, out: Path) -> list[Any]:
    """Return the Trainer callbacks that report to TensorBoard and Weights & Biases.

    Raises
    ------
    ConfigError
        If Weights & Biases is asked for and not installed; without TensorBoard's writer, a note is printed instead.
    """
    from transformers.integrations.integration_utils import TensorBoardCallback, WandbCallback

    chosen: list[Any] = []
    if "tensorboard" in config.track:
        try:
            chosen.append(TensorBoardCallback())
            chosen[0].logging_dir = str(out / "tensorboard")
        except RuntimeError:
            print('No TensorBoard events: `pip install "pysr-neural[training]"` brings their writer.')
    if any(name.startswith("wandb") for name in config.track):
        require("wandb", "wandb", "Reporting to Weights & Biases")
        os.environ.setdefault("WANDB_PROJECT", "pysr-neural")
        os.environ.setdefault("WANDB_DIR", str(out))
        if "wandb-offline" in config.track:
            os.environ["WANDB_MODE"] = "offline"
        chosen.append(WandbCallback())
    return chosen


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural train", description=__doc__.splitlines()[0])
    parser.add_argument("config", help="a shipped configuration's name (tiny) or a TOML file")
    parser.add_argument("--out", type=Path, default=None, help="run directory (default: outputs/runs/NAME)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    options = parser.parse_args(argv)
    config = named_config(options.config, options.settings)
    final = train(config, options.out or Path("outputs/runs") / config.name)
    print(f"Checkpoint: {final}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
