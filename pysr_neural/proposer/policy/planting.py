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
_OPEN, _KEEPS, _BUDGET, _SLACK, _USED, _LENGTH, _BEGUN, _GROWS, _LEADS = range(9)
"""What is kept of an action: places that are open; whether `KEPT` is still to come; nodes that may be planted, and how
many more where that does not matter; nodes used; symbols chosen; the beginning they make (`Plants`); whether the kind
grows a tree around a node; whether symbols open places."""
_FACTS = _LEADS + 1
_UNLIMITED = 10**6
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
    while len(rows := planting.rows):
        question = planting.question()
        planting.put(chooser.choose("token", actions[rows], question))
    lengths = planting.facts[:, _LENGTH].tolist()
    return [row[:length] for row, length in zip(planting.tokens.tolist(), lengths, strict=True)]


class _Planting:
    """Stacks of open places, as arrays with a row per action.

    Attributes
    ----------
    rows : int array
        Actions that have open places.
    """

    def __init__(self, state: PopulationState, kind: Ints, first: Ints, node: Ints) -> None:
        self.state, language = state, state.language
        count, depth = len(kind), max(state.max_size, 1) + 2 * MOST_OPERANDS
        old = state.rows[first, node]
        leaf, root = old[:, s.ARITY] == 0, node == 0
        may, must = (kind == _ADD) & root & leaf, (kind == _INSERT) | ((kind == _ADD) & root & ~leaf)
        changing, naming = kind == _OPERATOR, kind == _FEATURE
        self.rows: Ints = np.arange(count)
        self.places = np.zeros((count, depth, 3), dtype=np.int64)
        self.places[:, 0, _ABOVE], self.places[:, 0, _OPERAND] = old[:, s.ABOVE], old[:, s.OPERAND]
        self.tokens = np.zeros((count, depth), dtype=np.int64)
        self.prospects = state.outlook.planted(state.places[first, node])
        self.table = language.plants.table
        self.facts = np.zeros((count, _FACTS), dtype=np.int64)
        self.facts[:, _OPEN] = 1
        self.facts[:, _KEEPS] = np.where(must, MUST_KEEP, np.where(may, MAY_KEEP, NEVER_KEPT))
        self.facts[:, _BUDGET] = state.room[first] + np.where(must, 0, old[:, s.SIZE])
        self.facts[:, _SLACK] = _UNLIMITED * (changing | naming)
        self.facts[:, _BEGUN] = np.where((kind == _RANDOMIZE) | naming, 0, len(self.table) - 1)
        self.facts[:, _GROWS] = (kind == _ADD) | (kind == _INSERT)
        self.facts[:, _LEADS] = ~changing
        self.same = old[:, s.TOKEN, None] == language.numbers
        self.context = np.zeros((count, HEADS["token"].context), dtype=np.float32)
        self.context[:, :GLOBAL_FEATURES] = state.global_features
        self.context[:, GLOBAL_FEATURES:_WHICH] = _KIND_NAMES[kind]
        self.context[:, _EXTRAS + 3] = leaf
        operators = language.is_operator & (language.arities == old[:, s.ARITY, None])
        variables = language.is_variable & ~self.same
        anything = language.is_leaf | language.is_operator
        self.admitted = np.where(changing[:, None], operators, np.where(naming[:, None], variables, anything))

    def question(self) -> Question:
        """Ask for the next symbols."""
        language, rows = self.state.language, self.rows
        self.own = own = self.facts[rows]
        still, used, must = own[:, _OPEN], own[:, _USED], own[:, _KEEPS] == MUST_KEEP
        limit = own[:, _BUDGET] - used - still + must
        above, level, operand = self.places[rows, still - 1].T
        slot = np.minimum(level, PLANTED_LEVELS - 1) * ROOMS + np.minimum(np.maximum(limit, 0), ROOMS - 1)
        context = self.context[rows]
        context[:, _WHICH:_SYMBOL] = _SLOTS[slot * MOST_OPERANDS + operand]
        context[:, _SYMBOL:_EXTRAS] = language.symbols[above]
        context[:, _EXTRAS] = still * 0.2
        context[:, _EXTRAS + 1] = used * 0.1
        context[:, _EXTRAS + 2] = must
        pairs = np.empty((len(rows), language.kept + 1, 2), dtype=np.float32)
        pairs[..., 0] = self.same[rows]
        pairs[..., 1] = self.prospects[rows[:, None], self.table[own[:, _BEGUN]]]
        self.below = level + 1
        return Question(language.options, context, self._mask(level, limit), pairs=pairs)

    def put(self, symbols: Ints) -> None:
        """Put symbols in the uppermost open places."""
        language, rows, own = self.state.language, self.rows, self.own
        top = own[:, _OPEN] - 1
        self.tokens[rows, own[:, _LENGTH]] = symbols
        kept = symbols == language.kept
        own[:, _USED] += ~(kept & (own[:, _KEEPS] == MUST_KEEP))
        own[kept, _KEEPS] = NEVER_KEPT
        own[:, _BEGUN] = self.table[own[:, _BEGUN], symbols]
        own[:, _LENGTH] += 1
        arity = language.arities[symbols] * own[:, _LEADS]
        number = np.arange(arity.max())
        if len(number):  # The first operand lies uppermost; what is written beyond it will be overwritten.
            made = np.empty((len(rows), len(number), 3), dtype=np.int64)
            made[..., _ABOVE], made[..., _LEVEL] = symbols[:, None], self.below[:, None]
            made[..., _OPERAND] = arity[:, None] - 1 - number
            self.places[rows[:, None], top[:, None] + number] = made
        own[:, _OPEN] = top + arity
        self.facts[rows] = own
        self.rows = rows[own[:, _OPEN] > 0]

    def _mask(self, level: Ints, limit: Ints) -> Flags:
        language, own = self.state.language, self.own
        mask: Flags = language.arities <= (limit + own[:, _SLACK])[:, None]
        mask &= self.admitted[self.rows]
        if own[:, _GROWS].any():
            growing, keeps = own[:, _GROWS] > 0, own[:, _KEEPS]
            over, under = growing & (level == 0), growing & (level > 0)
            mask[over] &= language.is_operator
            mask[under] &= language.is_leaf
            mask[under & (keeps > NEVER_KEPT), language.kept] = True
            mask[under & (keeps == MUST_KEEP) & (own[:, _OPEN] == 1)] = language.numbers == language.kept
        some = mask.any(axis=1)
        if not some.all():
            mask[~some] = language.is_leaf
        return mask
