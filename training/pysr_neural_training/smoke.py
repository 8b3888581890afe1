"""The whole path, small: problems, traces, examples, training, evaluation, and the checkpoint's use in both engines.

Owns: `make train-smoke`, an order of existing commands.  Does not own: any of them.  A step that fails ends it.

Every step is a process of its own, as a user would run it: Julia has to be loaded before torch.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pysr_neural.errors import TrainingError
from pysr_neural.interop.julia import julia_available

MODEL = {"width": 32, "heads": 2, "layers": 2, "feedforward": 64, "latents": 4, "pair_rank": 4}
SETTINGS = (
    *(f"model.{name}={value}" for name, value in MODEL.items()),
    *("examples.batch_size=32", "examples.trace_share=0.5"),
    "examples.layouts={direct = 2, onestep = 2, population = 1, edit = 1}",
    *("schedule.steps=60", "schedule.minutes=2", "schedule.warmup=10"),
    *("schedule.workers=0", "schedule.save_every=30", "schedule.log_every=20"),
    *("evaluation.every=30", "evaluation.problems=8", "evaluation.draws=16", "evaluation.max_size=9"),
)
LEVELS = ("seed", "kind", "child", "prior")


def main(argv: list[str] | None = None) -> int:
    """Run all steps, or one use of a checkpoint; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pysr_neural_training.smoke", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("outputs/train-smoke"), help="folder; a second run continues")
    parser.add_argument("--use", choices=USES, help="only use a checkpoint in this engine")
    parser.add_argument("--checkpoint", help="the checkpoint to be used")
    options = parser.parse_args(argv)
    if options.use:
        print(USES[options.use](options.checkpoint))
        return 0
    began = time.monotonic()
    for name, arguments in steps(options.out).items():
        run(name, arguments)
    if not julia_available():
        print("-- use in PySR: skipped, there is no Julia on this machine")
    print(f"-- the whole path in {time.monotonic() - began:.0f} s")
    return 0


def steps(out: Path) -> dict[str, list[str]]:
    """Return the steps by name: each a module of Python's and its arguments."""
    traces, checkpoint = out / "traces", str(out / "run" / "model")
    training = ["pysr_neural_training.learning.train", "tiny", "--out", str(out / "run")]
    # Examples are drawn while training, half of them from the traces of the step before.
    settings = [f"--set={setting}" for setting in (*SETTINGS, f"examples.traces={json.dumps([str(traces)])}")]
    generate = ["pysr_neural_training.traces.generate", "--out", str(traces), "--generated", "4", "--workers", "0"]
    recovery = [
        "pysr_neural_training.learning.recovery",
        "--checkpoint",
        checkpoint,
        "--problems",
        "4",
        "--draws",
        "16",
    ]
    use = ["pysr_neural_training.smoke", "--checkpoint", checkpoint, "--use"]
    chosen = {
        "problems and traces": [*generate, "--set", "generations=20"],
        "what the traces hold": ["pysr_neural_training.traces.inspect", str(traces)],
        "examples": ["pysr_neural_training.learning.survey", "tiny", "--batches", "20", *settings],
        "training": [*training, *settings],
        "the checkpoint": ["pysr_neural.cli", "model", "inspect", checkpoint],
        "evaluation": recovery,
        "use in BasicSR": [*use, "basic"],
    }
    return {**chosen, "use in PySR": [*use, "pysr"]} if julia_available() else chosen


def run(name: str, arguments: list[str]) -> None:
    """Run one step and tell its time.

    Raises
    ------
    TrainingError
        If it fails.
    """
    print(f"-- {name}: python -m {' '.join(arguments)}", flush=True)
    began = time.monotonic()
    ran = subprocess.run([sys.executable, "-m", *arguments], check=False)
    if ran.returncode:
        raise TrainingError(f"Every step must end well; {name!r} ended with status {ran.returncode}, see above.")
    print(f"-- {name}: {time.monotonic() - began:.1f} s", flush=True)


def use_in_basic(checkpoint: str) -> str:
    """Search with BasicSR and the checkpoint; returns the report of what the model did."""
    from pysr_neural.proposer.neural.transformer import TransformerProposer
    from pysr_neural_baseline import BasicSR, BasicSRConfig

    config = BasicSRConfig(generations=30, levels=LEVELS)
    model = BasicSR(config=config, proposer=TransformerProposer.from_checkpoint(checkpoint))
    return _checked(model.fit(*_data()).neural_report_)


def use_in_pysr(checkpoint: str) -> str:
    """Search with PySR and the checkpoint; returns the report of what the model did."""
    from pysr_neural import NeuralProposer, PySRRegressor

    model = PySRRegressor(
        neural_proposer=NeuralProposer(checkpoint=checkpoint, levels=LEVELS, max_overhead=0.5),
        binary_operators=["+", "*"],
        niterations=4,
        progress=False,
        verbosity=0,
        temp_equation_file=True,
    )
    return _checked(model.fit(*_data()).neural_report_)


USES: dict[str, Callable[[str], str]] = {"basic": use_in_basic, "pysr": use_in_pysr}


def _data() -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).uniform(0.5, 3.0, size=(40, 2))
    return X, X[:, 0] * X[:, 1] + X[:, 0]


def _checked(report: object) -> str:
    """Return the report's text.

    Raises
    ------
    TrainingError
        If the model was never asked, or nothing of it was taken.
    """
    if not getattr(report, "calls", 0) or not (getattr(report, "served", 0) or getattr(report, "seeded", 0)):
        raise TrainingError(f"The engine must take proposals of the checkpoint; its report says:\n{report}")
    return str(report)


if __name__ == "__main__":
    raise SystemExit(main())
