"""Polynomials: all monomials are fitted at once, and those that are not needed left out.

Owns: which monomials, the elimination, Horner's form.  Does not own: other sums (`sums`), targets (`splits`).

A search for the best few terms misses sums of many that are alike, such as all powers of one variable; where a
polynomial explains a target but for rounding, fitting all terms and dropping the negligible ones does not.
"""

import itertools
from collections import Counter

import numpy as np

from pysr_neural.expression.node import Node, apply, variable
from pysr_neural.operators import Array
from pysr_neural.proposer.joins.splits import Target
from pysr_neural.proposer.joins.writing import NEGLIGIBLE, scaled, sum_of

MOST_COLUMNS = 56
ROWS_PER_COLUMN = 3
LARGEST_DEGREE = 10
NEARLY = 1e-11
"""Unexplained fraction above which a polynomial is none."""
FEW = 10
"""More rows than terms that targets are tried on first."""
SLACK = 30.0
"""By how much a term's absence may raise the unexplained fraction."""
FLOOR = 1e-20

Monomial = tuple[int, ...]
"""Variables, ascending, each as often as its power."""


def monomials(variables: list[int], rows: int) -> list[Monomial]:
    """Return all monomials of as high a degree as the rows allow, without 1; of fewer variables if these are many."""
    most = min(MOST_COLUMNS, rows // ROWS_PER_COLUMN)
    for count in range(len(variables), 0, -1):
        chosen = sorted(variables[:count])
        found: list[Monomial] = []
        for degree in range(1, LARGEST_DEGREE + 1):
            more = list(itertools.combinations_with_replacement(chosen, degree))
            if len(found) + len(more) > most:
                break
            found += more
        if len(found) > count:
            return found
    return [(variables[0],)] if most else []


def values_of(terms: list[Monomial], columns: Array) -> Array:
    """Return the values of monomials, shape (terms, rows)."""
    known: dict[Monomial, Array] = {(): np.ones(columns.shape[1])}
    for term in terms:
        known[term] = (
            known[term[:-1]] * columns[term[-1]] if term[:-1] in known else np.prod(columns[list(term)], axis=0)
        )
    return np.array([known[term] for term in terms])


def polynomial(target: Target, terms: list[Monomial], values: Array, minus: bool) -> Node | None:
    """Return the answer whose part is the shortest polynomial that explains a target but for rounding, if there is one.

    Parameters
    ----------
    target : Target
    terms : list of Monomial
    values : array, shape (terms, rows)
    minus : bool
        Whether the search has subtraction.
    """
    weights = target.weight_of_rows
    y = target.values * weights
    total = float(np.square(y - y.mean()).sum())
    if not total > 0:
        return None
    # A polynomial leaves no more on some of the rows than on all, which most targets fail at once.
    for rows in (slice(None, None, max(len(y) // (len(values) + FEW), 1)), slice(None)):
        columns = np.vstack([values[:, rows], np.ones_like(weights[rows])]) * weights[rows]
        scale = np.abs(columns).max(axis=1)
        if not np.isfinite(scale).all():
            return None
        design = (columns / np.where(scale > 0, scale, 1)[:, None]).T
        if not _left(design, y[rows], total) < NEARLY:
            return None
    kept = np.arange(design.shape[1])
    factors, left = _fit(design, y, total)
    if not left < NEARLY:
        return None
    bar = SLACK * max(left, FLOOR)
    while len(kept) > 1:
        reach = np.abs(factors) * np.abs(design[:, kept]).max(axis=0)
        fewer = np.flatnonzero(reach > NEGLIGIBLE * reach.max())
        if len(fewer) == len(kept):
            fewer = np.delete(np.arange(len(kept)), int(np.argmin(reach)))
        again, worse = _fit(design[:, kept[fewer]], y, total)
        if not worse < bar:
            break
        kept, factors = kept[fewer], again
    factors = factors / scale[kept]
    pairs = [(float(f), terms[k]) for f, k in zip(factors, kept.tolist(), strict=True) if k < len(terms)]
    shift = sum(float(f) for f, k in zip(factors, kept.tolist(), strict=True) if k == len(terms))
    if not pairs or not np.isfinite(factors).all():
        return None
    return target.wrap(horner([*pairs, *([(shift, ())] if shift else [])], minus))


def _left(design: Array, y: Array, total: float) -> float:
    """Return what a polynomial leaves, but for rounding, in a tenth of the time of a fit."""
    q, _ = np.linalg.qr(design)
    errors = y - q @ (q.T @ y)
    return float(errors @ errors) / total


def _fit(design: Array, y: Array, total: float) -> tuple[Array, float]:
    factors = np.asarray(np.linalg.lstsq(design, y, rcond=1e-15)[0], dtype=np.float64)
    errors = design @ factors - y
    return factors, float(errors @ errors) / total


def horner(terms: list[tuple[float, Monomial]], minus: bool) -> Node:
    """Write a polynomial down with few nodes: what most terms share is a factor of them."""
    counts = Counter(index for _, term in terms for index in set(term))
    shared = max(counts, key=lambda index: (counts[index], -index), default=None)
    if shared is None or counts[shared] < 2:
        shift = sum(factor for factor, term in terms if not term)
        pairs = [(factor, _product(term)) for factor, term in terms if term]
        return sum_of(pairs, shift, abs(shift), minus)
    inner, outer = [], []
    for factor, term in terms:
        if shared in term:
            rest = list(term)
            rest.remove(shared)
            inner.append((factor, tuple(rest)))
        else:
            outer.append((factor, term))
    common = _common([factor for factor, _ in inner], minus and bool(outer))
    bracket = horner([(factor / common, term) for factor, term in inner], minus)
    product = apply("*", variable(shared), bracket)
    if not outer:
        return scaled(common, product)
    if minus and common < 0:
        return apply("-", horner(outer, minus), scaled(-common, product))
    if minus and len(outer) == 1 and outer[0][0] < 0:
        return apply("-", scaled(common, product), horner([(-outer[0][0], outer[0][1])], minus))
    return apply("+", scaled(common, product), horner(outer, minus))


def _common(factors: list[float], subtracted: bool) -> float:
    """Return what is worth taking out of a bracket: a size that all have in common, and a sign that can be a minus.

    Parameters
    ----------
    factors : list of float
    subtracted : bool
        Whether the bracket can be subtracted from something, so that a sign takes no node.
    """
    negative = sum(factor < 0 for factor in factors) > len(factors) / 2
    size = abs(factors[0])
    if any(abs(factor) != size for factor in factors):
        return -1.0 if subtracted and all(factor < 0 for factor in factors) else 1.0
    return -size if negative and (subtracted or size != 1) else size


def _product(term: Monomial) -> Node:
    tree = variable(term[0])
    for index in term[1:]:
        tree = apply("*", tree, variable(index))
    return tree
