"""What an edit plants, symbol by symbol in prefix order, for all actions that plant anything at once.

Owns: the open places of what is being planted, and which symbols they admit.  Does not own: where it is planted
(`walk`), scores for those who only draw (`symbols`).

A small stack per action holds the places that are still open, each as one number.  The limit is how many operands the
next symbol may have; what is kept where it must be kept is no new node.  A sampler with a `SymbolHead` is told facts,
every other chooser is asked questions about the same.
"""

import numpy as np

from pysr_neural.expression.edits import MOST_OPERANDS
from pysr_neural.operators import Array
from pysr_neural.proposer.policy import shapes as s
from pysr_neural.proposer.policy.choosers import Chooser, Question, Sampler
from pysr_neural.proposer.policy.language import Flags, Floats, Ints
from pysr_neural.proposer.policy.network import HEADS, IMPOSSIBLE, PLANTED_LEVELS
from pysr_neural.proposer.policy.population import GLOBAL_FEATURES, ROOMS, PopulationState
from pysr_neural.proposer.policy.symbols import COUNTED, EXTRAS, LEAF, SYMBOL, WHICH, SymbolHead, place_of, slots
from pysr_neural.state import KINDS

_OPERATOR, _FEATURE, _ADD, _INSERT, _RANDOMIZE = (
    KINDS.index(kind) for kind in ("operator", "feature", "add", "insert", "randomize")
)
_SLOTS = slots()
_KIND_NAMES = np.eye(len(KINDS), dtype=np.float32)
_OPEN, _USED, _MUST, _MAY, _LIMIT, _BEGUN, _KIND = range(7)
"""What is kept of an action: places that are open; nodes used; whether `KEPT` must, may still come; the limit; the
beginning that its symbols make (`Plants`), -1 for none; its kind."""
_FACTS = _KIND + 1


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
    if isinstance(chooser, Sampler) and chooser.symbols is not None:
        scoring = _Scoring(planting, chooser.symbols)
        while len(planting.rows):
            planting.put(chooser.draw(actions[planting.rows], scoring.scores()))
    while len(planting.rows):
        planting.put(chooser.choose("token", actions[planting.rows], planting.question()))
    return planting.chosen()


