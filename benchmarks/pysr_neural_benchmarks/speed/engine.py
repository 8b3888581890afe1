"""`pysr-neural bench engine`: members that BasicSR evaluates per second, beside a naive recursive evaluator.

Owns: the naive evaluator, the populations, the timing.  Does not own: evaluation (`pysr_neural.expression.evaluate`),
losses (`pysr_neural_baseline.objective`).

Both evaluate the members of real searches by the reference preset, generation by generation, as they arise.  Only
those whose tree the search had not met before count, for both, so that no loss is merely looked up.  Evaluating a
member means going from its tree to its loss.  What the engine may reuse is what the parents left behind: values of
subtrees.  The naive side is plain NumPy, written from the definitions, guarded division included.  The two sides take
turns at going first; processor time is counted, so that other processes do not, and the clock's own cost is subtracted;
the median round counts.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from pysr_neural.checks import whole
from pysr_neural.expression.evaluate import remembering
from pysr_neural.expression.node import Node
from pysr_neural.operators import DIVISION_EPSILON, Array, Function
from pysr_neural.problem import OperatorSet, Problem
from pysr_neural.rng import generator
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.objective import LARGEST_PREDICTION, Objective
from pysr_neural_baseline.search import Search, run_search
from pysr_neural_benchmarks.suites.reader import SuiteProblem, load_suite

SUITES = ("basicsr_simple", "basicsr_harder")
PROBLEMS = ("quartic", "complex_rational", "quadratic_formula_discriminant")
TARGET = 3.0


@dataclass(frozen=True)
class Size:
    """How large populations are."""

    members: int
    points: int
    max_nodes: int


SIZES = (Size(20, 50, 15), Size(100, 500, 25))


def naive_divide(a: Array, b: Array) -> Array:
    """Divide as the reference preset is defined to: a denominator near 0 is replaced."""
    return np.divide(a, np.where(np.abs(b) < DIVISION_EPSILON, DIVISION_EPSILON, b))


NAIVE_FUNCTIONS: Mapping[str, Function] = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": naive_divide}


def naive_values(tree: Node, X: Array) -> Array:
    """Evaluate a tree as one would at first: node by node, each an array; shape (rows,)."""
    if tree.index is not None:
        return X[:, tree.index]
    if tree.value is not None:
        return np.full(len(X), tree.value)
    arguments = [naive_values(child, X) for child in tree.children]
    return NAIVE_FUNCTIONS[str(tree.operator)](*arguments)


def naive_loss(tree: Node, X: Array, y: Array) -> float:
    """Return the reference preset's loss as it is defined."""
    with np.errstate(all="ignore"):
        values = naive_values(tree, X)
        good = np.abs(values) < LARGEST_PREDICTION
        count = np.count_nonzero(good)
        if count < len(y) and count < max(3, 0.5 * len(y)):
            return float("inf")
        loss = float(np.mean((values[good] - y[good]) ** 2))
    return loss if np.isfinite(loss) else float("inf")


class Contest:
    """Lets both sides evaluate the new members of one search; give `watch` to it as its callback.

    Parameters
    ----------
    problem : Problem
    config : BasicSRConfig

    Attributes
    ----------
    objective : Objective
        The engine's side.
    naive_seconds, seconds : float
        Processor time of the two sides.
    members : int
        Members met.
    trees : list of Node
        Those of them that were new, which both sides evaluated.
    """

    def __init__(self, problem: Problem, config: BasicSRConfig) -> None:
        self.problem, self.objective = problem, Objective(problem, config)
        self.naive_seconds = self.seconds = 0.0
        self.members = 0
        self.trees: list[Node] = []
        self._met: set[Node] = set()
        self._clock_cost = median(-time.thread_time() + time.thread_time() for _ in range(1000))

    def watch(self, search: Search) -> None:
        """Evaluate what is new in the population, with both sides."""
        trees = [member.tree for member in search.population]
        new = [tree for tree in dict.fromkeys(trees) if tree not in self._met]
        self._met.update(new)
        self.members += len(trees)
        self.trees += new
        sides = (self._naive, self._engine)
        for side in sides if search.generation % 2 else reversed(sides):
            side(new)

    def same_values(self) -> bool:
        """Tell whether both sides agree in every bit of every value."""
        X, values = self.problem.X, remembering(self.problem.X, self.objective.functions)
        with np.errstate(all="ignore"):
            return all(values(tree).tobytes() == naive_values(tree, X).tobytes() for tree in self.trees)

    def _naive(self, trees: Sequence[Node]) -> None:
        X, y = self.problem.X, self.problem.y
        began = time.thread_time()
        for tree in trees:
            naive_loss(tree, X, y)
        self.naive_seconds += time.thread_time() - began - self._clock_cost

    def _engine(self, trees: Sequence[Node]) -> None:
        began = time.thread_time()
        self.objective.losses(trees)
        self.seconds += time.thread_time() - began - self._clock_cost


