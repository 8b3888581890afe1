"""Draws the pictures of `how_it_works.md`: who asks whom, and how two parts become a whole.

Owns: both pictures.  Does not own: the rooms (`rooms.py`), the benchmark's curve (`bench report --picture`), the laws
(`pysr-neural demo`).

Run ``python docs/pictures.py``.  The second picture is calculated by the package's own expressions and least squares.
"""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.text import parse

FOLDER = Path(__file__).resolve().parent
INK, MUTED, LINE, LAW, NEURAL, PANEL = "#1f2933", "#616e7c", "#7b8794", "#0b6e99", "#d9480f", "#eef2f6"
STYLE: dict[Any, Any] = {"font.size": 10, "text.color": INK, "axes.spines.top": False, "axes.spines.right": False}
BOXES = {
    "engine": (
        0.15,
        1.0,
        3.15,
        1.9,
        "Engine: PySR or BasicSR",
        "evolves a population;\nevaluates, accepts, counts",
        LAW,
    ),
    "guard": (4.0, 1.0, 2.4, 1.9, "Guard", "drops what is late,\nbroken or not allowed,\nand counts it", MUTED),
    "proposer": (7.4, 1.0, 2.9, 1.9, "Proposer", "asks the model, joins parts,\nfits constants", NEURAL),
    "model": (11.1, 1.75, 2.3, 1.15, "Model", "1.5 M parameters", NEURAL),
    "joins": (11.1, 0.3, 2.3, 1.15, "Joins", "regression, no model", NEURAL),
}
"""Left, bottom, width, height, title, text, colour."""
TRUTH, PARTS = "x0 * sin(x1) + x0 / x1", ("x0", "sin(x1)", "x0 / x1", "1 / x1")


def flow(path: Path) -> None:
    """Draw who asks whom."""
    figure = Figure(figsize=(9.2, 2.9), dpi=144)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 13.7), ylim=(-0.65, 3.65))
    axes.set_axis_off()
    for left, bottom, width, height, title, text, colour in BOXES.values():
        _box(axes, left, bottom, width, height, colour)
        axes.text(
            left + width / 2, bottom + height - 0.32, title, weight="bold", color=colour, ha="center", va="center"
        )
        axes.text(
            left + width / 2, bottom + (height - 0.55) / 2, text, ha="center", va="center", fontsize=8.5, color=INK
        )
    _arrow(axes, (3.3, 2.6), (7.4, 2.6), "data, best members, limits, time", over=3.2)
    _arrow(axes, (7.4, 1.25), (6.4, 1.25))
    _arrow(axes, (4.0, 1.25), (3.3, 1.25))
    axes.text(5.2, 0.62, "children", ha="center", va="center", fontsize=8.5, color=MUTED)
    _arrow(axes, (10.3, 2.3), (11.1, 2.3), both=True)
    _arrow(axes, (10.3, 1.3), (11.1, 0.9), both=True)
    axes.text(1.72, 0.62, "no answer? an ordinary step", ha="center", va="center", fontsize=8.5, color=MUTED)
    axes.plot([6.9, 6.9], [-0.05, 3.0], color=LINE, lw=1, ls=(0, (4, 3)))
    axes.text(6.8, -0.33, "the search's process", ha="right", va="center", fontsize=8, color=MUTED)
    axes.text(7.0, -0.33, "a process of its own, with PySR", ha="left", va="center", fontsize=8, color=MUTED)
    figure.savefig(path)


def _box(axes: Axes, left: float, bottom: float, width: float, height: float, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0,rounding_size=0.12"
    axes.add_patch(FancyBboxPatch((left, bottom), width, height, style, fc=PANEL, ec=colour, lw=1.4, zorder=2))


def _arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    text: str = "",
    over: float = 0.0,
    both: bool = False,
) -> None:
    style = "<|-|>" if both else "-|>"
    arrow = {"arrowstyle": f"{style},head_width=0.18,head_length=0.36", "color": LINE, "lw": 1.2, "shrinkA": 0}
    axes.annotate("", end, start, arrowprops={**arrow, "shrinkB": 0}, zorder=1)
    if text:
        axes.text((start[0] + end[0]) / 2, over, text, ha="center", va="center", fontsize=8.5, color=MUTED)


def parts(path: Path) -> dict[str, float]:
    """Draw what single parts explain, and what a join of products of them does; returns the share each leaves."""
    rng = np.random.default_rng(0)
    X = rng.uniform((0.5, 0.6), (3.0, 6.0), size=(120, 2))
    y = evaluate(parse(TRUTH), X)
    columns = {text: evaluate(parse(text), X) for text in PARTS}
    shown = {text: _fitted([column], y) for text, column in columns.items() if text in PARTS[:3]}
    shown["a · x0 · sin(x1) + b · x0 / x1 + c"] = _fitted([columns["x0"] * columns["sin(x1)"], columns["x0 / x1"]], y)
    left = {text: float(np.mean((y - fit) ** 2) / np.var(y)) for text, fit in shown.items()}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 2.9), layout="constrained", dpi=144)
        for axes, (text, fit) in zip(figure.subplots(1, 4, sharey=True), shown.items(), strict=True):
            whole = left[text] < 1e-9
            colour = LAW if whole else MUTED
            axes.plot([y.min(), y.max()], [y.min(), y.max()], color=LINE, lw=1)
            axes.plot(fit, y, "o", ms=3, color=colour, mec="white", mew=0.3)
            axes.set_title(text, fontsize=8.5, color=colour, weight="bold")
            axes.set_xlabel(
                "leaves nothing" if whole else f"leaves {100 * left[text]:.0f} % of the variance", fontsize=8.5
            )
            axes.set(xticks=[], yticks=[])
        figure.supylabel("y in the data", fontsize=8.5)
        figure.savefig(path)
    return left


def _fitted(columns: list[Any], y: Any) -> Any:
    """Return the least squares fit of y by columns and a constant."""
    table = np.column_stack([*columns, np.ones(len(y))])
    return table @ np.linalg.lstsq(table, y)[0]


def main() -> int:
    """Draw both."""
    flow(FOLDER / "how_it_works.png")
    parts(FOLDER / "parts.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
