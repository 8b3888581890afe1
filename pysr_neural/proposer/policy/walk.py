"""The decisions of an action in the algorithm's order, for all actions of a generation at once.

Owns: the order, what each decision is told, what is possible.  Does not own: features of states (`population`), how a
decision falls (`choosers`), carrying it out (`pysr_neural.expression.edits`).

Mutate or cross over → parent → for a crossover the second parent, otherwise the kind → node → for a crossover the node
of the second parent, otherwise the operand or direction → what is planted, symbol by symbol.  Sizes and the language
are masked, so that no action breaks them; depths and limits on nesting and arguments are the engine's check.
"""

from collections.abc import Sequence

import numpy as np

from pysr_neural.expression.edits import MOST_OPERANDS, PAIRS, Edit
from pysr_neural.operators import Array
from pysr_neural.proposer.base import Action
from pysr_neural.proposer.policy import shapes as s
from pysr_neural.proposer.policy.choosers import Chooser, Question
from pysr_neural.proposer.policy.language import Flags, Ints
from pysr_neural.proposer.policy.network import CHOSEN_KINDS, PLACES
from pysr_neural.proposer.policy.planting import planted_tokens
from pysr_neural.proposer.policy.population import ROOMS, PopulationState
from pysr_neural.state import KINDS

CROSSOVER = KINDS.index("crossover")
(
    _CONSTANT, _OPERATOR, _FEATURE, _SWAP, _ROTATE, _ADD,
    _INSERT, _DELETE, _SIMPLIFY, _RANDOMIZE, _DO_NOTHING, _OPTIMIZE,
) = range(len(CHOSEN_KINDS))  # fmt: skip
_PLACED = np.isin(np.arange(len(KINDS)), (_CONSTANT, _SWAP, _ROTATE, _DELETE))
_PLANTED = np.isin(np.arange(len(KINDS)), (_OPERATOR, _FEATURE, _ADD, _INSERT, _RANDOMIZE))
_NO_NODE, _ANY, _CONSTANTS, _VARIABLES, _BRANCHES, _FORKS, _PIVOTS, _ENDS = range(8)
"""Sorts of nodes that kinds change: all; leaves of either sort; operators, those of two operands or more, those above
an operator; leaves and the root."""
_SORTS = np.full(len(KINDS), _NO_NODE)
_SORTS[[_INSERT, _RANDOMIZE, CROSSOVER]] = _ANY
_SORTS[_CONSTANT], _SORTS[_FEATURE], _SORTS[_SWAP] = _CONSTANTS, _VARIABLES, _FORKS
_SORTS[_ROTATE], _SORTS[_ADD] = _PIVOTS, _ENDS
_SORTS[[_OPERATOR, _DELETE]] = _BRANCHES
_CROSS_OPTIONS = np.eye(2, dtype=np.float32)[None]
_KIND_OPTIONS = np.eye(len(CHOSEN_KINDS), dtype=np.float32)[None]
_PLACE_OPTIONS = np.eye(PLACES, dtype=np.float32)[None]
_KIND_NAMES = np.eye(len(KINDS), dtype=np.float32)
_ROOM_NAMES = np.eye(ROOMS, dtype=np.float32)
_MANY_CONSTANTS = 8
"""From so many constants on, the algorithm gives the kind ``constant`` its full weight."""
LEAST_SHARE = 1e-9


