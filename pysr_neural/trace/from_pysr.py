"""From PySR's own tracing to the tables of a trace.

Owns: reading the JSON lines that ``PySRRegressor(use_tracing=True, tracing_file=...)`` writes.  Does not own: the
tables (`schema`), what our Julia plugin records (`pysr_neural.interop.recording`).

The file holds a record of the search, then one per population and iteration: the members as they stood at the start,
and for every member the events that it took part in.  A rejected child is stored there as a copy of its parent, so that
its tree is not known; simplification and tuning give all members new refs.  A fit with several outputs holds several
searches.
"""

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pysr_neural.errors import ExpressionError, TraceError
from pysr_neural.expression.text import parse
from pysr_neural.problem import Problem
from pysr_neural.trace.schema import ACTION_COLUMNS, DEATH, PROPOSAL, SIMPLIFY, TABLES, TUNING, make_table
from pysr_neural.trace.trees import NO_TREE, TreeColumns

if TYPE_CHECKING:
    import pyarrow as pa

PYSR_TRACE_VERSION = 1
_KINDS = {
    "mutate_constant": "constant",
    "mutate_operator": "operator",
    "mutate_feature": "feature",
    "swap_operands": "swap",
    "rotate_tree": "rotate",
    "add_node:append": "add",
    "add_node:prepend": "add",
    "insert_node": "insert",
    "delete_node": "delete",
    "identity": "do_nothing",
    "subtree_crossover": "crossover",
}
_REASONS = {"failed_constraint_check": "constraints", "nan_loss": "loss"}
_FLOAT32 = re.compile(r"(\d)f([-+]?\d)")
_UNKNOWN = {"tree": "", "loss": float("nan"), "cost": float("nan")}
Entry = Mapping[str, Any]


def read_pysr_trace(
    path: Path, problem: Problem, run: int = 0, problem_number: int = 0, output: int = 1, **facts: Any
) -> "dict[str, pa.Table]":
    """Read PySR's tracing file.

    Parameters
    ----------
    path : Path
    problem : Problem
        What was searched.  Its variable names do not matter: the tracing calls variables x1, x2, … whatever PySR was
        given.
    run, problem_number : int
        What the run and its problem are called in the trace.
    output : int
        Which target of a fit with several, from 1.
    **facts
        Columns of table ``runs`` that the file does not tell: version, seed, config …

    Returns
    -------
    dict of str to pyarrow.Table
        The tables ``runs``, ``members`` and ``events``.

    Raises
    ------
    TraceError
        If the file is no such trace, of another version, truncated in the middle, or tells of no such output.  A last
        line that was cut off is left out.
    """
    reader = _Reader(problem, run)
    for line, record in _records(path):
        if record["record_type"] == "iteration" and record["output"] == output:
            try:
                reader.take(record)
            except (KeyError, TypeError, AttributeError) as error:
                raise TraceError(f"{path}, line {line} must be a record of an iteration; got: {error!r}.") from error
    if not reader.iterations:
        raise TraceError(f"{path} must hold at least one iteration of output {output}; got none.")
    reader.warn()
    return {"runs": reader.run_row(problem_number, facts), "members": reader.members(), "events": reader.events()}


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TraceError(f"PySR's tracing file must be readable text; {path}: {error}.") from error
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):  # The search was killed while it wrote this line.
                return
            raise TraceError(f"{path}, line {number} must be JSON; got: {error}.") from error
        if not isinstance(record, dict) or record.get("record_type") not in ("search", "iteration"):
            raise TraceError(f"{path}, line {number} must be a record of PySR's tracing; got {line[:60]!r}.")
        if record.get("schema_version") != PYSR_TRACE_VERSION:
            raise TraceError(
                f"PySR's tracing must be of version {PYSR_TRACE_VERSION}; {path}, line {number} is of version "
                f"{record.get('schema_version')}."
            )
        yield number, record


