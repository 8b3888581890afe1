"""The demo's pictures: for each case data against law, and loss against complexity.

Owns: their arrangement.  Does not own: drawing (`pysr_neural_baseline.fitting.pictures`), the page around it (`page`).
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from pysr_neural_baseline.fitting.outcome import Outcome
from pysr_neural_baseline.fitting.pictures import draw_front, draw_law
from pysr_neural_baseline.fitting.style import LAW, STYLE, svg_text

LAW_WIDTH = 42
"""Longest law above a picture, in characters."""


def overview(titles: Sequence[str], outcomes: Sequence[Outcome], path: Path) -> None:
    """Write one picture of all cases, a column each."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.3 * len(outcomes), 6.0), layout="constrained", dpi=144)
        columns = figure.subplots(2, len(outcomes), squeeze=False).T
        for column, (title, outcome, pair) in enumerate(zip(titles, outcomes, columns, strict=True)):
            draw_law(pair[0], outcome)
            draw_front(pair[1], outcome)
            pair[0].set_title(title, loc="left", pad=22)
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
        return svg_text(figure)


def _law_text(outcome: Outcome) -> str:
    text = f"{outcome.data.target} = {outcome.shown(outcome.law, 3)}"
    return text if len(text) <= LAW_WIDTH else text[: LAW_WIDTH - 1] + "…"
