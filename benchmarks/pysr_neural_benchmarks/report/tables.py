"""The tables of a report, as plain rows of text.

Owns: which figures are shown, their rounding.  Does not own: figures (`judging.scoring`,
`judging.statistics`), form (`report.page`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from pysr_neural_benchmarks.judging.scoring import THRESHOLD, solved_at, value_at
from pysr_neural_benchmarks.judging.statistics import Comparison, Estimate, compare_all, estimate

Row = Mapping[str, Any]
BASELINES = ("pysr", "basicsr")
"""What other methods are compared with: the first of these that was run, or else the first method."""
MOMENTS = {"seconds": (1, 2, 3, 5, 10, 30, 60), "evaluations": (1e3, 1e4, 1e5, 1e6)}
UNITS = {"seconds": "s", "evaluations": "evaluations"}


@dataclass(frozen=True)
class Table:
    """A table of text; all columns but the first few are numbers.

    Parameters
    ----------
    title : str
    header : tuple of str
    rows : sequence of tuple of str
    note : str
    """

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


@dataclass(frozen=True)
class Results:
    """All runs of a benchmark, and how they are read.

    Parameters
    ----------
    rows : sequence of Row
    plan : mapping
        As `runner.store.begin` wrote it.
    """

    rows: Sequence[Row]
    plan: Mapping[str, Any]

    @property
    def methods(self) -> list[str]:
        """Methods in the order of the plans."""
        named = [method for plan in self.plan["plans"] for method in plan["methods"]]
        return [method for method in dict.fromkeys(named) if any(row["method"] == method for row in self.rows)]

    @property
    def suites(self) -> list[str]:
        """Suites in the order of their runs."""
        return list(dict.fromkeys(str(row["suite"]) for row in self.rows))

    @property
    def baseline(self) -> str:
        """The method that others are compared with."""
        return next((name for name in BASELINES if name in self.methods), self.methods[0])

    @property
    def axis(self) -> str:
        """What the budget limits: ``"seconds"``, or ``"evaluations"`` if only they are limited."""
        return "seconds" if self.plan["limits"]["seconds"] is not None else "evaluations"

    @property
    def moments(self) -> list[float]:
        """The budgets that are reported: the whole one, and shorter ones read off the curves."""
        whole = float(self.plan["limits"][self.axis])
        return [*[float(moment) for moment in MOMENTS[self.axis] if moment < whole], whole]

    @property
    def plain(self) -> Sequence[Row]:
        """Runs of the first noise level and number of points."""
        first = (self.plan["plans"][0]["noise"][0], self.plan["plans"][0]["points"][0])
        return [row for row in self.rows if (row["noise"], row["points"]) == first]

    def solved(self, row: Row, moment: float, column: str = "fvu") -> float:
        """Return 1 if a run had solved its problem by a moment, else 0; a failed run has not."""
        return float(row["status"] == "ok" and solved_at(row, self.axis, moment, column))

    def of(self, method: str, rows: Sequence[Row] | None = None) -> list[Row]:
        """Return a method's runs."""
        return [row for row in (self.plain if rows is None else rows) if row["method"] == method]


def budget_text(moment: float, axis: str) -> str:
    """Write a budget."""
    return f"{moment:g} {UNITS[axis]}"


def share(estimated: Estimate) -> str:
    """Write a share in percent with its interval."""
    if estimated.problems == 0:
        return "–"
    return f"{100 * estimated.mean:.0f} % ({100 * estimated.low:.0f}–{100 * estimated.high:.0f})"


def comparisons(results: Results) -> list[Comparison]:
    """Compare every method with the baseline, at the whole budget."""
    whole, base = results.moments[-1], results.baseline
    pairs = [(method, base) for method in results.methods if method != base]
    return compare_all(pairs, results.plain, lambda row: results.solved(row, whole))


