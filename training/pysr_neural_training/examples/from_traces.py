"""Examples from traces: which runs may be trained on, and which of their moves become targets.

Owns: `TraceSource`, the choice of targets, the split of recorded problems.  Does not own: populations (`replay`),
prompts and targets as tokens (`layouts`).

A trace is read by reference: an example names a folder, a run and an event, and the data come from the trace's table of
problems.  A run is on the side of the split that the formula of its problem is on, as generated problems are; where the
formula is not known, the data decide.
"""

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pysr_neural.errors import ConfigError, ExpressionError, TraceError, did_you_mean
from pysr_neural.expression.canonical import UNDEFINED, canonical
from pysr_neural.expression.simplify import simplify
from pysr_neural.expression.text import parse
from pysr_neural.problem import Problem
from pysr_neural.proposer.neural.transformer import REPAIR_ROOM
from pysr_neural.rng import generator
from pysr_neural.state import MemberView
from pysr_neural.trace.io import Trace
from pysr_neural.wire import prompt as p
from pysr_neural_training.examples.dismantle import chain, member_of
from pysr_neural_training.examples.layouts import Example, Scene
from pysr_neural_training.examples.replay import Replay
from pysr_neural_training.examples.stage import Place
from pysr_neural_training.problems.generate import GeneratedProblem, in_training, is_held_out, split_key

TARGETS = ("all", "accepted", "improving", "ancestors", "reverse")
KEPT_RUNS = 16
RUNS_PER_BATCH = 4
"""Runs that share a batch: few, so that few are read."""
HELD_OUT, UNREADABLE, NO_TARGET = "held-out problem", "formula that cannot be read", "run without such targets"


@dataclass(frozen=True)
class RunReference:
    """Where a run lies: position of the folder, number of the run."""

    folder: int
    run: int


@dataclass
class Moves:
    """One run, and what of it is asked for.

    Parameters
    ----------
    replay : Replay
    proposals : int64 array
        Rows of events.
    transitions : list of pairs of places
    """

    replay: Replay
    proposals: np.ndarray
    transitions: list[tuple[Place, Place]]


