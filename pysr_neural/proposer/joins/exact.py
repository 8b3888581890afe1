"""Forms that are found only where they are exact: what most targets are tried on first, as it costs little.

Owns: `Exact`, the columns that all targets of a search share.  Does not own: the forms (`polynomials`, `groups`).
"""

from collections.abc import Iterator

from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.groups import logarithms, monomial
from pysr_neural.proposer.joins.polynomials import monomials, polynomial, values_of
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

    def found(self, target: Target) -> Iterator[Node]:
        """Yield the answers whose part is a polynomial or a product of powers, if a target is one but for rounding."""
        tree = polynomial(target, self.terms, self.values, self._minus)
        if tree is not None:
            yield tree
        if self._logs is not None:
            tree = monomial(target, self._logs, self._X, self._operators)
            if tree is not None:
                yield tree
