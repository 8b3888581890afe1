"""The demo's pictures: data against law, and loss against complexity with neural members marked.

Owns: drawing.  Does not own: what is drawn (`outcome`), the page around it (`page`).
"""

from io import StringIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pysr_neural_benchmarks.demo.outcome import SMALLEST_LOSS, Member, Outcome, predict, pretty

INK, MUTED, LINE, LAW, NEURAL = "#1f2933", "#7b8794", "#cbd2d9", "#0b6e99", "#d9480f"
STYLE = {
    "font.family": "sans-serif", "font.size": 10, "axes.edgecolor": LINE, "axes.labelcolor": INK, "text.color": INK,
    "xtick.color": MUTED, "ytick.color": MUTED, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlesize": 11, "axes.titleweight": "bold", "legend.frameon": False, "legend.fontsize": 9,
    "svg.fonttype": "none", "svg.hashsalt": "pysr-neural",
}
CURVE_POINTS = 300


def overview(outcomes: list[Outcome], path: Path) -> None:
    """Write one picture of all cases, a column each."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.1 * len(outcomes), 7.2), layout="constrained", dpi=110)
        axes = figure.subplots(2, len(outcomes), squeeze=False)
        for column, outcome in enumerate(outcomes):
            draw_law(axes[0, column], outcome)
            draw_front(axes[1, column], outcome)
            axes[0, column].set_title(f"{outcome.case.title}\n", loc="left")
        figure.savefig(path)


def svg(outcome: Outcome) -> str:
    """Return the two pictures of one case, side by side, as SVG text."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.7), layout="constrained")
        left, right = figure.subplots(1, 2)
        draw_law(left, outcome)
        draw_front(right, outcome)
        stream = StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]


def draw_law(axes: Axes, outcome: Outcome) -> None:
    """Draw the data and the law: over the variable if there is one, else predicted against measured."""
    case, law = outcome.case, outcome.law
    if case.X.shape[1] == 1:
        x = case.X[:, 0]
        grid = np.geomspace(x.min(), x.max(), CURVE_POINTS) if "x" in case.logarithmic else np.linspace(
            min(0.0, x.min()), x.max(), CURVE_POINTS)
        axes.plot(grid, predict(law, case, grid[:, None]), color=LAW, lw=2, label="law found")
        axes.plot(x, case.y, "o", color=INK, ms=5, mec="white", mew=0.6, label="measured")
        axes.set(xlabel=case.labels[0], ylabel=case.target_label)
    else:
        ends = [case.y.min(), case.y.max()]
        axes.plot(ends, ends, color=LAW, lw=2, label="law found")
        axes.plot(predict(law, case, case.X), case.y, "o", color=INK, ms=4, mec="white", mew=0.5, label="data")
        axes.set(xlabel=f"{case.target_label} by the law", ylabel=f"{case.target_label} in the data")
    for axis in case.logarithmic:
        axes.set_xscale("log") if axis == "x" else axes.set_yscale("log")
    axes.set_title(_shortened(f"{case.target} = {pretty(law.equation, 3)}"), loc="left", color=LAW, fontsize=9.5,
                   fontweight="normal")
    axes.legend(loc="best")


def draw_front(axes: Axes, outcome: Outcome) -> None:
    """Draw loss against complexity, neural members and the chosen law marked."""
    axes.plot(*_points(outcome.front), color=LINE, lw=1.5, drawstyle="steps-post", zorder=1)
    for neural, marker, color, label in ((False, "o", MUTED, "by evolution"), (True, "D", NEURAL, "neural ancestor")):
        members = [member for member in outcome.front if member.neural == neural]
        if members:
            axes.plot(*_points(members), marker, color=color, ms=7, mec="white", mew=0.8, label=label, zorder=3)
    axes.plot(*_points([outcome.law]), "o", ms=15, mfc="none", mec=LAW, mew=1.8, label="law found", zorder=2)
    axes.set_yscale("log")
    axes.set(xlabel="complexity (nodes)", ylabel="loss (share of variance)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.margins(x=0.06, y=0.12)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles, labels, loc="best", markerscale=0.75)


def _points(members: tuple[Member, ...] | list[Member]) -> tuple[list[int], list[float]]:
    return [m.complexity for m in members], [max(m.loss, SMALLEST_LOSS) for m in members]


def _shortened(text: str, width: int = 46) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"

