"""A model asked in one layout only, and perhaps told less than there is to know: what a study compares.

Owns: `SingleLayout`, hiding data and headers from a model in training and in use.  Does not own: the shipped ways of
asking (`proposer.neural.transformer`, `proposer.neural.populations`), training (`pysr_neural_training`).

Nothing helps the model here: its samples become children in the order in which they were drawn, repeated ones too, with
the constants that it wrote, no fit, no choice by loss, no combining.  So children cost what ordinary ones cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pysr_neural.errors import ConfigError
from pysr_neural.expression.node import Node
from pysr_neural.model.policy import ProposerModel
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Child, ProposalBatch, ProposalRequest
from pysr_neural.proposer.neural.asking import SHOWN_MEMBERS
from pysr_neural.proposer.neural.questions import Question, ask, place, shares
from pysr_neural.proposer.neural.transformer import REPAIR_ROOM, TransformerSession, propose_many
from pysr_neural.state import MemberView
from pysr_neural.wire import prompt as p
from pysr_neural.wire import vocabulary as v
from pysr_neural_training.learning.train import GeneratedBatches

SEES = ("data", "header", "nothing")
"""What a model is told: all; no data in the encoder; nor the operators, variables and statistics in the header."""
LAYOUTS = ("direct", "onestep", "edit")
EDIT_KINDS = ("constant", "feature", "operator", "swap", "add", "insert")
"""Kinds of move that dismantled targets teach to undo."""
EDITS = 4
"""Edits that a request is divided into."""
TOURNAMENT = 3
"""Members compared to choose a parent for an edit."""


def hide(batch: dict[str, torch.Tensor], sees: str) -> dict[str, torch.Tensor]:
    """Leave out of a batch what a model is not to see; the architecture stays as it is.

    Absent columns enter the encoder as zeros, so that its latents are the same for all data.

    Parameters
    ----------
    batch : dict
        See `layouts.collate`; not changed.
    sees : str
        One of `SEES`.
    """
    if sees == "data":
        return batch
    hidden = {**batch, "data": torch.full_like(batch["data"], float("nan"))}
    if sees == "nothing":
        tokens = batch["tokens"].clone()
        tokens[_told(tokens.numpy(), batch["segments"].numpy())] = v.PAD
        hidden["tokens"] = tokens
    return hidden


class HiddenBatches(GeneratedBatches):
    """The stream of batches with something left out; see `GeneratedBatches`.

    Parameters
    ----------
    sees : str
        One of `SEES`.
    *given
        Of `GeneratedBatches`.
    """

    def __init__(self, sees: str, *given: Any) -> None:
        super().__init__(*given)
        self.sees = sees

    def __iter__(self) -> Any:
        """Yield batches."""
        for batch in super().__iter__():
            yield hide(batch, self.sees)


@dataclass(frozen=True)
class SingleLayout:
    """Proposes by one layout alone.

    Parameters
    ----------
    model : ProposerModel
        In evaluation mode.
    layout : str
        One of `LAYOUTS`.
    sees : str
        One of `SEES`; as in training.
    temperature : float
        Times that of each request.
    shown : int
        Most members in a prompt; as in training.
    """

    model: ProposerModel
    layout: str = "direct"
    sees: str = "data"
    temperature: float = 1.0
    shown: int = SHOWN_MEMBERS

    def __post_init__(self) -> None:
        for name, given, known in (("layout", self.layout, LAYOUTS), ("sees", self.sees, SEES)):
            if given not in known:
                raise ConfigError(f"{name} must be one of {known}; got {given!r}.")

    def open(self, problem: Problem) -> "SingleSession":
        """Start a search."""
        return SingleSession(self, problem)

    def propose_many(
        self, sessions: Sequence["SingleSession"], requests: Sequence[ProposalRequest]
    ) -> list[ProposalBatch]:
        """Answer the requests of several searches in one pass of the model."""
        return propose_many(sessions, requests)


class SingleSession(TransformerSession):
    """One search's data as the model sees it.

    Parameters
    ----------
    proposer : SingleLayout
    problem : Problem
    """

    def __init__(self, proposer: SingleLayout, problem: Problem) -> None:
        self.asked = proposer
        super().__init__(proposer.model, problem, combine=False)
        self.shown_members = proposer.shown

    def plan(self, request: ProposalRequest, rng: np.random.Generator) -> list[Question]:
        """Return the questions of the one layout; without members, about the data alone."""
        temperature = self.asked.temperature * request.temperature
        size = self._size(request)
        members, layout = p.best_members(request.members, self.asked.shown), self.asked.layout
        if layout == "direct" or not members:
            return self._direct_questions(self.problem.y, size, request.count, temperature, rng)
        size = min(size, members[0].tree.size + REPAIR_ROOM)
        if layout == "onestep":
            data = self._beside(members[0].tree)
            return [self._question("onestep", data, size, request.count, temperature, rng, members)]
        parts = shares(request.count, EDITS)
        return [self._edit(members, size, share, temperature, rng) for share in parts if share]

    def answer(
        self,
        request: ProposalRequest,
        questions: Sequence[Question],
        hidden: torch.Tensor | None,
        rng: np.random.Generator,
    ) -> ProposalBatch:
        """Return the samples as they were drawn."""
        trees = [tree for question in questions for tree, _ in self.reader.sampled(question, rng)]
        return ProposalBatch(tuple(Child(tree) for tree in trees[: request.count]))

    def about_the_rest(
        self, trees: Sequence[Node], count: int, temperature: float, rng: np.random.Generator
    ) -> list[Node]:
        """Fit some trees, and ask what is missing once the best of them is subtracted or divided out.

        Parameters
        ----------
        trees : sequence of Node
        count : int
            Number of samples.
        temperature : float
        rng : numpy.random.Generator

        Returns
        -------
        list of Node
            ``f + g`` and ``f * g``, with fitted constants.
        """
        fitted = dict(self._refined(tree) for tree in trees)
        members = tuple(MemberView(tree, loss, tree.size) for tree, loss in fitted.items() if np.isfinite(loss))
        request = ProposalRequest(members, count, ("child",), 0, temperature)
        questions = self._residual_questions(request, self.problem.limits.max_size, count, rng) if members else []
        with torch.inference_mode(), place(self.model):
            ask(self.model, questions)
        placed = [tree for question in questions for tree, _, _ in self.reader.placed(question, members, rng)]
        return [self._refined(tree)[0] for tree in placed]

    def _edit(
        self, members: Sequence[MemberView], size: int, count: int, temperature: float, rng: np.random.Generator
    ) -> Question:
        """Ask for a move of a random kind from the best of a few members."""
        parent = members[int(rng.integers(len(members), size=TOURNAMENT).min())]
        kind = EDIT_KINDS[int(rng.integers(len(EDIT_KINDS)))]
        about = ("edit", self._beside(parent.tree), size, count, temperature, rng, members)
        return self._question(*about, kind=kind, parents=(parent,))

    def _prompt(self, *given: Any) -> p.Prompt:
        prompt = super()._prompt(*given)
        if self.asked.sees != "nothing":
            return prompt
        kept = ~_told(prompt.tokens, prompt.segments)
        return replace(prompt, **{name: getattr(prompt, name)[kept] for name in ("tokens", "positions", "segments")})

    def _columns(self, *given: Any) -> npt.NDArray[np.float32]:
        columns = super()._columns(*given)
        return columns if self.asked.sees == "data" else np.full_like(columns, np.nan)


def _told(tokens: npt.NDArray[np.int64], segments: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Mark the header's tokens, but for the task and the size limit, in arrays whose last axis is the prompt."""
    limits = (tokens >= v.complexity_token(1)) & (tokens <= v.complexity_token(10**6))
    marks = segments == p.HEADER_SEGMENT
    marks[..., 0] = False
    told: npt.NDArray[np.bool_] = marks & ~limits & (tokens != v.PAD)
    return told
