"""`pysr-neural study judged`: which of 10,000 parts belong to the answer, by several ways to rank them.

Owns: the ways, precision and share kept, what the joins solve with each, the report.  Does not own: rankings
(`screens`), problems and labels (`pysr_neural_training.problems.labelled`), the joins.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained, refine
from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.parts import values_of
from pysr_neural.proposer.joins.search import FIT_ROWS, Joiner, Screen
from pysr_neural.rng import generator
from pysr_neural_benchmarks.judging.results import Task, complete
from pysr_neural_benchmarks.judging.scoring import THRESHOLD
from pysr_neural_benchmarks.pages import markdown_table
from pysr_neural_benchmarks.studies.judging import difference
from pysr_neural_benchmarks.suites.data import OPERATORS
from pysr_neural_benchmarks.suites.reader import load_suite
from pysr_neural_training.learning.evidence import PAIRED, ROWS, SCALARS, Evidence
from pysr_neural_training.learning.judge import PoolEvidence
from pysr_neural_training.learning.judge_network import Judge
from pysr_neural_training.learning.screens import LikelyFirst, Ranking, Scores, by_correlation, by_judge, by_matching
from pysr_neural_training.problems.labelled import LabelledPrior, Pool, affine_keys
from pysr_neural_training.problems.truths import all_parts, in_arithmetic

KEPT, SMALL = 240, 7
WAYS = ("enumeration", "random", "correlation", "matching", "sized", "pairs", "judge")
SCREENS = ("control", "sized", "judge", "truth")
"""What the joins are tried with: enumerated parts in their order, or likely ones in front."""
SIZE_PRICE = 0.5
"""Of a node, in units of the logarithm of what a part leaves unexplained."""
SMALLEST, MAX_SIZE, TESTED, EVERY = 10, 30, 512, 4


def by_pairs(evidence: Evidence) -> Scores:
    """Rank by what the best pair with a part that matching likes leaves of y."""
    found = []
    for start in range(0, len(evidence.candidates), 2000):
        chosen = np.arange(start, min(start + 2000, len(evidence.candidates)))
        _, order = evidence.candidates.basis(chosen)
        scalars = evidence.scalars(chosen, order)
        found.append(-scalars[:, SCALARS - PAIRED :].min(axis=1))
    return np.concatenate(found)


def by_size(evidence: Evidence) -> Scores:
    """Rank by orthogonal matching, with a price for each node."""
    left = np.maximum(1 - np.square(evidence.matching), 1e-7)
    return -np.log(left) - SIZE_PRICE * 4 * evidence.candidates.text[:, 0]


@cache
def rankings(folder: str) -> dict[str, Ranking]:
    """Return the ways by name."""
    return {
        "enumeration": lambda evidence: -np.arange(len(evidence.candidates), dtype=float),
        "random": lambda evidence: np.random.default_rng(0).random(len(evidence.candidates)),
        "correlation": by_correlation,
        "matching": by_matching,
        "sized": by_size,
        "pairs": by_pairs,
        "judge": by_judge(Judge.load(Path(folder))),
    }


def ranked_once(number: int, seed: int, rows: int, folder: str) -> dict[str, Any]:
    """Measure the ways on the problems of one pool."""
    rng = generator(seed, "judged", number)
    pool = Pool(LabelledPrior(rows=rows, min_size=10, held_out=True), rng)
    if not len(pool.listed):
        return {"rows": []}
    seen, found = PoolEvidence(pool), []
    sizes = pool.parts.sizes[pool.listed]
    for each in pool.draw(4):
        row: dict[str, Any] = {"size": each.tree.size, "small": each.small, "true": len(each.true)}
        small = each.true[sizes[each.true] <= SMALL]
        row["listed"] = len(small)
        evidence = seen.of(each.y)
        for name, ranking in rankings(folder).items():
            began = time.process_time()
            top = np.argsort(-ranking(evidence), kind="stable")[:KEPT]
            row[name] = [len(np.intersect1d(top, each.true)), len(np.intersect1d(top, small))]
            row[f"{name}_seconds"] = time.process_time() - began
        found.append(row)
    return {"rows": found}


def ranked_report(rows: Sequence[Mapping[str, Any]]) -> str:
    """Tell precision and shares kept."""
    listed = [row for row in rows if row["listed"]]
    cells = []
    for name in WAYS:
        precision = np.mean([row[name][0] / KEPT for row in rows])
        ideal = np.mean([min(row["true"], KEPT) / KEPT for row in rows])
        kept = [row[name][1] / row["listed"] for row in listed]
        control = [row["matching"][1] / row["listed"] for row in listed]
        mean, low, high = difference(kept, control)
        seconds = np.mean([row[f"{name}_seconds"] for row in rows])
        cells.append(
            [
                name,
                f"{precision:.4f} of {ideal:.4f}",
                f"{np.mean(kept):.3f}",
                f"{mean:+.3f} ({low:+.3f} … {high:+.3f})",
                f"{seconds:.2f}",
            ]
        )
    among = sum(row["listed"] for row in rows) / max(1, sum(row["small"] for row in rows))
    head = ["ranked by", f"precision at {KEPT}", f"true parts of ≤ {SMALL} nodes kept", "less matching", "seconds"]
    told = f"{len(rows)} problems; {among:.2f} of the true parts of at most {SMALL} nodes are listed."
    return f"{told}\n\n{markdown_table(head, cells)}\n"


def given(source: str, number: int, seed: int) -> tuple[Node, Array, OperatorSet]:
    """Return a problem's answer, its rows for the search and for the test, and its operators."""
    rng, rows = generator(seed, "solved", source, number), FIT_ROWS + TESTED
    if source != "held_out":
        problem = load_suite(source)[number]
        return in_arithmetic(problem.tree), problem.draw(rows, rng)[0], OperatorSet.of(*OPERATORS)
    prior = LabelledPrior(400, rows, SMALLEST, MAX_SIZE, held_out=True)
    while True:  # Some languages have few held-out expressions.
        pool = Pool(prior, rng)
        for _ in range(200):
            found = pool.attempt()
            if found is not None:
                return found.tree, pool.X, pool.operators


