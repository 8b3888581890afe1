"""What an edit plants, symbol by symbol in prefix order, for all actions that plant anything at once.

Owns: the open places of what is being planted, and which symbols they admit.  Does not own: where it is planted
(`walk`).

A small stack per action holds the places that are still open.  `budget` counts the nodes that may be planted; what is
kept where it must be kept has been counted before.
"""

import numpy as np

from pysr_neural.expression.edits import MOST_OPERANDS
from pysr_neural.proposer.policy import language as l
from pysr_neural.proposer.policy.choosers import Chooser, Question
from pysr_neural.proposer.policy.language import Flags, Ints
from pysr_neural.proposer.policy.network import PLANTED_LEVELS
from pysr_neural.proposer.policy.population import ROOMS, PopulationState
from pysr_neural.state import KINDS

_OPERATOR, _FEATURE, _ADD, _INSERT = (KINDS.index(kind) for kind in ("operator", "feature", "add", "insert"))
_KIND_NAMES = np.eye(len(KINDS), dtype=np.float32)
_ROOM_NAMES = np.eye(ROOMS, dtype=np.float32)
_LEVEL_NAMES = np.eye(PLANTED_LEVELS, dtype=np.float32)
_OPERAND_NAMES = np.eye(MOST_OPERANDS, dtype=np.float32)
NEVER_KEPT, MAY_KEEP, MUST_KEEP = range(3)


def planted_tokens(
    chooser: Chooser, state: PopulationState, actions: Ints, kind: Ints, first: Ints, node: Ints
) -> list[list[int]]:
    """Choose what is planted.

    Parameters
    ----------
    chooser : Chooser
    state : PopulationState
    actions : int array
        Their numbers, for the chooser.
    kind, first, node : int arrays
        Of each action.

    Returns
    -------
    list of list of int
        Symbols of each action; of the kind ``operator`` the operator alone.
    """
    if not len(actions):
        return []
    planting = _Planting(state, kind, first, node)
    while len(active := np.flatnonzero(planting.open)):
        question = planting.question(active)
        planting.put(active, chooser.choose("token", actions[active], question))
    return [row[:length] for row, length in zip(planting.tokens.tolist(), planting.length.tolist(), strict=True)]


class _Planting:
    """Stacks of open places, as arrays with a row per action."""

    def __init__(self, state: PopulationState, kind: Ints, first: Ints, node: Ints) -> None:
        self.state, self.kind = state, kind
        count, depth = len(kind), max(state.max_size, 1) + MOST_OPERANDS + 1
        old = state.rows[first, node]
        self.old = old
        leaf, root = old[:, l.ARITY] == 0, node == 0
        self.growing = (kind == _ADD) | (kind == _INSERT)
        may, must = (kind == _ADD) & root & leaf, (kind == _INSERT) | ((kind == _ADD) & root & ~leaf)
        self.keeps = np.where(must, MUST_KEEP, np.where(may, MAY_KEEP, NEVER_KEPT))
        self.budget = state.room[first] + np.where(must, 0, old[:, l.SIZE])
        self.used, self.length = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        self.open = np.ones(count, dtype=np.int64)
        self.above, self.level, self.operand = (np.zeros((count, depth), dtype=np.int64) for _ in range(3))
        self.above[:, 0], self.operand[:, 0] = old[:, l.ABOVE], old[:, l.OPERAND]
        self.tokens = np.zeros((count, depth), dtype=np.int64)

    def question(self, rows: Ints) -> Question:
        """Ask for the next symbol of some actions."""
        language, top = self.state.language, (rows, self.open[rows] - 1)
        must = self.keeps[rows] == MUST_KEEP
        limit = self.budget[rows] - self.used[rows] - self.open[rows] + must
        level = self.level[top]
        extras = np.stack(
            [self.open[rows] / 5, self.used[rows] / 10, must, self.old[rows, l.ARITY] == 0], axis=1
        ).astype(np.float32)
        context = np.hstack(
            [
                np.repeat(self.state.global_features, len(rows), axis=0),
                _KIND_NAMES[self.kind[rows]],
                _LEVEL_NAMES[np.minimum(level, PLANTED_LEVELS - 1)],
                _ROOM_NAMES[np.clip(limit, 0, ROOMS - 1)],
                _OPERAND_NAMES[self.operand[top]],
                language.symbols[self.above[top]],
                extras,
            ]
        )
        same = self.old[rows, l.TOKEN, None] == language.numbers
        mask = self._mask(rows, level, limit)
        return Question(language.options, context, mask, pairs=same[..., None].astype(np.float32))

    def put(self, rows: Ints, symbols: Ints) -> None:
        """Put a symbol in the uppermost open place of some actions."""
        language, top = self.state.language, self.open[rows] - 1
        level = self.level[rows, top]
        self.tokens[rows, self.length[rows]] = symbols
        self.length[rows] += 1
        kept = symbols == language.kept
        self.used[rows] += ~(kept & (self.keeps[rows] == MUST_KEEP))
        self.keeps[rows[kept]] = NEVER_KEPT
        arity = np.where(self.kind[rows] == _OPERATOR, 0, language.arities[symbols])
        for operand in range(int(arity.max(initial=0))):
            has = arity > operand
            at = top[has] + arity[has] - 1 - operand  # The first operand lies uppermost.
            self.above[rows[has], at], self.level[rows[has], at] = symbols[has], level[has] + 1
            self.operand[rows[has], at] = operand
        self.open[rows] += arity - 1

    def _mask(self, rows: Ints, level: Ints, limit: Ints) -> Flags:
        language, kind = self.state.language, self.kind[rows]
        mask: Flags = (language.is_leaf | language.is_operator) & (language.arities <= limit[:, None])
        growing = self.growing[rows]
        if growing.any():
            over, under = growing & (level == 0), growing & (level > 0)
            keeps = self.keeps[rows]
            mask[over] &= language.is_operator
            mask[under] &= language.is_leaf
            mask[under & (keeps > NEVER_KEPT), language.kept] = True
            mask[under & (keeps == MUST_KEEP) & (self.open[rows] == 1)] = language.numbers == language.kept
        changing = kind == _OPERATOR
        if changing.any():
            mask[changing] = language.is_operator & (language.arities == self.old[rows[changing], l.ARITY, None])
        naming = kind == _FEATURE
        if naming.any():
            mask[naming] = language.is_variable & (language.numbers != self.old[rows[naming], l.TOKEN, None])
        empty = ~mask.any(axis=1)
        if empty.any():
            mask[empty] = language.is_leaf
        return mask
