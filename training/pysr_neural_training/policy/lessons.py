"""Decisions to learn from, as arrays: what was asked, and what was chosen.

Owns: `Lessons`, `Lesson`, collecting, keeping and batching them.  Does not own: where decisions come from
(`from_traces`, `rollout`), the steps of learning (`learner`).

Options that many decisions share, such as the members of a population, are stored once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pysr_neural.proposer.policy.choosers import Question
from pysr_neural.proposer.policy.language import Flags, Floats, Ints
from pysr_neural.proposer.policy.network import HEADS

Halves = npt.NDArray[np.float16]


class Lesson(NamedTuple):
    """All decisions of one head.

    Parameters
    ----------
    options : float16 array, shape (blocks, options, features)
    block : int array, shape (decisions,)
        Which options each decision was among.
    context : float16 array, shape (decisions, features)
    mask : bool array, shape (decisions, options)
    pairs : float16 array, shape (decisions, options, features), or None
    chosen, action : int arrays, shape (decisions,)
        What was chosen, and the number of the action that it belongs to.
    """

    options: Halves
    block: Ints
    context: Halves
    mask: Flags
    pairs: Halves | None
    chosen: Ints
    action: Ints


@dataclass
class _Pile:
    """What has been collected of one head."""

    blocks: list[Halves] = field(default_factory=list)
    known: dict[tuple[int, int], int] = field(default_factory=dict)
    parts: list[tuple[Ints, Halves, Flags, Halves | None, Ints, Ints]] = field(default_factory=list)


class Lessons:
    """Collects decisions as they fall; `watch` is given to a chooser.

    Attributes
    ----------
    actions : int
        Actions so far; `advance` counts them.
    """

    def __init__(self) -> None:
        self.actions = 0
        self._piles: dict[str, _Pile] = {head: _Pile() for head in HEADS}
        self._alive: list[Any] = []

    def watch(self, head: str, rows: Ints, question: Question, chosen: Ints) -> None:
        """Take a decision; see `pysr_neural.proposer.policy.choosers.Watch`."""
        pile, of = self._piles[head], question.of
        contexts = len(question.context)
        at = np.zeros(contexts, dtype=np.int64) if question.at is None else question.at
        mask = np.ones((contexts, question.options.shape[1]), bool) if question.mask is None else question.mask
        block = self._blocks(pile, question.options, at)
        each: tuple[Any, ...] = (block, question.context.astype(np.float16), mask, question.pairs)
        if of is not None:
            each = tuple(None if part is None else part[of] for part in each)
        pairs = None if each[3] is None else each[3].astype(np.float16)
        pile.parts.append((*each[:3], pairs, chosen.copy(), self.actions + rows))

    def advance(self, count: int) -> None:
        """Begin the next actions, which are counted from 0 again by their chooser; forget whose arrays were whose."""
        self.actions += count
        for pile in self._piles.values():
            pile.known.clear()
        self._alive.clear()

    def _blocks(self, pile: _Pile, options: Floats, at: Ints) -> Ints:
        self._alive.append(options)  # An array that is gone could leave its id to another.
        found = np.empty(len(at), dtype=np.int64)
        for i, number in enumerate(at.tolist()):
            key = (id(options), number)
            if key not in pile.known:
                pile.known[key] = len(pile.blocks)
                pile.blocks.append(options[number].astype(np.float16))
            found[i] = pile.known[key]
        return found

    def finished(self, keep: Flags | None = None) -> dict[str, Lesson]:
        """Return the decisions of every head that has any.

        Parameters
        ----------
        keep : bool array, shape (actions,), optional
            Actions to be learned from; all, if left out.
        """
        wanted = np.ones(self.actions, dtype=bool) if keep is None else keep
        return {head: _joined(pile, wanted) for head, pile in self._piles.items() if pile.parts}


def _joined(pile: _Pile, keep: Flags) -> Lesson:
    width = max(len(block) for block in pile.blocks)
    options = np.zeros((len(pile.blocks), width, pile.blocks[0].shape[1]), dtype=np.float16)
    for i, each in enumerate(pile.blocks):
        options[i, : len(each)] = each
    block, context, mask, pairs, chosen, action = map(list, zip(*pile.parts, strict=True))
    kept = keep[np.concatenate(action)]
    joined_pairs = None if pairs[0] is None else _padded(pairs, width)[kept]
    return Lesson(
        options,
        np.concatenate(block)[kept],
        np.concatenate(context)[kept],
        _padded(mask, width)[kept],
        joined_pairs,
        np.concatenate(chosen)[kept],
        np.concatenate(action)[kept],
    )


def _padded(parts: Sequence[Any], width: int) -> npt.NDArray[Any]:
    """Join arrays of decisions × options, with nothing beyond the options that there were."""
    made = np.zeros((sum(map(len, parts)), width, *parts[0].shape[2:]), dtype=parts[0].dtype)
    at = 0
    for part in parts:
        made[at : at + len(part), : part.shape[1]] = part
        at += len(part)
    return made


def merged(several: Sequence[Mapping[str, Lesson]]) -> dict[str, Lesson]:
    """Return the lessons of several collections together; actions are numbered on from one to the next."""
    counts = [max((int(lesson.action.max(initial=-1)) + 1 for lesson in each.values()), default=0) for each in several]
    made: dict[str, Lesson] = {}
    for head in HEADS:
        own = [(each[head], sum(counts[:i])) for i, each in enumerate(several) if head in each]
        if not own:
            continue
        width = max(lesson.options.shape[1] for lesson, _ in own)
        blocks = np.cumsum([0, *(len(lesson.options) for lesson, _ in own)])
        options = np.zeros((int(blocks[-1]), width, own[0][0].options.shape[2]), dtype=np.float16)
        for (lesson, _), at in zip(own, blocks, strict=False):
            options[at : at + len(lesson.options), : lesson.options.shape[1]] = lesson.options
        lessons = [lesson for lesson, _ in own]
        made[head] = Lesson(
            options,
            np.concatenate([lesson.block + at for lesson, at in zip(lessons, blocks, strict=False)]),
            np.concatenate([lesson.context for lesson in lessons]),
            _padded([lesson.mask for lesson in lessons], width),
            None if lessons[0].pairs is None else _padded([lesson.pairs for lesson in lessons], width),
            np.concatenate([lesson.chosen for lesson in lessons]),
            np.concatenate([lesson.action + first for lesson, first in own]),
        )
    return made


def save(lessons: Mapping[str, Lesson], path: Path) -> None:
    """Write lessons as one NumPy archive."""
    arrays = {f"{head}.{name}": value for head, lesson in lessons.items() for name, value in lesson._asdict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **{name: value for name, value in arrays.items() if value is not None})


def load(path: Path) -> dict[str, Lesson]:
    """Read what `save` wrote."""
    with np.load(path, allow_pickle=False) as file:
        arrays: dict[str, dict[str, Any]] = {}
        for name in file.files:
            head, _, field_name = name.partition(".")
            arrays.setdefault(head, {"pairs": None})[field_name] = file[name]
    return {head: Lesson(**own) for head, own in arrays.items()}


def sizes(lessons: Mapping[str, Lesson]) -> dict[str, int]:
    """Return how many decisions there are of each head."""
    return {head: len(lesson.chosen) for head, lesson in lessons.items()}
