"""`pysr-neural data examples`: what a training configuration would be trained on, counted.

Owns: the command.  Does not own: the examples (`examples`).
"""

import argparse
import json
import time

from pysr_neural.wire import vocabulary as v
from pysr_neural_training.examples.build import IGNORED, BatchSource
from pysr_neural_training.learning.config import TrainConfig, named_config


def survey(config: TrainConfig, count: int) -> dict[str, float]:
    """Make the first batches of a configuration, and count.

    Parameters
    ----------
    config : TrainConfig
    count : int
        Number of batches.

    Returns
    -------
    dict
        `BatchSource.counts`; ``longest``: tokens of the longest prompt and target together; ``examples_per_second`` of
        one process, traces read included.
    """
    source = BatchSource(config.prior, config.examples, config.seed)
    began, longest = time.perf_counter(), 0
    for number in range(count):
        batch = source.batch(number)
        lengths = (batch["tokens"] != v.PAD).sum(dim=1) + (batch["labels"] != IGNORED).sum(dim=1)
        longest = max(longest, int(lengths.max()))
    seconds = time.perf_counter() - began
    found: dict[str, float] = dict(sorted(source.counts.items()))
    return {**found, "longest": longest, "examples_per_second": round(source.counts["examples"] / seconds, 1)}


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural data examples", description=__doc__.splitlines()[0])
    parser.add_argument("config", help="a shipped configuration's name (tiny) or a TOML file")
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    config = named_config(options.config, options.settings)
    found = survey(config, options.batches)
    for name, value in found.items():
        print(f"{name:>45}: {value:,}")
    if options.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
