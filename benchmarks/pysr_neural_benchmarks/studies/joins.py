"""`pysr-neural study joins`: how many problems the joins solve alone, without a model or an engine, by seconds.

Owns: the run of a `Joiner` on a suite's problems, the table.  Does not own: joins (`proposer.joins`), suites.

Seconds are of the processor, of one thread.  A problem is solved if one of the best answers leaves at most 2^-23 of the
variance of fresh rows.  Ways to look for answers can be left out, to see what each is worth.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.node import Node
from pysr_neural.expression.text import to_string
from pysr_neural.proposer.joins.search import WAYS, Joiner
from pysr_neural.rng import generator
from pysr_neural_benchmarks.judging.scoring import THRESHOLD
from pysr_neural_benchmarks.pages import markdown_table
from pysr_neural_benchmarks.suites.data import Case, Drawn, draw
from pysr_neural_benchmarks.suites.reader import load_suite

SHOWN = 30
"""Answers of each problem that are compared with the truth."""
MARKS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
SUITES = ("erbench_choose",)


@dataclass(frozen=True)
class Run:
    """What came of one problem.

    Parameters
    ----------
    suite, problem, formula : str
    seconds : float
        Until it was solved; infinite if it was not.
    unexplained : float
        Of the fresh rows, by the best answer.
    answer : str
    """

    suite: str
    problem: str
    formula: str
    seconds: float
    unexplained: float
    answer: str


def joined(drawn: Drawn, seconds: float, ways: frozenset[str], seed: int) -> tuple[float, float, str]:
    """Join for some seconds; returns when it was solved, what the best answer leaves of fresh rows, and that answer."""
    problem = drawn.problem
    rows = generator(seed, "rows").permutation(len(problem.y))
    began = time.process_time()
    joiner = Joiner(problem.X[rows], problem.y[rows], problem.operators, problem.limits.most_nodes(), ways=ways)
    least, solved = inf, inf
    while solved == inf and not joiner.solved and time.process_time() - began < seconds and not joiner.done:
        joiner.work(1)
        if joiner.answers.least < least:
            least = joiner.answers.least
            if least <= 2 * THRESHOLD and _best(joiner, drawn)[0] <= THRESHOLD:
                solved = time.process_time() - began
    unexplained, tree = _best(joiner, drawn)
    return solved, unexplained, "" if tree is None else to_string(tree)


def _best(joiner: Joiner, drawn: Drawn) -> tuple[float, Node | None]:
    with np.errstate(all="ignore"):
        found = [
            (fraction_unexplained(evaluate(tree, drawn.X_test), drawn.y_test), tree)
            for tree in joiner.answers.best()[:SHOWN]
        ]
    return min(found, key=lambda pair: pair[0], default=(inf, None))


def runs_of(
    suites: Sequence[str], names: Sequence[str], every: int, seconds: float, ways: frozenset[str], seed: int
) -> Iterator[Run]:
    """Run the problems of suites whose names begin with one of those given, or every so manieth."""
    for suite in suites:
        problems = load_suite(suite)
        chosen = [each for each in problems if each.name in names] if names else problems[::every]
        for source in chosen:
            drawn = draw(source, Case(suite, source.name, data_seed=seed))
            yield Run(suite, source.name, source.formula, *joined(drawn, seconds, ways, seed))


def report(runs: Sequence[Run], seconds: float) -> tuple[str, dict[str, dict[str, int]]]:
    """Return a table of problems solved by seconds, and the same by name."""
    marks = [*(mark for mark in MARKS if mark < seconds), seconds]
    lines, counts = [], {}
    for suite in dict.fromkeys(run.suite for run in runs):
        mine = [run for run in runs if run.suite == suite]
        solved = {f"{mark:g}": sum(run.seconds <= mark for run in mine) for mark in marks}
        counts[suite] = {"problems": len(mine), **solved}
        lines.append([suite, str(len(mine)), *map(str, solved.values())])
    return markdown_table(["suite", "problems", *(f"{mark:g} s" for mark in marks)], lines), counts


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural study joins", description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="*", default=SUITES, help=f"default {' '.join(SUITES)}")
    parser.add_argument("--problems", nargs="*", default=(), help="only these, by name")
    parser.add_argument("--every", type=int, default=1, help="every so manieth problem (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of the processor, per problem (%(default)s)")
    parser.add_argument("--without", nargs="*", default=(), help=f"ways to leave out, of {', '.join(sorted(WAYS))}")
    parser.add_argument("--seed", type=int, default=0, help="of the data (default %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="a line per problem")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    for way in options.without:
        if way not in WAYS:
            raise ConfigError(f"A way must be one of {sorted(WAYS)}; got {way!r}{did_you_mean(way, WAYS)}.")
    ways = frozenset(WAYS) - set(options.without)
    runs = []
    for run in runs_of(options.suites, options.problems, options.every, options.seconds, ways, options.seed):
        runs.append(run)
        if options.verbose:
            print(f"{run.seconds:6.2f} {run.unexplained:8.1e} {run.problem}: {run.formula} | {run.answer}", flush=True)
    table, counts = report(runs, options.seconds)
    print(table)
    if options.json:
        print(json.dumps(counts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
