"""How a decision falls: drawn from the network, or as it was recorded.

Owns: `Question`, `Sampler`, `Recorded`.  Does not own: which questions are asked (`walk`), scores (`network`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from pysr_neural.operators import Array
from pysr_neural.proposer.base import Action
from pysr_neural.proposer.policy.language import Flags, Floats, Ints, Language
from pysr_neural.proposer.policy.network import IMPOSSIBLE, PolicyNetwork
from pysr_neural.proposer.policy.symbols import SymbolHead
from pysr_neural.state import KINDS


class Question(NamedTuple):
    """One decision, asked for several actions at once.

    Parameters
    ----------
    options : array, shape (blocks, options, features)
    context : array, shape (contexts, features)
    mask : array, shape (contexts, options), optional
        What is possible; everything, if left out.
    at : int array, shape (contexts,), optional
        The block of options of each context; the only one, if left out.
    of : int array, shape (actions,), optional
        The context of each action; one each, if left out.
    pairs : array, shape (contexts, options, features), optional
    """

    options: Floats
    context: Floats
    mask: Flags | None = None
    at: Ints | None = None
    of: Ints | None = None
    pairs: Floats | None = None


Watch = Callable[[str, Ints, Question, Ints], None]
"""Takes a decision as it falls: head, actions, question, what was chosen."""


class Chooser(Protocol):
    """Answers questions."""

    def choose(self, head: str, rows: Ints, question: Question) -> Ints:
        """Return the option of each of some actions, given by their numbers."""
        ...


class Sampler:
    """Draws decisions, and keeps account of their probabilities.

    Parameters
    ----------
    network : PolicyNetwork
    count : int
        Of actions.
    rng : numpy.random.Generator
    temperature : float
        Scores are divided by it.
    watch : callable, optional
    symbols : SymbolHead, optional
        Of the same network, for what is planted: makes questions about that unnecessary.

    Attributes
    ----------
    log_probability, entropy : array, shape (count,)
        Sums over the decisions so far, at the temperature.
    """

    def __init__(
        self,
        network: PolicyNetwork,
        count: int,
        rng: np.random.Generator,
        temperature: float = 1.0,
        watch: Watch | None = None,
        symbols: SymbolHead | None = None,
    ) -> None:
        self.network, self.rng, self.temperature, self.watch = network, rng, temperature, watch
        self.symbols = symbols
        self.log_probability, self.entropy = np.zeros(count), np.zeros(count)
        self._known: dict[str, tuple[Floats, Floats, Floats]] = {}

    def choose(self, head: str, rows: Ints, question: Question) -> Ints:
        """Draw an option for each action."""
        chosen = self.draw(rows, self._scores(head, question), question.of)
        if self.watch is not None:
            self.watch(head, rows, question, chosen)
        return chosen

    def draw(self, rows: Ints, scores: Floats, of: Ints | None = None) -> Ints:
        """Draw an option for each action.

        Parameters
        ----------
        rows : int array, shape (actions,)
        scores : array, shape (contexts, options)
        of : int array, shape (actions,), optional
            The context of each action; one each, if left out.
        """
        logs, levels, entropies = _levels(scores, self.temperature)
        totals = levels[:, -1]
        if of is not None:
            levels, totals, entropies = levels[of], totals[of], entropies[of]
        points = self.rng.random(len(rows)) * totals
        chosen = np.minimum((levels <= points[:, None]).sum(axis=1), levels.shape[1] - 1)
        self.log_probability[rows] += logs[np.arange(len(rows)) if of is None else of, chosen] - np.log(totals)
        self.entropy[rows] += entropies
        return chosen

    def shares(self, head: str, question: Question) -> tuple[Array, Array]:
        """Return the probabilities of a question's options in each context, and their entropies."""
        logs, levels, entropies = _levels(self._scores(head, question), self.temperature)
        return np.exp(logs) / levels[:, -1:], entropies

    def _scores(self, head: str, question: Question) -> Floats:
        options, context, mask, at, _, pairs = question
        if at is not None and mask is not None:
            return self.network.possible_scores(head, options, context, mask, at, pairs)
        scores = self.network.scores(head, *self._projected(head, options), context, pairs)
        if mask is not None:
            scores[~mask] = IMPOSSIBLE
        return scores

    def _projected(self, head: str, options: Floats) -> tuple[Floats, Floats]:
        known = self._known.get(head)
        if known is None or known[0] is not options:
            known = self._known[head] = (options, *self.network.projected(head, options))
        return known[1:]


def _levels(scores: Floats, temperature: float) -> tuple[Array, Array, Array]:
    """Return the scores of options in each context, the highest 0; sums of their exponentials; entropies."""
    logs = scores.astype(np.float64)
    if temperature != 1.0:
        logs /= temperature
    logs -= logs.max(axis=1, keepdims=True)
    shares = np.exp(logs)
    levels = shares.cumsum(axis=1)
    totals = levels[:, -1]
    return logs, levels, np.log(totals) - np.einsum("ij,ij->i", shares, logs) / totals


class Recorded:
    """Decides as recorded actions did; what a question does not allow is noted.

    Parameters
    ----------
    actions : sequence of Action
    language : Language
    watch : callable, optional

    Attributes
    ----------
    possible : array, shape (actions,)
        Whether all decisions so far were allowed.
    """

    def __init__(self, actions: Sequence[Action], language: Language, watch: Watch | None = None) -> None:
        self.watch = watch
        self.possible = np.ones(len(actions), dtype=bool)
        seconds = [action.parents[1] if len(action.parents) > 1 else -1 for action in actions]
        edits = [action.edit for action in actions]
        self._answers = {
            "cross": np.array([action.kind == "crossover" for action in actions], dtype=np.int64),
            "parent": np.array([action.parents[0] for action in actions]),
            "second": np.array(seconds),
            "kind": np.array([KINDS.index(action.kind) for action in actions]),
            "node": np.array([edit.node for edit in edits]),
            "other": np.array([edit.place for edit in edits]),
            "place": np.array([edit.place for edit in edits]),
        }
        self._tokens = [[] if edit.planted is None else language.tokens(edit.planted) for edit in edits]
        self._used = np.zeros(len(actions), dtype=np.int64)

    def choose(self, head: str, rows: Ints, question: Question) -> Ints:
        """Return the recorded option of each action, or a possible one where that is not allowed."""
        wanted = self._next(rows) if head == "token" else self._answers[head][rows]
        count = question.options.shape[1]
        allowed = np.ones((len(question.context), count), dtype=bool) if question.mask is None else question.mask
        own = allowed if question.of is None else allowed[question.of]
        inside = (wanted >= 0) & (wanted < count)
        good = inside & own[np.arange(len(rows)), np.where(inside, wanted, 0)]
        chosen = np.where(good, wanted, own.argmax(axis=1))
        self.possible[rows] &= good
        if self.watch is not None:
            self.watch(head, rows, question, chosen)
        return chosen

    def _next(self, rows: Ints) -> Ints:
        found = [tokens[at] if (at := self._used[i]) < len(tokens := self._tokens[i]) else -1 for i in rows]
        self._used[rows] += 1
        return np.array(found)
