"""`pysr-neural bench training`: training examples per second, and what a second process adds.

Owns: the measurement.  Does not own: training (`pysr_neural_training.learning.train`).

The same configuration is trained by one process, then by several under `accelerate launch`, each with its own batches:
efficiency is the rate of all over what as many single processes would do.  Start and the first half of the steps are
not counted.  On a CPU, the processes that make data share its cores with those that learn.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pysr_neural.errors import TrainingError

MODULE = "pysr_neural_training.learning.train"


def command(processes: int) -> list[str]:
    """Return the command that trains with some processes on this machine; the configuration is to follow."""
    if processes == 1:
        return [sys.executable, "-m", MODULE]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines=1"]
    return [*launch, f"--num_processes={processes}", "--mixed_precision=no", "--dynamo_backend=no", "-m", MODULE]


def rate(config: str, processes: int, steps: int, settings: Sequence[str]) -> float:
    """Train for twice some steps; returns the examples per second of the second half, all processes together.

    Raises
    ------
    TrainingError
        If the run fails.
    """
    fixed = [
        f"schedule.steps={2 * steps}",
        f"schedule.log_every={steps}",
        f"schedule.save_every={4 * steps}",
        "schedule.minutes=inf",
        "evaluation.every=0",
        "track=[]",
    ]
    with tempfile.TemporaryDirectory() as folder:
        given = [f"--set={setting}" for setting in (*fixed, *settings)]
        ran = subprocess.run(
            [*command(processes), config, "--out", folder, *given], capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise TrainingError(
                f"A run with {processes} process(es) must end well; got status {ran.returncode}:\n{ran.stderr[-2000:]}"
            )
        records = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
    return next(float(r["examples_per_second"]) for r in records if r["step"] == 2 * steps and "loss" in r)


def measure(config: str, processes: int, steps: int, settings: Sequence[str]) -> dict[str, object]:
    """Train alone and together.

    Returns
    -------
    dict
        ``examples_per_second`` of all processes, ``alone`` of one, ``efficiency``.
    """
    alone = rate(config, 1, steps, settings)
    together = rate(config, processes, steps, settings)
    return {
        "examples_per_second": round(together, 1),
        "alone": round(alone, 1),
        "efficiency": round(together / (processes * alone), 3),
        "processes": processes,
        "cores": os.cpu_count(),
        "steps": steps,
        "config": config,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural bench training", description=__doc__.split("\n")[0])
    parser.add_argument("config", nargs="?", default="tiny", help="a shipped configuration's name or a TOML file")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=50, help="steps measured, after as many that are not")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    result = measure(options.config, options.processes, options.steps, options.settings)
    print(
        f"{result['alone']:,} examples per second by one process, {result['examples_per_second']:,} by "
        f"{options.processes}: an efficiency of {result['efficiency']:.0%} on {result['cores']} cores"
    )
    if options.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
