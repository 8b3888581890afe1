"""The populations that a search of PySR met, rebuilt from its trace.

Owns: `pysr_visits`.  Does not own: replaying BasicSR (`from_traces`), which actions were taken
(`pysr_neural.interop.actions` wrote them down).

PySR cannot be replayed here, but its trace tells the members after the first cycle of an iteration, and every child
and death since; so the actions of the first cycle are left out.  Within a cycle, mutations are told in their order and
crossovers after them: where a cycle has both, the population may be off by a step.

Tournaments compare PySR's cost times what crowded sizes pay (``adaptive_parsimony_scaling``).  How crowded a size was
is not told; it is counted from the members of all recorded populations, so that a trace with a share of them
(``population_rate`` below 1) knows it less well.
"""

import json
import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from pysr_neural.errors import TraceError
from pysr_neural.operators import Array
from pysr_neural.proposer.base import Action
from pysr_neural.proposer.policy.language import Ints, Language
from pysr_neural.proposer.policy.population import PopulationState
from pysr_neural.state import MemberView
from pysr_neural.trace.io import Columns, Trace, tree_at
from pysr_neural.trace.schema import DEATH, HALL_OF_FAME, PROPOSAL, SIMPLIFY, TUNING
from pysr_neural_baseline.replay import decision_at

CROWDING = 1040.0
"""PySR's default of ``adaptive_parsimony_scaling``."""
RENAMING = (TUNING, SIMPLIFY)
"""Events by which members get new refs between iterations."""
Place = tuple[int, int]
"""Population and iteration."""
Visited = tuple[PopulationState, list[Action]]


def pysr_visits(
    trace: Trace, run: Mapping[str, Any], language: Language, share: float, rng: np.random.Generator
) -> Iterator[Visited]:
    """Yield populations of a run, with the known actions on each.

    Parameters
    ----------
    trace : Trace
    run : mapping
        A row of the table ``runs``.
    language : Language
        Of the run's problem.
    share : float
        Of the populations that are wanted.
    rng : numpy.random.Generator
        Of that choice.

    Raises
    ------
    TraceError
        If the run tells no actions, or a proposer made some of its children.
    """
    told = _Told(trace, run, language)
    for place, rows in told.events_of.items():
        if place in told.crowds:
            yield from _Iteration(told, place).visits(rows, share, rng)


class _Told:
    """What a trace tells of one run."""

    def __init__(self, trace: Trace, run: Mapping[str, Any], language: Language) -> None:
        self.language = language
        self.events, self.members = (trace.columns(name, run=run["run"]) for name in ("events", "members"))
        names = np.array(self.events["event"].names)[self.events["event"].ids]
        proposals, self.is_death, self.is_renaming = names == PROPOSAL, names == DEATH, np.isin(names, RENAMING)
        self.rows: Ints = np.flatnonzero(proposals | self.is_death)
        if self.events["neural"][proposals].any():
            raise TraceError(f"Only plain evolution is learned from; a proposer made children of run {run['run']}.")
        if not self.events["action"].any():
            raise TraceError(f"Run {run['run']} must tell its actions; it tells of none. Record it again.")
        settings = json.loads(run["config"])
        used = settings.get("use_frequency_in_tournament", True)
        self.scaling = float(settings.get("adaptive_parsimony_scaling", CROWDING)) if used else 0.0
        self.iterations, self.cycles = run["iterations"], int(self.events["cycle"].max()) + 1

    @cached_property
    def events_of(self) -> dict[Place, Ints]:
        """Proposals and deaths by place, in their order."""
        populations, iterations = (self.events[name][self.rows] for name in ("population", "iteration"))
        begins = np.flatnonzero((np.diff(populations) != 0) | (np.diff(iterations) != 0)) + 1
        each = zip([0, *begins.tolist()], np.split(self.rows, begins), strict=True)
        return {(int(populations[at]), int(iterations[at])): rows for at, rows in each}

    @cached_property
    def standing(self) -> dict[Place, list[Ints]]:
        """Members at the end of the iteration before, if there was one, then those after the first cycle of this."""
        rows = np.flatnonzero((self.members["population"] != HALL_OF_FAME) & (self.members["slot"] >= 0))
        found: dict[Place, list[list[int]]] = {}
        each = [self.members[name][rows].tolist() for name in ("population", "iteration", "slot")]
        for population, iteration, slot, row in zip(*each, rows.tolist(), strict=True):
            own = found.setdefault((population, iteration), [])
            if slot == 0:
                own.append([])
            own[-1].append(row)
        return {place: [np.array(moment) for moment in own] for place, own in found.items()}

    @cached_property
    def crowds(self) -> dict[Place, Array]:
        """Share of each size among all members that had returned when an iteration began, by place.

        A population that returns is counted, simplified, and begins its next iteration at once; births tell which was
        first.  Of members that were gone after the first cycle it is not told how they were simplified.
        """
        sizes, births, refs = (self.members[name] for name in ("complexity", "birth", "ref"))
        new = [self.events[name][self.is_renaming].tolist() for name in ("parent", "complexity")]
        simplified = dict(zip(*new, strict=True))
        counts = np.ones(1 + max(int(sizes.max()), self.language.problem.limits.max_size))
        found: dict[Place, Array] = {}
        begun = [place for place, moments in self.standing.items() if len(moments) > (place[1] > 0)]
        for place in sorted(begun, key=lambda place: (place[1] > 0, births[self.standing[place][-1]].max())):
            if place[1] > 0:
                for row in self.standing[place][0].tolist():
                    counts[simplified.get(int(refs[row]), sizes[row])] += 1
            found[place] = counts / counts[1:].sum()
        return found


