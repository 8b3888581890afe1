"""A proposer that answers with whole populations: for models that were trained in the layout ``population``.

Owns: `PopulationProposer`.  Does not own: sampling (`model.populations`), what it shares with proposers of single
children (`transformer`).

Put in ordinary variation's place (``proposal_share=1``), it makes every generation of BasicSR.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from pysr_neural.expression.node import Node
from pysr_neural.model.decoding import Job
from pysr_neural.model.policy import ProposerModel
from pysr_neural.model.populations import sample_populations
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Child, ProposalBatch, ProposalRequest
from pysr_neural.proposer.neural.asking import SHOWN_MEMBERS
from pysr_neural.proposer.neural.questions import Question, ask, place
from pysr_neural.proposer.neural.transformer import CHILD_LEVELS, TransformerSession, propose_many
from pysr_neural.rng import generator
from pysr_neural.wire import prompt as p

ROUNDS = 4
"""Most populations drawn for one request."""


@dataclass(frozen=True)
class PopulationProposer:
    """Proposes whole populations with a `ProposerModel`.

    Parameters
    ----------
    model : ProposerModel
        In evaluation mode, on the device where it is to run.
    temperature : float
        Times that of each request.
    refined : bool
        Whether constants are fitted before a child leaves.
    shown : int
        Most members in a prompt; as in training.
    """

    model: ProposerModel
    temperature: float = 1.0
    refined: bool = False
    shown: int = SHOWN_MEMBERS

    def open(self, problem: Problem) -> "PopulationSession":
        """Start a search."""
        return PopulationSession(self.model, problem, self.temperature, self.refined, self.shown)

    def propose_many(
        self, sessions: Sequence["PopulationSession"], requests: Sequence[ProposalRequest]
    ) -> list[ProposalBatch]:
        """Answer the requests of several searches in step; see `proposer.base.BatchProposer`."""
        return _propose_many(sessions, requests)


class PopulationSession(TransformerSession):
    """One search's data as the model sees it.

    Parameters
    ----------
    model, problem, temperature, refined, shown
        See `PopulationProposer`.
    """

    def __init__(self, model: ProposerModel, problem: Problem, temperature: float, refined: bool, shown: int) -> None:
        super().__init__(model, problem, combine=False)
        self.shown_members = shown
        self.temperature, self.refined = temperature, refined

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Answer with the population that is to follow; without members, with expressions for the data alone.

        The best member is left out of the answer, since engines keep it.
        """
        return _propose_many([self], [request])[0]

    def next_population(self, request: ProposalRequest, rng: np.random.Generator) -> "_Wanted":
        """Return the question for the population that follows the request's, and nothing found yet."""
        size, best = self._size(request), p.best_members(request.members, 1)[0].tree
        temperature = self.temperature * request.temperature
        question = self._question("population", self._beside(best), size, 0, temperature, rng, request.members)
        return _Wanted(self, question, request.count, best, rng, torch.Generator(self.model.device))

    def read(self, row: list[int], rng: np.random.Generator) -> Node:
        """Read one sampled tree, its constants fitted if that is wanted."""
        tree = self.reader.tree(row, rng)
        return self._refined(tree)[0] if self.refined else tree


@dataclass
class _Wanted:
    """A population that is asked for, and its children so far."""

    session: PopulationSession
    question: Question
    count: int
    best: Node
    rng: np.random.Generator
    source: torch.Generator
    children: dict[Node, Child] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.source.manual_seed(self.question.seed)

    def job(self) -> Job:
        """Return what is still to be sampled, and one more: the best may be among them."""
        if self.question.prefix is None:
            raise AssertionError("A question is encoded before it is sampled.")
        most, question = self.count - len(self.children) + 1, self.question
        return Job(self.question.prefix, question.grammar, most, question.temperature, self.source)

    def take(self, rows: Sequence[list[int]]) -> None:
        """Take the trees of one sampled population."""
        for row in rows:
            child = self.session.read(row, self.rng)
            if child != self.best:
                self.children.setdefault(child, Child(child))


def _propose_many(sessions: Sequence[PopulationSession], requests: Sequence[ProposalRequest]) -> list[ProposalBatch]:
    """Answer one request of each session, in as few passes of the model as there are rounds."""
    wanted: dict[int, _Wanted] = {}
    for i, (session, request) in enumerate(zip(sessions, requests, strict=True)):
        if request.members and request.count and CHILD_LEVELS & set(request.levels):
            wanted[i] = session.next_population(request, generator(request.seed, "propose"))
    others = [i for i in range(len(sessions)) if i not in wanted]
    answers = dict(zip(others, _answered(sessions, requests, others), strict=True))
    if wanted:
        model = sessions[0].model
        with torch.inference_mode(), place(model):
            ask(model, [each.question for each in wanted.values()])
            for _ in range(ROUNDS):
                lacking = [each for each in wanted.values() if len(each.children) < each.count]
                drawn = sample_populations([each.job() for each in lacking]) if lacking else []
                for each, rows in zip(lacking, drawn, strict=True):
                    each.take(rows)
    answers |= {i: ProposalBatch(tuple(each.children.values())[: each.count]) for i, each in wanted.items()}
    return [answers[i] for i in range(len(sessions))]


def _answered(
    sessions: Sequence[PopulationSession], requests: Sequence[ProposalRequest], chosen: Sequence[int]
) -> list[ProposalBatch]:
    return propose_many([sessions[i] for i in chosen], [requests[i] for i in chosen]) if chosen else []