class _Planting:
    """Stacks of open places, as arrays with a row per action.

    Attributes
    ----------
    rows : int array
        Actions that have open places.
    own : int array
        The facts of these.
    place : int array
        The uppermost open place of these.
    plain : bool
        Whether all of these are of the kind ``"randomize"``, which admits whatever there is room for.
    begun : bool
        Whether what some of these have chosen is the beginning of a small tree.
    """

    def __init__(self, state: PopulationState, kind: Ints, first: Ints, node: Ints) -> None:
        self.state, language = state, state.language
        count, depth = len(kind), max(state.max_size, 1) + 2 * MOST_OPERANDS
        old = state.rows[first, node]
        self.arity, leaf, root = old[:, s.ARITY], old[:, s.ARITY] == 0, node == 0
        may, must = (kind == _ADD) & root & leaf, (kind == _INSERT) | ((kind == _ADD) & root & ~leaf)
        self.rows: Ints = np.arange(count)
        self.stacks = np.zeros((count, depth), dtype=np.int64)
        self.stacks[:, 0] = place_of(old[:, s.ABOVE], 0, old[:, s.OPERAND])
        self.own = own = np.zeros((count, _FACTS), dtype=np.int64)
        own[:, _OPEN], own[:, _MUST], own[:, _MAY], own[:, _KIND] = 1, must, may, kind
        own[:, _LIMIT] = np.maximum(state.room[first] + np.where(must, 1, old[:, s.SIZE]) - 1, 0)
        own[:, _BEGUN] = np.where((kind == _RANDOMIZE) | (kind == _FEATURE), 0, -1)
        self.prospects = state.outlook.planted(state.places[first, node])
        self.same = old[:, s.TOKEN, None] == language.numbers
        self.context = np.zeros((count, HEADS["token"].context), dtype=np.float32)
        self.context[:, :GLOBAL_FEATURES] = state.global_features
        self.context[:, GLOBAL_FEATURES:WHICH] = _KIND_NAMES[kind]
        self.context[:, LEAF] = leaf
        self._put: list[tuple[Ints, Ints]] = []
        self._look()

    def question(self) -> Question:
        """Ask for the next symbols."""
        language, rows, own = self.state.language, self.rows, self.own
        context = self.context[rows]
        above, slot = np.divmod(self.place, PLANTED_LEVELS * MOST_OPERANDS)
        context[:, WHICH:SYMBOL] = _SLOTS[slot * ROOMS + self.room]
        context[:, SYMBOL:EXTRAS] = language.symbols[above]
        context[:, EXTRAS:LEAF] = own[:, : len(COUNTED)] * COUNTED
        pairs = np.empty((len(rows), language.kept + 1, 2), dtype=np.float32)
        pairs[..., 0] = self.same[rows]
        pairs[..., 1] = self.next_prospects()
        return Question(language.options, context, self.mask(), pairs=pairs)

    def put(self, symbols: Ints) -> None:
        """Put symbols in the uppermost open places."""
        language, rows, own = self.state.language, self.rows, self.own
        self._put.append((rows, symbols))
        if self.plain:
            own[:, _USED] += 1
            arity = language.arities[symbols]
        else:
            kept = symbols == language.kept
            own[:, _USED] += ~(kept & (own[:, _MUST] > 0))
            own[kept, _MUST : _MAY + 1] = 0
            arity = language.arities[symbols] * (own[:, _KIND] != _OPERATOR)
        if self.begun:
            own[:, _BEGUN] = language.plants.table[own[:, _BEGUN], symbols]
        most = arity.max()
        if most:  # The first operand lies uppermost; what is written beyond it will be overwritten.
            number = np.arange(most)
            level = np.minimum(self.place // MOST_OPERANDS % PLANTED_LEVELS + 1, PLANTED_LEVELS - 1)
            below = place_of(symbols, level, arity - 1)[:, None] - number
            self.stacks[rows[:, None], (own[:, _OPEN] - 1)[:, None] + number] = below
            own[:, _LIMIT] -= arity
        own[:, _OPEN] += arity - 1
        self.alive = own[:, _OPEN] > 0
        if not self.alive.all():
            self.rows, self.own = rows[self.alive], own[self.alive]
        self._look()

    def chosen(self) -> list[list[int]]:
        """Return the symbols of each action."""
        rows, symbols = (np.concatenate(each) for each in zip(*self._put, strict=True))
        flat = symbols[np.argsort(rows, kind="stable")].tolist()
        ends = np.cumsum(np.bincount(rows)).tolist()
        return [flat[a:b] for a, b in zip([0, *ends], ends, strict=False)]

    def next_prospects(self) -> Array:
        """Return the prospects with what each symbol makes of what was chosen; shape (rows, symbols)."""
        return self.prospects[self.rows[:, None], self.state.language.plants.table[self.own[:, _BEGUN]]]

    def mask(self) -> Flags:
        """Return which symbols are admitted; shape (rows, symbols)."""
        language, own = self.state.language, self.own
        mask: Flags = language.arities <= own[:, _LIMIT, None]
        mask &= language.is_leaf | language.is_operator
        kind, level, keeps = own[:, _KIND], self.place // MOST_OPERANDS % PLANTED_LEVELS, own[:, _MUST] + own[:, _MAY]
        growing = (kind == _ADD) | (kind == _INSERT)
        over, under = growing & (level == 0), growing & (level > 0)
        mask[over] &= language.is_operator
        mask[under] &= language.is_leaf
        mask[under & (keeps > 0), language.kept] = True
        mask[under & (own[:, _MUST] > 0) & (own[:, _OPEN] == 1)] = language.numbers == language.kept
        changing, naming = kind == _OPERATOR, kind == _FEATURE
        mask[changing] = language.is_operator & (language.arities == self.arity[self.rows[changing], None])
        mask[naming] = language.is_variable & ~self.same[self.rows[naming]]
        some = mask.any(axis=1)
        if not some.all():
            mask[~some] = language.is_leaf
        return mask

    def _look(self) -> None:
        own = self.own
        self.place = self.stacks[self.rows, own[:, _OPEN] - 1]
        self.room = np.minimum(own[:, _LIMIT], ROOMS - 1)
        self.plain = bool((own[:, _KIND] == _RANDOMIZE).all())
        self.begun = bool((own[:, _BEGUN] >= 0).any())


class _Scoring:
    """Scores of symbols as they are planted, from the facts."""

    def __init__(self, planting: _Planting, head: SymbolHead) -> None:
        self.planting, self.head, self.rows = planting, head, planting.rows
        self.asked, self.fixed = head.begin(planting.context, planting.same)

    def scores(self) -> Floats:
        """Score the next symbols."""
        at, head = self.planting, self.head
        if at.rows is not self.rows:
            self.rows, self.asked, self.fixed = at.rows, self.asked[at.alive], self.fixed[at.alive]
        prospects = at.next_prospects() if at.begun and head.foresees else None
        scores = head.scores(self.asked, self.fixed, at.place, at.room, at.own[:, : len(COUNTED)], prospects)
        if at.plain:
            scores += head.small[at.room]
        else:
            scores[~at.mask()] = IMPOSSIBLE
        return scores
