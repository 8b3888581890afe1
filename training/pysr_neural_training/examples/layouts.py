"""The layouts: what an example shows and what it asks for, whatever it is made from.

Owns: `Example`, its making in the layouts ``direct``, ``onestep``, ``population`` and ``edit``, batching.  Does not
own: prompts (`wire.prompt`), where populations and answers come from (`examples`, `from_traces`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node
from pysr_neural.operators import OPERATORS, Array
from pysr_neural.problem import Problem
from pysr_neural.state import KINDS, MemberView
from pysr_neural.wire import prompt as p
from pysr_neural.wire import vocabulary as v
from pysr_neural.wire.context import Context, context_of

IGNORED = -100
LAYOUTS = ("direct", "onestep", "population", "edit")
LEARNED_KINDS = frozenset(KINDS) - {"neural", "do_nothing"}
TOO_LONG, NOT_SHOWN = "target too long", "target with a variable that is not shown"


@dataclass(frozen=True)
class Example:
    """One example before padding.

    Parameters
    ----------
    prompt : Prompt
    target : list of int
        Answer tokens.
    data : float32 array, shape (rows, DATA_COLUMNS)
    kind : int
        Index into `state.KINDS`, or -100.
    """

    prompt: p.Prompt
    target: list[int]
    data: npt.NDArray[np.float32]
    kind: int


@dataclass(frozen=True)
class Scene:
    """One problem as the model sees it; makes the examples about it.

    Parameters
    ----------
    problem : Problem
    slots : Slots
    context : str
        One of `wire.context.CONTEXTS`.
    max_members : int
        Most members in a prompt.
    room : int
        Most tokens of prompt and target together, 0 for no limit.
    every_row : bool
        Whether the encoder is shown all rows, instead of those of a search.
    """

    problem: Problem
    slots: p.Slots
    context: str = "basic"
    max_members: int = 6
    room: int = 0
    every_row: bool = False

    @cached_property
    def variance(self) -> float:
        """Variance of y; losses are shown relative to it."""
        return float(np.var(self.problem.y))

    @cached_property
    def told(self) -> Context:
        """What prompts say about the data."""
        return context_of(self.context, self.problem.X, self.problem.y, self.slots.features)

    def direct(self, tree: Node, limit: int) -> "Example | str":
        """Ask for an expression from the data alone; returns why not, if it cannot be asked for."""
        return self._example("direct", self._tree_target(tree), limit)

    def onestep(self, members: Sequence[MemberView], child: Node, limit: int, kind: str) -> "Example | str":
        """Ask for the next child of a population."""
        return self._example("onestep", self._tree_target(child), limit, members, kind)

    def edit(
        self, members: Sequence[MemberView], parents: Sequence[MemberView], kind: str, child: Node, limit: int
    ) -> "Example | str":
        """Ask for the child that a kind of move makes of some parents, in their population."""
        for parent in parents:
            tokens = p.tree_tokens(parent.tree, self.slots)
            if tokens is None or len(tokens) + 5 > p.MAX_POSITION:
                return "parent that cannot be shown"
        return self._example("edit", self._tree_target(child), limit, members, kind, parents)

    def population(self, members: Sequence[MemberView], following: Sequence[MemberView], limit: int) -> "Example | str":
        """Ask for the whole population that follows."""
        target = p.population_tokens(following, self.slots) or "population that cannot be written"
        return self._example("population", target, limit, members)

    def unfit(self, tree: Node) -> str:
        """Say why a tree cannot be a target; empty if it can."""
        target = self._tree_target(tree)
        return target if isinstance(target, str) else ""

    def _tree_target(self, tree: Node) -> list[int] | str:
        tokens = p.tree_tokens(tree, self.slots)
        if tokens is None:
            return NOT_SHOWN
        return tokens if len(tokens) < p.MAX_POSITION else TOO_LONG

    def _example(
        self,
        layout: str,
        target: list[int] | str,
        limit: int,
        members: Sequence[MemberView] = (),
        kind: str = "",
        parents: Sequence[MemberView] = (),
    ) -> "Example | str":
        """Make an example; the target always stays whole: members make room for it, or it is not asked for."""
        if isinstance(target, str):
            return target
        problem = self.problem
        room = self.room - len(target) if self.room else None
        prompt = p.build_prompt(
            layout,
            problem.operators,
            self.slots,
            limit,
            members,
            self.variance,
            self.max_members,
            kind=kind if layout == "edit" else "",
            parents=parents,
            context=self.told,
            room=room,
        )
        if room is not None and len(prompt.tokens) > room:
            return TOO_LONG
        learned = KINDS.index(kind) if layout == "onestep" and kind in LEARNED_KINDS else IGNORED
        return Example(prompt, target, self._data(parents or p.best_members(members, 1)), learned)

    def _data(self, shown: Sequence[MemberView]) -> npt.NDArray[np.float32]:
        """Lay out the rows, with what the first of some members leaves unexplained."""
        problem = self.problem
        rows = slice(None) if self.every_row else p.shown_rows(len(problem.y))
        X, y = problem.X[rows], problem.y[rows]
        return p.data_columns(X, y, self.slots, _residual(shown[0].tree, X, y) if shown else None)


def _residual(tree: Node, X: Array, y: Array) -> Array | None:
    """Return what a tree leaves unexplained; None where it is not finite or the operator table lacks a name."""
    if any(node.operator is not None and node.operator not in OPERATORS for node in tree):
        return None
    with np.errstate(all="ignore"):
        residual = y - evaluate(tree, X)
    return residual if np.all(np.isfinite(residual)) else None


def collate(examples: Sequence[Example]) -> dict[str, Tensor]:
    """Pad examples to one batch; the keys are those of `ProposerModel.forward`."""
    size = len(examples)
    rows = max(len(e.data) for e in examples)
    length = max(len(e.prompt.tokens) for e in examples)
    steps = max(len(e.target) for e in examples)
    data = np.full((size, rows, p.DATA_COLUMNS), np.nan, dtype=np.float32)
    row_mask = np.zeros((size, rows), dtype=bool)
    prompts = np.zeros((3, size, length), dtype=np.int64)
    prompts[0] = v.PAD
    inputs = np.full((size, steps), v.PAD, dtype=np.int64)
    labels = np.full((size, steps), IGNORED, dtype=np.int64)
    presence = np.zeros((size, len(v.NAMES)), dtype=np.float32)
    for i, e in enumerate(examples):
        data[i, : len(e.data)] = e.data
        row_mask[i, : len(e.data)] = True
        prompts[:, i, : len(e.prompt.tokens)] = e.prompt.tokens, e.prompt.positions, e.prompt.segments
        inputs[i, : len(e.target)] = [v.TARGET, *e.target[:-1]]
        labels[i, : len(e.target)] = e.target
        presence[i, e.target] = 1.0
    presence[:, [v.MEMBER, v.END]] = 0.0
    arrays = {
        "data": data,
        "row_mask": row_mask,
        "tokens": prompts[0],
        "positions": prompts[1],
        "segments": prompts[2],
        "target_tokens": inputs,
        "target_positions": np.array([p.target_positions(row) for row in inputs.tolist()], dtype=np.int64),
        "target_segments": np.full_like(inputs, p.TARGET_SEGMENT),
        "labels": labels,
        "kinds": np.array([e.kind for e in examples], dtype=np.int64),
        "presence": presence,
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def counts_of(examples: Sequence[Example]) -> Counter[str]:
    """Count examples, their tokens, and the members that were left out of their prompts for want of room."""
    return Counter(
        {
            "examples": len(examples),
            "prompt tokens": sum(len(e.prompt.tokens) for e in examples),
            "target tokens": sum(len(e.target) for e in examples),
            "prompts cut": sum(e.prompt.cut > 0 for e in examples),
            "members cut": sum(e.prompt.cut for e in examples),
        }
    )
