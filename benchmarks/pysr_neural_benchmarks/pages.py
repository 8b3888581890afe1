"""What every page of the benchmarks is made of: Markdown tables, numbers, panels of curves, bars.

Owns: form.  Does not own: what is shown (`demo`, `report`, `studies`), colours (`pysr_neural_baseline.fitting.style`).
"""

from collections.abc import Collection, Mapping, Sequence
from math import isnan
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from pysr_neural_baseline.fitting.style import INK, LAW, LINE, MUTED, NEURAL, SMALLEST, STYLE

COLOURS = (INK, LAW, NEURAL, MUTED)
Curve = tuple[Sequence[float], Sequence[float]]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table; all columns but the first are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def small(value: float) -> str:
    """Write a loss in three characters or so."""
    if value == float("inf"):
        return "∞"
    return "0" if value < SMALLEST else f"{value:.2g}"


def panels(
    curves: Mapping[str, Mapping[str, Curve]],
    path: Path,
    x_label: str,
    y_label: str,
    columns: int,
    log: bool = True,
    shared: bool = True,
) -> None:
    """Write a picture with one panel per title, and in each one curve per label.

    Parameters
    ----------
    curves : mapping of title to mapping of label to (x, y)
        The same labels in every panel, at most four.
    path : Path
    x_label, y_label : str
    columns : int
        Panels in a row.
    log : bool, optional
        Whether y is drawn on a logarithmic scale, as x always is.
    shared : bool, optional
        Whether all panels have the same x.
    """
    rows = -(-len(curves) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.1 * columns, 2.5 * rows), layout="constrained", dpi=144)
        axes = figure.subplots(rows, columns, squeeze=False, sharex=shared, sharey=True).ravel()
        for axis, (title, labelled) in zip(axes, curves.items(), strict=False):
            for colour, (label, (x, y)) in zip(COLOURS, labelled.items(), strict=False):
                shown = [max(value, SMALLEST) for value in y] if log else y
                axis.plot(x, shown, color=colour, lw=1.8, label=label, drawstyle="steps-post")
            axis.set_xscale("log")
            axis.set_yscale("log" if log else "linear")
            axis.set_title(title, loc="left")
        for axis in axes[len(curves) :]:
            axis.set_axis_off()
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=len(COLOURS))
        figure.supxlabel(x_label, fontsize=9)
        figure.supylabel(y_label, fontsize=9)
        figure.savefig(path)


def bars(groups: Mapping[str, Mapping[str, float]], path: Path, columns: int, muted: Collection[str]) -> None:
    """Write a picture with one panel per title, and in each one horizontal bar per label.

    Parameters
    ----------
    groups : mapping of title to mapping of label to length
        At least 0, NaN for none.
    path : Path
    columns : int
        Panels in a row.
    muted : collection of str
        Labels of what the others are compared with.
    """
    rows, most = -(-len(groups) // columns), max(len(lengths) for lengths in groups.values())
    with mpl.rc_context(STYLE):
        size = (3.6 * columns, (0.7 + 0.25 * most) * rows)
        figure = Figure(figsize=size, layout="constrained", dpi=144)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, (title, lengths) in zip(axes, groups.items(), strict=False):
            colours = [LINE if label in muted else LAW for label in lengths]
            drawn = axis.barh(list(lengths), list(lengths.values()), color=colours, height=0.65)
            axis.bar_label(drawn, labels=["–" if isnan(x) else f"{x:.2g}" for x in lengths.values()], padding=3)
            longest = max((x for x in lengths.values() if not isnan(x)), default=0.0)
            axis.set_xlim(0, 1.18 * longest or 1.0)
            axis.invert_yaxis()
            axis.set_title(title, loc="left")
        for axis in axes[len(groups) :]:
            axis.set_axis_off()
        figure.savefig(path)
