"""What the values of a part and of y say about whether the part belongs to the answer, as numbers for a network.

Owns: `Candidates`, parts on some rows; `Evidence`, how they stand to one y; orthogonal matching.  Does not own: the
network (`judge_network`), what becomes of its scores (`screens`).

Parts are looked at together and as arrays only: 10,000 of them in some tenths of a second.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pysr_neural.expression.node import Node
from pysr_neural.operators import Array

ROWS = 96
"""Most rows that are looked at."""
NAMED = ("+", "-", "*", "/", "sin", "cos", "exp", "log", "sqrt")
"""Operators that are counted by name."""
TEXT_FEATURES = 1 + len(NAMED) + 4
BASIS = 14
"""Functions of a part's values, beside which functions of y are put."""
CURVES = 19
"""Functions of y, and of what simple fits leave of it."""
MATCHED = (8, 5, 3)
"""Steps of orthogonal matching for y, its logarithm and its reciprocal."""
STAGES = ((1, 2, 4, 8), (1, 2, 5), (1, 3))
"""Steps after which the network sees what is left."""
CONTEXT = 12
"""Numbers about a problem as a whole."""
DEPENDENT = (1, 7, 9, 10, 12)
"""Curves of which it is measured how smooth they are along a part."""
SHORTLIST = 64
"""Parts with which each part is paired."""
PAIRED = 7
SCALARS = len(DEPENDENT) + PAIRED + 3
VARIABLE_FEATURES = 4
CLIP = 6.0
LEAST, ROUNDING = 1e-7, 1e-20

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]


def _standard(values: Array) -> Array:
    """Give each row of values mean 0 and variance 1; zeros where that is not possible."""
    with np.errstate(all="ignore"):
        largest = np.abs(values).max(axis=-1, keepdims=True)
        values = values / largest
        values = values - values.mean(axis=-1, keepdims=True)
        deviation = np.sqrt(np.square(values).mean(axis=-1, keepdims=True))
        found = values / deviation
    found[~np.isfinite(found).all(axis=-1) | (deviation[..., 0] < 1e-9)] = 0
    return found


def _bounded(values: Array) -> Array:
    """Standardise, with outliers drawn in."""
    return np.clip(_standard(values), -CLIP, CLIP)


def _ranks(values: Array) -> tuple[Places, Array]:
    """Return the order of each row of values, and ranks from -1 to 1."""
    order = np.argsort(values, axis=-1)
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, np.broadcast_to(np.linspace(-1, 1, values.shape[-1]), values.shape), axis=-1)
    return order, ranks


def _log(values: Array) -> Array:
    return np.log(np.abs(values) + 1e-30 * np.abs(values).max(axis=-1, keepdims=True))


def text_features(trees: Sequence[Node], sizes: npt.NDArray[np.int64]) -> Floats:
    """Return what is told of the text of parts: size, how often each operator occurs, variables, ones."""
    known: dict[Node, Floats] = {}
    place = {name: 1 + k for k, name in enumerate(NAMED)}

    def counts(node: Node) -> Floats:
        found = known.get(node)
        if found is None:
            found = np.zeros(TEXT_FEATURES, dtype=np.float32)
            for child in node.children:
                found += counts(child)
            if node.operator is not None:
                found[place.get(node.operator, len(NAMED) + min(len(node.children), 2))] += 1
            else:
                found[-1 if node.index is None else -2] += 1
            known[node] = found
        return found

    features = np.stack([counts(tree) for tree in trees])
    features[:, 0] = sizes / 4
    return features


class Candidates:
    """Parts on some rows, whatever y is.

    Parameters
    ----------
    values : array, shape (parts, rows)
        Finite, not constant.
    text : float32 array, shape (parts, TEXT_FEATURES)
    """

    def __init__(self, values: Array, text: Floats) -> None:
        self.scaled = (values / np.abs(values).max(axis=1)[:, None]).astype(np.float64)
        self.text = text

    def __len__(self) -> int:
        return len(self.scaled)

    @cached_property
    def units(self) -> Floats:
        """Without mean, with norm 1."""
        return (_standard(self.scaled) / np.sqrt(self.scaled.shape[1])).astype(np.float32)

    def basis(self, chosen: Places) -> tuple[Floats, Places]:
        """Return functions of some parts' values, shape (parts, BASIS, rows), and the order of their rows."""
        values = self.scaled[chosen]
        order, ranks = _ranks(values)
        found = np.empty((len(values), BASIS, values.shape[1]), dtype=np.float32)
        found[:, 0], found[:, 1] = ranks, 1.5 * np.square(ranks) - 0.5
        for degree in range(3, 7):  # Legendre's polynomials.
            found[:, degree - 1] = (
                (2 * degree - 1) * ranks * found[:, degree - 2] - (degree - 1) * found[:, degree - 3]
            ) / degree
        z = self.units[chosen] * np.sqrt(values.shape[1])
        found[:, 6] = np.clip(z, -CLIP, CLIP)
        found[:, 7] = np.minimum(np.square(z) - 1, CLIP)
        with np.errstate(all="ignore"):
            found[:, 8] = _bounded(_log(values))
            found[:, 9] = _bounded(1 / (values + np.where(values < 0, -1e-12, 1e-12)))
        found[:, 10] = np.sign(values)
        found[:, 11] = values
        found[:, 12] = np.abs(ranks) - 0.5
        found[:, 13] = _bounded(np.square(values))
        return found, order


