"""Products of powers of variables, which are parts of many laws.

Owns: which products; the one that a target is, if it is one.  Does not own: other parts (`parts`), products of powers
of parts (`forms`).
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from pysr_neural.expression.node import Node, apply, variable
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.splits import Target
from pysr_neural.proposer.joins.writing import NEGLIGIBLE, power_law, scaled

LARGEST_POWER, LARGEST_DEGREE = 3, 5
MOST_DISTANCES = 40
LARGEST_HALF = 12
"""Twice the largest power of a variable in a target."""


def products(order: Sequence[int], operators: OperatorSet, most: int) -> list[Node]:
    """Return the first so many products of at least two powers of variables, from low degree to high."""
    found: list[Node] = []
    for degree in range(2, LARGEST_DEGREE + 1):
        for exponents in _exponents(len(order), degree):
            if len(found) == most:
                return found
            factors = [(variable(i), 2 * power) for i, power in zip(order, exponents, strict=True) if power]
            tree = power_law(factors, operators)
            if tree is not None:
                found.append(tree)
    return found


def distances(order: Sequence[int], operators: OperatorSet) -> list[Node]:
    """Return sums and differences of two variables' squares, and their roots, those of the first variables first."""
    names = [name for name in "+-" if (name, 2) in operators.index]
    found: list[Node] = []
    for i, j in sorted(itertools.combinations(range(len(order)), 2), key=max):
        a, b = (apply("*", variable(order[k]), variable(order[k])) for k in (i, j))
        sums = [apply(name, *pair) for name in names for pair in ((a, b), (b, a))[: 1 + (name == "-")]]
        found += sums
        if ("sqrt", 1) in operators.index:
            found += [apply("sqrt", tree) for tree in sums]
    return found[:MOST_DISTANCES]


def _exponents(count: int, degree: int) -> Iterator[tuple[int, ...]]:
    """Yield whole exponents of a total size, not all negative: such a product's reciprocal is worth more."""
    for places in itertools.combinations_with_replacement(range(count), degree):
        sizes = [places.count(i) for i in range(count)]
        if max(sizes) > LARGEST_POWER:
            continue
        used = [i for i in range(count) if sizes[i]]
        for signs in itertools.product((1, -1), repeat=len(used)):
            exponents = [0] * count
            for i, sign in zip(used, signs, strict=True):
                exponents[i] = sign * sizes[i]
            yield tuple(exponents)


def logarithms(X: Array) -> Array | None:
    """Return an orthonormal basis of the logarithms of variables and of 1, with what leads back to exponents.

    Returns
    -------
    array, shape (features + 1, rows), or None
        From the logarithms of y's sizes to exponents, the last for 1; None where a variable has no logarithm.
    """
    design = np.vstack([np.log(np.abs(X.T)), np.ones(len(X))])
    if not np.isfinite(design).all():
        return None
    return np.asarray(np.linalg.pinv(design.T, rcond=1e-12), dtype=np.float64)


def monomial(target: Target, inverse: Array, X: Array, operators: OperatorSet) -> Node | None:
    """Return the answer whose part is one product of powers of variables, if a target is one but for rounding."""
    logs = np.log(np.abs(target.values))
    few = slice(0, len(inverse) + 8)
    if not np.isfinite(logs).all():
        return None
    halves = np.rint(2 * (inverse @ logs)[:-1])
    if not halves.any() or np.abs(halves).max() > LARGEST_HALF:
        return None
    with np.errstate(all="ignore"):
        values = np.prod(np.abs(X[few]) ** (halves / 2), axis=1)
        ratio = np.abs(target.values[few]) / values
    if not np.ptp(ratio) <= NEGLIGIBLE * ratio.max():
        return None
    tree = power_law([(variable(i), int(half)) for i, half in enumerate(halves.tolist()) if half], operators)
    if tree is None:
        return None
    with np.errstate(all="ignore"):
        signed = np.prod(X[few] ** np.trunc(halves / 2), axis=1) * target.values[few]
    sign = -1.0 if signed[0] < 0 else 1.0
    return target.wrap(scaled(sign * float(np.median(ratio)), tree))
