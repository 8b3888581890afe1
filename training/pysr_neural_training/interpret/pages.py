"""What was learned about a policy, as text: one screen for the terminal, the same as Markdown.

Owns: rows and wording.  Does not own: figures (`pictures`), means (`preferences`), the static form (`distil`).
"""

import math
from collections.abc import Mapping, Sequence
from textwrap import wrap

from pysr_neural_training.interpret.distil import Distilled
from pysr_neural_training.interpret.preferences import CONSTANT, ROLES, ROOT, VARIABLE, GroupPreference

HEADER = ("state", "states", "kinds", "operators", "size", "growth")
SHOWN = 3
VISIBLE = 0.05
"""Lifts nearer to 1 are no preference."""
WIDTH = 100
LEAST_STATES = 3
"""An operator's mean over fewer states is not shown."""
NOTE = (
    "×1 is no preference: each kind as the engine weighs it, each operator as often as the others of its search. "
    "Size is the median of sampled expressions, growth its difference to the best member."
)


def rows(groups: Mapping[str, GroupPreference]) -> list[tuple[str, ...]]:
    """Return the table's rows, one per group."""
    return [
        (
            name,
            str(group.states),
            outstanding(group.kinds),
            outstanding({k: v for k, v in group.operators.items() if group.counts.get(k, 0) >= LEAST_STATES}, 0),
            _number(group.size),
            _number(group.growth, "+"),
        )
        for name, group in groups.items()
    ]


def outstanding(lifts: Mapping[str, float], least: int = 1) -> str:
    """Name the most wanted, and so many of the least wanted."""
    wanted = sorted(lifts, key=lambda name: -lifts[name])
    more = [name for name in wanted if lifts[name] > 1 + VISIBLE][:SHOWN]
    less = [name for name in wanted[::-1] if lifts[name] < 1 - VISIBLE][:least]
    return " ".join(f"{name} ×{lifts[name]:.2g}" for name in [*more, *less]) or "–"


def terminal(groups: Mapping[str, GroupPreference], distilled: Distilled) -> str:
    """Return everything that fits one screen."""
    table = [HEADER, *rows(groups)]
    widths = [max(len(row[i]) for row in table) for i in range(len(HEADER))]
    lines = [
        "  ".join(_aligned(cell, width, i) for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in table
    ]
    facts = [line for fact in _facts(groups, distilled) for line in wrap(fact, WIDTH)]
    return "\n".join([*(line.rstrip() for line in lines), "", *facts])


def markdown(groups: Mapping[str, GroupPreference], distilled: Distilled, command: str, picture: str) -> str:
    """Return the report as a Markdown page."""
    lines = [HEADER, ("---", "---:", "---", "---", "---:", "---:"), *rows(groups)]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    parts = [
        f"# What `{distilled.checkpoint}` prefers",
        f"Asked in {distilled.states} states of BasicSR searches on generated held-out problems: `{command}`",
        table,
        NOTE,
        f"![Preferences by state]({picture})",
        *_facts(groups, distilled)[1:],
    ]
    if distilled.tree is not None:
        parts += ["## Kinds by state, as a tree", "```\n" + "\n".join(distilled.tree.lines()) + "\n```"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(groups: Mapping[str, GroupPreference], distilled: Distilled) -> list[str]:
    """Return sentences about what no column says."""
    variables = groups["all"].variables if "all" in groups else {}
    roles = ", ".join(f"{role} ×{variables[role]:.2f}" for role in ROLES if role in variables)
    known = {CONSTANT, VARIABLE, ROOT} | {name for name, count in distilled.counts.items() if count >= LEAST_STATES}
    pairs = {
        f"{parent}({child})": lift
        for parent, row in distilled.pairs.items()
        for child, lift in row.items()
        if {parent, child} <= known
    }
    crossover = distilled.crossover_probability
    return [
        NOTE,
        f"Variables: {roles}." if roles else "Variables: the policy has no preference, or every problem has one.",
        f"Pairs: {outstanding(pairs, 0)}." if pairs else "Pairs: the policy says nothing about them.",
        "Crossover: the policy says nothing about it." if crossover is None else f"Crossover: {crossover:.0%}.",
        "Kinds: the policy says nothing about them." if distilled.kinds is None else "",
    ]


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if HEADER[column] in ("state", "kinds", "operators") else cell.rjust(width)


def _number(value: float, sign: str = "") -> str:
    return "–" if math.isnan(value) else f"{value:{sign}.0f}"


def summary(groups: Mapping[str, GroupPreference], distilled: Distilled) -> dict[str, object]:
    """Return the figures as what JSON can hold."""
    columns: Sequence[str] = ("states", "kinds", "operators", "variables", "size", "growth")
    return {
        "checkpoint": distilled.checkpoint,
        "states": distilled.states,
        "groups": {
            name: {column: _plain(getattr(group, column)) for column in columns} for name, group in groups.items()
        },
    }


def _plain(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value