def matched(units: Floats, target: Array, steps: int) -> tuple[list[int], list[Array], list[float]]:
    """Choose parts one after the other, each the one that explains most of what the others leave.

    Parameters
    ----------
    units : float32 array, shape (parts, rows)
        Without mean, with norm 1.
    target : array, shape (rows,)
        Likewise.
    steps : int

    Returns
    -------
    chosen : list of int
    rests : list of array
        What is left before each step and after the last, with norm 1.
    left : list of float
        Fraction unexplained, likewise.
    """
    rest, bases = target.copy(), np.empty((0, len(target)))
    chosen: list[int] = []
    rests, left = [target], [1.0]
    for _ in range(steps):
        size = float(np.sqrt(rest @ rest))
        if size > 1e-5 and len(bases) < len(target) // 4:
            part = int(np.abs(units @ (rest / size).astype(np.float32)).argmax())
            vector = units[part].astype(np.float64)
            for _ in range(2):
                vector = vector - bases.T @ (bases @ vector)
            norm = float(np.sqrt(vector @ vector))
            if norm > 1e-3:
                chosen.append(part)
                bases = np.vstack([bases, vector / norm])
                rest = rest - (bases[-1] @ rest) * bases[-1]
                size = float(np.sqrt(rest @ rest))
        rests.append(rest / size if size > 1e-12 else rest)
        left.append(size * size)
    return chosen, rests, left


