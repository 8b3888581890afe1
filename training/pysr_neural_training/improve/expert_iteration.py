"""`pysr-neural improve expert-iteration`: learns from the moves of its own searches that led somewhere.

Owns: which moves are kept and with what weight, the replay buffer, the records of each problem.  Does not own: searches
(`rollout`), training (`lessons`), the loop (`rounds`).

After expert iteration (Anthony, Tian and Barber, NeurIPS 2017) and STaR (Zelikman et al., NeurIPS 2022), with these
deviations: the expert is the evolutionary search around the policy, not a tree search; each round goes on from the last
round's weights, on a replay buffer, instead of from the first weights; and where STaR asks again with the answer as a
hint, hindsight here shows states of a solved search with the search's own solution as answer.

A move is a draw of the model that became a member.  It is kept for one or more reasons, whose weights add up: its
member is an ancestor of a solution, or the solution; it made a first entry into the hall of fame (`FIRST_ENTRY`).  The
moves of a solution that took fewer evaluations than any before it, or a shorter line of moves, count double for each.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pysr_neural.expression.node import Node
from pysr_neural.model.policy import ProposerModel
from pysr_neural.proposer.base import ProposalRequest
from pysr_neural.proposer.neural.asking import SIZE_LADDER
from pysr_neural.rng import generator
from pysr_neural.wire import vocabulary as v
from pysr_neural_baseline.objective import scale_of
from pysr_neural_training.examples.build import Example
from pysr_neural_training.improve.config import ExpertIterationConfig
from pysr_neural_training.improve.episodes import Draw, Episode, Event
from pysr_neural_training.improve.lessons import (
    Lesson,
    examples_of,
    fine_tune,
    load_examples,
    save_examples,
)
from pysr_neural_training.improve.rewards import log_decrease
from pysr_neural_training.improve.rounds import main_of
from pysr_neural_training.learning.run_dir import replace_file

SOLUTION, FIRST_ENTRY = 1.0, 0.25
HINDSIGHT = 1.0
LEAST_DECREASE = 0.1
"""Fall of the logarithm of a search's best loss that makes a first entry worth keeping."""
RECORDS = "records.json"


@dataclass(frozen=True)
class Best:
    """The best solution of a problem so far: fewest evaluations, and fewest moves from an initial member."""

    evaluations: int
    moves: int


Records = dict[int, Best]


class ExpertIteration:
    """Expert iteration with a replay buffer.

    Parameters
    ----------
    config : ExpertIterationConfig
    """

    name = "expert-iteration"

    def __init__(self, config: ExpertIterationConfig) -> None:
        self._config = config

    @property
    def config(self) -> ExpertIterationConfig:
        """Its settings."""
        return self._config

    def learn(self, model: ProposerModel, episodes: Sequence[Episode], number: int, part: Path) -> dict[str, Any]:
        """Keep the moves that led somewhere, add them to the buffer, and train on it."""
        earlier = [part.parent / f"round-{i:03d}" for i in range(1, number)]
        known = read_records(earlier[-1] / RECORDS) if earlier else {}
        lessons, counts = kept_moves(episodes, known)
        rng = generator(self.config.seed, "hindsight", number)
        lessons += hindsight(episodes, self.config.hindsight, rng)
        write_records(part / RECORDS, updated(known, episodes))
        examples, weights, unfit = examples_of(model, lessons)
        save_examples(part / "examples.npz", examples, weights)
        examples, weights = self._buffered(examples, weights, earlier)
        return {**fine_tune(model, examples, weights, self.config, number), **counts, "unfit": unfit}

    def _buffered(
        self, examples: list[Example], weights: list[float], earlier: Sequence[Path]
    ) -> tuple[list[Example], list[float]]:
        """Add what earlier rounds kept, newest first, until the buffer is full."""
        for folder in reversed(earlier):
            more, their_weights = load_examples(folder / "examples.npz")
            examples, weights = examples + more, weights + their_weights
        return examples[: self.config.buffer], weights[: self.config.buffer]


