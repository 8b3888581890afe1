"""Forms that are found only where they are exact: what most targets are tried on first, as it costs little.

Owns: `Exact`, the columns that all targets of a search share.  Does not own: the forms (`polynomials`, `groups`).
"""

from collections.abc import Iterator

import numpy as np

from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.groups import logarithms, monomial
from pysr_neural.proposer.joins.polynomials import FEW, NEARLY, monomials, polynomial, values_of
from pysr_neural.proposer.joins.splits import Target


class Exact:
    """Polynomials, and single products of powers, in a search's variables.

    Parameters
    ----------
    X : array, shape (rows, features)
    order : list of int
        The variables, the most important first.
    operators : OperatorSet

    Attributes
    ----------
    terms : list of Monomial
    values : array, shape (terms, rows)
    """

    def __init__(self, X: Array, order: list[int], operators: OperatorSet) -> None:
        self._X, self._operators, self._minus = X, operators, ("-", 2) in operators.index
        self.terms = monomials(order, len(X))
        self.values = values_of(self.terms, X.T)
        self._logs = logarithms(X)
        self._some = slice(None, None, max(len(X) // (len(self.values) + FEW), 1))
        columns = np.vstack([self.values, np.ones(len(X))])[:, self._some]
        scale = np.abs(columns).max(axis=1)
        self._basis: Array = np.linalg.qr((columns / np.where(scale > 0, scale, 1)[:, None]).T)[0]

    def found(self, target: Target) -> Iterator[Node]:
        """Yield the answers whose part is a polynomial or a product of powers, if a target is one but for rounding."""
        tree = polynomial(target, self.terms, self.values, self._minus) if self._promises(target) else None
        if tree is not None:
            yield tree
        if self._logs is not None:
            tree = monomial(target, self._logs, self._X, self._operators)
            if tree is not None:
                yield tree

    def _promises(self, target: Target) -> bool:
        """Tell whether a target is a polynomial on some of the rows, whatever its weights; nearly all fail at once."""
        if target.weights is not None and not target.weights.all():
            return True  # Where the weight is 0 values say nothing.
        y = target.values[self._some]
        rest = y - self._basis @ (y @ self._basis)
        return not rest @ rest > NEARLY * (y @ y)
