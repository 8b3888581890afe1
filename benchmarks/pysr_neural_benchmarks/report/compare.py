"""`pysr-neural bench compare`: two methods head to head: the story of one problem, many runs, how compute pays.

Owns: the comparison's tables, its trajectories, its pages.  Does not own: runs (`runner.run`), their figures
(`judging.scoring`).

Runs are made as `bench run` makes them, and kept in the folder.  With one problem and one seed, the story is told:
when each method's best equation changed, generation by generation, to what.  With more, figures over all runs: final
loss, share solved, evaluations and seconds to solve, and of neural help the share of samples that were usable and that
were accepted.  Scaling is read off the same runs: what was solved by 10, 100, … evaluations (samples, for direct
prediction), by so many iterations, by so many seconds.
"""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median, pstdev
from typing import Any

import numpy as np

from pysr_neural.errors import ConfigError
from pysr_neural_benchmarks.judging.scoring import solved_at, value_at
from pysr_neural_benchmarks.pages import Curve, markdown_table, panels, small
from pysr_neural_benchmarks.runner import published
from pysr_neural_benchmarks.runner.plan import Plan
from pysr_neural_benchmarks.runner.run import add_data_options, plan_of, run
from pysr_neural_training.workers import Workers

Row = Mapping[str, Any]
AXES = ("evaluations", "iterations", "seconds")
MOMENTS = 80
LONGEST = 70
STORIES = 3
"""Most problems whose stories are told."""


def story(row: Row) -> str:
    """Tell when a run's best equation changed: iteration, evaluations, seconds, loss, equation."""
    lines = [
        [f"{iteration}", f"{evaluations:,}", f"{seconds:.2f}", small(loss), f"`{_short(equation)}`"]
        for seconds, evaluations, iteration, loss, equation in row["story"]
    ]
    if row["seconds_to_solution"] is not None:
        lines.append(["", "", f"{row['seconds_to_solution']:.2f}", "", "solved"])
    return markdown_table(["iteration", "evaluations", "seconds", "mean squared error", "best equation"], lines)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def figures(rows: Sequence[Row]) -> list[str]:
    """Return what many runs of one method come to, as cells of a table."""
    good = [row for row in rows if row["status"] == "ok"]
    losses = [min(_number(row["fvu"]), 1.0) for row in good]
    solved = [row for row in good if row["solved"]]
    if not good:
        return [str(len(rows)), *["–"] * 9]
    return [
        str(len(rows)),
        small(fmean(losses)),
        small(median(losses)),
        small(pstdev(losses)),
        f"{len(solved)} ({100 * len(solved) / len(rows):.0f} %)",
        _middle(row["evaluations_to_solution"] for row in solved),
        _middle(row["seconds_to_solution"] for row in solved),
        f"{sum(row['evaluations'] for row in good) / max(sum(row['seconds'] for row in good), 1e-9):,.0f}",
        _usable(good),
        _accepted(good),
    ]


HEADER = [
    "method", "runs", "mean", "median", "deviation", "solved", "evaluations to solve", "seconds to solve",
    "evaluations per second", "usable", "accepted",
]  # fmt: skip


def _number(value: Any) -> float:
    return math.inf if value is None else float(value)


def _middle(values: Any) -> str:
    known = [float(value) for value in values]
    return f"{median(known):.4g}" if known else "–"


def _usable(rows: Sequence[Row]) -> str:
    """Return the share of the model's proposals that an engine could take: well-formed and within its limits."""
    told = [row["counters"] for row in rows if "served" in (row["counters"] or {})]
    served = sum(each["served"] for each in told)
    refused = sum(sum(each.get("invalid", {}).values()) for each in told)
    return f"{100 * served / (served + refused):.1f} %" if served + refused else "–"


def _accepted(rows: Sequence[Row]) -> str:
    told = [row["counters"] for row in rows if "served" in (row["counters"] or {})]
    served = sum(each["served"] for each in told)
    return f"{100 * sum(each['accepted'] for each in told) / served:.1f} %" if served else "–"


