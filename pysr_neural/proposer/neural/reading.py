"""Sampled tokens read as expressions.

Owns: `Reader`.  Does not own: sampling (`model.decoding`), which of them become children
(`proposer.neural.transformer`).
"""

from collections.abc import Iterator, Sequence

import numpy as np

from pysr_neural.expression.constraints import check_tree
from pysr_neural.expression.node import Node, apply, constant, variable
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import MemberView
from pysr_neural.proposer.neural.questions import Question
from pysr_neural.wire import prompt as p
from pysr_neural.wire import vocabulary as v


class Reader:
    """Reads the samples of one search.

    Parameters
    ----------
    problem : Problem
    slots : Slots
        Which variables the tokens stand for.
    """

    def __init__(self, problem: Problem, slots: p.Slots) -> None:
        self.problem, self.slots = problem, slots
        self._operators = _operators_by_token(problem)

    def placed(
        self, question: Question, members: Sequence[MemberView], rng: np.random.Generator
    ) -> list[tuple[Node, float, tuple[int, ...]]]:
        """Read a question's samples and put them into their place; with log-probabilities and parents."""
        placed: list[tuple[Node, float, tuple[int, ...]]]
        placed = [(tree, score, ()) for tree, score in self.distinct(question, rng)]
        if question.base is not None:
            name, position = question.base
            placed = [(apply(name, members[position].tree, tree), score, (position,)) for tree, score, _ in placed]
        if self.problem.limits.arguments or self.problem.limits.complexities:  # What the grammar does not know of.
            placed = [each for each in placed if check_tree(each[0], self.problem) is None]
        return placed

    def distinct(self, question: Question, rng: np.random.Generator) -> list[tuple[Node, float]]:
        """Return the distinct sampled trees with their log-probabilities."""
        found: dict[Node, float] = {}
        for tree, score in self.sampled(question, rng):
            found.setdefault(tree, score)
        return list(found.items())

    def sampled(self, question: Question, rng: np.random.Generator) -> Iterator[tuple[Node, float]]:
        """Yield the sampled trees as they were drawn, repeated ones too, with their log-probabilities."""
        if question.samples is not None:
            scores = question.samples.log_probabilities.tolist()
            for row, score in zip(question.samples.tokens.tolist(), scores, strict=True):
                yield self.tree(row, rng), score

    def tree(self, row: list[int], rng: np.random.Generator) -> Node:
        """Read one sampled token sequence, which the grammar made well-formed."""
        stack: list[Node] = []
        tokens = row[: row.index(v.PAD)] if v.PAD in row else row
        mantissa = v.FIRST_MANTISSA
        for token in reversed(tokens):
            if v.IS_MANTISSA[token]:
                mantissa = token
            elif v.IS_EXPONENT[token]:
                stack.append(constant(v.constant_value(token, mantissa)))
            elif not np.isnan(v.VALUE[token]):
                stack.append(constant(v.VALUE[token]))
            elif v.ARITY[token]:
                names = self._operators[token]
                name = names[int(rng.integers(len(names)))] if len(names) > 1 else names[0]
                stack.append(Node(name, tuple(stack.pop() for _ in range(v.ARITY[token]))))
            else:
                stack.append(variable(self.slots.features[token - v.FIRST_VARIABLE]))
        return stack[0]


def _operators_by_token(problem: Problem) -> dict[int, list[str]]:
    """Group the search's operators by the token that stands for them; generic tokens may stand for several."""
    groups: dict[int, list[str]] = {}
    for token, name in zip(p.operator_tokens(problem.operators), problem.operators.names, strict=True):
        groups.setdefault(token, []).append(name)
    return groups
