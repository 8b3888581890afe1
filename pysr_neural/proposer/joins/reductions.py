"""Smaller problems with the same answer: a product of powers divided out, variables that y does not depend on left out,
or two variables replaced by what y depends on them through.

Owns: the tests of dependence, `Reduction`.  Does not own: how the smaller problems are solved (`search`).

All tests are regressions of y, or of its logarithm, on second-degree polynomials of the variables or of their
logarithms: what such a polynomial misses does not depend on a variable that y does not depend on either.  A wrong
reduction costs time only, since every answer is rated on the data.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node, apply, variable
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.similarity import similarity
from pysr_neural.proposer.joins.splits import replaced
from pysr_neural.proposer.joins.writing import power_law

FAR = 4.0
"""Standard errors by which an estimate may be off."""
ROUNDING = 1e-9
"""Of coefficients."""
SHARP, BLURRED = 0.2, 0.08
"""Largest standard error of an exponent that is believed; above the second, only whole ones are."""
LARGEST_POWER = 12
"""Twice the largest exponent."""
ROWS_PER_COLUMN = 2.5
MOST = 2
"""Substitutions that are followed."""
TESTED = 48
"""Substitutions of one kind of regression that are tested beyond their slopes: all of them, up to seven variables."""
MOST_WORK = TESTED * 1000 * 76**2
"""Rows times squares of terms of all of these tests: those of ten variables on a thousand rows; of more variables fewer
are tested."""
DEPENDENT = 1e-9
"""Share of a term below which what the others leave of it is rounding."""


class Merge(NamedTuple):
    """A kind of regression: what becomes of variables, and what two of them may be merged to.

    Parameters
    ----------
    replaced : callable
    alike, opposite : callable
        Of two variables along which y's slopes are equal, and opposite.
    """

    replaced: Callable[[Array], Array]
    alike: Callable[[Array, Array], Array]
    opposite: Callable[[Array, Array], Array]


MERGES: Mapping[str, Merge] = {
    "plain": Merge(lambda x: x, np.add, np.subtract),
    "logarithms": Merge(lambda x: np.log(np.abs(x)), np.multiply, np.divide),
    "squares": Merge(np.square, lambda a, b: a * a + b * b, lambda a, b: a * a - b * b),
}
Pair = tuple[int, int, int, str]
"""Two variables to be merged, 1 for opposite slopes, the kind of regression."""
POWERS = (1, -1, 2, -2)
"""Of a factor, where y has no logarithm."""


class Reduction(NamedTuple):
    """A smaller problem.

    Parameters
    ----------
    X : array, shape (rows, features)
    y : array, shape (rows,)
    inner : tuple of Node
        What each feature is in the variables of the whole.
    outer : Node or None
        What the answer is multiplied with.
    size : int
        Nodes that the way back adds at least.
    sure : bool
        Whether few that look like it are wrong.
    """

    X: Array
    y: Array
    inner: tuple[Node, ...]
    outer: Node | None
    size: int
    sure: bool = False

    def whole(self, tree: Node) -> Node:
        """Return the answer to the whole problem for one to the smaller."""
        tree = replaced(tree, self.inner)
        if self.outer is None:
            return tree
        if tree.operator == "/" and tree.children[0].value == 1.0:
            return apply("/", self.outer, tree.children[1])
        return apply("*", self.outer, tree)


class Selection(Reduction):
    """A problem with some of the variables only."""

    def part(self, tree: Node) -> Node | None:
        """Return an expression of the whole in the variables that are left; None if it has others."""
        places = {each.index: variable(k) for k, each in enumerate(self.inner)}
        if not tree.variables() <= places.keys():
            return None
        return replaced(tree, [places.get(i, tree) for i in range(1 + max(tree.variables(), default=0))])


def selection(X: Array, y: Array, kept: Sequence[int]) -> Selection:
    """Leave out all variables but some."""
    return Selection(X[:, kept], y, tuple(variable(i) for i in kept), None, 0, sure=True)


def reductions(X: Array, y: Array, operators: OperatorSet) -> Iterator[Reduction]:
    """Yield smaller problems but that of `similar`, the most promising first."""
    found = _factored(X, y, operators)
    if found is not None:
        yield found  # What remains is tested there.
        return
    yield from _divided(X, y, operators)
    if X.shape[1] > 1:
        yield from _merged(X, y, operators)


def similar(X: Array, y: Array, operators: OperatorSet) -> Reduction | None:
    """Leave one variable, the product of powers that y is a function of but for a factor."""
    found = similarity(X, y)
    if found is None:
        return None
    group = power_law([(variable(i), 2 * power) for i, power in enumerate(found.group) if power], operators)
    powers = [(variable(i), half) for i, half in enumerate(found.factor) if half]
    outer = power_law(powers, operators) if powers else None
    if group is None or (powers and outer is None):
        return None
    rest = y if outer is None else y / evaluate(outer, X)
    column = evaluate(group, X)
    if not (np.isfinite(rest).all() and _usable(column[None])):
        return None
    return Reduction(column[:, None], rest, (group,), outer, 0 if outer is None else outer.size + 1, found.sure)


def _standardized(columns: Array) -> tuple[Array, Array]:
    """Return columns of mean 0 and deviation 1, and the deviations that they had."""
    centred = columns - columns.mean(axis=1)[:, None]
    scale = centred.std(axis=1)
    return centred / scale[:, None], scale


def _standard(y: Array) -> Array:
    """Return targets, the last axis, with mean 0 and deviation 1."""
    y = y - y.mean(axis=-1, keepdims=True)
    return np.asarray(y / np.std(y, axis=-1, keepdims=True), dtype=np.float64)


@functools.lru_cache(maxsize=64)
def _terms(count: int, mixed: bool = True) -> tuple[tuple[int, ...], ...]:
    """Return the variables of each term of a second-degree polynomial, mixed terms or none, and of cubes."""
    pairs = itertools.combinations_with_replacement(range(count), 2)
    second = [(i, j) for i, j in pairs if mixed or i == j]
    return (*((i,) for i in range(count)), *second, *((i, i, i) for i in range(count)))


def _enough(count: int, rows: int) -> bool:
    """Tell whether rows suffice for all terms in that many variables."""
    return ROWS_PER_COLUMN * (count + count * (count + 1) // 2 + count + 1) <= rows


def _design(z: Array, mixed: bool = True) -> Array:
    """Return 1 and the values of all `_terms`, shape (1 + terms, rows)."""
    first, second = np.triu_indices(len(z)) if mixed else (np.arange(len(z)),) * 2
    return np.concatenate([np.ones((1, z.shape[1])), z, z[first] * z[second], z * z * z])


def _least_squares(design: Array, y: Array, robust: bool = False) -> tuple[Array, Array]:
    """Return coefficients and their standard errors; robust ones allow for errors that are larger here than there."""
    q, r = np.linalg.qr(design)
    solver = np.linalg.pinv(r) @ q.T
    factors = solver @ y
    rest = y - design @ factors
    freedom = max(len(y) - design.shape[1], 1)
    squares = np.square(solver)
    errors = np.sqrt(squares.sum(axis=1) * (rest @ rest) / freedom)
    if robust:
        errors = np.maximum(errors, np.sqrt(squares @ np.square(rest) * (len(y) / freedom)))
    return factors, errors + ROUNDING


def _usable(columns: Array) -> bool:
    return bool(np.isfinite(columns).all() and (np.ptp(columns, axis=1) > 1e-6 * np.abs(columns).max(axis=1)).all())


def _factored(X: Array, y: Array, operators: OperatorSet) -> Reduction | None:
    """Divide out the variables that are factors only, and leave out those that y does not depend on."""
    logs = np.log(np.abs(X.T))
    target = np.log(np.abs(y))
    if not (_usable(logs) and np.isfinite(target).all() and np.ptp(target) > 0):
        return None
    mixed = _enough(len(logs), len(y))
    terms = _terms(len(logs), mixed)
    if ROWS_PER_COLUMN * (len(terms) + 1) > len(y):
        return None
    z, scale = _standardized(logs)
    spread = float(np.std(target))
    factors, errors = _least_squares(_design(z, mixed).T, _standard(target), robust=True)
    factors, errors = factors[1:], errors[1:]
    halves = {}
    for i in range(len(logs)):
        others = [k for k, term in enumerate(terms) if i in term and term != (i,)]
        unit = spread / scale[i]
        slope, error = float(factors[terms.index((i,))]) * unit, float(errors[terms.index((i,))]) * unit
        half = 2 * round(slope) if error > BLURRED else round(2 * slope)
        if error > SHARP or abs(slope - half / 2) > FAR * error + 1e-9 or abs(half) > LARGEST_POWER:
            continue
        if np.all(np.abs(factors[others]) <= FAR * errors[others]):
            halves[i] = half
    if ("sqrt", 1) not in operators.index:
        halves = {i: half for i, half in halves.items() if half % 2 == 0}
    kept = [i for i in range(len(logs)) if i not in halves]
    if not halves or not kept:
        return None
    powers = [(variable(i), half) for i, half in halves.items() if half]
    outer = power_law(powers, operators) if powers else None
    if powers and outer is None:
        return None
    rest = y / np.exp(sum((half / 2 * logs[i] for i, half in halves.items()), np.zeros(len(y))))
    for i, half in halves.items():
        if half % 4 == 2:
            rest = rest * np.sign(X[:, i])
    size = 0 if outer is None else outer.size + 1
    return Reduction(X[:, kept], rest, tuple(variable(i) for i in kept), outer, size, sure=True)


def _divided(X: Array, y: Array, operators: OperatorSet) -> Iterator[Reduction]:
    """Do what `_factored` does where y has no logarithm: divide by one variable after another.

    A later one is less sure than the first: yields what is left after the last and after the first.
    """
    columns, rest = X.T, y
    kept, powers = list(range(len(columns))), list[tuple[Node, int]]()
    stages: list[Reduction] = []
    while len(kept) > 1:
        if not _usable(columns[kept]):
            break
        targets, what = list[Array](), list[tuple[int, int]]()
        for k, i in enumerate(kept):
            for power in (0, *POWERS):
                divided = rest / columns[i] ** power
                if np.isfinite(divided).all() and np.ptp(divided) > 0:
                    targets.append(divided)
                    what.append((k, power))
        tests = []
        polynomial = _Polynomial(columns[kept], _standard(np.array(targets).reshape(-1, len(y))))
        for k, i in enumerate(kept):
            mine = [t for t, (variable_tested, _) in enumerate(what) if variable_tested == k]
            excesses = zip(polynomial.excesses(k, mine), mine, strict=True)
            tests += [(excess, i, what[t][1]) for excess, t in excesses if excess is not None]
        if not tests:
            break
        _, i, power = min(tests)
        rest = rest / columns[i] ** power
        kept.remove(i)
        if power:
            powers.append((variable(i), 2 * power))
        outer = power_law(powers, operators) if powers else None
        if powers and outer is None:
            break
        size = 0 if outer is None else outer.size + 1
        stages.append(Reduction(X[:, kept], rest, tuple(variable(i) for i in kept), outer, size))
    yield from {id(each): each for each in (*stages[-1:], *stages[:1])}.values()


def _merged(X: Array, y: Array, operators: OperatorSet) -> Iterator[Reduction]:
    """Replace two variables by one that y depends on them through."""
    found: list[tuple[float, int, int, int, str]] = []
    target = _standard(np.log(np.abs(y)) if y.all() and (np.all(y > 0) or np.all(y < 0)) else y)
    for kind, merge in MERGES.items():
        columns = merge.replaced(X.T)
        if not _usable(columns):
            continue
        for i, j, sign in _alike(columns, target):
            others = [k for k in range(len(columns)) if k not in (i, j)]
            new = (merge.opposite if sign else merge.alike)(X[:, i], X[:, j])
            new = new if kind == "squares" else merge.replaced(new)
            some = np.vstack([new[None], columns[others], columns[i][None]])
            excess = _Polynomial(some, target[None]).excesses(len(others) + 1, [0])[0] if _usable(some) else None
            if excess is not None:
                found.append((excess, i, j, sign, kind))
    ranked = [(i, j, sign, kind) for _, i, j, sign, kind in sorted(found)]
    ranked = [pair for pair in ranked if _writable(_merged_node(pair), operators)]
    together = _disjoint(ranked)
    if len(together) > 1:
        yield _merging(X, y, together)
    for pair in ranked[:MOST]:
        yield _merging(X, y, [pair])


def _disjoint(ranked: Sequence[Pair]) -> list[Pair]:
    """Choose the first merges that have no variable in common."""
    chosen: list[Pair] = []
    used: set[int] = set()
    for merge in ranked:
        if not used & set(merge[:2]):
            chosen.append(merge)
            used |= set(merge[:2])
    return chosen


def _merging(X: Array, y: Array, merges: Sequence[Pair]) -> Reduction:
    used = {i for merge in merges for i in merge[:2]}
    others = [k for k in range(X.shape[1]) if k not in used]
    inner = (*map(_merged_node, merges), *map(variable, others))
    new = [(MERGES[kind].opposite if sign else MERGES[kind].alike)(X[:, i], X[:, j]) for i, j, sign, kind in merges]
    return Reduction(np.column_stack([*new, X[:, others]]), y, inner, None, 0)


def _writable(tree: Node, operators: OperatorSet) -> bool:
    return all(not node.children or (node.operator, len(node.children)) in operators.index for node in tree)


def _alike(columns: Array, y: Array) -> list[tuple[int, int, int]]:
    """Return pairs along which slopes of a standardized y may be equal, or opposite (1), the likeliest first; none for
    too few rows."""
    if not _enough(len(columns), len(y)):
        return []
    z, scale = _standardized(columns)
    factors, errors = _least_squares(_design(z).T, y)
    some = slice(1, 1 + len(columns))
    slopes, errors = factors[some] / scale, errors[some] / scale
    apart = []
    for i, j in itertools.combinations(range(len(columns)), 2):
        for sign in (0, 1):
            difference = slopes[i] + slopes[j] if sign else slopes[i] - slopes[j]
            apart.append((abs(difference) / np.hypot(errors[i], errors[j]), i, j, sign))
    work = len(y) * (1 + len(_terms(len(columns)))) ** 2
    most = min(TESTED, MOST_WORK // work)
    return [(i, j, sign) for far, i, j, sign in sorted(apart)[:most] if far <= FAR]


class _Polynomial:
    """A second-degree polynomial of variables, to be tested for what single ones add to it for some standardized
    targets, shape (targets, rows)."""

    def __init__(self, columns: Array, targets: Array) -> None:
        self._count, self._rows = columns.shape
        self._enough = _enough(*columns.shape)
        if self._enough:
            design = _design(_standardized(columns)[0])
            triangle: Array = np.asarray(np.linalg.qr(np.concatenate([design, targets]).T, mode="r"))
            size = len(design)
            self._r, self._explained = triangle[:size, :size], triangle[:size, size:].T
            left = np.square(targets).sum(axis=1) - np.square(self._explained).sum(axis=1)
            self._left = np.maximum(left, ROUNDING * self._rows) / (self._rows - size)
            sizes = np.abs(np.diagonal(self._r))
            self._inverse = np.linalg.inv(self._r) if sizes.min() > DEPENDENT * sizes.max() else None

    def _beside(self, with_it: npt.NDArray[np.bool_]) -> Array:
        """Return a basis of what some terms say that the others do not, shape (terms, these)."""
        if self._inverse is not None:  # Their coefficients are functions of what they alone say.
            return np.linalg.qr(self._inverse[with_it].T)[0]
        turned, _ = np.linalg.qr(self._r[:, np.argsort(with_it, kind="stable")])
        return np.asarray(turned[:, -int(with_it.sum()) :], dtype=np.float64)

    def excesses(self, k: int, targets: Sequence[int]) -> list[float | None]:
        """Return how much variable k helps some of the targets beside the others, by the F-test; None where it does."""
        if not self._enough or not targets:
            return [None] * len(targets)
        with_it = np.array([False, *(k in term for term in _terms(self._count))])
        more = int(with_it.sum())
        # Where it does not help the ratio is about 1, give or take sqrt(2 / more).
        bound = 1 + FAR * np.sqrt(2 / more)
        shares = np.square(self._explained[targets] @ self._beside(with_it)).sum(axis=1)
        ratios = shares / more / self._left[targets]
        return [float(ratio / bound) if ratio < bound else None for ratio in ratios.tolist()]


def _merged_node(merge: Pair) -> Node:
    i, j, sign, kind = merge
    left, right = variable(i), variable(j)
    if kind == "squares":
        left, right = apply("*", left, left), apply("*", right, right)
    names = ("*", "/") if kind == "logarithms" else ("+", "-")
    return apply(names[sign], left, right)