def scaling(rows: Sequence[Row], methods: Sequence[str], axis: str) -> list[list[str]]:
    """Return the share solved and the median fraction unexplained by powers of ten of a cost, for each method."""
    most = max((curve[-1] for row in rows if row["status"] == "ok" and len(curve := row[f"curve_{axis}"])), default=0)
    start = -1 if axis == "seconds" else 1
    moments = [10.0**power for power in range(start, 10) if 10.0**power < most] + [float(most)] * (most > 0)
    lines = []
    for moment in moments:
        cells = [f"{moment:.4g}"]
        for method in methods:
            mine = [row for row in rows if row["method"] == method]
            good = [row for row in mine if row["status"] == "ok"]
            if not good:
                cells.append("–")
                continue
            share = sum(solved_at(row, axis, moment) for row in good) / len(mine)
            cells.append(f"{100 * share:.0f} %, {small(median(value_at(row, 'fvu', axis, moment) for row in good))}")
        lines.append(cells)
    return lines


def trajectories(rows: Sequence[Row], methods: Sequence[str], axis: str) -> dict[str, dict[str, Curve]]:
    """Return each problem's median fraction unexplained along a cost, a curve per method."""
    good = [row for row in rows if row["status"] == "ok"]
    most = max((float(row[axis]) for row in good), default=1.0)
    grid = np.geomspace(max(most / 1e3, 0.01), max(most, 0.02), MOMENTS).tolist()
    found: dict[str, dict[str, Curve]] = {}
    for problem in dict.fromkeys(row["problem"] for row in good):
        found[problem] = {
            method: (grid, [median(value_at(row, "fvu", axis, at) for row in mine) for at in grid])
            for method in methods
            if (mine := [row for row in good if (row["method"], row["problem"]) == (method, problem)])
        }
    return found


def page(rows: Sequence[Row], methods: Sequence[str], command: str) -> str:
    """Return the comparison as Markdown."""
    problems = list(dict.fromkeys(str(row["problem"]) for row in rows))
    parts = [f"# {' against '.join(methods)}", f"`{command}`"]
    parts += [
        "Losses are fractions of variance unexplained on unseen rows, by the best member of the front, at most 1. "
        "Usable: share of the model's proposals that were well-formed and within the search's limits; accepted: of "
        "those taken.",
        "## All runs",
        markdown_table(HEADER, [[method, *figures([r for r in rows if r["method"] == method])] for method in methods]),
    ]
    if len(problems) > 1:
        parts += ["## Problem by problem"]
        lines = [
            [f"{problem}, {method}", *figures([r for r in rows if (r["problem"], r["method"]) == (problem, method)])]
            for problem in problems
            for method in methods
        ]
        parts.append(markdown_table(["problem, method", *HEADER[1:]], lines))
    for axis in AXES:
        parts += [
            f"## Solved, and median fraction unexplained, by {axis}",
            markdown_table([axis, *methods], scaling(rows, methods, axis)),
        ]
    parts += ["## Trajectories", "![Fraction unexplained over time](trajectories.png)", "## Stories"]
    for problem in problems[:STORIES]:
        for method in methods:
            row = next((r for r in rows if (r["problem"], r["method"]) == (problem, method)), None)
            if row is not None:
                told = story(row) if row["status"] == "ok" else f"{row['status']}: {row['message']}"
                parts += [f"### {problem}, {method}, seed {row['seed']}", told]
    return "\n\n".join(parts) + "\n"


def compare(plan: Plan, folder: Path, workers: Workers, command: Sequence[str]) -> str:
    """Make the runs that the folder lacks, and write ``compare.md`` and ``trajectories.png``; returns the page."""
    known = {job.key for job in plan.jobs()}
    rows = [row for row in run(plan, folder, workers, command) if _key(row) in known]
    text = page(rows, plan.methods, published.command(command))
    curves = trajectories(rows, plan.methods, "seconds" if plan.limits.seconds is not None else "evaluations")
    if curves:
        label = "seconds" if plan.limits.seconds is not None else "evaluations"
        panels(curves, folder / "trajectories.png", label, "fraction unexplained (median)", min(3, len(curves)))
    (folder / "compare.md").write_text(text, encoding="utf-8")
    return text


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("method", "suite", "problem", "draw", "noise", "points", "seed"))


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    given = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(prog="pysr-neural bench compare", description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs=2, metavar="METHOD", help="NAME[:ARGUMENT][@CHECKPOINT]; see `bench suites`")
    parser.add_argument("--out", type=Path, required=True, help="folder; the same command again continues it")
    add_data_options(parser)
    options = parser.parse_args(given)
    if options.methods[0] == options.methods[1]:
        raise ConfigError(f"Two different methods are compared; got {options.methods[0]!r} twice.")
    workers = Workers(options.workers, options.scheduler, options.slurm)
    print(compare(plan_of(options), options.out, workers, ["pysr-neural", "bench", "compare", *given]))
    print(f"Written to {options.out / 'compare.md'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