class _Standing(NamedTuple):
    """Where a trace tells of a member: table, what its columns of loss and cost begin with, row; and its birth."""

    table: Columns
    prefix: str
    row: int
    birth: int


class _Iteration:
    """One population during one iteration, child by child.

    Attributes
    ----------
    alive : dict of int to _Standing
        Members by ref, the oldest first.
    """

    def __init__(self, told: _Told, place: Place) -> None:
        self.told, self.place, self.crowd = told, place, told.crowds[place]
        births, refs, rows = told.members["birth"], told.members["ref"], told.standing[place][-1]
        oldest_first = rows[np.argsort(births[rows], kind="stable")].tolist()
        self.alive = {int(refs[row]): _Standing(told.members, "", row, i) for i, row in enumerate(oldest_first)}
        self.newest = len(self.alive)
        self._views: dict[int, MemberView] = {}

    def visits(self, rows: Ints, share: float, rng: np.random.Generator) -> Iterator[Visited]:
        """Yield wanted populations with the known actions on each."""
        state, actions, changed = None, list[Action](), True
        for cycle, step, dying in self._steps(rows):
            if changed:
                if state is not None and actions:
                    yield state, actions
                state, actions = self._state(cycle) if rng.random() < share else None, []
            if state is not None:
                actions += [action for row in step if (action := self._action(row)) is not None]
            entered = [self._enter(row, dying) for row in step]
            changed = any(entered)
        if state is not None and actions:
            yield state, actions

    def _steps(self, rows: Ints) -> Iterator[tuple[int, list[int], set[int]]]:
        """Yield cycle, proposals and who died in the cycle; both children of a crossover are one step."""
        events, is_death = self.told.events, self.told.is_death
        for cycle, own in groupby(rows.tolist(), key=lambda row: int(events["cycle"][row])):
            told = list(own) if cycle > 0 else []
            dying = {int(events["ref"][row]) for row in told if is_death[row]}
            for step in self._ordered([row for row in told if not is_death[row]]):
                yield cycle, step, dying

    def _ordered(self, proposals: list[int]) -> list[list[int]]:
        """Return the steps of a cycle, those on its own children last."""
        refs = [self.told.events[name][proposals].tolist() for name in ("parent", "parent2", "ref")]
        born = {ref for ref in refs[-1] if ref >= 0}
        steps: list[tuple[bool, list[int]]] = []
        twins = None
        for row, parent, mate, _ in zip(proposals, *refs, strict=True):
            if (parent, mate) == twins:
                steps[-1][1].append(row)
                twins = None
            else:
                steps.append((parent in born or mate in born, [row]))
                twins = (mate, parent) if mate >= 0 else None
        return [step for _, step in sorted(steps, key=lambda each: each[0])]

    def _enter(self, row: int, dying: set[int]) -> bool:
        """Let an accepted child in, in place of the oldest who died in its cycle; tells whether there was one."""
        ref = int(self.told.events["ref"][row])
        if ref < 0:
            return False
        self.alive.pop(next((old for old in self.alive if old in dying), -1), None)
        self.alive[ref] = _Standing(self.told.events, "after_", row, self.newest)
        self.newest += 1
        return True

    def _action(self, row: int) -> Action | None:
        if not self.told.events["action"][row]:
            return None
        kind, parents, edit = decision_at(self.told.events, row, self.told.language.problem)
        places = {ref: at for at, ref in enumerate(self.alive)}
        known = all(ref in places for ref in parents)
        return Action(kind, tuple([places[ref] for ref in parents]), edit) if known else None

    def _state(self, cycle: int) -> PopulationState:
        told, language = self.told, self.told.language
        views = [self._view(ref, standing) for ref, standing in self.alive.items()]
        progress = (self.place[1] + cycle / told.cycles) / told.iterations
        return PopulationState(language, views, language.problem.limits.max_size, progress)

    def _view(self, ref: int, standing: _Standing) -> MemberView:
        if ref not in self._views:
            table, prefix, row, birth = standing
            loss, cost, size = table[f"{prefix}loss"][row], table[f"{prefix}cost"][row], int(table["complexity"][row])
            tree = tree_at(table, row, self.told.language.problem)
            score = _logarithm(cost) + self.told.scaling * self.crowd[size]
            self._views[ref] = MemberView(tree, float(loss), size, score, birth)
        return self._views[ref]


def _logarithm(cost: float) -> float:
    """Return the logarithm of a cost; infinity for NaN, which wins no tournament."""
    return math.log(cost) if cost > 0 else -math.inf if cost <= 0 else math.inf
