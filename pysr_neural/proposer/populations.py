"""A proposer that answers with whole populations: for models that were trained in the layout ``population``.

Owns: `PopulationProposer`.  Does not own: sampling (`model.populations`), what it shares with proposers of single
children (`transformer`).

Put in ordinary variation's place (``proposal_share=1``), it makes every generation of BasicSR.
"""

from dataclasses import dataclass

import torch

from pysr_neural.model.policy import ProposerModel
from pysr_neural.model.populations import sample_population
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Child, ProposalBatch, ProposalRequest
from pysr_neural.proposer.questions import ask, place
from pysr_neural.proposer.transformer import CHILD_LEVELS, SHOWN_MEMBERS, TransformerSession
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


class PopulationSession(TransformerSession):
    """One search's data as the model sees it.

    Parameters
    ----------
    model, problem, temperature, refined, shown
        See `PopulationProposer`.
    """

    def __init__(self, model: ProposerModel, problem: Problem, temperature: float, refined: bool, shown: int) -> None:
        super().__init__(model, problem)
        self.shown_members = shown
        self.temperature, self.refined = temperature, refined

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Answer with the population that is to follow; without members, with expressions for the data alone.

        The best member is left out of the answer, since engines keep it.
        """
        if not request.members or not request.count or not CHILD_LEVELS & set(request.levels):
            return super().propose(request)
        rng = generator(request.seed, "propose")
        size = min(request.max_size or self.problem.limits.max_size, self.problem.limits.max_size)
        best = p.best_members(request.members, 1)[0].tree
        data = self._columns(self.problem.y, self.problem.y - self._values(best))
        temperature = self.temperature * request.temperature
        question = self._question("population", data, size, 0, temperature, rng, request.members)
        children: dict[object, Child] = {}
        with torch.inference_mode(), place(self.model):
            ask(self.model, [question])
            source = torch.Generator(self.model.device).manual_seed(question.seed)
            for _ in range(ROUNDS):
                if question.prefix is None:
                    raise AssertionError("A question is encoded before it is sampled.")
                most = request.count - len(children) + 1  # The best may be among them.
                for row in sample_population(question.prefix, question.grammar, most, temperature, source):
                    tree = self._tree(row, rng)
                    child = self._refined(tree)[0] if self.refined else tree
                    if child != best:
                        children.setdefault(child, Child(child))
                if len(children) >= request.count:
                    break
        return ProposalBatch(tuple(children.values())[: request.count])