class Walk:
    """Some actions on the way.

    Parameters
    ----------
    state : PopulationState
    count : int
        Of actions.
    kinds : sequence of str
        Mutations that may be chosen.
    """

    def __init__(self, state: PopulationState, count: int, kinds: Sequence[str] = CHOSEN_KINDS) -> None:
        self.state, self.count = state, count
        self._allowed = np.array([kind in kinds for kind in CHOSEN_KINDS])

    def run(self, chooser: Chooser) -> list[tuple[str, tuple[int, ...], Edit]]:
        """Decide everything; returns kind, parents and edit of each action."""
        state, every = self.state, np.arange(self.count)
        context = state.global_features
        crossed = chooser.choose("cross", every, Question(_CROSS_OPTIONS, context, of=np.zeros_like(every)))
        both = np.hstack([np.repeat(context, 2, axis=0), _CROSS_OPTIONS[0]])
        first = chooser.choose("parent", every, Question(state.member_features, both, of=crossed))
        second, place = np.full(self.count, -1), np.full(self.count, -1)
        kind = np.full(self.count, CROSSOVER)
        pairing, mutating = np.flatnonzero(crossed), np.flatnonzero(crossed == 0)
        if len(pairing):
            second[pairing] = chooser.choose("second", pairing, self._second(first[pairing]))
        if len(mutating):
            kind[mutating] = chooser.choose("kind", mutating, self._kind(first[mutating]))
        node = self._nodes(chooser, kind, first, second)
        if len(pairing):
            place[pairing] = chooser.choose("other", pairing, self._other(first, second, node, pairing))
        placed = np.flatnonzero(_PLACED[kind] & (node >= 0))
        if len(placed):
            place[placed] = chooser.choose("place", placed, self._place(kind[placed], first[placed], node[placed]))
        planting = np.flatnonzero(_PLANTED[kind] & (node >= 0))
        tokens = planted_tokens(chooser, state, planting, kind[planting], first[planting], node[planting])
        return self._made(kind, first, second, node, place, dict(zip(planting.tolist(), tokens, strict=True)))

    def _made(
        self, kind: Ints, first: Ints, second: Ints, node: Ints, place: Ints, tokens: dict[int, list[int]]
    ) -> list[tuple[str, tuple[int, ...], Edit]]:
        language = self.state.language
        made: list[tuple[str, tuple[int, ...], Edit]] = []
        each = zip(kind.tolist(), first.tolist(), second.tolist(), node.tolist(), place.tolist(), strict=True)
        for i, (k, one, two, at, where) in enumerate(each):
            own = tokens.get(i)
            planted = None
            if own is not None:
                own = own + [language.kept] * language.arities[own[0]] if k == _OPERATOR else own
                planted = language.tree(own)
            made.append((KINDS[k], (one,) if two < 0 else (one, two), Edit(at, where, planted)))
        return made

    def _second(self, first: Ints) -> Question:
        state = self.state
        members, of = np.unique(first, return_inverse=True)
        shares = state.fit_shares[members]
        same = members[:, None] == np.arange(len(state))
        pairs = np.empty((*same.shape, 3), dtype=np.float32)
        pairs[..., 0], pairs[..., 1] = same, np.log(np.maximum(shares, LEAST_SHARE))
        pairs[..., 2] = state.pair_prospects(members)
        context = np.hstack([np.repeat(state.global_features, len(members), axis=0), state.member_features[0][members]])
        return Question(state.member_features, context, _or_all(shares > 0), of=of, pairs=pairs)

    def _kind(self, first: Ints) -> Question:
        state = self.state
        members, of = np.unique(first, return_inverse=True)
        mask = kinds_possible(state, members, self._allowed)
        context = np.hstack([np.repeat(state.global_features, len(members), axis=0), state.member_features[0][members]])
        pairs = np.zeros((len(members), len(CHOSEN_KINDS), 1), dtype=np.float32)
        constants = np.clip(state.counts[members, 0], 1, _MANY_CONSTANTS)
        pairs[:, _CONSTANT, 0] = np.log(constants / _MANY_CONSTANTS)
        return Question(_KIND_OPTIONS, context, mask, of=of, pairs=pairs)

    def _nodes(self, chooser: Chooser, kind: Ints, first: Ints, second: Ints) -> Ints:
        """Choose nodes; -1 where the kind concerns none, or has none to change."""
        state, node = self.state, np.full(self.count, -1)
        mask = nodes_possible(state, kind, first)
        pairs = np.zeros((*mask.shape, 2), dtype=np.float32)
        pairing = np.flatnonzero(kind == CROSSOVER)
        if len(pairing):
            mates = state.outlook.tree_of[second[pairing]]
            pairs[pairing, :, 1] = state.outlook.mated(state.places[first[pairing]], mates)
            counts = state.fitting[second[pairing][:, None], state.budgets[first[pairing]]]
            fits = mask[pairing] & (counts > 0)
            mask[pairing] = np.where(fits.any(axis=1, keepdims=True), fits, mask[pairing])
            pairs[pairing, :, 0] = np.log(np.maximum(counts, LEAST_SHARE))
        rows = np.flatnonzero(mask.any(axis=1))
        if not len(rows):
            return node
        context = np.hstack(
            [
                np.repeat(state.global_features, len(rows), axis=0),
                _KIND_NAMES[kind[rows]],
                state.member_features[0][first[rows]],
            ]
        )
        question = Question(state.node_features, context, mask[rows], at=first[rows], pairs=pairs[rows])
        node[rows] = chooser.choose("node", rows, question)
        return node

    def _other(self, first: Ints, second: Ints, node: Ints, pairing: Ints) -> Question:
        state = self.state
        one, two, at = first[pairing], second[pairing], node[pairing]
        budget = state.budgets[one, at]
        present = state.present[two]
        fits = present & (state.rows[two, :, s.SIZE] <= budget[:, None])
        mask = np.where(fits.any(axis=1, keepdims=True), fits, present)
        context = np.hstack(
            [
                np.repeat(state.global_features, len(pairing), axis=0),
                state.node_features[one, at],
                _ROOM_NAMES[np.minimum(budget, ROOMS - 1)],
            ]
        )
        prospects = state.outlook.parted(state.places[one, at][:, None], state.places[two])
        pairs = prospects[..., None].astype(np.float32)
        return Question(state.node_features, context, mask, at=two, pairs=pairs)

    def _place(self, kind: Ints, first: Ints, node: Ints) -> Question:
        state = self.state
        context = np.hstack([_KIND_NAMES[kind], state.node_features[first, node]])
        return Question(_PLACE_OPTIONS, context, places_possible(kind, state.rows[first, node]))


