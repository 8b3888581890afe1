"""Quotients of two polynomials in variables and functions of them: ``y Q = P`` is linear in the coefficients of both.

Owns: which functions, the relation, what can be left out of it.  Does not own: polynomials without a divisor and
Horner's form (`polynomials`).

All monomials, and all of them times y, are columns; where they depend on each other linearly but for rounding, there is
such a quotient.  Columns are left out one after the other, the longest first, as long as the rest depend on each other.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from pysr_neural.expression.node import Node, apply, variable
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.parts import values_of
from pysr_neural.proposer.joins.polynomials import Monomial, horner
from pysr_neural.proposer.joins.polynomials import values_of as values_of_monomials
from pysr_neural.proposer.joins.splits import Target, replaced

ROWS_PER_COLUMN = 2.5
LARGEST_DEGREE = 3
MOST_BASES = 7
LARGEST_BASE = 4
"""Nodes of a function."""
DEPENDENT = 1e-12
"""Largest share of a sum of columns of norm 1 that is rounding."""
INDEPENDENT = 1e-6
"""Share of a monomial that simpler ones must leave unexplained."""


class Quotients:
    """Monomials in some functions of variables.

    Parameters
    ----------
    bases : sequence of Node
        Variables, and functions of them.
    columns : array, shape (features, rows)
    """

    def __init__(self, bases: Sequence[Node], columns: Array) -> None:
        self.bases = list(bases)
        values = values_of(self.bases, columns)
        most = int(columns.shape[1] / ROWS_PER_COLUMN / 2)
        self.terms: list[Monomial] = [()]
        for degree in range(1, LARGEST_DEGREE + 1):
            longer = list(itertools.combinations_with_replacement(range(len(bases)), degree))
            if len(self.terms) + len(longer) > most:
                break
            self.terms += longer
        ones = np.ones((1, columns.shape[1]))
        more = values_of_monomials(self.terms[1:], values) if len(self.terms) > 1 else ones[:0]
        self.values = np.concatenate([ones, more])
        self.usable = bool(np.isfinite(self.values).all()) and len(self.terms) > 1
        if self.usable:
            triangle = np.linalg.qr(_units(self.values).T, mode="r")
            kept = np.flatnonzero(np.abs(np.diagonal(triangle)) > INDEPENDENT)
            self.terms, self.values = [self.terms[k] for k in kept], self.values[kept]
        self._units = _units(self.values)
        sizes = [sum(self.bases[i].size + 1 for i in term) for term in self.terms]
        self.order = np.argsort([-size for size in sizes * 2], kind="stable").tolist()

    def found(self, target: Target, minus: bool) -> Node | None:
        """Return the answer whose part is a quotient, if a target is one but for rounding."""
        if not self.usable:
            return None
        count = len(self.terms)
        matrix = np.vstack([self._units, _units(self.values * target.values)])
        if _least(matrix) > DEPENDENT:
            return None
        kept = list(range(len(matrix)))
        for k in self.order:
            fewer = [other for other in kept if other != k]
            if fewer[-1] >= count > fewer[0] and _least(matrix[fewer]) < DEPENDENT:
                kept = fewer
        over = [k for k in kept if k < count]
        under = [k - count for k in kept if k >= count]
        return self._written(target, over, under, minus) if over and under else None

    def _written(self, target: Target, over: list[int], under: list[int], minus: bool) -> Node | None:
        columns = np.vstack([self.values[over], -self.values[under] * target.values])
        scale = np.abs(columns).max(axis=1)
        _, _, rows = np.linalg.svd((columns / scale[:, None]).T, full_matrices=False)
        factors = rows[-1] / scale
        factors = factors / factors[-1]
        if not np.isfinite(factors).all():
            return None
        upper = horner([(float(f), self.terms[k]) for f, k in zip(factors, over, strict=False)], minus)
        lower = horner([(float(f), self.terms[k]) for f, k in zip(factors[len(over) :], under, strict=True)], minus)
        tree = apply("/", upper, lower) if lower.variables() else upper
        return target.wrap(replaced(tree, self.bases))


def bases_of(order: Sequence[int], operators: OperatorSet, near: Sequence[Node]) -> Iterator[list[Node]]:
    """Yield sets of functions of variables.

    Parameters
    ----------
    order : sequence of int
        Variables, the most important first.
    operators : OperatorSet
    near : sequence of Node
        Good answers: the functions in them come together first.
    """
    variables = [variable(i) for i in order]
    seen: set[frozenset[Node]] = set()
    names = operators.of_arity(1)
    functions = [node for tree in near for node in tree if len(node.children) == 1]
    told = dict.fromkeys(node for node in functions if node.size <= LARGEST_BASE and not node.constants())
    sets = [[*variables, *told], [*variables]]
    if len(variables) == 1:
        sets.append([*variables, *(apply(name, variables[0]) for name in names)])
    sets += [[*variables, *(apply(name, each) for each in variables)] for name in names]
    for bases in sets:
        some = bases[:MOST_BASES]
        if frozenset(some) not in seen:
            seen.add(frozenset(some))
            yield some


def _units(columns: Array) -> Array:
    norms = np.sqrt(np.einsum("ij,ij->i", columns, columns))
    return columns / norms[:, None]


def _least(columns: Array) -> float:
    """Return the least singular value of columns of norm 1; infinite if one is not finite."""
    if not np.isfinite(columns).all():
        return np.inf
    triangle = np.linalg.qr(columns.T, mode="r")
    return float(np.linalg.svd(triangle, compute_uv=False)[-1])
