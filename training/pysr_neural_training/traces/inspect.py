"""`pysr-neural traces inspect`: what a trace holds, on one screen.

Owns: the counts and the table of kinds.  Does not own: single runs (`lineage`).
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pysr_neural.trace.io import Columns, Trace, arrays
from pysr_neural.trace.schema import PROPOSAL, Names

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
_COLUMNS = ("event", "kind", "accepted", "reason", "before_loss", "after_loss", "complexity", "neural")


@dataclass
class Moves:
    """Counts of some proposals: all, accepted, and those accepted that lowered their first parent's loss."""

    proposals: int = 0
    accepted: int = 0
    improved: int = 0

    def add(self, accepted: npt.NDArray[np.bool_], improved: npt.NDArray[np.bool_]) -> None:
        """Count further proposals."""
        self.proposals += len(accepted)
        self.accepted += int(accepted.sum())
        self.improved += int(improved.sum())


@dataclass
class Summary:
    """What `inspect` prints; mutable while parts are added.

    Attributes
    ----------
    problems, runs, solved, members : int
    events : dict of str to int
        By event.
    kinds : dict of str to Moves
    neural : Moves
        Of an injected proposer.
    reasons : dict of str to int
        Rejected proposals by reason.
    sizes : dict of int to int
        Proposed trees by complexity; -1 where not known.
    disk_bytes : int
    """

    problems: int = 0
    runs: int = 0
    solved: int = 0
    members: int = 0
    events: Counter[str] = field(default_factory=Counter)
    kinds: dict[str, Moves] = field(default_factory=dict)
    neural: Moves = field(default_factory=Moves)
    reasons: Counter[str] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)
    disk_bytes: int = 0

    @property
    def proposals(self) -> int:
        """How many proposals there are."""
        return self.events[PROPOSAL]

    def add(self, columns: Columns) -> None:
        """Count the events of one part."""
        self.events.update(_counts(columns["event"]))
        event = columns["event"]
        made = np.flatnonzero(np.array([name == PROPOSAL for name in event.names], dtype=bool)[event.ids])
        kinds, reasons = (Names(columns[name].ids[made], columns[name].names) for name in ("kind", "reason"))
        accepted, neural = columns["accepted"][made], columns["neural"][made]
        improved = accepted & (columns["after_loss"][made] < columns["before_loss"][made])
        for i, name in enumerate(kinds.names):
            chosen = kinds.ids == i
            if chosen.any():
                self.kinds.setdefault(name, Moves()).add(accepted[chosen], improved[chosen])
        self.neural.add(accepted[neural], improved[neural])
        self.reasons.update(_counts(Names(reasons.ids[~accepted], reasons.names)))
        sizes, counts = np.unique(columns["complexity"][made], return_counts=True)
        self.sizes.update(dict(zip(sizes.tolist(), counts.tolist(), strict=True)))


def summarize(trace: Trace) -> Summary:
    """Count what a trace holds, part by part."""
    runs = trace.columns("runs", ["solved"])["solved"]
    found = Summary(len(trace.problems), len(runs), int(runs.sum()), disk_bytes=sum(trace.disk_bytes.values()))
    found.members = sum(len(table) for table in trace.tables("members", ["ref"]))
    for table in trace.tables("events", _COLUMNS):
        found.add(arrays(table))
    return found


def report(found: Summary) -> str:
    """Write a summary as text."""
    per_proposal = found.disk_bytes / found.proposals if found.proposals else float("nan")
    lines = [
        f"{found.problems} problems, {found.runs} runs, solved {found.solved} ({_share(found.solved, found.runs)})",
        f"{found.proposals} proposals, {found.members} members of recorded populations, "
        f"{found.disk_bytes / 2**20:.1f} MiB, {per_proposal:.1f} bytes per proposal",
        f"other events: {_listed({name: n for name, n in found.events.items() if name != PROPOSAL})}",
        f"nodes of a proposed tree, least, quartiles, most: {' '.join(map(str, quantiles(found.sizes)))}",
        f"rejected: {_listed(found.reasons)}",
    ]
    if found.neural.proposals:
        neural = found.neural
        lines.append(
            f"neural: {neural.proposals} proposals, {_share(neural.accepted, neural.proposals)} accepted, "
            f"{_share(neural.improved, neural.proposals)} improved their parent"
        )
    improving = sum(moves.improved for moves in found.kinds.values())
    lines += ["", f"{'kind':<18}{'proposals':>11}{'share':>9}{'accepted':>10}{'improved':>10}{'of improving':>14}"]
    for name, moves in sorted(found.kinds.items(), key=lambda item: -item[1].proposals):
        shares = (
            f"{_share(moves.proposals, found.proposals):>9}{_share(moves.accepted, moves.proposals):>10}"
            f"{_share(moves.improved, moves.proposals):>10}{_share(moves.improved, improving):>14}"
        )
        lines.append(f"{name or '(none)':<18}{moves.proposals:>11}{shares}")
    return "\n".join(lines)


def quantiles(sizes: Mapping[int, int]) -> list[int]:
    """Return least, quartiles and most of values given with their counts; nothing for none."""
    values = np.array(sorted(size for size in sizes if size >= 0))
    if not len(values):
        return []
    ends = np.cumsum([sizes[int(value)] for value in values])
    return [int(values[np.searchsorted(ends, max(q * ends[-1], 1))]) for q in QUANTILES]


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="pysr-neural traces inspect", description=__doc__.splitlines()[0])
    parser.add_argument("trace", type=Path, help="folder of the trace")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    found = summarize(Trace(options.trace))
    print(report(found))
    if options.json:
        kinds = {name: asdict(moves) for name, moves in found.kinds.items()}
        whole = {**vars(found), "kinds": kinds, "neural": asdict(found.neural), "proposals": found.proposals}
        print(json.dumps(whole))
    return 0


def _counts(names: Names) -> dict[str, int]:
    found = np.bincount(names.ids, minlength=len(names.names))
    return {name: int(count) for name, count in zip(names.names, found, strict=True) if count}


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _listed(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1])) or "none"


if __name__ == "__main__":
    raise SystemExit(main())