@dataclass
class TraceSource:
    """Makes examples from the runs of some traces.

    Parameters
    ----------
    folders : sequence of str
    targets : str
        One of `TARGETS`.  ``all``: every proposal that was evaluated, accepted or not; ``accepted``: those that entered
        the population; ``improving``: those of them that lowered their first parent's loss, and the populations whose
        best got better; ``ancestors``: those on the way to the run's best; ``reverse``: the run's best, dismantled, and
        the moves that mend it.
    fraction : float
        Share of the targets that is used; always the same ones.
    max_members, room : int
    context : str
        See `layouts.Scene`.
    seed : int
        Of the share.
    held_out : bool
        Whether to take the runs on the other side of the split, for evaluation.
    """

    folders: Sequence[str]
    targets: str = "all"
    fraction: float = 1.0
    max_members: int = 6
    room: int = 0
    context: str = "basic"
    seed: int = 1
    held_out: bool = False
    skipped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        check_targets(self.targets, self.fraction)
        self._scenes: dict[int, Scene] = {}
        self._kept: OrderedDict[RunReference, Moves] = OrderedDict()
        self.traces = [Trace(Path(folder)) for folder in self.folders]
        self.runs = [reference for i in range(len(self.traces)) for reference in self._runs_of(i)]
        if not self.runs:
            raise TraceError(
                f"Traces must hold a run of a problem that may be trained on; {', '.join(self.folders)}: "
                f"{_told(self.skipped) or 'no finished run'}. "
                "Record some: `pysr-neural traces generate --generated N --out FOLDER`."
            )

    def examples(self, layout: str, count: int, rng: np.random.Generator) -> list[Example]:
        """Make examples of one layout, of few runs.

        Raises
        ------
        TraceError
            If no run has such targets, or a trace cannot be read.
        """
        made: list[Example] = []
        share = -(-count // RUNS_PER_BATCH)
        while len(made) < count:
            before = len(made)
            for i in rng.permutation(len(self.runs)).tolist():
                wanted = min(share, count - len(made))
                made += self._examples_of(self.runs[i], layout, wanted, rng)
                if len(made) == count:
                    break
            if len(made) == before:
                raise TraceError(
                    f"Some run must have targets {self.targets!r} in the layout {layout!r}; none of {len(self.runs)} "
                    f"runs in {', '.join(self.folders)} has any: {_told(self.skipped)}. Use other targets or traces."
                )
        return made

    def moves(self, reference: RunReference) -> Moves:
        """Return one run, read once while few others are."""
        if reference not in self._kept:
            if len(self._kept) >= KEPT_RUNS:
                self._kept.popitem(last=False)
            self._kept[reference] = self._read(reference)
        self._kept.move_to_end(reference)
        return self._kept[reference]

    def scene(self, problem: Problem) -> Scene:
        """Return a recorded problem as a search's proposer sees it."""
        if id(problem) not in self._scenes:  # The traces keep their problems, so that ids stay theirs.
            slots = p.choose_slots(problem.X, problem.y)
            self._scenes[id(problem)] = Scene(problem, slots, self.context, self.max_members, self.room)
        return self._scenes[id(problem)]

    def state_example(self, replay: Replay, event: int, layout: str) -> "Example | str":
        """Make the ``onestep`` or the ``edit`` example of one proposal; returns why not, if it cannot be made."""
        scene, members, child = self.scene(replay.problem), replay.population_of(event), replay.child(event)
        limit = repair_limit(members, child.tree.size, replay.max_size)
        if layout == "onestep":
            return scene.onestep(members, child.tree, limit, replay.kinds[event])
        parents = replay.parents(event)
        if not parents or len(parents) < replay.parent_count(event):
            return "parents that are not known"
        return scene.edit(members, parents, replay.kinds[event], child.tree, limit)

    def population_example(self, replay: Replay, now: Place, then: Place) -> "Example | str":
        """Make the ``population`` example of a population and the one that follows."""
        members, following = (replay.views(replay.standing[place]) for place in (now, then))
        if not members or not following:
            return "population that is not known"
        return self.scene(replay.problem).population(members, following, replay.max_size)

    def _examples_of(
        self, reference: RunReference, layout: str, wanted: int, rng: np.random.Generator
    ) -> Iterator[Example]:
        moves = self.moves(reference)
        for _ in range(wanted):
            found = self._example(moves, layout, rng)
            if isinstance(found, Example):
                yield found
            else:
                self.skipped[found] += 1

    def _example(self, moves: Moves, layout: str, rng: np.random.Generator) -> "Example | str":
        replay = moves.replay
        best = replay.best
        if layout == "direct" or self.targets == "reverse":
            if best is None:
                return "run whose best is not known"
            if layout == "direct":
                scene, size = self.scene(replay.problem), best.tree.size
                return scene.direct(best.tree, min(size + int(rng.integers(0, 12)), max(replay.max_size, size)))
            given = GeneratedProblem(replay.problem, best.tree)
            return reverse_example(self.scene(replay.problem), given, layout, self.max_members, rng)
        if layout == "population":
            if not moves.transitions:
                return NO_TARGET
            now, then = moves.transitions[int(rng.integers(len(moves.transitions)))]
            return self.population_example(replay, now, then)
        if not len(moves.proposals):
            return NO_TARGET
        return self.state_example(replay, int(rng.choice(moves.proposals)), layout)

    def _read(self, reference: RunReference) -> Moves:
        replay = Replay(self.traces[reference.folder], reference.run)
        if self.targets == "reverse":
            return Moves(replay, np.zeros(0, dtype=np.int64), [])
        proposals, transitions = replay.select(self.targets), replay.select_transitions(self.targets)
        rng = generator(self.seed, "fraction", reference.folder, reference.run)
        kept = rng.random(len(proposals)) < self.fraction
        pairs = [pair for pair in transitions if rng.random() < self.fraction]
        return Moves(replay, proposals[kept], pairs)

    def _runs_of(self, folder: int) -> Iterator[RunReference]:
        """Yield the runs of a folder that are on the wanted side of the split; count the others."""
        trace = self.traces[folder]
        table = trace.table("problems", ["problem", "formula"]).to_pylist()
        formulas = {row["problem"]: row["formula"] for row in table}
        sides: dict[int, str] = {}
        for row in trace.table("runs", ["run", "problem"]).to_pylist():
            number = row["problem"]
            if number not in formulas:
                raise TraceError(
                    f"Runs must be of problems of their trace; {self.folders[folder]} lacks problem {number} of run "
                    f"{row['run']}."
                )
            if number not in sides:
                sides[number] = side_of(trace.problems[number], formulas[number])
            if sides[number] == ("held out" if self.held_out else "training"):
                yield RunReference(folder, row["run"])
            else:
                self.skipped[UNREADABLE if sides[number] == "unknown" else HELD_OUT] += 1


def _told(counts: Counter[str]) -> str:
    return "; ".join(f"{count} × {reason}" for reason, count in counts.items())


def check_targets(targets: str, fraction: float) -> None:
    """Check the choice of targets.

    Raises
    ------
    ConfigError
        If there is no such choice, or the fraction is none.
    """
    if targets not in TARGETS:
        raise ConfigError(f"Targets must be one of {TARGETS}; got {targets!r}." + did_you_mean(targets, TARGETS))
    if not 0 < fraction <= 1:
        raise ConfigError(f"The fraction of targets must lie above 0 and be at most 1; got {fraction}.")


def side_of(problem: Problem, formula: str = "") -> str:
    """Tell on which side of the split a recorded problem is, whoever recorded it and however often.

    Returns
    -------
    str
        ``"training"``, ``"held out"``, ``"suite"``; ``"unknown"`` if the formula cannot be read.
    """
    if not formula:
        key = hashlib.sha256(problem.X.tobytes() + problem.y.tobytes()).hexdigest()[:16]
    else:
        try:
            skeleton = canonical(simplify(parse(formula, problem.variable_names)))
        except ExpressionError:
            return "unknown"
        if skeleton == UNDEFINED:
            return "unknown"
        key = split_key(skeleton)
    if in_training(key):
        return "training"
    return "held out" if is_held_out(key) else "suite"


def repair_limit(members: Sequence[MemberView], size: int, max_size: int) -> int:
    """Return the size limit that a search's prompt names, or the answer's own size where that is larger."""
    best = p.best_members(members, 1)
    room = min(best[0].tree.size + REPAIR_ROOM, max_size) if best else max_size
    return max(room, size)


def reverse_example(
    scene: Scene, given: GeneratedProblem, layout: str, max_members: int, rng: np.random.Generator
) -> "Example | str":
    """Make an example of the moves that mend a dismantled target.

    ``onestep`` and ``edit`` ask for one move, ``population`` for one move of every member.

    Parameters
    ----------
    scene : Scene
    given : GeneratedProblem
        Problem and target.
    layout : str
        ``"onestep"``, ``"population"`` or ``"edit"``.
    max_members : int
        Longest population.
    rng : numpy.random.Generator
    """
    links = chain(given, int(rng.integers(1, max_members + 1)), rng)
    if not links.kinds:
        return "target that cannot be dismantled"
    members = [member_of(tree, given.problem) for tree in links.trees]
    first = int(rng.integers(len(links.kinds)))  # What is better than this move's result has not been found yet.
    now, then, kind = members[first + 1 :], members[first:-1], links.kinds[first]
    if layout == "population":
        return scene.population(now, then, given.problem.limits.max_size)
    limit = repair_limit(now, then[0].tree.size, given.problem.limits.max_size)
    if layout == "edit":
        return scene.edit(now, now[:1], kind, then[0].tree, limit)
    return scene.onestep(now, then[0].tree, limit, kind)