class _Reader:
    """Collects rows from one record after the other."""

    def __init__(self, problem: Problem, run: int) -> None:
        self.run = run
        self.names = tuple(f"x{i + 1}" for i in range(problem.X.shape[1]))
        self.trees = TreeColumns(problem.operators, problem.X.shape[1])
        self.tree_of: dict[str, int] = {}
        self.unreadable: list[str] = []
        self.iterations: dict[int, int] = {}
        self.rows: dict[str, list[dict[str, Any]]] = {"members": [], "events": []}
        self.alive: set[int] = set()

    def take(self, record: Mapping[str, Any]) -> None:
        """Add the rows of one population and iteration."""
        population, iteration = record["population"] - 1, record["iteration"]
        self.iterations[population] = iteration + 1
        for slot, member in enumerate(record["members"]):
            self.alive.add(member["ref"])
            own = {name: member[name] for name in ("ref", "parent", "birth", "loss", "cost", "complexity")}
            where = {"population": population, "iteration": iteration, "slot": slot}
            self.rows["members"].append({**own, **where, "tree": self.tree(member["tree"]), "neural": False})
        entries = record["mutations"]
        for ref, event in _in_order(entries):
            for row in self._event_rows(ref, event, entries):
                self.rows["events"].append({"population": population, "iteration": iteration, **row})

    def tree(self, text: str) -> int:
        """Return the number of a tree; `NO_TREE` for a text that cannot be read."""
        if text not in self.tree_of:
            try:
                tree = parse(_FLOAT32.sub(r"\1e\2", text), self.names)
                self.tree_of[text] = self.trees.index(tree)
            except ExpressionError:
                self.unreadable.append(text)
                self.tree_of[text] = NO_TREE
        return self.tree_of[text]

    def warn(self) -> None:
        """Say once how many trees could not be read."""
        if self.unreadable:
            warnings.warn(
                f"{len(self.unreadable)} expressions of PySR's tracing cannot be read and are left out of the trace, "
                f"the first: {self.unreadable[0]!r}. Variables must be called {', '.join(self.names)}.",
                stacklevel=3,
            )

    def _event_rows(self, ref: int, event: Entry, entries: Mapping[str, Entry]) -> Iterator[dict[str, Any]]:
        kind = event["type"]
        if kind == "mutate":
            yield self._proposal((ref,), event["child"], event["mutation"], event.get("selected", True), entries)
        elif kind == "crossover":
            parents = (event["parent1"], event["parent2"])
            for child in (event["child1"], event["child2"]):
                yield self._proposal(parents, child, event["details"], True, entries)
        elif kind == "tuning":
            tuned = event["mutation"]["type"].endswith("optimization")
            yield self._row(TUNING if tuned else SIMPLIFY, (ref,), event["child"], entries)
        elif kind == "death":
            yield {**self._row(DEATH, (), ref, entries), **dict.fromkeys(("after_loss", "after_cost"), np.nan)} | {
                "tree": NO_TREE,
                "accepted": False,
            }

    def _proposal(
        self, parents: tuple[int, ...], child: int, details: Entry, selected: bool, entries: Mapping[str, Entry]
    ) -> dict[str, Any]:
        row = self._row(PROPOSAL, parents, child, entries)
        kind = details.get("type", "")
        row["kind"] = _KINDS.get(kind, kind)
        if details.get("result", "accept") == "accept" and selected:
            return row
        reason = details.get("reason", "") if details.get("result") == "reject" else "selection"
        row["reason"] = "backsolve" if reason.startswith("backsolve") else _REASONS.get(reason, reason or "acceptance")
        return row | {"accepted": False, "tree": NO_TREE, "after_loss": np.nan, "after_cost": np.nan}

    def _row(self, event: str, parents: tuple[int, ...], ref: int, entries: Mapping[str, Entry]) -> dict[str, Any]:
        before = entries.get(str(parents[0]), _UNKNOWN) if parents else _UNKNOWN
        after = entries.get(str(ref), _UNKNOWN)
        return {
            "event": event,
            "cycle": -1,
            "kind": "",
            "parent": parents[0] if parents else -1,
            "parent2": parents[1] if len(parents) > 1 else -1,
            "ref": ref,
            "tree": self.tree(after["tree"]) if after["tree"] else NO_TREE,
            "before_loss": before["loss"],
            "before_cost": before["cost"],
            "after_loss": after["loss"],
            "after_cost": after["cost"],
            "accepted": True,
            "reason": "",
            "neural": False,
        }

    def members(self) -> "pa.Table":
        """Build table ``members``."""
        return self._table("members")

    def events(self) -> "pa.Table":
        """Build table ``events``; a rejected copy keeps its ref only if it entered the population all the same."""
        rows = self.rows["events"]
        alive = self.alive | {row["parent"] for row in rows} | {row["ref"] for row in rows if row["event"] == DEATH}
        for row in rows:
            if not row["accepted"] and row["event"] == PROPOSAL and row["ref"] not in alive:
                row["ref"] = -1
        return self._table("events")

    def _table(self, name: str) -> "pa.Table":
        rows = self.rows[name]
        codes, constants, sizes = self.trees.columns([row["tree"] for row in rows])
        made = {"run": np.full(len(rows), self.run), "codes": codes, "constants": constants, "complexity": sizes}
        wanted = [field for field in TABLES[name].names if field not in made and field not in ACTION_COLUMNS]
        columns = {field: [row[field] for row in rows] for field in wanted}
        if name == "members":
            made["complexity"] = np.array([row["complexity"] for row in rows])
        return make_table(name, {**made, **columns})

    def run_row(self, problem_number: int, facts: Mapping[str, Any]) -> "pa.Table":
        """Build table ``runs``."""
        found = [(row["cost"], row["loss"], row["ref"]) for row in self.rows["members"]]
        found += [(r["after_cost"], r["after_loss"], r["ref"]) for r in self.rows["events"] if r["accepted"]]
        cost, loss, ref = min((each for each in found if each[0] == each[0]), default=(np.nan, np.nan, -1))
        row = {
            "version": "",
            "proposer": "",
            "seed": -1,
            "config": "{}",
            "solved": False,
            "stopped_by": "",
            **facts,
            "run": self.run,
            "problem": problem_number,
            "engine": "pysr",
            "population_rate": 1.0,
            "populations": len(self.iterations),
            "iterations": max(self.iterations.values()),
            "evaluations": -1,
            "best": ref,
            "best_loss": loss,
            "best_cost": cost,
            "lowest_loss": np.nanmin([each[1] for each in found]) if found else np.nan,
        }
        return make_table("runs", {name: [value] for name, value in row.items()})


def _in_order(entries: Mapping[str, Entry]) -> list[tuple[int, Entry]]:
    """List all events by time; each crossover once, and no deaths of those who only got a new ref."""
    found: list[tuple[int, Entry]] = []
    crossed = set()
    for ref, entry in entries.items():
        renamed = False
        for event in entry["events"]:
            if event["type"] == "crossover":
                pair = (event["child1"], event["child2"], event["time"])
                if pair in crossed:
                    continue
                crossed.add(pair)
            if not (renamed and event["type"] == "death"):
                found.append((int(ref), event))
            renamed = event["type"] == "tuning"
    return sorted(found, key=lambda pair: pair[1]["time"])
