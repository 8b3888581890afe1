"""`pysr-neural bench many`: searches per second with the transformer, in step and one by one.

Owns: the measurement and its table.  Does not own: searching in step (`pysr_neural_baseline.many`).

Both do the same searches with the same seeds, and find the same.  Times hold everything: the engine's own steps, the
model, refinement of constants.  Beside the ratio of wall-clock times stands the ratio of processor times, which other
work on a shared machine disturbs less.
"""

import argparse
import json
import time
from collections.abc import Callable

import torch

from pysr_neural.config import DEFAULT
from pysr_neural.expression.node import Node
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.proposer.neural.transformer import TransformerProposer
from pysr_neural.rng import generator
from pysr_neural_baseline import BasicSRConfig, SearchResult, fit_many, run_search

OPERATORS = OperatorSet.of("+", "-", "*", "/", "sin", "exp")
ROWS = 50
FEATURES = 2
SIZE = 20
SEARCHES = 32
GENERATIONS = 20
POPULATION = 20


def make_problems(count: int, seed: int) -> list[Problem]:
    """Draw problems of one law with different coefficients and points, which no search solves at once."""
    problems = []
    for i in range(count):
        rng = generator(seed, "bench many", i)
        X = rng.uniform(0.5, 3.0, size=(ROWS, FEATURES))
        a, b, c = rng.uniform(0.5, 2.5, size=3)
        y = a * X[:, 0] ** 2 / (b + X[:, 1]) + c * X[:, 1] + rng.normal(0, 0.01, ROWS)
        problems.append(Problem(X, y, OPERATORS, Limits(max_size=SIZE)))
    return problems


def settings(generations: int, children: int) -> BasicSRConfig:
    """Return the reference loop with a proposer that is asked for a few children in every generation."""
    return BasicSRConfig.reference(
        population_size=POPULATION,
        generations=generations,
        max_size=SIZE,
        proposal_share=children / (POPULATION - 1),
        guard=GuardRules(max_overhead=1.0),
    )


def measure(
    proposer: TransformerProposer, searches: int, generations: int, children: int, seed: int
) -> dict[str, object]:
    """Measure both, one by one first, after a warm-up.

    Returns
    -------
    dict
        ``searches_per_second``, ``one_by_one_per_second``, ``ratio`` (by the wall clock), ``processor_ratio``;
        ``same``: the share of searches that found the same members both ways.
    """
    problems, config = make_problems(searches, seed), settings(generations, children)
    fit_many(problems[:2], config.changed(generations=1), proposer)
    alone, alone_seconds, alone_work = _timed(lambda: [run_search(each, config, proposer, seed) for each in problems])
    together, seconds, work = _timed(lambda: fit_many(problems, config, proposer, seed))
    equal = sum(_trees(one) == _trees(other) for one, other in zip(alone, together, strict=True))
    return {
        "searches_per_second": round(searches / seconds, 3),
        "one_by_one_per_second": round(searches / alone_seconds, 3),
        "ratio": round(alone_seconds / seconds, 2),
        "processor_ratio": round(alone_work / work, 2),
        "same": equal / searches,
        "searches": searches,
        "generations": generations,
        "children": children,
        "threads": torch.get_num_threads(),
    }


def _timed(work: Callable[[], list[SearchResult]]) -> tuple[list[SearchResult], float, float]:
    """Return the results, the seconds that passed, and the seconds of processor time."""
    began, worked = time.perf_counter(), time.process_time()
    results = work()
    return results, time.perf_counter() - began, time.process_time() - worked


def _trees(result: SearchResult) -> list[Node]:
    return [member.tree for member in result.population]


def table(result: dict[str, object]) -> str:
    """Lay the figures out for people."""
    rows = (
        ("in step, searches per second", result["searches_per_second"]),
        ("one by one, searches per second", result["one_by_one_per_second"]),
        ("ratio", result["ratio"]),
        ("ratio of processor times", result["processor_ratio"]),
        ("share with the same result", result["same"]),
    )
    head = (
        f"{result['searches']} searches of {result['generations']} generations, {result['children']} proposed children "
        f"of {POPULATION - 1} in each; {result['threads']} thread(s)"
    )
    return "\n".join([head, *(f"  {label:<34}{value:>10}" for label, value in rows)])


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural bench many", description=__doc__.partition("\n")[0])
    parser.add_argument("--checkpoint", default=DEFAULT, help="'default', a directory or a hub id")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--searches", type=int, default=SEARCHES)
    parser.add_argument("--generations", type=int, default=GENERATIONS)
    parser.add_argument("--children", type=int, default=4, help="proposed in each generation")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    proposer = TransformerProposer.from_checkpoint(arguments.checkpoint, arguments.device)
    result = measure(proposer, arguments.searches, arguments.generations, arguments.children, arguments.seed)
    print(table(result))
    if arguments.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
