"""`pysr-neural bench solve`: PySR alone against PySR with the proposer, at equal wall-clock.

Owns: one paired comparison on a suite.  Does not own: suites (`suite`), the engine.

Every (problem, seed) is fitted by each arm in turn with the same data, budget and seed, in one process after a warm-up,
so that compilation is outside the clock and the model's own time inside.  All processes, the model's too, share the
given number of cores.  Solved means: some member of the front has a fraction of variance unexplained of at most 1.19e-7
on validation points.
"""

import argparse
import json
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.operators import Array
from pysr_neural.rng import generator
from pysr_neural_benchmarks.scoring import THRESHOLD
from pysr_neural_benchmarks.statistics import sign_test
from pysr_neural_benchmarks.suite import SuiteProblem, load_suite

STOP_AT = 1e-10
OPERATORS: dict[str, Any] = {
    "binary_operators": ["+", "-", "*", "/"],
    "unary_operators": ["sin", "cos", "exp", "log", "sqrt"],
}


def fit_once(problem: SuiteProblem, seed: int, budget: float, points: int, proposer: Any) -> dict[str, Any]:
    """Fit one problem once; returns whether it was solved, and the seconds used."""
    from pysr_neural import PySRRegressor

    rng = generator(seed, problem.suite, problem.name)
    X, y = problem.draw(2 * points, rng)
    stop = STOP_AT * float(np.var(y[:points]))
    model = PySRRegressor(
        **OPERATORS,
        maxsize=30,
        niterations=10**6,
        timeout_in_seconds=budget,
        early_stop_condition=stop,
        parallelism="serial",
        random_state=seed,
        progress=False,
        verbosity=0,
        temp_equation_file=True,
        neural_proposer=proposer,
    )
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*non-deterministic searches.*")  # Meant: a search takes its time.
        model.fit(X[:points], y[:points])
    seconds = time.perf_counter() - began
    best = min(_unexplained(model, i, X[points:], y[points:]) for i in model.equations_.index)
    report = getattr(model, "neural_report_", None)
    return {
        "problem": f"{problem.suite}/{problem.name}",
        "seed": seed,
        "solved": best <= THRESHOLD,
        "fvu": best,
        "seconds": seconds,
        "report": report.to_dict() if report is not None else None,
    }


def _unexplained(model: Any, index: int, X: Array, y: Array) -> float:
    with np.errstate(all="ignore"):
        return fraction_unexplained(np.asarray(model.predict(X, index=index), dtype=float), y)


def compare(
    problems: Sequence[SuiteProblem], arms: dict[str, Any], seeds: Sequence[int], budget: float, points: int, out: Path
) -> list[dict[str, Any]]:
    """Run all arms on all problems, in turn; appends each result to a file of JSON lines, and skips what it holds."""
    from tqdm import tqdm

    results = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    done = {(r["arm"], r["problem"], r["seed"]) for r in results}
    for proposer in arms.values():
        fit_once(problems[0], 10**6, 5.0, points, proposer)
    plan = [(p, s, a) for s in seeds for p in problems for a in arms if (a, f"{p.suite}/{p.name}", s) not in done]
    for problem, seed, arm in tqdm(plan, unit="fit"):
        result = {"arm": arm, "budget": budget, **fit_once(problem, seed, budget, points, arms[arm])}
        results.append(result)
        with out.open("a") as file:
            file.write(json.dumps(result) + "\n")
    return results


def summary(results: list[dict[str, Any]], arms: Sequence[str]) -> dict[str, Any]:
    """Count solved runs per arm, and the pairs that differ, with a two-sided sign test."""
    by_pair: dict[tuple[str, int], dict[str, bool]] = {}
    for r in results:
        by_pair.setdefault((r["problem"], r["seed"]), {})[r["arm"]] = r["solved"]
    pairs = [pair for pair in by_pair.values() if set(arms) <= set(pair)]
    first, second = arms[0], arms[-1]
    only_first = sum(pair[first] and not pair[second] for pair in pairs)
    only_second = sum(pair[second] and not pair[first] for pair in pairs)
    return {
        "pairs": len(pairs),
        **{f"solved_{arm}": sum(pair[arm] for pair in pairs) for arm in arms},
        f"only_{first}": only_first,
        f"only_{second}": only_second,
        "sign_test_p": sign_test(only_second, only_first),
    }


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural bench solve", description=__doc__.splitlines()[0])
    parser.add_argument("--suite", action="append", default=None, help="suite name or TOML file; may repeat")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every N-th problem")
    parser.add_argument("--budget", type=float, default=2.0, help="seconds per fit")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--cores", type=int, default=1, help="cores that everything shares")
    parser.add_argument("--checkpoint", default="default")
    parser.add_argument("--levels", default=None, help="comma-separated; default: the default levels")
    parser.add_argument("--out", type=Path, default=Path("outputs/solve.jsonl"))
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    from pysr_neural import NeuralProposer

    settings = {"checkpoint": options.checkpoint}
    if options.levels is not None:
        settings["levels"] = tuple(filter(None, options.levels.split(",")))
    arms = {"pysr": None, "neural": NeuralProposer(**settings)}
    problems = [p for name in options.suite or ["nguyen"] for p in load_suite(name)][:: options.every]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    result = summary(compare(problems, arms, seeds, options.budget, options.points, options.out), list(arms))
    print(
        f"Solved within {options.budget} s on {options.cores} core(s), {result['pairs']} paired runs: PySR "
        f"{result['solved_pysr']}, with the proposer {result['solved_neural']}; only PySR {result['only_pysr']}, only "
        f"with the proposer {result['only_neural']}, sign test p = {result['sign_test_p']:.3f}"
    )
    if options.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
