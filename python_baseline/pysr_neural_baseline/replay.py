"""A recorded search again, by the actions in its trace instead of random numbers.

Owns: `Decision`, reading them from a trace, `replay`.  Does not own: recording (`recorder`), doing an action
(`variation`), what is learned from it (`pysr_neural_training.policy`).

The same actions in the same search give the same members, one by one; where they do not, the trace belongs to another
version of the engine, and that is an error.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from pysr_neural.errors import TraceError
from pysr_neural.expression.edits import Edit
from pysr_neural.expression.sample import GrowRules
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Action, Child
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.trace.io import Columns, Trace
from pysr_neural.trace.schema import PROPOSAL
from pysr_neural.wire.codes import decode_planted
from pysr_neural_baseline.config import BasicSRConfig, MutationWeights
from pysr_neural_baseline.objective import Objective
from pysr_neural_baseline.observer import SearchObserver
from pysr_neural_baseline.population import Member
from pysr_neural_baseline.search import Search, SearchResult
from pysr_neural_baseline.selection import Selection
from pysr_neural_baseline.variation import Variation

COLUMNS = ("event", "kind", "parent", "parent2", "action", "node", "place", "planted", "planted_constants", "neural")

_PARTS: Mapping[str, Callable[..., Any]] = {"mutations": MutationWeights, "grow": GrowRules, "guard": GuardRules}


class Decision(NamedTuple):
    """One recorded action: its kind, the refs of its parents, and its edit."""

    kind: str
    parents: tuple[int, ...]
    edit: Edit


Witness = Callable[[Sequence[Member], Action, bool], object]
"""Sees each action with the members that it was decided on, and whether the child fits."""


def decisions_of(trace: Trace, run: int, problem: Problem) -> list[Decision]:
    """Read the actions of a run in order; none, if it was solved by its initial members.

    Raises
    ------
    TraceError
        If the run tells of no actions, or a proposer made some of its children.
    """
    columns = trace.columns("events", COLUMNS, run)
    events = columns["event"]
    proposals = events.ids == (events.names.index(PROPOSAL) if PROPOSAL in events.names else -1)
    if columns["neural"][proposals].any():
        raise TraceError(f"Only plain evolution is replayed; a proposer made children of run {run}.")
    rows = np.flatnonzero(proposals & columns["action"])
    if proposals.any() and not len(rows):
        raise TraceError(f"Run {run} must tell its actions; it tells of none. Record it again: version 2 does.")
    return [decision_at(columns, row, problem) for row in rows.tolist()]


def decision_at(columns: Columns, row: int, problem: Problem) -> Decision:
    """Read the action of an event from the columns of `COLUMNS`."""
    kinds, codes, constants = columns["kind"], columns["planted"], columns["planted_constants"]
    own = codes.values[codes.offsets[row] : codes.offsets[row + 1]]
    values = constants.values[constants.offsets[row] : constants.offsets[row + 1]]
    planted = decode_planted(own, values, problem.operators, problem.X.shape[1]) if len(own) else None
    parents = tuple(int(columns[name][row]) for name in ("parent", "parent2") if columns[name][row] >= 0)
    return Decision(
        kinds.names[kinds.ids[row]], parents, Edit(int(columns["node"][row]), int(columns["place"][row]), planted)
    )


def config_of(run: Mapping[str, Any]) -> BasicSRConfig:
    """Return the configuration of a row of the table ``runs``.

    Raises
    ------
    TraceError
        If another engine made it.
    """
    if run["engine"] != "basic":
        raise TraceError(f"Only runs of BasicSR are replayed; got one of {run['engine']!r}.")
    settings: dict[str, Any] = json.loads(run["config"])
    for name, value in settings.items():
        if name in _PARTS:
            settings[name] = _PARTS[name](**value)
        elif isinstance(value, list):
            settings[name] = tuple(value)
    return BasicSRConfig(**settings)


class _Replayed(Variation):
    """Ordinary variation that decides as recorded."""

    def __init__(
        self, decisions: Iterator[Decision], witness: Witness | None, problem: Problem, config: BasicSRConfig,
        selection: Selection, objective: Objective,
    ) -> None:  # fmt: skip
        super().__init__(problem, config, selection, objective)
        self.decisions, self.witness, self.number = decisions, witness, 0

    def child(self, members: Sequence[Member], temperature: float, rng: np.random.Generator) -> tuple[Child, bool]:
        """Make the next recorded child."""
        decided = next(self.decisions, None)
        places = {member.ref: i for i, member in enumerate(members)}
        self.number += 1
        if decided is None or any(ref not in places for ref in decided.parents):
            raise TraceError(
                f"A replay must meet the recorded parents; action {self.number} has {decided}, which the search lacks. "
                "The trace is of another version, or of another problem."
            )
        action = Action(decided.kind, tuple([places[ref] for ref in decided.parents]), decided.edit)
        child, fits = self.perform(action, members, temperature, rng)
        if self.witness is not None:
            self.witness(members, action, fits)
        return child, fits


def replay(
    problem: Problem,
    config: BasicSRConfig,
    seed: int,
    decisions: Sequence[Decision],
    witness: Callable[[Search, Sequence[Member], Action, bool], object] | None = None,
    observer: SearchObserver | None = None,
) -> SearchResult:
    """Run a search by recorded actions.

    Parameters
    ----------
    problem, config, seed
        Of the recorded search: initial members, acceptance and tuning draw from the seed as before.
    decisions : sequence of Decision
    witness : callable, optional
        Sees the search, the members, each action on them, and whether its child fits.
    observer : SearchObserver, optional

    Raises
    ------
    TraceError
        If the search takes another way than the recorded one.
    """
    left, searches = iter(decisions), list[Search]()
    told: Witness | None = None
    if witness is not None:
        seen = witness
        told = lambda members, action, fits: seen(searches[0], members, action, fits)  # noqa: E731
    search = Search(problem, config, None, seed, observer=observer, variation=partial(_Replayed, left, told))
    searches.append(search)
    return search.run()
