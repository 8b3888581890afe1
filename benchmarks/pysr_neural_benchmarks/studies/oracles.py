"""`pysr-neural study oracles`: what the joins would solve if they were told the truth about a problem.

Owns: the oracles, what a join told one of them solves, the report.  Does not own: the joins (`proposer.joins`).

A question to a model is worth asking only if its true answer helps.  Each oracle is one true answer: parts of the
formula, its outer operators, how its terms share the variables, its operators, its variables.  The joins work alone, a
fixed number of steps on each problem, so that the load of a machine does not matter.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from pysr_neural.errors import ConfigError
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained, refine
from pysr_neural.expression.node import Node, variable
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.parts import Parts
from pysr_neural.proposer.joins.search import FIT_ROWS, Joiner, Screen
from pysr_neural.rng import generator
from pysr_neural_benchmarks.judging.results import Task, complete
from pysr_neural_benchmarks.judging.scoring import THRESHOLD
from pysr_neural_benchmarks.pages import markdown_table
from pysr_neural_benchmarks.studies.command import end, study_parser
from pysr_neural_benchmarks.studies.judging import difference
from pysr_neural_benchmarks.suites.data import OPERATORS
from pysr_neural_benchmarks.suites.reader import SuiteProblem, load_suite
from pysr_neural_training.problems.labelled import LabelledPrior, Pool
from pysr_neural_training.problems.truths import below_outer, in_arithmetic, substituted, terms_of

POINTS, MAX_SIZE = 512, 30
LISTED = 10_000
"""Enumerated parts among which a judge could find a true one."""
REFINED, JUDGED, EVALUATIONS = 4, 40, 60
"""Answers whose constants are fitted; answers looked at; most evaluations of a fit."""
DUMMIES = 3
SUITES = {"erbench_choose": 4, "feynman": 6, "livermore": 2, "held_out": 1}
"""Every so manieth problem of a suite; the last are random problems that training leaves out."""
RANDOM = 60
SMALLEST = 10
"""Number of the random problems, fewest nodes of each."""
ORACLES = {
    "control": "control",
    "parts7": "true parts, at most 7 nodes",
    "parts5": "true parts, at most 5 nodes",
    "listed7": f"those of them among {LISTED:,} enumerated",
    "split": "outer operators, variables of each term or factor, pairs to substitute",
    "separate": "outer operators, terms of separate variables one by one",
    "operators": "operators",
    "dummies": f"control, with {DUMMIES} variables that do not matter",
}
WEAKER = {"parts5": "parts7", "listed7": "parts7", "dummies": "control"}
"""Not tried where neither the stronger one nor the control solves a problem."""


class Told(NamedTuple):
    """A problem as a join is told it.

    Parameters
    ----------
    tree : Node
        The answer.
    X, X_test : array, shape (rows, features)
    operators : OperatorSet
    parts : sequence of Node
        Put in front of the library.
    sides : sequence of set of int, or None
        A part holds variables of one of these only.
    """

    tree: Node
    X: Array
    X_test: Array
    operators: OperatorSet
    parts: Sequence[Node] = ()
    sides: Sequence[frozenset[int]] | None = None


@cache
def _problems(suite: str) -> list[SuiteProblem]:
    return load_suite(suite)


def _count(suite: str) -> int:
    return RANDOM if suite == "held_out" else len(_problems(suite))


def told(name: str, problem: Told, seed: int) -> Iterator[Told]:
    """Yield the problems that must all be solved with an oracle's help."""
    tree, X, X_test = problem.tree, problem.X, problem.X_test
    if name in {"parts5", "parts7"}:
        yield problem._replace(parts=true_parts(tree, int(name[-1])))
    elif name == "listed7":
        yield problem._replace(parts=listed(true_parts(tree, 7), X[:FIT_ROWS], problem.operators))
    elif name == "split":
        tree, steps = substituted(below_outer(tree), X.shape[1])
        for step in steps:
            X, X_test = (np.column_stack([each, evaluate(step, each)]) for each in (X, X_test))
        places = {old: new for new, old in enumerate(sorted(tree.variables()))}
        tree, kept = _renamed(tree, places), list(places)
        sides = [frozenset(term.variables()) for term in terms_of(tree)]
        yield problem._replace(tree=tree, X=X[:, kept], X_test=X_test[:, kept], sides=sides)
    elif name == "separate":
        terms = [below_outer(term) for term in terms_of(below_outer(tree)) if term.variables()]
        sides = [frozenset(term.variables()) for term in terms]
        apart = sum(map(len, sides)) == len(frozenset[int]().union(*sides))
        for term in terms if apart else [below_outer(tree)]:
            yield problem._replace(tree=term)
    elif name == "operators":
        used = {(each.operator, len(each.children)) for each in tree if each.operator is not None}
        used |= {("+", 2), ("*", 2)}
        pairs = zip(problem.operators.names, problem.operators.arities, strict=True)
        names, arities = zip(*[pair for pair in pairs if pair in used], strict=True)
        yield problem._replace(operators=OperatorSet(names, arities))
    elif name == "dummies":
        rng = generator(seed, "dummies")
        more = [rng.permuted(each[:, np.arange(DUMMIES) % each.shape[1]], axis=0) for each in (X, X_test)]
        yield problem._replace(X=np.hstack([X, more[0]]), X_test=np.hstack([X_test, more[1]]))
    else:
        yield problem


def true_parts(tree: Node, most: int) -> list[Node]:
    """Return the distinct subexpressions of at most so many nodes, the largest first."""
    found = [each for each in dict.fromkeys(tree) if 1 < each.size <= most and each.variables()]
    return sorted(found, key=lambda each: -each.size)


