"""`pysr-neural traces lineage`: where a run's best expression came from, as a picture and as a table.

Owns: ancestors of a member, their table, their picture.  Does not own: counts over many runs (`inspect`).
"""

import argparse
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pysr_neural.errors import ConfigError, TraceError
from pysr_neural.expression.text import to_string
from pysr_neural.problem import Problem
from pysr_neural.trace.io import Trace, trees
from pysr_neural.trace.schema import DEATH

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

INITIAL = "initial"
COPY = "do_nothing"
LEAST_LOSS = 1e-20
"""Losses below are drawn here: a logarithm knows no zero."""


@dataclass(frozen=True)
class Ancestor:
    """A member on the way to the best one.

    Parameters
    ----------
    ref : int
    parents : tuple of int
    iteration, population : int
    made_by : str
        A proposal's kind, another event's name, or ``initial``.
    loss : float
    complexity : int
    expression : str
        Empty where not known.
    neural : bool
    """

    ref: int
    parents: tuple[int, ...]
    iteration: int
    population: int
    made_by: str
    loss: float
    complexity: int
    expression: str
    neural: bool


def lineage(trace: Trace, run: int, ref: int | None = None) -> list[Ancestor]:
    """Return a member and all of its ancestors, the oldest first; mere copies are left out.

    Parameters
    ----------
    trace : Trace
    run : int
    ref : int, optional
        The run's best member by default.

    Raises
    ------
    TraceError
        If there is no such run or member.
    """
    (row,) = trace.table("runs", ["problem", "best"], run=run).to_pylist()
    wanted = row["best"] if ref is None else ref
    members = _members(trace, run, trace.problems[row["problem"]])
    if wanted not in members:
        raise TraceError(f"A member must be part of run {run}; got ref {wanted}.")
    wanted = _original(wanted, members)
    found: dict[int, Ancestor] = {}
    waiting = deque([wanted])
    while waiting:
        one = members.get(waiting.popleft())
        if one is not None and one.ref not in found:
            origins = tuple(dict.fromkeys(_original(parent, members) for parent in one.parents))
            found[one.ref] = replace(one, parents=origins)
            waiting.extend(origins)
    return sorted(found.values(), key=lambda ancestor: (ancestor.iteration, ancestor.ref))


def table(ancestors: list[Ancestor]) -> "pd.DataFrame":
    """Return ancestors as a data frame, a row each."""
    import pandas as pd

    columns = ("iteration", "population", "made_by", "loss", "complexity", "neural", "ref", "parents", "expression")
    frame = pd.DataFrame({name: [getattr(each, name) for each in ancestors] for name in columns})
    frame["parents"] = [" ".join(map(str, each.parents)) for each in ancestors]
    return frame


def picture(ancestors: list[Ancestor], title: str) -> "Figure":
    """Draw ancestors: steps from the oldest ones to the right, loss upwards, a line from each parent to its child.

    Raises
    ------
    TraceError
        If a member is its own ancestor.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    steps = _steps(ancestors)
    at = {each.ref: (steps[each.ref], max(each.loss, LEAST_LOSS)) for each in ancestors}
    for each in ancestors:
        for parent in each.parents:
            if parent in at:
                (x0, y0), (x1, y1) = at[parent], at[each.ref]
                axes.plot([x0, x1], [y0, y1], color="0.8", linewidth=0.8, zorder=1)
    for name in sorted({each.made_by for each in ancestors}):
        chosen = [each for each in ancestors if each.made_by == name]
        sizes = [12 + 4 * max(each.complexity, 1) for each in chosen]
        points = np.array([at[each.ref] for each in chosen])
        axes.scatter(points[:, 0], points[:, 1], s=sizes, label=name, zorder=2)
    axes.set(xlabel="steps from the oldest ancestors", ylabel="loss", title=title)
    if any(np.isfinite(loss) for _, loss in at.values()):
        axes.set_yscale("log")
    figure.legend(title="made by", loc="outside right upper")
    return figure


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="pysr-neural traces lineage", description=__doc__.splitlines()[0])
    parser.add_argument("trace", type=Path, help="folder of the trace")
    parser.add_argument("--run", type=int, default=0)
    parser.add_argument("--ref", type=int, help="a member; the best one by default")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="where to draw it")
    parser.add_argument("--table", type=Path, metavar="CSV", help="where to write it, besides printing it")
    options = parser.parse_args(argv)
    ancestors = lineage(Trace(options.trace), options.run, options.ref)
    frame = table(ancestors)
    print(frame.drop(columns=["parents", "population"]).to_string(index=False, max_colwidth=60, float_format="%.3g"))
    try:
        if options.table is not None:
            frame.to_csv(options.table, index=False)
        if options.picture is not None:
            picture(ancestors, f"{options.trace.name}, run {options.run}").savefig(options.picture, dpi=120)
    except (OSError, ValueError) as error:
        raise ConfigError(f"Pictures and tables must be files that can be written; got: {error}.") from error
    return 0


def _steps(ancestors: list[Ancestor]) -> dict[int, int]:
    """Return the length of the longest way from an ancestor without parents to each."""
    graph = {each.ref: each.parents for each in ancestors}
    steps: dict[int, int] = {}
    try:
        for ref in TopologicalSorter(graph).static_order():
            steps[ref] = max((1 + steps[parent] for parent in graph.get(ref, ())), default=0)
    except CycleError as error:
        raise TraceError(f"No member may be its own ancestor; got a circle of refs {error.args[1]}.") from error
    return steps


def _original(ref: int, members: Mapping[int, Ancestor]) -> int:
    """Follow copies back to the member that was made, or that arrived, as what it is."""
    seen = {ref}
    while ref in members and members[ref].made_by == COPY and members[ref].parents[:1]:
        parent = members[ref].parents[0]
        if parent in seen or parent not in members or members[parent].expression != members[ref].expression:
            break
        seen.add(parent)
        ref = parent
    return ref


def _members(trace: Trace, run: int, problem: Problem) -> dict[int, Ancestor]:
    """Return every member of a run by ref, as it was when it was made."""
    members: dict[int, Ancestor] = {}
    standing = trace.columns("members", run=run)
    for i, tree in enumerate(trees(standing, problem)):
        ref, parent = int(standing["ref"][i]), int(standing["parent"][i])
        if ref not in members:  # The first time that it stood somewhere; its event, if there is one, says more.
            members[ref] = Ancestor(
                ref,
                (parent,) if parent >= 0 else (),
                int(standing["iteration"][i]),
                int(standing["population"][i]),
                INITIAL,
                float(standing["loss"][i]),
                int(standing["complexity"][i]),
                "" if tree is None else to_string(tree, problem.variable_names),
                bool(standing["neural"][i]),
            )
    events = trace.columns("events", run=run)
    for i, tree in enumerate(trees(events, problem)):
        ref, event = int(events["ref"][i]), events["event"].names[events["event"].ids[i]]
        if ref < 0 or event == DEATH:
            continue
        kind = events["kind"].names[events["kind"].ids[i]]
        members[ref] = Ancestor(
            ref,
            _parents(events["parent"][i], events["parent2"][i] if kind == "crossover" else -1),
            int(events["iteration"][i]),
            int(events["population"][i]),
            kind or event,
            float(events["after_loss"][i]),
            int(events["complexity"][i]),
            "" if tree is None else to_string(tree, problem.variable_names),
            bool(events["neural"][i]),
        )
    return members


def _parents(*refs: int) -> tuple[int, ...]:
    return tuple(dict.fromkeys(int(ref) for ref in refs if ref >= 0))


if __name__ == "__main__":
    raise SystemExit(main())
