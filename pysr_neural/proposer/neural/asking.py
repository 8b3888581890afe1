"""Questions about one search's data: prompts, grammars, and the rows that the model sees.

Owns: `Questioner`.  Does not own: which questions a request makes (`proposer.neural.transformer`), how they are asked
(`proposer.neural.questions`), prompts (`wire.prompt`).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node
from pysr_neural.model.decoding import Prefix
from pysr_neural.model.grammar import Grammar, token_costs
from pysr_neural.model.policy import ProposerModel
from pysr_neural.operators import OPERATORS, Array
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import MemberView, ProposalRequest
from pysr_neural.proposer.neural.questions import Question, ask, place, shares
from pysr_neural.proposer.neural.reading import Reader
from pysr_neural.wire import prompt as p
from pysr_neural.wire.context import Context, context_of

SHOWN_MEMBERS = 6
"""Most members in a prompt: as many as training shows, so that the model is not asked what it never saw."""
SIZE_LADDER = (14,)


class Questioner:
    """One search's data as the model sees it.

    Parameters
    ----------
    model : ProposerModel
    problem : Problem
    """

    def __init__(self, model: ProposerModel, problem: Problem) -> None:
        self.model = model
        self.problem = problem
        self.shown_members = SHOWN_MEMBERS
        self.variance = float(np.var(problem.y)) or 1.0
        self.seen = p.shown_rows(len(problem.y))
        self.slots = p.choose_slots(problem.X, problem.y)
        self.reader = Reader(problem, self.slots)
        counted, tokens = problem.limits.complexities, p.operator_tokens(problem.operators)
        self._costs = None if counted is None else token_costs(counted, tokens, self.slots.features)
        self._own_data = self._columns(problem.y)
        self._own_context = self._context(problem.y)
        self._direct: dict[int, Prefix] = {}

    def explain(
        self, y: Array, size: int, count: int, temperature: float, rng: np.random.Generator
    ) -> list[tuple[Node, float]]:
        """Sample expressions for some values from the data alone.

        Parameters
        ----------
        y : array, shape (rows,)
        size : int
            Largest size.
        count : int
            Number of samples.
        temperature : float
        rng : numpy.random.Generator

        Returns
        -------
        list of (Node, float)
            Distinct trees with their log-probabilities; constants are as sampled.
        """
        questions = self._direct_questions(y, size, count, temperature, rng)
        with torch.inference_mode(), place(self.model):
            ask(self.model, questions)
        found: dict[Node, float] = {}
        for question in questions:
            found |= dict(self.reader.distinct(question, rng))
        return list(found.items())

    def remember(self, questions: Sequence[Question]) -> None:
        """Keep the encoded questions about the data alone: later requests ask them again."""
        for question in questions:
            if question.data is self._own_data and question.prefix is not None:
                self._direct[question.grammar.max_size] = question.prefix

    def _question(
        self,
        task: str,
        data: npt.NDArray[np.float32],
        limit: int,
        count: int,
        temperature: float,
        rng: np.random.Generator,
        members: Sequence[MemberView] = (),
        base: tuple[str, int] | None = None,
        context: Context | None = None,
        kind: str = "",
        parents: Sequence[MemberView] = (),
    ) -> Question:
        limits, tokens = self.problem.limits, p.operator_tokens(self.problem.operators)
        nested = tuple((tokens[outer], tokens[inner], most) for outer, inner, most in limits.nested)
        names = tuple(sorted(set(tokens)))
        counted = (self._costs, limits.max_size + 0.5 - 1e-3)
        grammar = Grammar(names, len(self.slots.features), limit, limits.max_depth, nested, limits.constants, *counted)
        prompt = self._prompt(task, limit, members, context or self._own_context, kind, parents)
        prefix = self._direct.get(limit) if data is self._own_data else None
        return Question(data, prompt, grammar, count, temperature, int(rng.integers(1 << 62)), base, prefix)

    def _prompt(
        self,
        task: str,
        limit: int,
        members: Sequence[MemberView],
        context: Context,
        kind: str,
        parents: Sequence[MemberView],
    ) -> p.Prompt:
        """Say in tokens what is asked."""
        told, operators = (members, self.variance, self.shown_members), self.problem.operators
        return p.build_prompt(task, operators, self.slots, limit, *told, kind=kind, parents=parents, context=context)

    def _direct_questions(
        self,
        y: Array,
        size: int,
        count: int,
        temperature: float,
        rng: np.random.Generator,
        base: tuple[str, int] | None = None,
    ) -> list[Question]:
        """Ask what explains some values.

        The size limit is part of the prompt, and the model takes it for a hint; so the draws are shared among a ladder
        of limits.
        """
        ladder = sorted({min(limit, size) for limit in SIZE_LADDER})
        own = y is self.problem.y
        data, context = (self._own_data, self._own_context) if own else (self._columns(y), self._context(y))
        return [
            self._question("direct", data, limit, share, temperature, rng, base=base, context=context)
            for limit, share in zip(ladder, shares(count, len(ladder)), strict=True)
            if share
        ]

    def _size(self, request: ProposalRequest) -> int:
        """Return the largest size of an answer."""
        return self.problem.limits.most_nodes(request.max_size)

    def _beside(self, tree: Node) -> npt.NDArray[np.float32]:
        """Lay out the rows that the model sees, beside what a tree leaves of y."""
        return self._columns(self.problem.y, self.problem.y - self._values(tree))

    def _context(self, y: Array) -> Context:
        """Describe some values of y as the model was trained to be told of them."""
        return context_of(self.model.config.context, self.problem.X, y, self.slots.features)

    def _columns(self, y: Array, residual: Array | None = None) -> npt.NDArray[np.float32]:
        """Lay out the rows that the model sees; a residual that is not finite there is left out."""
        if residual is not None and not np.all(np.isfinite(residual[self.seen])):
            residual = None
        rest = None if residual is None else residual[self.seen]
        return p.data_columns(self.problem.X[self.seen], y[self.seen], self.slots, rest)

    def _values(self, tree: Node) -> Array:
        if any(node.operator is not None and node.operator not in OPERATORS for node in tree):
            return np.full(len(self.problem.y), np.nan)
        return evaluate(tree, self.problem.X)