def kinds_possible(state: PopulationState, members: Ints, allowed: Flags) -> Flags:
    """Return which mutations can apply to members, as the engines see it; shape (members, kinds), one at least."""
    rows, room = state.rows[members], state.room[members]
    constants, variables, _ = state.counts[members].T
    mask = np.repeat(allowed[None], len(members), axis=0)
    mask[:, _CONSTANT] &= constants > 0
    mask[:, _OPTIMIZE] &= constants > 0
    mask[:, _FEATURE] &= (variables > 0) & (state.language.features > 1)
    branching = rows[:, 0, s.ARITY] > 0
    mask[:, [_OPERATOR, _DELETE, _SIMPLIFY]] &= branching[:, None]
    mask[:, _SWAP] &= (rows[..., s.ARITY] > 1).any(axis=1)  # Beyond a tree there are zeros.
    mask[:, [_ADD, _INSERT]] &= (room >= state.language.least_arity)[:, None]
    mask[:, _RANDOMIZE] &= room >= 0
    mask[~mask.any(axis=1), _DO_NOTHING] = True
    return mask


def nodes_possible(state: PopulationState, kind: Ints, first: Ints) -> Flags:
    """Return which nodes of the parents a kind can change; shape (actions, longest)."""
    rows, present = state.rows[first], state.present[first]
    tokens, arities = rows[..., s.TOKEN], rows[..., s.ARITY]
    mask = np.zeros_like(present)
    sort = _SORTS[kind]
    for each in set(sort.tolist()):
        own = sort == each
        if each == _ANY:
            mask[own] = True
        elif each == _CONSTANTS:
            mask[own] = tokens[own] == 0
        elif each == _VARIABLES:
            mask[own] = (tokens[own] > 0) & (tokens[own] < state.language.first_operator)
        elif each == _BRANCHES:
            mask[own] = arities[own] > 0
        elif each == _FORKS:
            mask[own] = arities[own] > 1
        elif each == _PIVOTS:
            mask[own] = (rows[own, :, s.FIRST_ARITY :] > 0).any(axis=-1)
        elif each == _ENDS:
            mask[own] = arities[own] == 0
            mask[own, 0] = True
    mask &= present
    return mask


def places_possible(kind: Ints, rows: Ints) -> Flags:
    """Return which places kinds have at nodes; shape (actions, PLACES)."""
    arity, numbers = rows[:, s.ARITY, None], np.arange(PLACES)
    seconds = np.array([pair[1] for pair in PAIRS] + [MOST_OPERANDS] * (PLACES - len(PAIRS)))
    which, below = numbers // MOST_OPERANDS, numbers % MOST_OPERANDS
    by_kind = {
        _CONSTANT: np.broadcast_to(numbers < 4, (len(rows), PLACES)),
        _SWAP: seconds < arity,
        _DELETE: numbers < arity,
        _ROTATE: below < rows[:, s.FIRST_ARITY :][:, which],
    }
    mask = np.zeros((len(rows), PLACES), dtype=bool)
    for each, possible in by_kind.items():
        mask[kind == each] = possible[kind == each]
    return mask


def _or_all(mask: Flags) -> Flags:
    """Return a mask in which a row without any option has all of them: the engine then refuses the child."""
    return mask | ~mask.any(axis=1, keepdims=True)


def actions_of(
    made: Sequence[tuple[str, tuple[int, ...], Edit]], log_probabilities: Array, entropies: Array
) -> tuple[Action, ...]:
    """Return decisions as actions."""
    each = zip(made, log_probabilities.tolist(), entropies.tolist(), strict=True)
    return tuple([Action(*decided, log_probability, entropy) for decided, log_probability, entropy in each])
