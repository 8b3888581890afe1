"""The state of a search as the policy sees it: the whole population, encoded once for all actions of a generation.

Owns: features of members and nodes, how many pairs of nodes a crossover has room for.  Does not own: symbols
(`language`), decisions (`walk`), weights (`network`).
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from pysr_neural.expression.edits import MOST_OPERANDS
from pysr_neural.operators import Array
from pysr_neural.proposer.policy import language as l
from pysr_neural.proposer.policy import shapes as s
from pysr_neural.proposer.policy.language import Flags, Floats, Ints, Language
from pysr_neural.proposer.policy.outlook import NoOutlook, Outlook
from pysr_neural.proposer.policy.shapes import Shape
from pysr_neural.state import MemberView

RANKS = 32
"""Ranks with a weight of their own; beyond, and between populations of other sizes, smooth features count."""
TOURNAMENTS = 5
"""Largest tournament whose odds are features: of one member, which is a fair draw, to this many."""
ODDS = RANKS + 1
"""First of the features of a member's odds to win; then come its odds to have room for a winner's subtree."""
ROOMS = 9
"""Sizes of room with a weight of their own, the last for more."""
_FITS = ODDS + TOURNAMENTS
_ROOMY = _FITS + TOURNAMENTS
_FINEST = _ROOMY + ROOMS - 2
MEMBER_FEATURES = _FINEST + 16
LEVELS = 6
NODE_FEATURES = 2 * l.SYMBOL_FEATURES + LEVELS + MOST_OPERANDS + ROOMS + 9
MEMBER_PROSPECTS, NODE_PROSPECTS = (MEMBER_FEATURES - 2, MEMBER_FEATURES), (NODE_FEATURES - 3, NODE_FEATURES)
"""Which features are foresight."""
GLOBAL_FEATURES = 12 + TOURNAMENTS
_LEVEL_NAMES, _OPERAND_NAMES, _ROOM_NAMES = (np.eye(n, dtype=np.float32) for n in (LEVELS, MOST_OPERANDS, ROOMS))
SMALLEST_LOSS, LARGEST_LOSS = 1e-16, 1e6
NEVER, TINY = -20.0, 1e-12


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
        self.shapes: list[Shape] = language.shapes([member.tree for member in members])
        self.sizes: Ints = np.array([len(shape.rows) for shape in self.shapes])
        self.counts: Ints = np.array([shape[2:] for shape in self.shapes])
        self.room: Ints = max_size - self.sizes

    def __len__(self) -> int:
        return len(self.members)

    @cached_property
    def rows(self) -> Ints:
        """The nodes of all members; shape (members, longest, COLUMNS), 0 beyond a tree."""
        padded = np.zeros((len(self), int(self.sizes.max()), s.COLUMNS), dtype=np.int64)
        padded[self.present] = np.concatenate([shape.rows for shape in self.shapes])
        return padded

    @cached_property
    def present(self) -> Flags:
        """Which of `rows` are nodes; shape (members, longest)."""
        return np.arange(int(self.sizes.max())) < self.sizes[:, None]

    @cached_property
    def outlook(self) -> Outlook | NoOutlook:
        """What the data say about every node."""
        if not self.language.looks_ahead:
            return NoOutlook(self.language.plants, self.shapes)
        trees, lowest = [member.tree for member in self.members], float(np.exp(self.losses.min()))
        return Outlook(self.language.foresight, trees, self.shapes, lowest)

    @cached_property
    def places(self) -> Ints:
        """Where each of `rows` is in the outlook; beyond a tree, that of its last node; shape (members, longest)."""
        within = np.minimum(np.arange(int(self.sizes.max())), self.sizes[:, None] - 1)
        return self.outlook.starts[self.outlook.tree_of][:, None] + within

    @cached_property
    def _node_prospects(self) -> Array:
        """With the best small tree, the best node of a member, and nothing but its mean in place of each node."""
        own = self.outlook
        return np.stack([own.best_plant, own.best_part, own.flat], axis=1)

    def pair_prospects(self, members: Ints) -> Array:
        """With the best node of any member in the best place of some; shape (some, members)."""
        trees, of = np.unique(self.outlook.tree_of[members], return_inverse=True)
        return self.outlook.paired(trees)[of[:, None], self.outlook.tree_of]

    @cached_property
    def losses(self) -> Floats:
        """Logarithms of relative losses, shape (members,)."""
        losses = np.array([member.loss for member in self.members]) / self.language.scale
        bounded = np.clip(np.nan_to_num(losses, nan=LARGEST_LOSS, posinf=LARGEST_LOSS), SMALLEST_LOSS, LARGEST_LOSS)
        return np.log(bounded).astype(np.float32)

    @cached_property
    def keys(self) -> Array:
        """What tournaments compare, lower is better; shape (members,)."""
        scores = np.array([member.score for member in self.members])
        losses = np.array([member.loss for member in self.members])
        return np.where(np.isnan(scores), losses, scores)

    @cached_property
    def ranks(self) -> Ints:
        """Place of each member in a tournament of all, 0 for the best, equals in order; shape (members,)."""
        ranks = np.empty(len(self), dtype=np.int64)
        ranks[np.argsort(self.keys, kind="stable")] = np.arange(len(self))
        return ranks

    @cached_property
    def ties(self) -> tuple[Ints, Ints]:
        """How many members are better than each, and how many at most as good."""
        ordered = np.sort(self.keys)
        return np.searchsorted(ordered, self.keys, "left"), np.searchsorted(ordered, self.keys, "right")

    @cached_property
    def odds(self) -> Array:
        """Chance of each member to win a tournament of 1, 2, … where equals are fairly drawn; columns add up to 1."""
        n, (better, reached) = len(self), self.ties
        among = np.arange(n + 1)
        chances, made = np.ones(n + 1), np.empty((n, TOURNAMENTS))
        for drawn in range(TOURNAMENTS):
            if drawn < n:  # All of a tournament of one more are among the last m of n.
                chances = chances * np.maximum(among - drawn, 0) / (n - drawn)
            made[:, drawn] = (chances[n - better] - chances[n - reached]) / (reached - better)
        return made

    @cached_property
    def mate_shares(self) -> Array:
        """Share of pairs of nodes that a crossover with the winner of a tournament has room for; shape of `odds`."""
        return self.fit_shares @ self.odds

    @cached_property
    def member_features(self) -> Floats:
        """Shape (1, members, MEMBER_FEATURES)."""
        n, ranks = len(self), self.ranks
        better, reached = self.ties
        made = np.zeros((n, MEMBER_FEATURES), dtype=np.float32)
        made[np.arange(n), np.minimum(ranks, RANKS)] = 1.0
        made[:, ODDS:_FITS] = np.maximum(np.log(np.maximum(self.odds, TINY)), NEVER)
        made[:, _FITS:_ROOMY] = np.maximum(np.log(np.maximum(self.mate_shares, TINY)), NEVER)
        made[:, _ROOMY:_FINEST] = self._roomy()
        births = np.array([member.birth for member in self.members])
        sizes = self.sizes / max(self.max_size, 1)
        finest = made[:, _FINEST:]
        finest[:, 0] = (better + reached - 1) / (2 * n)
        finest[:, 1] = self.losses / 10
        finest[:, 2] = (self.losses - self.losses.min()) / 10
        finest[:, 3] = sizes
        finest[:, 4] = np.log(self.sizes)
        finest[:, 5] = np.minimum(self.room, 8) / 8
        finest[:, 6] = self.room <= 0
        finest[:, 7] = self.rows[:, 0, s.HEIGHT] / 10
        finest[:, 8:11] = np.minimum(self.counts, 8) / 8
        finest[:, 11] = np.argsort(np.argsort(births, kind="stable")) / n
        finest[:, 12] = self.rows[:, 0, s.ARITY] == 0
        finest[:, 13] = (reached - better) / n
        finest[:, 14:16] = np.maximum.reduceat(self._node_prospects, self.outlook.starts)[self.outlook.tree_of, :2]
        return made[None]

    def _roomy(self) -> Array:
        """Share of each member's nodes in whose place there is room for 2, 3, … nodes."""
        rooms = np.minimum(self.budgets, ROOMS - 1)
        places = np.arange(len(self))[:, None] * ROOMS + rooms
        counts = np.bincount(places[self.present], minlength=len(self) * ROOMS).reshape(-1, ROOMS)
        return np.cumsum(counts[:, ::-1], axis=1)[:, ::-1][:, 2:] / self.sizes[:, None]

    @cached_property
    def node_features(self) -> Floats:
        """Shape (members, longest, NODE_FEATURES)."""
        rows, symbols, width = self.rows, self.language.symbols, l.SYMBOL_FEATURES
        made = np.zeros((*rows.shape[:2], NODE_FEATURES), dtype=np.float32)
        made[..., :width] = symbols[rows[..., s.TOKEN]]
        made[..., width : 2 * width] = symbols[rows[..., s.ABOVE]]
        at = 2 * width
        for names, which in (
            (_LEVEL_NAMES, np.minimum(rows[..., s.LEVEL], LEVELS - 1)),
            (_OPERAND_NAMES, rows[..., s.OPERAND]),
            (_ROOM_NAMES, np.minimum(self.budgets, ROOMS - 1)),
        ):
            made[..., at : at + len(names)] = names[which]
            at += len(names)
        sizes = rows[..., s.SIZE]
        made[..., at] = sizes / max(self.max_size, 1)
        made[..., at + 1] = np.log(np.maximum(sizes, 1))
        made[..., at + 2] = sizes / self.sizes[:, None]
        made[..., at + 3] = rows[..., s.HEIGHT] / 10
        made[..., at + 4] = rows[..., s.ARITY] == 0
        made[..., at + 5] = np.log(self.sizes)[:, None]
        made[..., at + 6 :] = self._node_prospects[self.places]
        return made

    @cached_property
    def global_features(self) -> Floats:
        """Shape (1, GLOBAL_FEATURES)."""
        losses = self.losses
        own = [self.progress, np.log(len(self)) / 5, self.max_size / 30, losses.min() / 10]
        own += [(np.median(losses) - losses.min()) / 10, self.sizes.mean() / max(self.max_size, 1)]
        own += [len({member.tree for member in self.members}) / len(self)]
        mates = np.einsum("ij,ij->j", self.odds, self.mate_shares)
        return np.array([[*own, *self.language.summary, *mates]], dtype=np.float32)

    @cached_property
    def budgets(self) -> Ints:
        """Most nodes that may stand in place of each node; shape (members, longest)."""
        return np.clip(self.room[:, None] + self.rows[..., s.SIZE], 0, self.max_size)

    @cached_property
    def fitting(self) -> Floats:
        """How many nodes each member has of at most a size; shape (members, max_size + 1)."""
        width = self.max_size + 1
        sizes = np.minimum(self.rows[..., s.SIZE], self.max_size)
        oversized = self.rows[..., s.SIZE] > self.max_size
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
