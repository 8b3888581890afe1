"""`pysr-neural bench generator`: complete training problems per second, (X, y, expression) with 200 points.

Owns: the measurement.  Does not own: the generator (`pysr_neural_training.generate`).

Each process draws problems of its own stream for the same time, after a warm-up that is not counted, so that imports
and first uses are not measured.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from pysr_neural.rng import generator
from pysr_neural_training.generate import ProblemPrior, Sampler

TARGET = 5000.0
WARM_UP = 50
ROWS = 200


def draw(seed: int, shard: int, rows: int, seconds: float) -> tuple[int, int, float, float]:
    """Draw problems for some time; returns how many, how many were rejected, seconds taken, and those of processor."""
    prior = ProblemPrior(rows=(rows,), row_weights=(1.0,))
    sampler = Sampler(prior, generator(seed, "bench generator", shard))
    problems = iter(sampler)
    for _ in range(WARM_UP):
        next(problems)
    sampler.rejected.clear()
    count, began, worked = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        next(problems)
        count += 1
    return count, sum(sampler.rejected.values()), time.perf_counter() - began, time.process_time() - worked


def measure(processes: int, rows: int, seconds: float, seed: int) -> dict[str, object]:
    """Draw in several processes at once.

    Returns
    -------
    dict
        ``examples_per_second`` of all processes, ``per_core``, ``per_cpu_second``: what one core would do that nothing
        else used; ``accepted``: the share of draws that became problems.
    """
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(draw, [seed] * processes, range(processes), [rows] * processes, [seconds] * processes))
    rate = sum(count / taken for count, _, taken, _ in found)
    drawn, rejected, _, worked = map(sum, zip(*found, strict=True))
    return {
        "examples_per_second": round(rate, 1),
        "per_core": round(rate / processes, 1),
        "per_cpu_second": round(drawn / worked, 1),
        "accepted": round(drawn / (drawn + rejected), 4),
        "processes": processes,
        "rows": rows,
        "seed": seed,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if the rate reaches its aim on two processes, else 1."""
    parser = argparse.ArgumentParser(prog="pysr-neural bench generator", description=__doc__.split("\n")[0])
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rows", type=int, default=ROWS, help="points per problem")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    result = measure(options.processes, options.rows, options.seconds, options.seed)
    print(
        f"{result['examples_per_second']:,} problems with {options.rows} points per second on {options.processes} "
        f"process(es), {result['per_core']:,} on each, {result['per_cpu_second']:,} per second of processor time; "
        f"{result['accepted']:.0%} of the draws were accepted (aim: {TARGET:,.0f} on two)"
    )
    if options.json:
        print(json.dumps(result))
    return 0 if float(str(result["examples_per_second"])) >= TARGET else 1


if __name__ == "__main__":
    raise SystemExit(main())