def summary(results: Results) -> Table:
    """Return what matters most: share solved at every budget, and how each method stands against the baseline."""
    verdicts = {each.first: each for each in comparisons(results)}
    rows = []
    for method in results.methods:
        mine = results.of(method)
        shares = [share(estimate(mine, lambda row, at=moment: results.solved(row, at))) for moment in results.moments]  # type: ignore[misc]
        verdict = verdicts[method].verdict if method in verdicts else "baseline"
        rows.append((method, *shares, verdict, str(len(mine))))
    header = ("method", *[f"solved by {budget_text(at, results.axis)}" for at in results.moments], "verdict", "runs")
    note = (
        f"Solved: some member of the front leaves at most {THRESHOLD:g} of the variance of unseen rows unexplained. "
        "Mean over draws and seeds, then problems; in brackets the central 95 % when problems are drawn anew. "
        f"The verdict compares the whole budget with {results.baseline}, corrected for {len(verdicts)} comparison(s)."
    )
    return Table("Problems solved", header, rows, note)


def one_formula(results: Results) -> Table | None:
    """Return the share solved by the one formula; None of runs from before its curve was kept."""
    if not all("curve_one_fvu" in row for row in results.plain if row["status"] == "ok"):
        return None
    rows = []
    for method in results.methods:
        mine = results.of(method)
        at_moments = [
            share(estimate(mine, lambda row, at=moment: results.solved(row, at, "one_fvu")))  # type: ignore[misc]
            for moment in results.moments
        ]
        rows.append((method, *at_moments))
    header = ("method", *[f"solved by {budget_text(at, results.axis)}" for at in results.moments])
    note = (
        "As above, but only the one formula counts that would be handed over, of the least description length on the "
        "rows searched; what is published is mostly this."
    )
    return Table("Problems solved by the one formula", header, rows, note)


def by_suite(results: Results) -> Table:
    """Return the share solved suite by suite at the whole budget, by any formula of the front and by the one."""
    whole = results.moments[-1]
    both = one_formula(results) is not None
    rows = []
    for method in results.methods:
        for column in ("fvu", "one_fvu") if both else ("fvu",):
            cells = [
                share(
                    estimate(
                        [row for row in results.of(method) if row["suite"] == suite],
                        lambda row, at=column: results.solved(row, whole, at),  # type: ignore[misc]
                    )
                )
                for suite in results.suites
            ]
            rows.append((f"{method}, one formula" if column == "one_fvu" else method, *cells))
    return Table(f"Suite by suite, solved by {budget_text(whole, results.axis)}", ("method", *results.suites), rows)


def quality(results: Results) -> Table:
    """Return the other figures of each method's runs."""
    rows = []
    for method in results.methods:
        rows.append((method, *_quality(results.of(method), results)))
    header = (
        "method", "recovered, front", "recovered, one formula", "R² of it (median)", "nodes of it (median)",
        "hypervolume (mean)", f"{results.axis} to solution (median)", "evaluations per second",
    )  # fmt: skip
    note = (
        "Recovered: SymPy finds the formula, up to a constant term or factor (SRBench); runs about which it could not "
        "tell in time are left out, failed ones are not recovered. Time to solution is censored: › where at least half "
        "of the runs did not solve."
    )
    return Table("Quality of what was found", header, rows, note)