def by_truth(tree: Node, X: Array) -> Ranking:
    """Rank true parts first: what a perfect judge does."""
    trees = [each for each in all_parts(tree) if each.size < tree.size]

    def ranking(evidence: Evidence) -> Scores:
        with np.errstate(all="ignore"):
            values = values_of(trees, np.ascontiguousarray(X.T))
            known = set(affine_keys(values[np.isfinite(values).all(axis=1)]))
            keys = affine_keys(evidence.candidates.scaled)
        return np.array([key in known for key in keys], dtype=float)

    return ranking


def solved_once(source: str, number: int, seed: int, steps: int, folder: str, eager: int = 0) -> dict[str, Any]:
    """Join with each screen; tells the processor's seconds until solved, infinite if not, and in all."""
    tree, X, operators = given(source, number, seed)
    with np.errstate(all="ignore"):
        y = evaluate(tree, X)
    row: dict[str, Any] = {"size": tree.size}
    for name in SCREENS:
        ranking = by_truth(tree, X[:ROWS]) if name == "truth" else rankings(folder).get(name)
        began = time.process_time()
        screen: Screen = (
            (lambda parts, kept, most: kept)
            if ranking is None
            else LikelyFirst(X[:FIT_ROWS], y[:FIT_ROWS], ranking, bool(eager))
        )
        joiner = Joiner(X[:FIT_ROWS], y[:FIT_ROWS], operators, MAX_SIZE, screen=screen)
        solved = np.inf
        for _ in range(0, steps, EVERY):
            joiner.work(EVERY)
            if any(_right(each, X, y) for each in joiner.answers.best()[:5]):
                solved = time.process_time() - began
                break
        row[name], row[f"{name}_seconds"] = solved, time.process_time() - began
        if not np.isfinite(solved):
            fitted = [refine(each, X[:FIT_ROWS], y[:FIT_ROWS], 60)[0] for each in joiner.answers.best()[:4]]
            if any(_right(each, X, y) for each in fitted):
                row[name] = time.process_time() - began
    return row


def _right(tree: Node, X: Array, y: Array) -> bool:
    return fraction_unexplained(evaluate(tree, X[FIT_ROWS:]), y[FIT_ROWS:]) <= THRESHOLD


def solved_report(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Tell what is solved with each screen, at equal steps and within some seconds."""
    cells = []
    limits = (np.inf, 1.0, 2.0)
    for name in SCREENS:
        line = [name]
        for found in rows.values():
            line.append(
                " / ".join(
                    str(sum(row[name] <= limit < np.inf or row[name] < limit for row in found)) for limit in limits
                )
            )
        every = [row for found in rows.values() for row in found]
        pairs = [[row[arm] < np.inf for row in every] for arm in (name, "control")]
        mean, low, high = difference(*pairs)
        more = sum(one and not two for one, two in zip(*pairs, strict=True))
        less = sum(two and not one for one, two in zip(*pairs, strict=True))
        seconds = np.mean([row[f"{name}_seconds"] for row in every])
        cells.append(
            [*line, f"{100 * mean:+.1f} ({100 * low:+.1f} … {100 * high:+.1f}); {more} : {less}", f"{seconds:.2f}"]
        )
    counts = [f"{source}, {len(found)}" for source, found in rows.items()]
    table = markdown_table(["screen", *counts, "points more than the control; only : only", "seconds"], cells)
    return f"Solved at equal steps / within 1 s / within 2 s of the processor:\n\n{table}\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural study judged", description=__doc__.split("\n")[0])
    parser.add_argument("--judge", default="outputs/judge", help="folder")
    parser.add_argument("--pools", type=int, default=20, help="of at most four held-out problems each")
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--problems", type=int, default=60, help="held-out ones for the joins")
    parser.add_argument("--suites", nargs="*", default=["erbench_choose"])
    parser.add_argument("--every", type=int, default=2, help="every so manieth problem of a suite")
    parser.add_argument("--steps", type=int, default=16, help="of the joins")
    parser.add_argument("--eager", action="store_true", help="likely parts in front of all others, from the start")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("outputs/study_judged"))
    options = parser.parse_args(argv)
    tasks: list[Task] = [(k, options.seed, options.rows, options.judge) for k in range(options.pools)]
    found = complete(ranked_once, tasks, options.out / "ranked.jsonl")
    if tasks:
        print(ranked_report([row for each in found for row in each["rows"]]))
    numbers = {"held_out": range(options.problems)} if options.problems else {}
    numbers |= {suite: range(0, len(load_suite(suite)), options.every) for suite in options.suites}
    rows: dict[str, list[dict[str, Any]]] = {}
    for source, some in numbers.items():
        settings = (options.seed, options.steps, options.judge, int(options.eager))
        joined: list[Task] = [(source, k, *settings) for k in some]
        rows[source] = complete(solved_once, joined, options.out / "solved.jsonl")
    if rows:
        print(solved_report(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
