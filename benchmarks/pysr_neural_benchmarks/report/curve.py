"""One picture of few methods: the share of problems solved over the budget, each curve labelled at its end.

Owns: this picture.  Does not own: values, the report's own pictures of all methods (`report.pictures`).
"""

from collections.abc import Collection, Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural_baseline.fitting.style import INK, LAW, MUTED, NEURAL, STYLE
from pysr_neural_benchmarks.judging.statistics import band
from pysr_neural_benchmarks.report.tables import Results

COLOURS = (LAW, NEURAL, MUTED, INK)
"""Of the arms in the order given."""
MOMENTS = 80
APART = 0.055
"""Least distance of two labels, as a share of the axis."""


def draw(results: Results, arms: Mapping[str, str], banded: Collection[str], title: str, path: Path) -> None:
    """Write the picture.

    Parameters
    ----------
    results : Results
    arms : mapping of method to label
        At most four.
    banded : collection of str
        Methods whose 95 % interval is drawn as well; two at most can be told apart.
    title : str
    path : Path

    Raises
    ------
    ConfigError
        If a method was not run, or there are too many arms.
    """
    for method in [*arms, *banded]:
        if method not in results.methods:
            raise ConfigError(
                f"Arms must be methods of these results; got {method!r}." + did_you_mean(method, results.methods)
            )
    if not 1 <= len(arms) <= len(COLOURS):
        raise ConfigError(f"A picture takes one to {len(COLOURS)} arms; got {len(arms)}. Leave some out.")
    whole = results.moments[-1]
    grid = np.geomspace(whole / 100, whole, MOMENTS)
    with mpl.rc_context({**STYLE, "font.size": 10}):
        figure = Figure(figsize=(7.2, 3.9), layout="constrained", dpi=144)
        axes = figure.subplots()
        ends = {}
        for method, colour in zip(arms, COLOURS, strict=False):
            values = [lambda row, at=at: results.solved(row, at) for at in grid]  # type: ignore[misc]
            middle, low, high = band(results.of(method), values)
            axes.plot(grid, 100 * middle, color=colour, lw=2.2)
            if method in banded:
                axes.fill_between(grid, 100 * low, 100 * high, color=colour, alpha=0.13, lw=0)
            ends[method] = float(middle[-1])
        for method, place in spread(ends).items():
            colour = COLOURS[list(arms).index(method)]
            text = f" {arms[method]}, {100 * ends[method]:.0f} %"
            axes.annotate(text, (whole, 100 * place), color=colour, va="center", weight="bold", annotation_clip=False)
        axes.set(xscale="log", xlim=(grid[0], whole), ylim=(0, 100))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(f"{results.axis} of search, logarithmic")
        axes.set_ylabel("problems solved / %")
        axes.set_title(title, loc="left", pad=10)
        figure.savefig(path)


def spread(ends: Mapping[str, float]) -> dict[str, float]:
    """Return where labels go that would otherwise cover each other: in order, `APART` apart, as near as can be."""
    order = sorted(ends, key=ends.__getitem__)
    places = [ends[name] for name in order]
    for _ in range(len(places)):
        for i in range(len(places) - 1):
            short = APART - (places[i + 1] - places[i])
            if short > 0:
                places[i] -= short / 2
                places[i + 1] += short / 2
    return dict(zip(order, places, strict=True))