def _quality(mine: Sequence[Row], results: Results) -> tuple[str, ...]:
    rows = [row for row in mine if row["status"] == "ok"]
    if not rows:
        return ("–",) * 7
    times = sorted(_or_infinite(row.get(f"{results.axis}_to_solution")) for row in mine)
    middle = times[(len(times) - 1) // 2]
    known = [1 - min(_or_infinite(row["one_fvu"]), 1.0) for row in rows]
    sizes = [row["one_complexity"] for row in rows if row["one_complexity"] is not None]
    seconds = sum(row["seconds"] for row in rows)
    return (
        _told(mine, "recovered"),
        _told(mine, "recovered_one"),
        f"{median(known):.4f}",
        f"{median(sizes):g}" if sizes else "–",
        f"{fmean(value_at(row, 'hypervolume', results.axis, results.moments[-1]) for row in rows):.3f}",
        f"{middle:.3g}" if middle < float("inf") else f"› {results.moments[-1]:g}",
        f"{sum(row['evaluations'] for row in rows) / seconds:,.0f}" if seconds else "–",
    )


def _or_infinite(value: Any) -> float:
    return float("inf") if value is None or value != value else float(value)


def _told(rows: Sequence[Row], name: str) -> str:
    known = [row for row in rows if row["status"] != "ok" or row.get(name) is not None]
    return share(estimate(known, lambda row: float(row.get(name) or 0.0))) if known else "–"


def _points(difference: Estimate) -> str:
    return f"{100 * difference.mean:+.1f} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"


def pairs(results: Results) -> Table:
    """Return every method against the baseline."""
    rows = [
        (
            f"{each.first} − {each.second}",
            _points(each.difference),
            str(each.only_first),
            str(each.only_second),
            f"{each.p_wilcoxon:.3g}",
            f"{each.p_sign:.3g}",
            f"{each.p_corrected:.3g}",
            each.verdict,
        )
        for each in comparisons(results)
    ]
    header = (
        "pair", "difference in points", "only first", "only second", "p, Wilcoxon", "p, sign test", "p, Holm",
        "verdict",
    )  # fmt: skip
    note = (
        "Paired by problem, draw, seed, noise and points, at the whole budget. Wilcoxon's test is over problems, the "
        f"sign test over runs; Holm's correction is for the {len(rows)} comparison(s) of this table. Better or worse "
        "takes an interval without 0 and a corrected p below 0.05; anything else is undecided."
    )
    return Table("Against the baseline, pair by pair", header, rows, note)


def ablation(results: Results) -> Table | None:
    """Return the level sets of one engine beside each other; None if fewer than two were run."""
    sets = [name for name in results.methods if name.partition(":")[0] in ("pysr-neural", "neuralsr")]
    if len(sets) < 2:
        return None
    rows = []
    for name in sets:
        counters = [row["counters"] for row in results.of(name) if row["status"] == "ok" and row["counters"]]
        levels = ", ".join(counters[0].get("levels", ())) if counters else "–"
        solved = estimate(results.of(name), lambda row: results.solved(row, results.moments[-1]))
        rows.append((name, levels, share(solved)))
    return Table("Ablation by level", ("method", "levels", "solved"), rows)


def counters(results: Results) -> Table | None:
    """Return what neural help did, as means over runs; None if there was none."""
    rows = []
    names = ("calls", "served", "fallbacks", "accepted", "improved", "seeded", "injected", "crossovers")
    for method in results.methods:
        told = [row["counters"] for row in results.of(method) if row["status"] == "ok" and row["counters"]]
        told = [each for each in told if "served" in each]
        if told:
            means = [f"{fmean(each.get(name, 0) for each in told):,.1f}" for name in names]
            spent = fmean(each.get("time_share", 0.0) for each in told)
            rows.append((method, *means, f"{100 * spent:.1f} %"))
    return Table("Neural help, means per run", ("method", *names, "time in the model"), rows) if rows else None


def conditions(results: Results) -> Table | None:
    """Return the share solved by noise and number of points; None if there was only one of each."""
    kinds = sorted({(row["noise"], row["points"]) for row in results.rows})
    if len(kinds) < 2:
        return None
    whole = results.moments[-1]
    rows = [
        (method, *[
            share(estimate(
                [row for row in results.of(method, results.rows) if (row["noise"], row["points"]) == kind],
                lambda row: results.solved(row, whole),
            ))
            for kind in kinds
        ])
        for method in results.methods
    ]  # fmt: skip
    header = ("method", *[f"noise {noise:g}, {points} points" for noise, points in kinds])
    return Table("Noise and few points", header, rows)


def failures(results: Results) -> Table | None:
    """Return the runs that failed, a row per method and kind of failure; None if there were none."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in results.rows:
        if row["status"] != "ok":
            groups.setdefault((row["method"], row["status"], str(row["message"])[:160]), []).append(row)
    if not groups:
        return None
    rows = [
        (method, status, str(len(found)), f"{found[0]['suite']}/{found[0]['problem']}", message)
        for (method, status, message), found in groups.items()
    ]
    note = "A failed run counts as not solved."
    return Table("Failures", ("method", "what", "runs", "first at", "message"), rows, note)