def contest(size: Size, source: SuiteProblem, generations: int, seed: int) -> Contest:
    """Run one search and time its evaluations."""
    X, y = source.draw(size.points, generator(seed, "bench engine", source.name))
    problem = Problem(X, y, OperatorSet.of(*NAIVE_FUNCTIONS), name=source.name)
    config = BasicSRConfig.reference(
        population_size=size.members, generations=generations, max_size=size.max_nodes, extra_generations=generations
    )
    result = Contest(problem, config)
    run_search(problem, config, seed=seed, callback=result.watch)
    return result


def measure(size: Size, generations: int, rounds: int, seed: int) -> dict[str, Any]:
    """Time both sides on the same members.

    Returns
    -------
    dict
        ``members``, ``points``, ``max_nodes``, ``members_per_second``, ``naive_members_per_second``,
        ``ratio_to_naive``, ``evaluated`` (members), ``new_share`` (of all members of all generations), ``mean_nodes``,
        ``same_values``.
    """
    sources = [each for name in SUITES for each in load_suite(name) if each.name in PROBLEMS]
    results = [[contest(size, source, generations, seed + i) for source in sources] for i in range(rounds)]
    every = [each for round_ in results for each in round_]
    evaluated = sum(len(each.trees) for each in every)
    return {
        "members": size.members,
        "points": size.points,
        "max_nodes": size.max_nodes,
        "members_per_second": evaluated / sum(each.seconds for each in every),
        "naive_members_per_second": evaluated / sum(each.naive_seconds for each in every),
        "ratio_to_naive": median(
            sum(each.naive_seconds for each in round_) / sum(each.seconds for each in round_) for round_ in results
        ),
        "evaluated": evaluated,
        "new_share": evaluated / sum(each.members for each in every),
        "mean_nodes": sum(tree.size for each in every for tree in each.trees) / evaluated,
        "same_values": all(each.same_values() for each in every),
    }


def table(cases: Sequence[dict[str, Any]]) -> str:
    """Write the result as text."""
    lines = [f"{'members × points, ≤ nodes':<27}{'new':>6}{'nodes':>7}{'naive/s':>10}{'BasicSR/s':>11}{'ratio':>7}"]
    for case in cases:
        label = f"{case['members']} × {case['points']}, ≤ {case['max_nodes']}"
        lines.append(
            f"{label:<27}{case['new_share']:>6.0%}{case['mean_nodes']:>7.1f}{case['naive_members_per_second']:>10,.0f}"
            f"{case['members_per_second']:>11,.0f}{case['ratio_to_naive']:>7.2f}"
        )
    same = "equal bit for bit" if all(case["same_values"] for case in cases) else "DIFFERENT"
    lines.append(f"Only members that are new to their search are evaluated, by both; their values are {same}.")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if values are equal and every ratio reaches its target, else 1."""
    parser = argparse.ArgumentParser(prog="pysr-neural bench engine", description=__doc__.split("\n")[0])
    parser.add_argument("--generations", type=int, default=150, help="of each search that populations come from")
    parser.add_argument("--rounds", type=int, default=5, help="sets of searches")
    parser.add_argument("--seed", type=int, default=0, help="of data and searches")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    for name in ("generations", "rounds"):
        whole(f"--{name}", getattr(options, name), 1)
    cases = [measure(size, options.generations, options.rounds, options.seed) for size in SIZES]
    print(table(cases))
    if options.json:
        print(json.dumps({"cases": cases}))
    return 0 if all(case["same_values"] and case["ratio_to_naive"] >= TARGET for case in cases) else 1


if __name__ == "__main__":
    raise SystemExit(main())
