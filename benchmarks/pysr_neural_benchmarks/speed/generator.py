"""`pysr-neural bench generator`: complete training problems per second, (X, y, expression) with 200 points.

Owns: the measurement.  Does not own: the generator (`pysr_neural_training.problems.generate`), the stack machine
(`pysr_neural.expression.stack`).

Each process draws problems of its own stream for the same time, after a warm-up that is not counted, so that imports
and first uses are not measured.  With ``--evaluation``, the expressions drawn are also evaluated, one by one and all at
once, each on inputs of its own.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context

import numpy as np

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.stack import compile_trees, run
from pysr_neural.rng import generator
from pysr_neural_training.problems.generate import ProblemPrior, Sampler

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


def evaluate_all(count: int, rows: int, seed: int, device: str) -> dict[str, float]:
    """Evaluate drawn expressions several ways, best of three passes each.

    Returns
    -------
    dict
        Expressions per second: ``one_by_one``; by the stack machine with ``numpy``, with ``torch`` on the device;
        ``compiled``: programs made.
    """
    import torch

    features = 4
    prior = ProblemPrior(rows=(rows,), row_weights=(1.0,), feature_weights=(0, 0, 0, 1), distractor_share=1.0)
    problems = list(islice(Sampler(prior, generator(seed, "bench evaluation", features)), count))
    trees, X = [given.tree for given in problems], np.stack([given.problem.X for given in problems])
    programs, tensor = compile_trees(trees), torch.from_numpy(X).to(device)

    def rate(work: Callable[[], object]) -> float:
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            work()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
        return round(count / min(seconds), 1)

    return {
        "one_by_one": rate(lambda: [evaluate(tree, own) for tree, own in zip(trees, X, strict=True)]),
        "compiled": rate(lambda: compile_trees(trees)),
        "numpy": rate(lambda: run(programs, X)),
        "torch": rate(lambda: run(programs, tensor)),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if the rate reaches its aim on two processes, else 1."""
    parser = argparse.ArgumentParser(prog="pysr-neural bench generator", description=__doc__.split("\n")[0])
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rows", type=int, default=ROWS, help="points per problem")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--evaluation", type=int, default=0, metavar="N", help="also evaluate N expressions, all ways")
    parser.add_argument("--device", default="cpu", help="of the evaluation with torch")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    result = measure(options.processes, options.rows, options.seconds, options.seed)
    print(
        f"{result['examples_per_second']:,} problems with {options.rows} points per second on {options.processes} "
        f"process(es), {result['per_core']:,} on each, {result['per_cpu_second']:,} per second of processor time; "
        f"{result['accepted']:.0%} of the draws were accepted (aim: {TARGET:,.0f} on two)"
    )
    if options.evaluation:
        rates = evaluate_all(options.evaluation, options.rows, options.seed, options.device)
        result["evaluations_per_second"] = rates
        print(
            f"Evaluations per second: {rates['one_by_one']:,} one by one; at once {rates['numpy']:,} with NumPy, "
            f"{rates['torch']:,} with torch on {options.device}; {rates['compiled']:,} programs made."
        )
    if options.json:
        print(json.dumps(result))
    return 0 if float(str(result["examples_per_second"])) >= TARGET else 1


if __name__ == "__main__":
    raise SystemExit(main())
