"""The pictures of a report, as SVG text.

Owns: share solved over the budget with bands, heat maps.  Does not own: values.
"""

from html import escape
from io import StringIO

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pysr_neural_baseline.fitting.style import STYLE
from pysr_neural_benchmarks.judging.statistics import band, means
from pysr_neural_benchmarks.report.tables import Results

COLOURS = ("#1f2933", "#0b6e99", "#d9480f", "#2f9e44", "#9c36b5", "#e8a200", "#0ca678", "#c2255c", "#5c7cfa", "#868e96")
DASHES = ("-", "--", ":", "-.")
MOMENTS = 60


def curves(results: Results) -> str:
    """Draw the share of problems solved against the budget, a panel per suite and one for all."""
    suites = results.suites
    panels = [("all suites", results.plain)] if len(suites) > 1 else []
    panels += [(suite, [row for row in results.plain if row["suite"] == suite]) for suite in suites]
    columns = min(len(panels), 3)
    lines = -(-len(panels) // columns)
    whole = results.moments[-1]
    first = whole / 200 if results.axis == "seconds" else max(whole / 1e4, 1.0)
    grid = np.geomspace(first, whole, MOMENTS)
    with mpl.rc_context({**STYLE, "svg.fonttype": "path", "svg.hashsalt": "report"}):
        figure = Figure(figsize=(max(3.4 * columns, 6.4), 2.9 * lines + 0.6), layout="constrained")
        axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
        for axis, (title, rows) in zip(axes, panels, strict=False):
            for i, method in enumerate(results.methods):
                mine = results.of(method, rows)
                if not mine:
                    continue
                middle, low, high = band(mine, [lambda row, at=at: results.solved(row, at) for at in grid])  # type: ignore[misc]
                colour, dash = COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]
                axis.plot(grid, middle, lw=1.6, label=method, drawstyle="steps-post", color=colour, ls=dash)
                axis.fill_between(grid, low, high, color=colour, alpha=0.10, lw=0, step="post")
            axis.set(title=title, xscale="log", ylim=(-0.02, 1.02))
            axis.xaxis.set_major_formatter("{x:g}")
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        for axis in axes[max(len(panels) - columns, 0) : len(panels)]:
            axis.tick_params(labelbottom=True)  # Sharing took them from a panel above an empty place.
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
        figure.supxlabel(f"{results.axis} (logarithmic)", fontsize=9)
        figure.supylabel("share of problems solved", fontsize=9)
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    found = text.getvalue()
    return found[found.index("<svg") :]


def heat_map(results: Results, suite: str) -> str:
    """Return a suite's problems as rows of coloured cells, one row per method: the share of runs that solved."""
    whole = results.moments[-1]
    shares = {
        method: means([row for row in results.of(method) if row["suite"] == suite], lambda r: results.solved(r, whole))
        for method in results.methods
    }
    problems = sorted(
        {problem for found in shares.values() for problem in found},
        key=lambda problem: -sum(found.get(problem, 0.0) for found in shares.values()),
    )
    rows = []
    for method, found in shares.items():
        cells = "".join(_cell(problem[1], found.get(problem)) for problem in problems)
        rows.append(f'<div class="map"><span>{escape(method)}</span><div>{cells}</div></div>')
    return "\n".join(rows)


def _cell(name: str, value: float | None) -> str:
    label = f"{name}: not run" if value is None else f"{name}: {100 * value:.0f} %"
    colour = "none" if value is None else _shade(value)
    return f'<i style="background:{colour}" title="{escape(label, quote=True)}"></i>'


def _shade(value: float) -> str:
    low, high = np.array([233, 236, 239]), np.array([11, 110, 153])
    red, green, blue = (low + (high - low) * value).round().astype(int)
    return f"rgb({red},{green},{blue})"
