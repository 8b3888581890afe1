"""The demo's pictures: data against law, and loss against complexity with neural members marked.

Owns: drawing.  Does not own: what is drawn (`outcome`), the page around it (`page`).
"""

from io import StringIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pysr_neural_benchmarks.demo.outcome import Member, Outcome
from pysr_neural_benchmarks.pages import INK, LAW, LINE, MUTED, NEURAL, SMALLEST, STYLE

CURVE_POINTS = 300
LAW_WIDTH = 42
"""Longest law above a picture, in characters."""


def overview(outcomes: list[Outcome], path: Path) -> None:
    """Write one picture of all cases, a column each."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.3 * len(outcomes), 6.0), layout="constrained", dpi=144)
        for column, (outcome, pair) in enumerate(
            zip(outcomes, figure.subplots(2, len(outcomes), squeeze=False).T, strict=True)
        ):
            draw_law(pair[0], outcome)
            draw_front(pair[1], outcome)
            pair[0].set_title(outcome.case.title, loc="left", pad=22)
            pair[0].text(0, 1.03, _law_text(outcome), transform=pair[0].transAxes, color=LAW, fontsize=8.5)
            if column == 0:
                pair[0].legend()
                pair[1].legend(markerscale=0.75)
        figure.savefig(path)


def svg(outcome: Outcome) -> str:
    """Return the two pictures of one case, side by side, as SVG text."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        draw_law(left, outcome)
        draw_front(right, outcome)
        left.legend()
        right.legend(markerscale=0.75)
        stream = StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]


def draw_law(axes: Axes, outcome: Outcome) -> None:
    """Draw the data and the law: over the variable if there is one, else data over prediction."""
    case = outcome.case
    if case.X.shape[1] == 1:
        x = case.X[:, 0]
        space = np.geomspace if "x" in case.logarithmic else np.linspace
        grid = space(x.min(), x.max(), CURVE_POINTS)
        axes.plot(grid, outcome.predicted(grid[:, None]), color=LAW, lw=2, label="law found")
        axes.plot(x, case.y, "o", color=INK, ms=4.5, mec="white", mew=0.6, label="data")
        axes.set(xlabel=case.labels[0], ylabel=case.target_label)
    else:
        ends = [case.y.min(), case.y.max()]
        axes.plot(ends, ends, color=LAW, lw=2, label="law found")
        axes.plot(outcome.predicted(case.X), case.y, "o", color=INK, ms=4, mec="white", mew=0.5, label="data")
        axes.set(xlabel=f"{case.target_label} by the law", ylabel=f"{case.target_label} in the data")
    if "x" in case.logarithmic:
        axes.set_xscale("log")
    if "y" in case.logarithmic:
        axes.set_yscale("log")


def draw_front(axes: Axes, outcome: Outcome) -> None:
    """Draw loss against complexity, neural members and the chosen law marked."""
    ordinary = [member for member in outcome.front if not member.neural]
    neural = [member for member in outcome.front if member.neural]
    axes.plot(*_points(outcome.front), color=LINE, lw=1.5, drawstyle="steps-post", zorder=1)
    axes.plot(*_points(ordinary), "o", color=MUTED, ms=6, mec="white", mew=0.8, label="by evolution", zorder=3)
    axes.plot(*_points(neural), "D", color=NEURAL, ms=6.5, mec="white", mew=0.8, label="neural ancestor", zorder=3)
    axes.plot(*_points([outcome.law]), "o", ms=14, mfc="none", mec=LAW, mew=1.8, ls="none", label="law found", zorder=2)
    axes.set_yscale("log")
    axes.set(xlabel="complexity / nodes", ylabel="loss / variance")
    axes.locator_params(axis="x", integer=True)
    axes.margins(x=0.08, y=0.14)


def _points(members: tuple[Member, ...] | list[Member]) -> tuple[list[int], list[float]]:
    return [m.complexity for m in members], [max(m.loss, SMALLEST) for m in members]


def _law_text(outcome: Outcome) -> str:
    text = f"{outcome.case.target} = {outcome.shown(outcome.law, 3)}"
    return text if len(text) <= LAW_WIDTH else text[: LAW_WIDTH - 1] + "…"
