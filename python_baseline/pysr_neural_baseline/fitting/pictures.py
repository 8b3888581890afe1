"""Pictures of an outcome: data against law, what it leaves, loss against complexity with neural members marked.

Owns: drawing.  Does not own: what is drawn (`outcome`), colours (`style`), the page around it (`page`).
"""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser

from pysr_neural.operators import Array
from pysr_neural_baseline.fitting.measurements import Measurements
from pysr_neural_baseline.fitting.outcome import Member, Outcome
from pysr_neural_baseline.fitting.style import INK, LAW, LINE, MUTED, NEURAL, SMALLEST, STYLE, svg_text

CURVE_POINTS = 300
MANY = 1500
"""Points beyond which a picture holds them as pixels, so that a page stays small."""
SEEN, UNSEEN = {"color": INK, "mec": "white", "mew": 0.5}, {"color": "white", "mec": NEURAL, "mew": 1.2}
"""How rows of the search look, and rows held out."""
FORMULA_SIZE = 17
WIDEST = 8.6
"""Inches, of a formula set large."""


def pictures(outcome: Outcome, held_out: Measurements | None) -> str:
    """Return the three pictures of an outcome, one beside the other, as SVG text."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12.0, 3.7), layout="constrained")
        law, rest, front = figure.subplots(1, 3)
        draw_law(law, outcome, held_out)
        draw_residuals(rest, outcome, held_out)
        draw_front(front, outcome)
        for axes, title in (
            (law, "Data against law"),
            (rest, "What the law leaves"),
            (front, "Loss against complexity"),
        ):
            axes.set_title(title, loc="left")
            if axes.get_legend_handles_labels()[0]:
                axes.legend(markerscale=0.8)
        return svg_text(figure)


def draw_law(axes: Axes, outcome: Outcome, held_out: Measurements | None = None) -> None:
    """Draw the data and the law: over the variable if there is one, else data over prediction."""
    data = outcome.data
    if data.X.shape[1] == 1:
        x = np.concatenate([each.X[:, 0] for each in (data, held_out) if each is not None])
        space = np.geomspace if "x" in data.logarithmic else np.linspace
        grid = space(x.min(), x.max(), CURVE_POINTS)
        axes.plot(grid, outcome.predicted(grid[:, None]), color=LAW, lw=2, label="law found")
        axes.set(xlabel=plain(data.labels[0]), ylabel=plain(data.target_label))
    else:
        ends = [data.y.min(), data.y.max()]
        axes.plot(ends, ends, color=LAW, lw=2, label="law found")
        axes.set(xlabel=plain(f"{data.target_label} by the law"), ylabel=plain(f"{data.target_label} in the data"))
    _points(axes, _abscissa(outcome, data), data.y, "data", SEEN)
    if held_out is not None:
        _points(axes, _abscissa(outcome, held_out), held_out.y, "held out", UNSEEN)
    if "x" in data.logarithmic and data.X.shape[1] == 1:
        axes.set_xscale("log")
    if "y" in data.logarithmic:
        axes.set_yscale("log")
        if data.X.shape[1] > 1:
            axes.set_xscale("log")


def draw_residuals(axes: Axes, outcome: Outcome, held_out: Measurements | None) -> None:
    """Draw data less law, over the variable if there is one, else over the prediction; the band is the mean error."""
    data = outcome.data
    error = float(np.sqrt(np.mean(np.square(data.y - outcome.predicted(data.X)))))
    axes.axhspan(-error, error, color=LAW, alpha=0.1, lw=0)
    axes.axhline(0, color=LAW, lw=1.2)
    for each, label, look in ((data, "data", SEEN), (held_out, "held out", UNSEEN)):
        if each is not None:
            _points(axes, _abscissa(outcome, each), each.y - outcome.predicted(each.X), label, look)
    single = data.X.shape[1] == 1
    over = data.labels[0] if single else f"{data.target_label} by the law"
    axes.set(xlabel=plain(over), ylabel=plain(f"data − law: {data.target_label}"))
    if ("x" if single else "y") in data.logarithmic:
        axes.set_xscale("log")


def draw_front(axes: Axes, outcome: Outcome) -> None:
    """Draw loss against complexity, neural members and the chosen law marked."""
    ordinary = [member for member in outcome.front if not member.neural]
    neural = [member for member in outcome.front if member.neural]
    axes.plot(*_places(outcome.front), color=LINE, lw=1.5, drawstyle="steps-post", zorder=1)
    axes.plot(*_places(ordinary), "o", color=MUTED, ms=6, mec="white", mew=0.8, label="by evolution", zorder=3)
    axes.plot(*_places(neural), "D", color=NEURAL, ms=6.5, mec="white", mew=0.8, label="neural ancestor", zorder=3)
    axes.plot(*_places([outcome.law]), "o", ms=14, mfc="none", mec=LAW, mew=1.8, ls="none", label="law found", zorder=2)
    axes.set_yscale("log")
    axes.set(xlabel="complexity / nodes", ylabel="loss / variance")
    axes.locator_params(axis="x", integer=True)
    axes.margins(x=0.08, y=0.14)


def plain(text: str) -> str:
    """Return a text that Matplotlib takes for no mathematics."""
    return text.replace("$", r"\$")


def formula(latex: str) -> str | None:
    """Return a formula in LaTeX as SVG text; None where Matplotlib does not know all of it, or it is too wide."""
    try:
        width = MathTextParser("path").parse(f"${latex}$", 72, None).width * FORMULA_SIZE / 10 / 72
    except ValueError:
        return None
    if width > WIDEST:
        return None
    with mpl.rc_context({**STYLE, "svg.fonttype": "path", "mathtext.fontset": "cm"}):
        figure = Figure(figsize=(0.1, 0.1))
        figure.text(0, 0, f"${latex}$", fontsize=FORMULA_SIZE, color=LAW)
        return svg_text(figure, bbox_inches="tight", pad_inches=0.04, transparent=True)


def _points(axes: Axes, x: Array, y: Array, label: str, look: dict[str, object]) -> None:
    size = 5.0 if len(y) < 100 else 3.5
    axes.plot(x, y, "o", ms=size, label=label, rasterized=len(y) > MANY, **look)  # type: ignore[arg-type]


def _abscissa(outcome: Outcome, data: Measurements) -> Array:
    return data.X[:, 0] if data.X.shape[1] == 1 else outcome.predicted(data.X)


def _places(members: Sequence[Member]) -> tuple[list[int], list[float]]:
    return [m.complexity for m in members], [max(m.loss, SMALLEST) for m in members]
