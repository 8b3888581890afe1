"""Lessons from traces: a recorded search is replayed, and every action is a lesson in the state that it was decided in.

Owns: `visits_in`, `lessons_from`.  Does not own: replaying (`pysr_neural_baseline.replay`), rebuilding what PySR met
(`from_pysr`), arrays (`lessons`).

A replay meets the very members that the search met, so that the state is built by the code that builds it at search
time.  Actions whose child was beyond the limits are left out: the policy only makes those that fit.  PySR's searches
cannot be replayed; their populations are put together from what their traces tell.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pysr_neural.proposer.base import Action
from pysr_neural.proposer.policy.choosers import Recorded
from pysr_neural.proposer.policy.language import Flags, Language
from pysr_neural.proposer.policy.population import PopulationState
from pysr_neural.proposer.policy.walk import Walk
from pysr_neural.trace.io import Trace
from pysr_neural_baseline.population import Member
from pysr_neural_baseline.replay import config_of, decisions_of, replay
from pysr_neural_baseline.search import Search
from pysr_neural_training.policy.from_pysr import pysr_visits
from pysr_neural_training.policy.lessons import Lesson, Lessons


@dataclass(frozen=True)
class Taught:
    """What traces teach.

    Parameters
    ----------
    lessons : dict of str to Lesson
        By head.
    actions : int
        Actions that fit.
    impossible : int
        Those among them that the policy cannot make; they are left out.
    runs : tuple of int
    """

    lessons: dict[str, Lesson]
    actions: int
    impossible: int
    runs: tuple[int, ...]


class Visit(NamedTuple):
    """A population that a search met, and what was decided on it."""

    state: PopulationState
    actions: list[Action]


def state_in(search: Search, language: Language, members: Sequence[Member]) -> PopulationState:
    """Return the state of a running search, as its requests tell it."""
    score = search.selection.score
    views = [member.view(score(member)) for member in members]
    return PopulationState(language, views, search.variation.max_size, search.progress)


def visits_in(
    trace: Trace, run: Mapping[str, Any], share: float, rng: np.random.Generator, looks_ahead: bool = True
) -> Iterable[Visit]:
    """Replay or rebuild a run; returns the populations that it met, with the actions on each whose child fits.

    Parameters
    ----------
    trace : Trace
    run : mapping
        A row of the table ``runs``.
    share : float
        Of the populations that are wanted: where every step changes the population, neighbours say almost the same.
    rng : numpy.random.Generator
        Of that choice.
    looks_ahead : bool
        See `Language`.

    Raises
    ------
    TraceError
        If the run tells no actions, or takes another way than recorded.
    """
    problem = trace.problems[run["problem"]]
    language = Language(problem, looks_ahead)
    if run["engine"] == "pysr":
        return (Visit(*visited) for visited in pysr_visits(trace, run, language, share, rng))
    onlooker = _Onlooker(language, share, rng)
    replay(problem, config_of(run), run["seed"], decisions_of(trace, run["run"], problem), onlooker.see)
    return [visit for visit in onlooker.visits if visit.actions]


def lessons_from(
    trace: Trace,
    most: int = 50_000,
    share: float = 1.0,
    seed: int = 0,
    looks_ahead: bool = True,
    runs: Collection[int] | None = None,
) -> Taught:
    """Go through runs until there are enough actions.

    Parameters
    ----------
    trace : Trace
    most : int
        Actions after which no further run is begun.
    share, seed, looks_ahead
        See `visits_in`.
    runs : collection of int, optional
        Numbers of the runs that may be used; all by default.
    """
    lessons, possible, used = Lessons(), list[Flags](), list[int]()
    rng = np.random.default_rng(seed)
    for row in trace.table("runs").to_pylist():
        if lessons.actions >= most:
            break
        if runs is not None and row["run"] not in runs:
            continue
        for visit in visits_in(trace, row, share, rng, looks_ahead):
            possible.append(learn_visit(lessons, visit))
        used.append(row["run"])
    keep = np.concatenate(possible) if possible else np.zeros(0, dtype=bool)
    return Taught(lessons.finished(keep), len(keep), int((~keep).sum()), tuple(used))


def learn_visit(lessons: Lessons, visit: Visit) -> Flags:
    """Take the decisions of a visit; returns which of its actions the policy can make."""
    count = len(visit.actions)
    chooser = Recorded(visit.actions, visit.state.language, lessons.watch)
    Walk(visit.state, count).run(chooser)
    lessons.advance(count)
    return chooser.possible


class _Onlooker:
    """Watches one replay, population by population."""

    def __init__(self, language: Language, share: float, rng: np.random.Generator) -> None:
        self.language, self.share, self.rng = language, share, rng
        self.refs: tuple[int, ...] = ()
        self.wanted = False
        self.visits: list[Visit] = []

    def see(self, search: Search, members: Sequence[Member], action: Action, fits: bool) -> None:
        """Take one action of the replay."""
        refs = tuple([member.ref for member in members])
        if refs != self.refs:
            self.refs, self.wanted = refs, self.share >= 1 or self.rng.random() < self.share
            if self.wanted:
                self.visits.append(Visit(state_in(search, self.language, members), []))
        if fits and self.wanted:
            self.visits[-1].actions.append(action)
