"""`pysr-neural study joins`: how many problems the joins solve alone, without a model or an engine, by seconds.

Owns: the run of a `Joiner` on a suite's problems, the table.  Does not own: joins (`proposer.joins`), suites.

Seconds are of the processor, of one thread, and of the joins alone.  A problem is solved if one of the best answers
leaves at most 2^-23 of the variance of fresh rows without noise; with noise in the rows that are joined, at most a
twentieth of the noise's variance.  Ways to look for answers can be left out, to see what each is worth; variables that
do not matter can be added, each a column in an order of its own.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
ALLOWED = 0.05
"""Share of the noise's variance that an answer may be off by: so much as some ten coefficients fitted to 200 rows."""
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


def with_dummies(drawn: Drawn, count: int, rng: np.random.Generator) -> Drawn:
    """Add columns that y does not depend on, drawn as the others are, all columns in a random order."""
    if not count:
        return drawn
    X, X_test = drawn.problem.X, drawn.X_test
    order = rng.permutation(X.shape[1] + count)
    wider = []
    for each in (X, X_test):
        more = rng.permuted(each[:, np.arange(count) % each.shape[1]], axis=0)
        wider.append(np.hstack([each, more])[:, order])
    return Drawn(replace(drawn.problem, X=wider[0]), wider[1], drawn.y_test)


def joined(drawn: Drawn, seconds: float, ways: frozenset[str], seed: int, bar: float) -> tuple[float, float, str]:
    """Join for some seconds; returns when it was solved, what the best answer leaves of fresh rows, and that answer."""
    problem = drawn.problem
    rows = generator(seed, "rows").permutation(len(problem.y))
    began = time.process_time()
    joiner = Joiner(problem.X[rows], problem.y[rows], problem.operators, problem.limits.most_nodes(), ways=ways)
    spent = time.process_time() - began
    least = inf
    while not joiner.solved and spent < seconds and not joiner.done:
        began = time.process_time()
        joiner.work(1)
        spent += time.process_time() - began
        if bar > THRESHOLD or (joiner.answers.least < least and joiner.answers.least <= 2 * THRESHOLD):
            unexplained, tree = _best(joiner, drawn)
            if tree is not None and unexplained <= bar:
                return spent, unexplained, to_string(tree)
        least = joiner.answers.least
    unexplained, tree = _best(joiner, drawn)
    return spent if unexplained <= bar else inf, unexplained, "" if tree is None else to_string(tree)


def _best(joiner: Joiner, drawn: Drawn) -> tuple[float, Node | None]:
    with np.errstate(all="ignore"):
        found = [
            (fraction_unexplained(evaluate(tree, drawn.X_test), drawn.y_test), tree)
            for tree in joiner.answers.best()[:SHOWN]
        ]
    return min(found, key=lambda pair: pair[0], default=(inf, None))


@dataclass(frozen=True)
class Setting:
    """How problems are drawn and joined.

    Parameters
    ----------
    seconds : float
        Of the processor, per problem.
    ways : frozenset of str
        See `WAYS`.
    seed : int
        Of the data.
    dummies : int
        Variables that do not matter.
    noise : float
        Standard deviation over that of y.
    """

    seconds: float = 1.0
    ways: frozenset[str] = WAYS
    seed: int = 0
    dummies: int = 0
    noise: float = 0.0

    @property
    def bar(self) -> float:
        """Largest share of fresh rows' variance that an answer may leave."""
        return max(THRESHOLD, ALLOWED * self.noise**2)


def runs_of(suites: Sequence[str], names: Sequence[str], every: int, setting: Setting) -> Iterator[Run]:
    """Run the problems of suites whose names are among those given, or every so manieth."""
    for suite in suites:
        problems = load_suite(suite)
        chosen = [each for each in problems if each.name in names] if names else problems[::every]
        for source in chosen:
            drawn = draw(source, Case(suite, source.name, noise=setting.noise, data_seed=setting.seed))
            drawn = with_dummies(drawn, setting.dummies, generator(setting.seed, "dummies", suite, source.name))
            found = joined(drawn, setting.seconds, setting.ways, setting.seed, setting.bar)
            yield Run(suite, source.name, source.formula, *found)


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
    parser.add_argument("--dummies", type=int, default=0, help="variables added that do not matter (%(default)s)")
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation over that of y (%(default)s)")
    parser.add_argument("--verbose", action="store_true", help="a line per problem")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    for way in options.without:
        if way not in WAYS:
            raise ConfigError(f"A way must be one of {sorted(WAYS)}; got {way!r}." + did_you_mean(way, WAYS))
    ways = frozenset(WAYS) - set(options.without)
    setting = Setting(options.seconds, ways, options.seed, options.dummies, options.noise)
    runs = []
    for run in runs_of(options.suites, options.problems, options.every, setting):
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
