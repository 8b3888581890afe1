"""What an edit plants, symbol by symbol in prefix order, for all actions that plant anything at once.

Owns: the open places of what is being planted, and which symbols they admit.  Does not own: where it is planted
(`walk`).

A small stack per action holds the places that are still open.  `budget` counts the nodes that may be planted; what is
kept where it must be kept has been counted before.
"""

from itertools import product

import numpy as np

from pysr_neural.expression.edits import MOST_OPERANDS
from pysr_neural.proposer.policy import language as l
from pysr_neural.proposer.policy import shapes as s
from pysr_neural.proposer.policy.choosers import Chooser, Question
from pysr_neural.proposer.policy.language import Flags, Ints
from pysr_neural.proposer.policy.network import HEADS, PLANTED_LEVELS
from pysr_neural.proposer.policy.population import GLOBAL_FEATURES, ROOMS, PopulationState
from pysr_neural.state import KINDS

_OPERATOR, _FEATURE, _ADD, _INSERT, _RANDOMIZE = (
    KINDS.index(kind) for kind in ("operator", "feature", "add", "insert", "randomize")
)
_SIZES = (PLANTED_LEVELS, ROOMS, MOST_OPERANDS)
_KIND_NAMES = np.eye(len(KINDS), dtype=np.float32)
_SLOTS = np.array(
    [
        np.concatenate([np.eye(n, dtype=np.float32)[i] for n, i in zip(_SIZES, each, strict=True)])
        for each in product(*map(range, _SIZES))
    ]
)
"""Features of an open place by level, room and operand, numbered together."""
NEVER_KEPT, MAY_KEEP, MUST_KEEP = range(3)
_ABOVE, _LEVEL, _OPERAND = range(3)
"""What is kept of an open place."""
_WHICH = GLOBAL_FEATURES + len(KINDS)
_SYMBOL = _WHICH + sum(_SIZES)
_EXTRAS = _SYMBOL + l.SYMBOL_FEATURES
"""Where the features of a place begin in a context, and those of the symbol above it, and what is left."""


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
        leaf, root = old[:, s.ARITY] == 0, node == 0
        self.growing = (kind == _ADD) | (kind == _INSERT)
        may, must = (kind == _ADD) & root & leaf, (kind == _INSERT) | ((kind == _ADD) & root & ~leaf)
        self.keeps = np.where(must, MUST_KEEP, np.where(may, MAY_KEEP, NEVER_KEPT))
        self.budget = state.room[first] + np.where(must, 0, old[:, s.SIZE])
        self.used, self.length = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        self.open = np.ones(count, dtype=np.int64)
        self.places = np.zeros((count, depth, 3), dtype=np.int64)
        self.places[:, 0, _ABOVE], self.places[:, 0, _OPERAND] = old[:, s.ABOVE], old[:, s.OPERAND]
        self.tokens = np.zeros((count, depth), dtype=np.int64)
        language = state.language
        self.pairs = np.zeros((count, language.kept + 1, 2), dtype=np.float32)
        self.pairs[..., 0] = old[:, s.TOKEN, None] == language.numbers
        self.prospects = state.outlook.planted(state.places[first, node])
        self.table = language.foresight.plants.table
        self.begun = np.where((kind == _RANDOMIZE) | (kind == _FEATURE), 0, len(self.table) - 1)
        self.context = np.zeros((count, HEADS["token"].context), dtype=np.float32)
        self.context[:, :GLOBAL_FEATURES] = state.global_features
        self.context[:, GLOBAL_FEATURES:_WHICH] = _KIND_NAMES[kind]
        self.context[:, _EXTRAS + 3] = leaf
        changing, naming = (kind == _OPERATOR)[:, None], (kind == _FEATURE)[:, None]
        self.unlimited = changing | naming
        operators = language.is_operator & (language.arities == old[:, s.ARITY, None])
        variables = language.is_variable & (language.numbers != old[:, s.TOKEN, None])
        anything = language.is_leaf | language.is_operator
        self.admitted = np.where(changing, operators, np.where(naming, variables, anything))

    def question(self, rows: Ints) -> Question:
        """Ask for the next symbol of some actions."""
        language, still, used = self.state.language, self.open[rows], self.used[rows]
        must = self.keeps[rows] == MUST_KEEP
        limit = self.budget[rows] - used - still + must
        above, level, operand = self.places[rows, still - 1].T
        slot = np.minimum(level, PLANTED_LEVELS - 1) * ROOMS + np.clip(limit, 0, ROOMS - 1)
        context = self.context[rows]
        context[:, _WHICH:_SYMBOL] = _SLOTS[slot * MOST_OPERANDS + operand]
        context[:, _SYMBOL:_EXTRAS] = language.symbols[above]
        context[:, _EXTRAS] = still / 5
        context[:, _EXTRAS + 1] = used / 10
        context[:, _EXTRAS + 2] = must
        pairs = self.pairs[rows]
        pairs[..., 1] = self.prospects[rows[:, None], self.table[self.begun[rows]]]
        return Question(language.options, context, self._mask(rows, level, limit), pairs=pairs)

    def put(self, rows: Ints, symbols: Ints) -> None:
        """Put a symbol in the uppermost open place of some actions."""
        language, top = self.state.language, self.open[rows] - 1
        below = self.places[rows, top, _LEVEL] + 1
        self.tokens[rows, self.length[rows]] = symbols
        self.length[rows] += 1
        self.begun[rows] = self.table[self.begun[rows], symbols]
        kept = symbols == language.kept
        self.used[rows] += ~(kept & (self.keeps[rows] == MUST_KEEP))
        self.keeps[rows[kept]] = NEVER_KEPT
        arity = np.where(self.kind[rows] == _OPERATOR, 0, language.arities[symbols])
        for operand in range(int(arity.max(initial=0))):
            has = np.flatnonzero(arity > operand)
            at = top[has] + arity[has] - 1 - operand  # The first operand lies uppermost.
            place = np.stack([symbols[has], below[has], np.full(len(has), operand)], axis=1)
            self.places[rows[has], at] = place
        self.open[rows] += arity - 1

    def _mask(self, rows: Ints, level: Ints, limit: Ints) -> Flags:
        language = self.state.language
        mask: Flags = self.admitted[rows] & ((language.arities <= limit[:, None]) | self.unlimited[rows])
        growing = self.growing[rows]
        if growing.any():
            over, under = growing & (level == 0), growing & (level > 0)
            keeps = self.keeps[rows]
            mask[over] &= language.is_operator
            mask[under] &= language.is_leaf
            mask[under & (keeps > NEVER_KEPT), language.kept] = True
            mask[under & (keeps == MUST_KEEP) & (self.open[rows] == 1)] = language.numbers == language.kept
        empty = ~mask.any(axis=1)
        if empty.any():
            mask[empty] = language.is_leaf
        return mask