def kept_moves(episodes: Sequence[Episode], known: Mapping[int, Best]) -> tuple[list[Lesson], dict[str, int]]:
    """Choose the moves of searches to learn from.

    Parameters
    ----------
    episodes : sequence of Episode
    known : mapping of int to Best
        By problem number, from earlier rounds.

    Returns
    -------
    lessons : list of Lesson
    counts : dict
        ``solved``, ``faster`` and ``shorter`` searches, ``ancestors`` and ``first_entries`` among the moves.
    """
    counts = dict.fromkeys(("solved", "faster", "shorter", "ancestors", "first_entries"), 0)
    records = dict(known)
    lessons: list[Lesson] = []
    for episode in episodes:
        factor = 1.0
        if episode.solved:
            before = records.get(episode.number)
            faster = before is not None and episode.evaluations < before.evaluations
            shorter = before is not None and moves_of(episode) < before.moves
            factor = 2.0 ** (faster + shorter)
            counts["solved"] += 1
            counts["faster"] += faster
            counts["shorter"] += shorter
            records = updated(records, [episode])
        first = first_entries(episode)
        for event in episode.events:
            ancestor = episode.solved and event.neural and event.ref in episode.line
            entry = event.neural and event.ref in first
            weight = SOLUTION * factor * ancestor + FIRST_ENTRY * entry
            if weight:
                counts["ancestors"] += ancestor
                counts["first_entries"] += entry
                lessons += _lessons_of(episode, event, weight)
    return lessons, counts


def first_entries(episode: Episode) -> set[int]:
    """Return the refs of members that lowered a search's best loss clearly, in the order of their births."""
    scale = scale_of(episode.given.problem.y)
    best, found = float("inf"), set()
    for event in episode.events:
        if event.ref < 0 or not event.loss < best:
            continue
        if log_decrease(best / scale, event.loss / scale) >= LEAST_DECREASE:
            found.add(event.ref)
        best = event.loss
    return found


def moves_of(episode: Episode) -> int:
    """Return how many members led to a search's best one."""
    return len(episode.line)


def hindsight(episodes: Sequence[Episode], count: int, rng: np.random.Generator) -> list[Lesson]:
    """Show the start and some states of each solved search with its solution as the answer."""
    lessons = []
    for episode in episodes:
        if not episode.solved or not episode.visits or not count:
            continue
        later = rng.permutation(np.arange(1, len(episode.visits)))[: count - 1]
        for i in [0, *sorted(later.tolist())]:
            request = episode.visits[i].request
            question = 0 if request.members else _rung(request, episode.best.size)
            lessons.append(Lesson(episode.given.problem, request, question, episode.best, "", HINDSIGHT))
    return lessons


def _rung(request: ProposalRequest, size: int) -> int:
    """Return the question, of those that a request without members makes, with the least limit that admits a size."""
    limits = sorted({min(limit, request.max_size or limit) for limit in SIZE_LADDER})
    return 1 + next((i for i, limit in enumerate(limits) if size <= limit), len(limits) - 1)


def updated(records: Mapping[int, Best], episodes: Sequence[Episode]) -> Records:
    """Return the records with what was solved in fewer evaluations, or by fewer moves, than before."""
    found = dict(records)
    for episode in episodes:
        if episode.solved:
            before = found.get(episode.number, Best(episode.evaluations, moves_of(episode)))
            found[episode.number] = replace(
                before,
                evaluations=min(before.evaluations, episode.evaluations),
                moves=min(before.moves, moves_of(episode)),
            )
    return found


def read_records(path: Path) -> Records:
    """Read what `write_records` wrote."""
    return {int(number): Best(*values) for number, values in json.loads(path.read_text()).items()}


def write_records(path: Path, records: Mapping[int, Best]) -> None:
    """Write the records of all problems."""
    replace_file(path, json.dumps({number: [each.evaluations, each.moves] for number, each in records.items()}))


def _lessons_of(episode: Episode, event: Event, weight: float) -> list[Lesson]:
    """Make the lesson of a move: the question that it was drawn for, and what was drawn, constants fitted."""
    visit = episode.visits[event.visit]
    for draw in visit.draws:
        if draw.tree == event.tree:
            target = own_part(draw)
            return [Lesson(episode.given.problem, visit.request, draw.question, target, "", weight)]
    return []


def own_part(draw: Draw) -> Node:
    """Return what the model drew, with the fitted constants: of a residual child, the part beside the member.

    A residual child is the member and the drawn part under a new root, the part last.
    """
    size = sum(not bool(v.IS_MANTISSA[token]) for token in draw.tokens)
    return draw.tree if size == draw.tree.size else draw.tree.children[-1]


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return main_of("expert-iteration", ExpertIterationConfig(), ExpertIteration, (__doc__ or "").splitlines()[0], argv)


if __name__ == "__main__":
    raise SystemExit(main())
