"""The head of symbols for those who only draw: scores of what is planted, from tables in place of features.

Owns: the layout of the head's context, places as numbers, `SymbolHead`.  Does not own: which symbols a place admits
(`planting`), draws (`choosers`).

What a context says is a sum over few facts, most of which have few values: what the hidden layer gets from the symbol
above, level, operand and room is looked up, and what stays the same while something is planted is calculated once.
"""

from itertools import product

import numpy as np

from pysr_neural.expression.edits import MOST_OPERANDS
from pysr_neural.operators import Array
from pysr_neural.proposer.policy import language as l
from pysr_neural.proposer.policy.language import Flags, Floats, Ints, Language
from pysr_neural.proposer.policy.network import IMPOSSIBLE, PLANTED_LEVELS, PolicyNetwork
from pysr_neural.proposer.policy.population import GLOBAL_FEATURES, ROOMS
from pysr_neural.state import KINDS

SIZES = (PLANTED_LEVELS, MOST_OPERANDS, ROOMS)
WHICH = GLOBAL_FEATURES + len(KINDS)
SYMBOL = WHICH + sum(SIZES)
EXTRAS = SYMBOL + l.SYMBOL_FEATURES
"""Where the features of a place begin in a context, and those of the symbol above it, and what is left."""
COUNTED = (0.2, 0.1, 1.0)
"""Features of the places that are open, of the nodes used, and of whether something has still to be kept, for each."""
LEAF = EXTRAS + len(COUNTED)
"""Whether a leaf is replaced."""
_OPERAND_AT, _ROOM_AT = WHICH + PLANTED_LEVELS + ROOMS, WHICH + PLANTED_LEVELS


def place_of(above: Ints, level: Ints | int, operand: Ints | int) -> Ints:
    """Number open places by the symbol above, the level (`PLANTED_LEVELS` - 1 for more) and the operand that it is."""
    return (above * PLANTED_LEVELS + level) * MOST_OPERANDS + operand


def slots() -> Floats:
    """Return the features of level, operand and room; shape (all of them, numbered in this order, features)."""
    made = np.zeros((int(np.prod(SIZES)), sum(SIZES)), dtype=np.float32)
    for row, (level, operand, room) in zip(made, product(*map(range, SIZES)), strict=True):
        row[[level, _ROOM_AT - WHICH + room, _OPERAND_AT - WHICH + operand]] = 1.0
    return made


class SymbolHead:
    """A policy's head of symbols in one search.

    Parameters
    ----------
    network : PolicyNetwork
    language : Language
    """

    def __init__(self, network: PolicyNetwork, language: Language) -> None:
        weights: dict[str, Floats] = {name: network.weights[f"token.{name}"] for name in "KQbawp"}
        asks = weights["Q"]
        self.hidden, self.direct = network.projected("token", language.options)
        above = language.symbols @ asks[SYMBOL:EXTRAS]
        self.places: Floats = (above[:, None] + slots() @ asks[WHICH:SYMBOL]).reshape(-1, asks.shape[1])
        self.counts: Floats = asks[EXTRAS:LEAF] * np.array(COUNTED, dtype=np.float32)[:, None]
        self.foresees = network.config.foresight
        self.out: Floats = weights["w"]
        self.pairs: Floats = weights["p"]
        self.small: Floats = np.zeros((ROOMS, language.kept + 1), dtype=np.float32)  # Added where all is admitted.
        self.small[language.arities > np.arange(ROOMS)[:, None]] = IMPOSSIBLE
        self.small[:, ~(language.is_leaf | language.is_operator)] = IMPOSSIBLE
        self._asks, self._bias = asks, weights["b"]

    def begin(self, context: Floats, same: Flags) -> tuple[Floats, Floats]:
        """Return what the hidden layer gets all the time, and the scores that symbols have all the time.

        Parameters
        ----------
        context : array, shape (actions, context's features)
            With 0 for everything that changes.
        same : bool array, shape (actions, symbols)
            Which symbol is replaced.
        """
        return context @ self._asks + self._bias, self.direct + same * self.pairs[0]

    def scores(
        self, asked: Floats, fixed: Floats, places: Ints, room: Ints, counted: Ints, prospects: Array | None
    ) -> Floats:
        """Score all symbols.

        Parameters
        ----------
        asked, fixed : arrays
            From `begin`.
        places, room : int arrays, shape (actions,)
            Room is bounded by `ROOMS` - 1.
        counted : int array, shape (actions, 3)
            See `COUNTED`.
        prospects : array, shape (actions, symbols), optional
            Foresight; may be left out where it is the same for all symbols.
        """
        asked = asked + self.places[places * ROOMS + room]
        asked += counted.astype(np.float32) @ self.counts
        layer: Floats = self.hidden + asked[:, None]
        np.maximum(layer, 0.0, out=layer)
        told: Floats = layer.reshape(-1, layer.shape[-1]) @ self.out
        scores: Floats = fixed + told.reshape(fixed.shape)
        if prospects is not None:
            np.add(scores, prospects * self.pairs[1], out=scores, casting="same_kind")
        return scores
