"""Answers of joining: what each leaves unexplained, its price, and which were handed over.

Owns: `Answers`.  Does not own: how answers are found (`search`), the fit of constants (`forms`, `curves`).
"""

from collections.abc import Callable

import numpy as np

from pysr_neural.expression.evaluate import IEEE, evaluate_columns
from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.proposer.joins.sums import EXACT

ALIKE = 4
"""Digits in which the values of two answers are compared."""
KEPT = 40
"""Most expressions handed over at once."""
BAR, HOPELESS = 20, 3.0
"""What costs so many times more than that many others is not written down."""
NOISE = 2.0
"""Standard errors within which a constant that is added says nothing: an answer is rated without it as well."""


def without_shift(tree: Node, most: float) -> Node | None:
    """Return a sum without the constant that it ends in, if that is at most so large; else None."""
    if tree.operator not in ("+", "-") or len(tree.children) != 2:
        return None
    kept, shift = tree.children
    return kept if shift.value is not None and abs(shift.value) <= most else None


class Answers:
    """Expressions for one search's data, the cheapest of each of their values.

    Parameters
    ----------
    X : array, shape (rows, features)
    y : array, shape (rows,)
    max_size : int
    size_price : float
        See `sums.SIZE_PRICE`.
    allowed : callable of a Node
        Further limits.

    Attributes
    ----------
    least : float
        Unexplained fraction of the best.
    losses : dict of Node to float
        Mean squared error of each expression that was rated.
    """

    def __init__(self, X: Array, y: Array, max_size: int, size_price: float, allowed: Callable[[Node], bool]) -> None:
        self.y, self.max_size, self.size_price, self.allowed = y, max_size, size_price, allowed
        self._columns = np.ascontiguousarray(X.T)
        self.variance = float(np.var(y))
        self.prices: dict[Node, float] = {}
        self.losses: dict[Node, float] = {}
        self.least = np.inf
        self._by_values: dict[bytes, Node] = {}
        self._handed: set[Node] = set()
        self._lowest: list[float] = []
        self._bar = np.inf

    def __len__(self) -> int:
        return len(self._by_values)

    @property
    def solved(self) -> bool:
        """Whether an answer leaves nothing but rounding unexplained."""
        return self.least < EXACT

    def best(self) -> list[Node]:
        """Return the cheapest expression of each of the values, the best first."""
        return sorted(self._by_values.values(), key=self.prices.__getitem__)

    def fresh(self) -> list[Node]:
        """Return at most `KEPT` that were not returned before, the best first."""
        fresh = [tree for tree in self.best() if tree not in self._handed][:KEPT]
        self._handed.update(fresh)
        return fresh

    def price(self, unexplained: float, size: int) -> float:
        """Return what an expression costs that leaves so much and has so many nodes."""
        return max(unexplained, EXACT) * float(np.exp(self.size_price * size))

    def promises(self, unexplained: float, size: int) -> bool:
        """Tell whether an expression is worth being written down: there is not much better already."""
        return size <= self.max_size and self.price(unexplained, size) <= HOPELESS * self._bar

    def rate(self, tree: Node) -> None:
        """Take an expression in, if it is within the limits and finite; to be called inside ``np.errstate``."""
        if tree in self.prices or tree.size > self.max_size or not self.allowed(tree):
            return
        values = evaluate_columns(tree, self._columns, IEEE)
        errors = values - self.y
        loss = float(errors @ errors) / len(errors)
        unexplained = loss / self.variance
        if not np.isfinite(unexplained):
            return
        self.losses[tree], self.prices[tree] = loss, self.price(unexplained, tree.size)
        price = self.prices[tree]
        self.least = min(self.least, unexplained)
        if unexplained >= EXACT:
            without = without_shift(tree, NOISE * np.sqrt(unexplained * self.variance / len(errors)))
            if without is not None:
                self.rate(without)
        alike = (np.round(values / np.abs(self.y).max(), ALIKE) + 0.0).tobytes()
        known = self._by_values.get(alike)
        if known is None or price < self.prices[known]:
            self._by_values[alike] = tree
        if price < self._bar:
            self._lowest.append(price)
            self._lowest.sort()
            del self._lowest[BAR:]
            self._bar = self._lowest[-1] if len(self._lowest) == BAR else np.inf