def listed(trees: Sequence[Node], X: Array, operators: OperatorSet) -> list[Node]:
    """Return those expressions whose values, up to a factor, are among the enumerated parts."""
    parts = Parts(X, operators, range(X.shape[1]))
    known = set(parts.enumerated(LISTED))
    found = [(tree, parts.add([tree])) for tree in trees]
    return [tree for tree, part in found if part and part[0] in known]


def _renamed(tree: Node, places: Mapping[int, int]) -> Node:
    if tree.index is not None:
        return variable(places[tree.index])
    if not tree.children:
        return tree
    return Node(tree.operator, tuple([_renamed(child, places) for child in tree.children]))


def of_sides(sides: Sequence[frozenset[int]] | None) -> Screen:
    """Make a screen that lets parts pass whose variables are all of one side."""

    def screen(parts: Parts, kept: list[int], most: int) -> list[int]:
        if sides is None:
            return kept
        return [part for part in kept if any(parts.tree(part).variables() <= side for side in sides)]

    return screen


def solves(problem: Told, steps: int) -> bool:
    """Tell whether so many steps of the joins solve a problem."""
    with np.errstate(all="ignore"):
        y, y_test = evaluate(problem.tree, problem.X), evaluate(problem.tree, problem.X_test)
    if not problem.tree.children:
        return True
    joiner = Joiner(problem.X, y, problem.operators, MAX_SIZE, screen=of_sides(problem.sides))
    joiner.given = joiner.parts.add(list(problem.parts))
    joiner.work(steps)
    for rank, tree in enumerate(joiner.answers.best()[:JUDGED]):
        fitted = refine(tree, problem.X, y, EVALUATIONS)[0] if rank < REFINED and not joiner.solved else tree
        if fraction_unexplained(evaluate(fitted, problem.X_test), y_test) <= THRESHOLD:
            return True
    return False


def run_once(suite: str, number: int, steps: int, seed: int) -> dict[str, Any]:
    """Measure one problem with each oracle; returns a row of the results file."""
    if suite == "held_out":
        pool = Pool(
            LabelledPrior(400, 2 * POINTS, SMALLEST, MAX_SIZE, held_out=True), generator(seed, "oracles", number)
        )
        drawn = next(each for each in iter(pool.attempt, 0) if each is not None)
        tree, X, operators = drawn.tree, pool.X, pool.operators
    else:
        given = _problems(suite)[number]
        X, _ = given.draw(2 * POINTS, generator(seed, "oracles", suite, number))
        tree, operators = in_arithmetic(given.tree), OperatorSet.of(*OPERATORS)
    problem = Told(tree, X[:POINTS], X[POINTS:], operators)
    found: dict[str, Any] = {"size": tree.size}
    for oracle in ORACLES:
        if oracle in WEAKER and not found[WEAKER[oracle]] and not found["control"]:
            found[oracle] = False
        else:
            found[oracle] = all(solves(each, steps) for each in told(oracle, problem, seed))
    return found


def report(rows: Mapping[str, Mapping[str, Sequence[bool]]], facts: Mapping[str, Any]) -> str:
    """Write the report.

    Parameters
    ----------
    rows : mapping
        Suite, oracle → which problems are solved.
    facts : mapping
        The settings.
    """
    suites = {name: rows[name] for name in rows} | {
        "all": {oracle: [each for name in rows for each in rows[name][oracle]] for oracle in ORACLES}
    }
    cells = []
    for oracle, label in ORACLES.items():
        line = [label]
        for found in suites.values():
            line.append(f"{sum(found[oracle])} of {len(found[oracle])}")
        mean, low, high = difference(suites["all"][oracle], suites["all"]["control"])
        cells.append(
            [*line, "" if oracle == "control" else f"{100 * mean:+.1f} ({100 * low:+.1f} … {100 * high:+.1f})"]
        )
    return f"""# What the joins would solve if they were told

`{facts["command"]}`

{POINTS} rows, as many to test on (FVU at most 2^-23), {facts["steps"]} steps of the joins, no search, no model; the
constants of the best {REFINED} answers are fitted. Points of difference to the control, paired, with 95 % intervals:

{markdown_table(["told", *suites, "difference"], cells)}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = study_parser("oracles", __doc__)
    parser.add_argument("--suites", nargs="+", default=list(SUITES))
    parser.add_argument("--steps", type=int, default=16, help="of the joins, on each problem")
    parser.add_argument("--seed", type=int, default=0, help="of the data")
    parser.add_argument("--every", type=int, default=0, help="every so manieth problem; 0 for each suite's own share")
    options = parser.parse_args(argv)
    if options.steps < 1 or options.every < 0:
        raise ConfigError(f"--steps must be at least 1, --every at least 0; got {options.steps} and {options.every}.")
    tasks: list[Task] = [
        (suite, number, options.steps, options.seed)
        for suite in options.suites
        for number in range(0, _count(suite), options.every or SUITES.get(suite, 1))
    ]
    found = complete(run_once, tasks, options.out / "results.jsonl")
    rows: dict[str, dict[str, list[bool]]] = {}
    for (suite, *_), row in zip(tasks, found, strict=True):
        for oracle in ORACLES:
            rows.setdefault(str(suite), {}).setdefault(oracle, []).append(row[oracle])
    command = f"--suites {' '.join(options.suites)} --steps {options.steps} --seed {options.seed}"
    text = report(rows, {"steps": options.steps, "command": f"pysr-neural study oracles {command}"})
    solved = {suite: {oracle: sum(each) for oracle, each in arms.items()} for suite, arms in rows.items()}
    return end(text, {"steps": options.steps, "seed": options.seed, "solved": solved}, options)


if __name__ == "__main__":
    raise SystemExit(main())
