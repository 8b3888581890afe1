"""A recorded run, played again: which population stood when each proposal was made.

Owns: members by reference, who descends from whom, which proposals are worth learning.  Does not own: populations
while events pass by (`stage`), files (`pysr_neural.trace`), what becomes of a proposal (`from_traces`).

Everything is kept by reference: members are numbers of rows of the trace, and a tree is read when it is asked for.  A
proposer is asked at the beginning of a cycle, and so the population of a proposal is the one that its cycle began with.
BasicSR's populations follow exactly from its events.  A PySR recorded by the plugin shows a population after the first
cycle of an iteration: proposals of that cycle have none.  PySR's own tracing does not know cycles: the population is
the one that the iteration began with.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pysr_neural.errors import TraceError
from pysr_neural.expression.node import Node
from pysr_neural.problem import Problem
from pysr_neural.state import MemberView
from pysr_neural.trace.io import Columns, Trace, trees
from pysr_neural.trace.schema import DEATH, HALL_OF_FAME, PROPOSAL, Lists, Names
from pysr_neural_training.examples.stage import Place, Stage

UNKNOWN = -1
AFTER = 1 << 30
"""Iteration of the place where a run's last populations stand."""
Rows = npt.NDArray[np.int64]


@dataclass
class Replay:
    """One run.

    Parameters
    ----------
    trace : Trace
    run : int

    Attributes
    ----------
    problem : Problem
        By reference: the one that the trace holds.
    max_size : int
        Size limit of the search.
    standing : dict
        Of each place, the members that its cycle began with, as rows, in their slots.
    proposals : int64 array
        Rows of the events that propose something that is known and is no mere copy.
    place_of : dict
        The place of each of these rows.

    Raises
    ------
    TraceError
        If the trace cannot be read, or has no such run.
    """

    trace: Trace
    run: int
    standing: dict[Place, Rows] = field(default_factory=dict)
    place_of: dict[int, Place] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.facts,) = self.trace.table("runs", ["problem", "engine", "config", "best"], run=self.run).to_pylist()
        if self.facts["problem"] not in self.trace.problems:
            raise TraceError(f"Run {self.run} must be of a problem of its trace; got problem {self.facts['problem']}.")
        self.problem: Problem = self.trace.problems[self.facts["problem"]]
        self.settings: dict[str, Any] = json.loads(self.facts["config"] or "{}")
        own_limit = self.settings.get("max_size") if self.facts["engine"] == "basic" else None
        self.max_size = min(own_limit or self.problem.limits.max_size, self.problem.limits.max_size)
        self._members = self.trace.columns("members", run=self.run)
        self._events = self.trace.columns("events", run=self.run)
        self._views: dict[int, MemberView | None] = {}
        self._first_event = len(self._members["ref"])
        self.kinds = _texts(self._events["kind"])
        self._read_events()
        self._play()

    def _read_events(self) -> None:
        events = self._events
        self.what = _texts(events["event"])
        known = np.diff(events["codes"].offsets) > 0
        finite = np.isfinite(events["after_loss"])
        made = np.array([text == PROPOSAL for text in self.what], dtype=bool)
        moved = np.array([kind != "do_nothing" for kind in self.kinds], dtype=bool)
        self.proposals: Rows = np.flatnonzero(made & moved & known & finite)
        self.row_of: dict[int, int] = {}
        for row, ref in enumerate(self._members["ref"].tolist()):
            self.row_of.setdefault(ref, row)
        born = (events["ref"] >= 0) & known & (np.array(self.what, dtype=object) != DEATH)
        for row in np.flatnonzero(born).tolist():
            self.row_of[int(events["ref"][row])] = self._first_event + row

    def _play(self) -> None:
        engine = self.facts["engine"]
        if engine == "pysr":
            self._follow(Stage(generational=False, first_cycle=1))
        else:
            self._follow(Stage(generational=self.settings.get("replacement") == "generational", first_cycle=0))
        self.proposals = np.array([row for row in self.proposals.tolist() if row in self.place_of], dtype=np.int64)

    def _follow(self, stage: Stage) -> None:
        """Go through the events, and note with whom each cycle began."""
        events, bases = self._events, self._bases()
        columns = [events[name].tolist() for name in ("population", "iteration", "cycle", "ref", "parent", "parent2")]
        wanted = set(self.proposals.tolist())
        for row, (population, iteration, cycle, ref, parent, parent2) in enumerate(zip(*columns, strict=True)):
            place, what = (population, iteration, cycle), self.what[row]
            if what in (PROPOSAL, DEATH):
                standing = stage.enter(place, bases)
                if standing is not None and place not in self.standing:
                    self.standing[place] = np.array([self.row_of.get(one, UNKNOWN) for one in standing])
                if standing is not None and row in wanted:
                    self.place_of[row] = place
            stage.take(what, population, ref, parent2 if parent2 >= 0 else parent)
        for population, refs in stage.leave().items():
            self.standing.setdefault((population, AFTER, 0), np.array([self.row_of.get(r, UNKNOWN) for r in refs]))

    def _bases(self) -> "dict[tuple[int, int], list[int]]":
        """Return the recorded populations by population and iteration: the last, where one was taken twice."""
        members = self._members
        found: dict[tuple[int, int], list[int]] = {}
        names = ("population", "iteration", "slot", "ref")
        for population, iteration, slot, ref in zip(*(members[name].tolist() for name in names), strict=True):
            if population == HALL_OF_FAME or slot < 0:
                continue
            if slot == 0:
                found[population, iteration] = []
            found.setdefault((population, iteration), []).append(ref)
        return found

    def view(self, row: int) -> MemberView | None:
        """Return a member as proposers see it; None if its tree is not known."""
        return next(iter(self.views([row])), None)

    def views(self, rows: Sequence[int] | Rows) -> list[MemberView]:
        """Return members as proposers see them, those left out whose trees are not known."""
        found = []
        for row in map(int, rows):
            if row not in self._views:
                self._views[row] = self._read(row)
            view = self._views[row]
            if view is not None:
                found.append(view)
        return found

    def _read(self, row: int) -> MemberView | None:
        if row == UNKNOWN:
            return None
        table, at, loss = self._members, row, "loss"
        if row >= self._first_event:
            table, at, loss = self._events, row - self._first_event, "after_loss"
        tree = _tree(table, at, self.problem)
        return None if tree is None else MemberView(tree, float(table[loss][at]), int(table["complexity"][at]))

    def child(self, event: int) -> MemberView:
        """Return what a proposal proposed.

        Raises
        ------
        TraceError
            If it is not known.
        """
        found = self.view(self._first_event + event)
        if found is None:
            raise TraceError(f"The child of event {event} of run {self.run} must be known; it is not.")
        return found

    def parents(self, event: int) -> list[MemberView]:
        """Return what a proposal was made from, as far as it is known."""
        refs = [int(self._events[name][event]) for name in ("parent", "parent2")]
        return self.views([self.row_of.get(ref, UNKNOWN) for ref in refs if ref >= 0])

    def parent_count(self, event: int) -> int:
        """Return how many parents a proposal had."""
        return sum(int(self._events[name][event]) >= 0 for name in ("parent", "parent2"))

    def population_of(self, event: int) -> list[MemberView]:
        """Return the population that the cycle of a proposal began with."""
        return self.views(self.standing[self.place_of[event]])

    @property
    def best(self) -> MemberView | None:
        """The run's best member; None if its tree is not known."""
        return self.view(self.row_of.get(int(self.facts["best"]), UNKNOWN))

    def ancestors(self) -> set[int]:
        """Return the refs of the best member and all of its ancestors."""
        parents: dict[int, tuple[int, ...]] = {}
        for ref, parent in zip(self._members["ref"].tolist(), self._members["parent"].tolist(), strict=True):
            parents.setdefault(ref, (parent,))
        columns = [self._events[name].tolist() for name in ("ref", "parent", "parent2")]
        for row, (ref, first, second) in enumerate(zip(*columns, strict=True)):
            if ref >= 0 and self.what[row] != DEATH:  # A second parent is one only where two members were crossed.
                parents[ref] = (first, second) if self.what[row] == PROPOSAL else (first,)
        found: set[int] = set()
        waiting = [int(self.facts["best"])]
        while waiting:
            one = waiting.pop()
            if one >= 0 and one not in found:
                found.add(one)
                waiting.extend(parents.get(one, ()))
        return found

    def transitions(self) -> list[tuple[Place, Place]]:
        """Return the pairs of populations that follow each other: by cycles, for PySR by iterations.

        A cycle of PySR exchanges few members, so that the population after it is much the same.
        """
        by_population: dict[int, list[Place]] = {}
        for place in sorted(self.standing):
            own = by_population.setdefault(place[0], [])
            if self.facts["engine"] != "pysr" or not own or own[-1][1] != place[1]:
                own.append(place)
        return [pair for own in by_population.values() for pair in pairwise(own)]

    def select(self, targets: str) -> Rows:
        """Return the proposals that one of `from_traces.TARGETS` asks for."""
        events, rows = self._events, self.proposals
        if targets == "all":
            return rows
        entered = rows[events["ref"][rows] >= 0]
        if targets == "accepted":
            return entered
        if targets == "improving":
            better: Rows = entered[events["after_loss"][entered] < events["before_loss"][entered]]
            return better
        line = self.ancestors()
        return np.array([row for row in entered.tolist() if int(events["ref"][row]) in line], dtype=np.int64)

    def select_transitions(self, targets: str) -> list[tuple[Place, Place]]:
        """Return the pairs of populations that one of `from_traces.TARGETS` asks for."""
        pairs = self.transitions()
        if targets == "improving":
            return [(a, b) for a, b in pairs if self._least_loss(b) < self._least_loss(a)]
        if targets == "ancestors":
            line = {self.row_of.get(ref, UNKNOWN) for ref in self.ancestors()} - {UNKNOWN}
            return [(a, b) for a, b in pairs if line & set(self.standing[b].tolist()) - set(self.standing[a].tolist())]
        return pairs

    def _least_loss(self, place: Place) -> float:
        rows = self.standing[place]
        old = self._members["loss"][rows[(rows >= 0) & (rows < self._first_event)]]
        new = self._events["after_loss"][rows[rows >= self._first_event] - self._first_event]
        losses = np.concatenate([old, new])
        return float(np.nanmin(losses, initial=np.inf))


def _texts(column: Names) -> list[str]:
    return [column.names[i] for i in column.ids.tolist()]


def _tree(columns: Columns, at: int, problem: Problem) -> Node | None:
    """Read one tree."""
    cut = {}
    for name in ("codes", "constants"):
        offsets, values = columns[name]
        cut[name] = Lists(np.array([0, offsets[at + 1] - offsets[at]]), values[offsets[at] : offsets[at + 1]])
    return next(trees(cut, problem))