def _residual(target: Array, design: Array) -> tuple[Array, float]:
    """Return what least squares leave of a standardised target, standardised, and the fraction."""
    if design.shape[0] >= len(target) // 3:
        design = design[: max(1, len(target) // 3)]
    design = np.vstack([np.ones(len(target)), design])
    shares, *_ = np.linalg.lstsq(design.T, target, rcond=1e-10)
    rest = target - shares @ design
    left = float(np.square(rest).mean())
    return _bounded(rest) if left > ROUNDING else np.zeros_like(rest), left


class Evidence:
    """How candidates stand to one y.

    Parameters
    ----------
    candidates : Candidates
    X : array, shape (rows, features)
    y : array, shape (rows,)

    Attributes
    ----------
    curves : float32 array, shape (rows, CURVES)
    variables : float32 array, shape (features, rows, VARIABLE_FEATURES)
    context : float32 array, shape (CONTEXT,)
    matching : float32 array, shape (parts,)
        Score of each part by orthogonal matching alone.
    """

    def __init__(self, candidates: Candidates, X: Array, y: Array) -> None:
        self.candidates, self.y = candidates, y / np.abs(y).max()
        rows, y = len(y), self.y
        with np.errstate(all="ignore"):
            bases = [_standard(each) for each in (y, _log(y), 1 / (y + np.where(y < 0, -1e-12, 1e-12)))]
            self._targets = np.stack(bases) / np.sqrt(rows)
            self.variables = self._of_variables(X)
            curves, left = self._simple(X, y, bases)
            self.alone = np.abs(candidates.units @ self._targets.T.astype(np.float32))
            self._match(curves, left)
            self.curves: Floats = np.nan_to_num(np.stack(curves, axis=1)).astype(np.float32)
        facts = [*np.log10(np.maximum(left, LEAST)) / 7, rows / ROWS]
        self.context: Floats = np.array(facts, dtype=np.float32)

    @staticmethod
    def _of_variables(X: Array) -> Floats:
        columns = np.ascontiguousarray(X.T)
        columns = columns / np.maximum(np.abs(columns).max(axis=1), 1e-300)[:, None]
        seen = [_bounded(columns), _ranks(columns)[1], _bounded(_log(columns)), columns]
        return np.nan_to_num(np.stack(seen, axis=2)).astype(np.float32)

    def _simple(self, X: Array, y: Array, bases: list[Array]) -> tuple[list[Array], list[float]]:
        """Return curves that need no parts, and what fits in the variables leave."""
        columns = _bounded(np.ascontiguousarray(X.T))
        logs = _bounded(_log(np.ascontiguousarray(X.T)))
        places = np.triu_indices(len(columns))
        squares = columns[places[0]] * columns[places[1]]
        linear, first = _residual(bases[0], columns)
        quadratic, second = _residual(bases[0], np.vstack([columns, squares]))
        powers, third = _residual(bases[1], logs)
        curves = [_bounded(bases[0]), _ranks(y[None])[1][0], _bounded(bases[1]), y, _bounded(bases[2])]
        curves += [_bounded(np.square(y)), _bounded(np.arcsinh(y / np.median(np.abs(y)))), linear, quadratic, powers]
        return curves, [first, second, third]

    def _match(self, curves: list[Array], left: list[float]) -> None:
        """Add what orthogonal matching leaves; choose the parts that others are paired with."""
        units = self.candidates.units
        self.matching: Floats = np.zeros(len(units), dtype=np.float32)
        chosen: list[int] = []
        for target, steps, stages in zip(self._targets, MATCHED, STAGES, strict=True):
            parts, rests, fractions = matched(units, target, steps)
            chosen += parts
            curves += [_bounded(rests[stage]) for stage in stages]
            left += [fractions[stage] for stage in stages[:3]]
            along = np.abs(units @ np.stack(rests[:-1], axis=1).astype(np.float32))
            self.matching = np.maximum(self.matching, along.max(axis=1))
        best = np.argsort(-self.matching, kind="stable")[:SHORTLIST]
        self.shortlist = np.array(list(dict.fromkeys([*chosen, *best.tolist()]))[:SHORTLIST])

    def scalars(self, chosen: Places, order: Places) -> Floats:
        """Return numbers about some parts, shape (parts, SCALARS)."""
        curves = self.curves[:, DEPENDENT].T
        found = np.empty((len(chosen), SCALARS), dtype=np.float32)
        steps = np.diff(curves[:, order], axis=2)  # Along each part: how far a curve jumps from row to row.
        found[:, : len(DEPENDENT)] = np.square(steps).mean(axis=2).T / (2 * np.square(curves).mean(axis=1) + 1e-9)
        alone = self.alone[chosen]
        unexplained = [1 - np.square(alone), self._pairs(chosen, alone)]
        found[:, len(DEPENDENT) :] = np.log10(np.maximum(np.hstack(unexplained), LEAST)) / 7
        return np.nan_to_num(found)

    def _pairs(self, chosen: Places, alone: Floats) -> Floats:
        """Return what the best pair with a part of the shortlist leaves: f + g, f g, g / f, f (g + c), (g + c) / f."""
        units, short = self.candidates.units[chosen], self.candidates.units[self.shortlist]
        shared = units @ short.T
        free = 1 - np.square(shared)
        usable = free > 1e-3
        found = np.ones((len(chosen), PAIRED), dtype=np.float32)
        for k in range(3):
            gain = np.square(self._along(k, self.shortlist) - shared * self._along(k, chosen)[:, None])
            gain = np.where(usable, gain / np.where(usable, free, 1), 0)
            found[:, k] = 1 - np.square(alone[:, k]) - gain.max(axis=1)
        values, partners = (
            self.candidates.scaled[chosen].astype(np.float32),
            self.candidates.scaled[self.shortlist].astype(np.float32),
        )
        with np.errstate(all="ignore"):
            inverse = 1 / values
            largest = np.abs(inverse).max(axis=1)
            inverse = np.where(np.isfinite(largest)[:, None], inverse / largest[:, None], 0)
        for k, factors in enumerate((values, inverse)):
            found[:, 3 + 2 * k], found[:, 4 + 2 * k] = self._products(factors, partners)
        return found

    def _along(self, k: int, chosen: Places) -> Floats:
        return self.candidates.units[chosen] @ self._targets[k].astype(np.float32)

    def _products(self, factors: Floats, partners: Floats) -> tuple[Floats, Floats]:
        """Return what f g and a constant, and f (g + c), leave of y."""
        rows, y = factors.shape[1], self._targets[0].astype(np.float32)
        means = factors @ partners.T / rows
        squares = np.square(factors) @ np.square(partners).T
        along = (factors * y) @ partners.T
        free = squares - rows * np.square(means)
        with np.errstate(all="ignore"):
            product = np.where(free > 1e-4 * squares, np.square(along) / free, 0)
            plain = self.y.astype(np.float32)
            plain = plain / np.sqrt(plain @ plain)
            norms = np.square(factors).sum(axis=1)
            height = factors @ plain
            cross = np.square(factors) @ partners.T
            below = (factors * plain) @ partners.T - cross * (height / norms)[:, None]
            rest = squares - np.square(cross) / norms[:, None]
            line = np.where(rest > 1e-4 * squares, np.square(below) / rest, 0)
            left = (1 - np.square(height) / norms)[:, None] - line
        spread = float(np.square(plain - plain.mean()).sum())
        return 1 - product.max(axis=1), np.nan_to_num(left.min(axis=1) / spread, nan=1.0)
