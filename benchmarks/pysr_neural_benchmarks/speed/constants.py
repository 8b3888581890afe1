"""`pysr-neural bench constants`: how well and how fast constants are fitted, beside the fit before and SciPy's.

Owns: the measurement.  Does not own: the fit (`pysr_neural.expression.fit`), the one before it (`speed.before`).

Each formula of the suites gets the constant 1 in place of every constant, exponents included, and is fitted from that
one start with one budget.  It counts as reached if the result leaves a fraction of variance unexplained of at most
2^-23 on rows that the fit has not seen.  The methods take turns, each with all formulas in a row, as an engine or a
request fits many; processor time is counted, the fastest round of each fit.  Formulas without constants count in the
share, as in the published figure (an oracle with the true form and 64 restarts reaches .733 of FastSRB), and not in the
speed.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained, refine
from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.rng import generator
from pysr_neural_benchmarks.speed.before import refine_before, refine_by_scipy
from pysr_neural_benchmarks.suites.reader import load_suite

SUITES = ("fastsrb", "feynman", "livermore")
ROWS = 512
"""For the fit, and as many to validate it."""
THRESHOLD = 2.0**-23
TARGET_SHARE, TARGET_RATIO = 0.8, 5.0

Fit = Callable[[Node, Array, Array], tuple[Node, float]]
METHODS: Mapping[str, Fit] = MappingProxyType({"refine": refine, "before": refine_before, "scipy": refine_by_scipy})


@dataclass(frozen=True)
class Result:
    """What one method made of one formula.

    Parameters
    ----------
    suite, name, method : str
    constants : int
        Number of them.
    fvu : float
        On the rows for validation.
    seconds : float
        Of the processor.
    """

    suite: str
    name: str
    method: str
    constants: int
    fvu: float
    seconds: float

    @property
    def reached(self) -> bool:
        """Whether the fit counts."""
        return self.fvu <= THRESHOLD


@dataclass(frozen=True, eq=False)
class Case:
    """One formula with all constants 1, and its data: for the fit first, then for validation.

    Parameters
    ----------
    suite, name : str
    tree : Node
    X : array, shape (2 * ROWS, features)
    y : array, shape (2 * ROWS,)
    """

    suite: str
    name: str
    tree: Node
    X: Array
    y: Array


def cases(suites: Sequence[str], every: int, seed: int) -> list[Case]:
    """Draw the data of every n-th formula of some suites."""
    found = []
    for suite in suites:
        for source in load_suite(suite)[::every]:
            X, y = source.draw(2 * ROWS, generator(seed, "bench constants", suite, source.name))
            tree = source.tree.with_constants([1.0] * len(source.tree.constants()))
            found.append(Case(suite, source.name, tree, X, y))
    return found


def measure(given: Sequence[Case], rounds: int, methods: Sequence[str]) -> list[Result]:
    """Fit every formula by every method; the methods take turns, each fits all formulas in a row."""
    results: dict[tuple[int, str], Result] = {}
    for _ in range(rounds):
        for method in methods:
            for place, case in enumerate(given):
                X, y = case.X[:ROWS].copy(), case.y[:ROWS].copy()
                began = time.thread_time()
                fitted, _ = METHODS[method](case.tree, X, y)
                seconds = time.thread_time() - began
                known = results.get((place, method))
                if known is not None and seconds >= known.seconds:
                    continue
                fvu = fraction_unexplained(evaluate(fitted, case.X[ROWS:]), case.y[ROWS:])
                count = len(case.tree.constants())
                results[place, method] = Result(case.suite, case.name, method, count, fvu, seconds)
    return list(results.values())


def summary(results: Sequence[Result]) -> dict[str, Any]:
    """Return the figures.

    Returns
    -------
    dict
        ``share`` and ``fits_per_second`` of `refine` over all suites, ``ratio_to_before`` of its speed; ``methods``: by
        method the same, and by suite under ``suites``; ``missed``: by method the formulas that it did not reach.
    """
    methods = {}
    for method in dict.fromkeys(each.method for each in results):
        own = [each for each in results if each.method == method]
        suites = dict.fromkeys(each.suite for each in own)
        by_suite = {suite: _figures([each for each in own if each.suite == suite]) for suite in suites}
        methods[method] = {**_figures(own), "suites": by_suite}
    if "before" in methods:
        for figures in methods.values():
            figures["ratio_to_before"] = figures["fits_per_second"] / methods["before"]["fits_per_second"]
            for suite, each in figures["suites"].items():
                before = methods["before"]["suites"][suite]["fits_per_second"]
                each["ratio_to_before"] = each["fits_per_second"] / before
    missed = {
        method: [f"{each.suite}/{each.name}" for each in results if each.method == method and not each.reached]
        for method in methods
    }
    first = {key: value for key, value in methods["refine"].items() if key != "suites"}
    return {**first, "methods": methods, "missed": missed}


def _figures(results: Sequence[Result]) -> dict[str, Any]:
    fitted = [each for each in results if each.constants]
    seconds = sum(each.seconds for each in fitted)
    return {
        "share": sum(each.reached for each in results) / len(results),
        "reached": sum(each.reached for each in results),
        "formulas": len(results),
        "with_constants": len(fitted),
        "fits_per_second": len(fitted) / seconds if seconds else 0.0,
        "median_milliseconds": 1e3 * float(np.median([each.seconds for each in fitted])) if fitted else 0.0,
    }


def table(figures: Mapping[str, Any]) -> str:
    """Write the result as text."""
    lines = [f"{'':<12}{'suite':<12}{'reached':>12}{'share':>8}{'fits/s':>9}{'median ms':>11}{'× before':>10}"]
    for method, own in figures["methods"].items():
        for suite, each in [*own["suites"].items(), ("all", own)]:
            lines.append(
                f"{method:<12}{suite:<12}{each['reached']:>6} of {each['formulas']:<3}{each['share']:>7.3f}"
                f"{each['fits_per_second']:>9,.0f}{each['median_milliseconds']:>11.2f}"
                f"{each.get('ratio_to_before', float('nan')):>10.2f}"
            )
    lines.append("Not reached by refine: " + (", ".join(figures["missed"]["refine"]) or "none") + ".")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if share and speed reach their aims, else 1."""
    parser = argparse.ArgumentParser(prog="pysr-neural bench constants", description=__doc__.split("\n")[0])
    parser.add_argument("--suite", nargs="+", default=list(SUITES), help="whose true formulas are fitted")
    parser.add_argument("--every", type=int, default=1, help="take every n-th formula")
    parser.add_argument("--rounds", type=int, default=3, help="of which the fastest counts")
    parser.add_argument("--seed", type=int, default=0, help="of the data")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    methods = list(dict.fromkeys(["refine", *options.methods]))
    results = measure(cases(options.suite, max(options.every, 1), options.seed), max(options.rounds, 1), methods)
    figures = summary(results)
    print(table(figures))
    if options.json:
        print(json.dumps(figures))
    enough = figures.get("ratio_to_before", np.inf) >= TARGET_RATIO and figures["share"] >= TARGET_SHARE
    return 0 if enough else 1


if __name__ == "__main__":
    raise SystemExit(main())
