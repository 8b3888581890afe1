"""The state of a search as the policy sees it: the whole population, encoded once for all actions of a generation.

Owns: features of members and nodes, how many pairs of nodes a crossover has room for.  Does not own: symbols
(`language`), decisions (`walk`), weights (`network`).
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from pysr_neural.expression.edits import MOST_OPERANDS
from pysr_neural.proposer.policy import language as l
from pysr_neural.proposer.policy.language import Flags, Floats, Ints, Language, Shape
from pysr_neural.state import MemberView

RANKS = 32
"""Ranks with a weight of their own; beyond, and between populations of other sizes, smooth features count."""
LOGS = 4
"""Factors of a tournament's odds: the best of k wins with rank r in proportion to (n - r - 1) … (n - r - k + 1)."""
MEMBER_FEATURES = RANKS + 1 + LOGS + 13
LEVELS = 6
NODE_FEATURES = 2 * l.SYMBOL_FEATURES + LEVELS + MOST_OPERANDS + 6
GLOBAL_FEATURES = 12
SMALLEST_LOSS, LARGEST_LOSS = 1e-16, 1e6
NEVER = -20.0


class PopulationState:
    """A population and the stage of its search, as arrays; what they cost is paid when they are first asked for.

    Parameters
    ----------
    language : Language
    members : sequence of MemberView
        At least one.
    max_size : int
    progress : float
        Elapsed share of the search.
    """

    def __init__(self, language: Language, members: Sequence[MemberView], max_size: int, progress: float) -> None:
        self.language, self.members, self.max_size, self.progress = language, members, max_size, progress
        self.shapes: list[Shape] = [language.shape(member.tree) for member in members]
        self.sizes: Ints = np.array([len(shape.rows) for shape in self.shapes])
        self.counts: Ints = np.array([shape[1:] for shape in self.shapes])
        self.room: Ints = max_size - self.sizes

    def __len__(self) -> int:
        return len(self.members)

    @cached_property
    def rows(self) -> Ints:
        """The nodes of all members; shape (members, longest, COLUMNS), 0 beyond a tree."""
        padded = np.zeros((len(self), int(self.sizes.max()), l.COLUMNS), dtype=np.int64)
        for i, shape in enumerate(self.shapes):
            padded[i, : len(shape.rows)] = shape.rows
        return padded

    @cached_property
    def present(self) -> Flags:
        """Which of `rows` are nodes; shape (members, longest)."""
        return np.arange(int(self.sizes.max())) < self.sizes[:, None]

    @cached_property
    def losses(self) -> Floats:
        """Logarithms of relative losses, shape (members,)."""
        losses = np.array([member.loss for member in self.members]) / self.language.scale
        bounded = np.clip(np.nan_to_num(losses, nan=LARGEST_LOSS, posinf=LARGEST_LOSS), SMALLEST_LOSS, LARGEST_LOSS)
        return np.log(bounded).astype(np.float32)

    @cached_property
    def ranks(self) -> Ints:
        """Place of each member in a tournament of all, 0 for the best; shape (members,)."""
        scores = np.array([member.score for member in self.members])
        losses = np.array([member.loss for member in self.members])
        keys = np.where(np.isnan(scores), losses, scores)
        ranks = np.empty(len(keys), dtype=np.int64)
        ranks[np.argsort(keys, kind="stable")] = np.arange(len(keys))
        return ranks

    @cached_property
    def member_features(self) -> Floats:
        """Shape (1, members, MEMBER_FEATURES)."""
        n, ranks = len(self), self.ranks
        made = np.zeros((n, MEMBER_FEATURES), dtype=np.float32)
        made[np.arange(n), np.minimum(ranks, RANKS)] = 1.0
        left = n - ranks[:, None] - np.arange(1, LOGS + 1)
        made[:, RANKS + 1 : RANKS + 1 + LOGS] = np.where(left > 0, np.log(np.maximum(left, 1) / n), NEVER)
        births = np.array([member.birth for member in self.members])
        sizes = self.sizes / max(self.max_size, 1)
        finest = made[:, RANKS + 1 + LOGS :]
        finest[:, 0] = ranks / n
        finest[:, 1] = self.losses / 10
        finest[:, 2] = (self.losses - self.losses.min()) / 10
        finest[:, 3] = sizes
        finest[:, 4] = np.log(self.sizes)
        finest[:, 5] = np.minimum(self.room, 8) / 8
        finest[:, 6] = self.room <= 0
        finest[:, 7] = self.rows[:, 0, l.HEIGHT] / 10
        finest[:, 8:11] = np.minimum(self.counts, 8) / 8
        finest[:, 11] = np.argsort(np.argsort(births, kind="stable")) / n
        finest[:, 12] = self.rows[:, 0, l.ARITY] == 0
        return made[None]

    @cached_property
    def node_features(self) -> Floats:
        """Shape (members, longest, NODE_FEATURES)."""
        rows, symbols, width = self.rows, self.language.symbols, l.SYMBOL_FEATURES
        made = np.zeros((*rows.shape[:2], NODE_FEATURES), dtype=np.float32)
        made[..., :width] = symbols[rows[..., l.TOKEN]]
        made[..., width : 2 * width] = symbols[rows[..., l.ABOVE]]
        at = 2 * width
        levels = np.minimum(rows[..., l.LEVEL], LEVELS - 1)
        np.put_along_axis(made[..., at : at + LEVELS], levels[..., None], 1.0, axis=-1)
        at += LEVELS
        np.put_along_axis(made[..., at : at + MOST_OPERANDS], rows[..., l.OPERAND, None], 1.0, axis=-1)
        at += MOST_OPERANDS
        sizes = rows[..., l.SIZE]
        made[..., at] = sizes / max(self.max_size, 1)
        made[..., at + 1] = np.log(np.maximum(sizes, 1))
        made[..., at + 2] = sizes / self.sizes[:, None]
        made[..., at + 3] = rows[..., l.HEIGHT] / 10
        made[..., at + 4] = rows[..., l.ARITY] == 0
        made[..., at + 5] = np.log(self.sizes)[:, None]
        return made

    @cached_property
    def global_features(self) -> Floats:
        """Shape (1, GLOBAL_FEATURES)."""
        losses = self.losses
        own = [self.progress, np.log(len(self)) / 5, self.max_size / 30, losses.min() / 10]
        own += [(np.median(losses) - losses.min()) / 10, self.sizes.mean() / max(self.max_size, 1)]
        own += [len({member.tree for member in self.members}) / len(self)]
        return np.array([[*own, *self.language.summary]], dtype=np.float32)

    @cached_property
    def budgets(self) -> Ints:
        """Most nodes that may stand in place of each node; shape (members, longest)."""
        return np.clip(self.room[:, None] + self.rows[..., l.SIZE], 0, self.max_size)

    @cached_property
    def fitting(self) -> Floats:
        """How many nodes each member has of at most a size; shape (members, max_size + 1)."""
        width = self.max_size + 1
        sizes = np.minimum(self.rows[..., l.SIZE], self.max_size)
        oversized = self.rows[..., l.SIZE] > self.max_size
        places = np.arange(len(self))[:, None] * width + sizes
        counts = np.bincount(places[self.present & ~oversized], minlength=len(self) * width)
        return np.cumsum(counts.reshape(-1, width), axis=1).astype(np.float32)

    @cached_property
    def fit_shares(self) -> Floats:
        """Share of pairs of nodes, of a first and a second parent, that a crossover has room for; both members."""
        width = self.max_size + 1
        places = np.arange(len(self))[:, None] * width + self.budgets
        counts = np.bincount(places[self.present], minlength=len(self) * width).reshape(-1, width)
        return (counts @ self.fitting.T / (self.sizes[:, None] * self.sizes)).astype(np.float32)
