"""What a policy prefers, as one picture of four panels.

Owns: drawing.  Does not own: the figures drawn (`preferences`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pysr_neural_training.interpret.preferences import GroupPreference, Preference
from pysr_neural_training.interpret.states import SearchState

STYLE: Any = {"font.size": 8, "axes.titlesize": 9, "axes.titleweight": "bold", "legend.frameon": False}
COLOURS = {"early": "#0b6e99", "late": "#d9480f"}
BAR = "#616e7c"
MOST_OPERATORS = 16
ROUNDING = 1e-6
LIMIT = 2.0
"""Binary logarithm of the lift at which the colours end."""


def draw(
    path: Path,
    groups: Mapping[str, GroupPreference],
    states: Sequence[SearchState],
    preferences: Sequence[Preference],
) -> None:
    """Write the picture: kinds by group, operators, growth early and late, operators by shape of the residual."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 7.5), layout="constrained", dpi=120)
        (kinds, operators), (growth, shapes) = figure.subplots(2, 2)
        _heatmap(kinds, {name: group.kinds for name, group in groups.items()}, "kinds of mutation by state")
        _bars(operators, groups["all"].operators)
        _growth(growth, states, preferences)
        common = sorted(groups["all"].counts, key=lambda name: -groups["all"].counts[name])[:MOST_OPERATORS]
        by_shape = {
            name: {key: group.operators.get(key, np.nan) for key in common}
            for name, group in groups.items()
            if name.startswith("residual")
        }
        _heatmap(shapes, by_shape, "operators by shape of the residual")
        figure.savefig(path)


def _heatmap(axes: Axes, rows: Mapping[str, Mapping[str, float]], title: str) -> None:
    """Draw lifts, leaving out columns in which no row has a preference; grey where there is none to draw."""
    axes.set_title(title, loc="left")
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    table = np.array([[row.get(name, np.nan) for name in names] for row in rows.values()]).reshape(len(rows), -1)
    opinions = [i for i in range(len(names)) if np.nanmax(np.abs(np.nan_to_num(table[:, i], nan=1.0) - 1)) > ROUNDING]
    if not opinions:
        axes.text(0.5, 0.5, "no preference", ha="center", va="center")
        axes.set_axis_off()
        return
    shown = np.log2(np.clip(table[:, opinions], 2.0**-LIMIT, 2.0**LIMIT))
    axes.set_facecolor("#e4e7eb")
    image = axes.imshow(shown, cmap="RdBu_r", vmin=-LIMIT, vmax=LIMIT, aspect="auto")
    axes.set_xticks(range(len(opinions)), [names[i] for i in opinions], rotation=45, ha="right")
    axes.set_yticks(range(len(rows)), list(rows))
    bar = axes.figure.colorbar(image, ax=axes, ticks=[-LIMIT, -1, 0, 1, LIMIT])
    bar.ax.set_yticklabels(["×¼", "×½", "×1", "×2", "×4"])


def _bars(axes: Axes, lifts: Mapping[str, float]) -> None:
    axes.set_title("operators, over all states", loc="left")
    names = sorted(lifts, key=lambda name: lifts[name])
    axes.barh(range(len(names)), [lifts[name] for name in names], color=BAR)
    axes.axvline(1.0, color="black", lw=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("lift: share of this operator × number of operators")


def _growth(axes: Axes, states: Sequence[SearchState], preferences: Sequence[Preference]) -> None:
    axes.set_title("size of proposals beside the best member", loc="left")
    for stage, colour in COLOURS.items():
        values = [
            size - state.best.tree.size
            for state, each in zip(states, preferences, strict=True)
            if stage in state.groups
            for size in each.sizes
        ]
        if values:
            edges = np.arange(min(values), max(values) + 2) - 0.5
            axes.hist(values, bins=edges.tolist(), density=True, histtype="step", color=colour, lw=1.5, label=stage)
    if axes.patches:
        axes.legend()
    axes.set_xlabel("nodes more than the best member")
    axes.set_ylabel("share of proposals")
