"""Sums of parts that explain a target: exact over pairs, by beam search beyond them.

Owns: `Frame`, parts as a target sees them; `sums`.  Does not own: parts (`parts`), which targets there are (`splits`).

A target t is explained by ``a f + b g + … + c`` where the errors are weighed row by row: of ``w (t - …)``.  With w = 1
that is a sum; with w = f and t = y / f it is ``y = f (a g + b h + … + c)``.
"""

import numpy as np
import numpy.typing as npt

from pysr_neural.operators import Array

SIZE_PRICE = 0.08
"""What a node may cost, in units of the logarithm of the unexplained fraction."""
EXACT = 1e-13
"""Unexplained fraction that is rounding."""
FIXED = 6
PATIENCE = 0.6
"""A further term must bring the price below this share of what it was."""

Floats = npt.NDArray[np.floating]


class Frame:
    """Parts, weighed row by row, without what a constant explains, with norm 1.

    Parameters
    ----------
    values : array, shape (parts, rows)
    sizes : array, shape (parts,)
    firsts : array of int
        Parts of which all pairs with any part are tried.
    weights : array, shape (rows,), or None
        None means 1.
    dtype : type
        Of screening: single precision, but double where the parts are nearly alike.
    size_price : float
        See `SIZE_PRICE`.
    levels : array, shape (levels, rows), optional
        What else is fitted beside the parts, orthonormal, in place of a constant alone; only without weights.
    """

    def __init__(
        self,
        values: Array,
        scaled: Floats,
        sizes: npt.NDArray[np.int64],
        firsts: npt.NDArray[np.int64],
        weights: Array | None,
        dtype: type,
        size_price: float = SIZE_PRICE,
        levels: Array | None = None,
    ) -> None:
        rows = values.shape[1]
        self._values, self.weights, self.sizes, self.firsts = values, weights, sizes, firsts
        ones = np.ones(rows) if weights is None else weights / np.abs(weights).max()
        self.level: Array = ones / np.sqrt(ones @ ones)
        scaled = scaled.copy() if weights is None else scaled * ones.astype(dtype)
        self._levels: Array = self.level[None] if levels is None else levels
        few: Floats = self._levels.astype(dtype)
        scaled -= (scaled @ few.T) @ few
        norms = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
        with np.errstate(all="ignore"):
            scaled /= norms[:, None]
        bad = ~(norms > 1e-6) | ~np.isfinite(norms)
        scaled[bad] = 0
        self.units: Floats = scaled
        self.prices: Floats = np.exp(size_price * sizes).astype(dtype)
        self.size_price = size_price
        self.dtype = dtype
        single = dtype is np.float32
        self.independent = dtype(1e-4 if single else 1e-8)
        """Least share of a part that others must leave unexplained."""
        self.floor = dtype(3e-7 if single else 1e-11)
        """Unexplained fraction that is rounding."""
        self._gram: tuple[Floats, Floats] | None = None

    def target(self, t: Array) -> Array | None:
        """Return a target as the frame's parts are; None if nothing is left of it."""
        v = t if self.weights is None else t * (self.weights / np.abs(self.weights).max())
        size = np.abs(v).max()
        v = v - (v @ self._levels.T) @ self._levels
        norm = float(np.sqrt(v @ v))
        return v / norm if np.isfinite(norm) and norm > 1e-9 * size else None

    def exact(self, parts: npt.NDArray[np.int64]) -> Array:
        """Return the units of some parts in double precision."""
        values = self._values[parts]
        if self.weights is not None:
            values = values * (self.weights / np.abs(self.weights).max())
        values = values - (values @ self._levels.T) @ self._levels
        return values / np.sqrt(np.einsum("ij,ij->i", values, values))[:, None]

    @property
    def gram(self) -> tuple[Floats, Floats]:
        """For each pair (first, part): 1 / sqrt(1 - r²), 0 where they are too much alike; and r times that."""
        if self._gram is None:
            self._gram = _gram(self.units, self.firsts, self.independent)
        return self._gram


def _gram(units: Floats, firsts: npt.NDArray[np.int64], independent: float) -> tuple[Floats, Floats]:
    shared = units[firsts] @ units.T
    inverse = 1 - np.square(shared)
    alike = inverse <= independent
    np.copyto(inverse, 1, where=alike)
    np.sqrt(inverse, out=inverse)
    np.reciprocal(inverse, out=inverse)
    np.copyto(inverse, 0, where=alike)
    inverse[:, ~units.any(axis=1)] = 0
    shared *= inverse
    return inverse, shared


def smallest(prices: Floats, count: int) -> npt.NDArray[np.int64]:
    """Return the positions of the least finite prices, in order."""
    if count < len(prices):
        chosen = np.argpartition(prices, count)[:count]
    else:
        chosen = np.arange(len(prices))
    chosen = chosen[np.isfinite(prices[chosen])]
    return chosen[np.argsort(prices[chosen], kind="stable")]


def smallest_of_rows(prices: Floats, count: int) -> npt.NDArray[np.int64]:
    """Return what `smallest` does of a matrix's entries, counted row by row; sooner, as most cannot be among them."""
    lowest = prices.min(axis=1)
    if count >= len(lowest):
        return smallest(prices.ravel(), count)
    candidates = np.flatnonzero(prices.ravel() <= np.partition(lowest, count)[count])
    return candidates[smallest(prices.ravel()[candidates], count)]


def sums(
    frame: Frame, v: Array, width: int, most_terms: int, given: int, fixed: int = FIXED
) -> list[tuple[float, list[int]]]:
    """Find sets of parts whose sum explains a target.

    Parameters
    ----------
    frame : Frame
    v : array, shape (rows,)
        From `Frame.target`.
    width : int
        Of the beam.
    most_terms : int
    given : int
        Most sets returned of each number of terms.
    fixed : int, optional
        Parts beside which all pairs are tried.

    Returns
    -------
    list of (float, list of int)
        Unexplained fraction, parts.
    """
    along = frame.units @ v.astype(frame.dtype)
    alone = np.maximum(1 - along * along, frame.floor) * frame.prices
    found = [(float(1 - along[i] ** 2), [int(i)]) for i in smallest(alone, given)]
    sets = _best_pairs(frame, frame.gram, along, width)
    beam = _Beam.of_sets(frame, v, sets) if len(sets) else None
    while beam is not None:
        found += beam.best(given)
        if beam.terms == most_terms or beam.left.min() < EXACT:
            break
        longer = beam.grown(frame, width)
        if longer is not None and longer.terms == 3 and fixed and longer.left.min() > EXACT:
            triples = _best_triples(frame, v, _distinct(beam.sets, fixed), width)
            longer = longer.cheaper_of(_Beam.of_sets(frame, v, triples), width) if len(triples) else longer
        if longer is None or longer.cheapest > PATIENCE * beam.cheapest:
            if longer is not None:
                found += longer.best(1)
            break
        beam = longer
    return found


def _best_pairs(frame: Frame, gram: tuple[Floats, Floats], along: Floats, count: int) -> npt.NDArray[np.int64]:
    """Choose the best pairs of a first part and any part, by what they explain together; shape (pairs, 2)."""
    inverse, shared = gram
    first = along[frame.firsts]
    costs = inverse * along
    costs -= shared * first[:, None]
    np.square(costs, out=costs)
    np.subtract((1 - first * first)[:, None], costs, out=costs)
    np.maximum(costs, frame.floor, out=costs)
    costs *= frame.prices
    costs *= frame.prices[frame.firsts][:, None]
    costs[inverse == 0] = np.inf
    rows, columns = np.divmod(smallest_of_rows(costs, 2 * count), costs.shape[1])
    sets = np.sort(np.stack([frame.firsts[rows], columns], axis=1), axis=1)
    return sets[_once(sets)[:count]]


def _best_triples(frame: Frame, v: Array, fixed: list[int], count: int) -> npt.NDArray[np.int64]:
    """Choose the best pairs beside each of some parts; shape (triples, 3).

    A beam alone misses what only three parts explain together: three squares, say, where a sum of two variables and a
    square come close.
    """
    found = []
    for part in fixed:
        basis = frame.exact(np.array([part]))[0].astype(frame.dtype)
        shares = frame.units @ basis
        free = 1 - shares * shares
        usable = free > frame.independent
        scale: Floats = np.where(usable, 1 / np.sqrt(np.where(usable, free, 1)), 0).astype(frame.dtype)
        units = (frame.units - np.outer(shares, basis)) * scale[:, None]
        rest = v.astype(frame.dtype) - basis * (basis @ v.astype(frame.dtype))
        norm = np.sqrt(rest @ rest)
        if norm > 0:
            pairs = _best_pairs(frame, _gram(units, frame.firsts, frame.independent), units @ (rest / norm), count // 2)
            found.append(np.column_stack([np.full(len(pairs), part), pairs]))
    sets = np.sort(np.concatenate(found), axis=1) if found else np.empty((0, 3), dtype=np.int64)
    sets = sets[(np.diff(sets, axis=1) > 0).all(axis=1)]
    return np.array(sorted(set(map(tuple, sets.tolist()))), dtype=np.int64).reshape(-1, 3)


def _once(sets: npt.NDArray[np.int64]) -> list[int]:
    """Return where each set stands first."""
    places: dict[tuple[int, ...], int] = {}
    for place, each in enumerate(map(tuple, sets.tolist())):
        places.setdefault(each, place)
    return list(places.values())


def _distinct(sets: npt.NDArray[np.int64], count: int) -> list[int]:
    """Return the first so many parts of sets, the best set first."""
    return list(dict.fromkeys(sets.ravel().tolist()))[:count]


class _Beam:
    """Sets of as many parts each, with what they leave of the target."""

    def __init__(
        self, sets: npt.NDArray[np.int64], bases: list[Array], rest: Array, used: Floats, prices: Array
    ) -> None:
        self.sets, self.bases, self.rest, self.used, self.prices = sets, bases, rest, used, prices
        self.left: Array = np.einsum("ij,ij->i", rest, rest)
        self.costs: Array = np.maximum(self.left, EXACT) * prices

    @property
    def terms(self) -> int:
        return self.sets.shape[1]

    @property
    def cheapest(self) -> float:
        return float(self.costs.min())

    def best(self, count: int) -> list[tuple[float, list[int]]]:
        order = np.argsort(self.costs, kind="stable")[:count]
        return [(float(self.left[i]), self.sets[i].tolist()) for i in order]

    @classmethod
    def of_sets(cls, frame: Frame, v: Array, sets: npt.NDArray[np.int64]) -> "_Beam":
        """Work out what some sets leave of a target."""
        bases: list[Array] = []
        rest = np.broadcast_to(v, (len(sets), len(v)))
        used: Floats = np.zeros((len(sets), len(frame.units)), dtype=frame.dtype)
        for terms in sets.T:
            bases.append(_orthogonal(frame.exact(terms), bases))
            rest = rest - np.einsum("ij,ij->i", rest, bases[-1])[:, None] * bases[-1]
            used += np.square(bases[-1].astype(frame.dtype) @ frame.units.T)
        return cls(sets, bases, rest, used, np.exp(frame.size_price * frame.sizes[sets].sum(axis=1)))

    def cheaper_of(self, other: "_Beam", width: int) -> "_Beam":
        """Choose the cheapest sets of two beams of as many terms."""
        sets = np.concatenate([self.sets, other.sets])
        costs = np.concatenate([self.costs, other.costs])
        order = np.argsort(costs, kind="stable")
        kept = order[_once(sets[order])[:width]]

        def joined(one: Array, two: Array) -> Array:
            return np.concatenate([one, two])[kept]

        bases = [joined(*pair) for pair in zip(self.bases, other.bases, strict=True)]
        used = np.concatenate([self.used, other.used])[kept]
        return _Beam(sets[kept], bases, joined(self.rest, other.rest), used, joined(self.prices, other.prices))

    def grown(self, frame: Frame, width: int) -> "_Beam | None":
        """Add to each set the parts that explain most of the rest; keep the best sets."""
        norms = np.sqrt(np.maximum(self.left, 1e-300))
        along = (self.rest / norms[:, None]).astype(frame.dtype) @ frame.units.T
        free = 1 - self.used
        usable = free > frame.independent
        costs = np.maximum(1 - along * along / np.where(usable, free, 1), frame.floor)
        costs *= frame.prices
        costs *= (self.left * self.prices)[:, None].astype(frame.dtype)
        costs[~usable] = np.inf
        chosen = smallest_of_rows(costs, 3 * width)
        rows, columns = np.divmod(chosen, costs.shape[1])
        sets = np.sort(np.concatenate([self.sets[rows], columns[:, None]], axis=1), axis=1)
        kept = _once(sets)[:width]
        if not kept:
            return None
        rows, columns = rows[kept], columns[kept]
        bases = [basis[rows] for basis in self.bases]
        new = _orthogonal(frame.exact(columns), bases)
        rest = self.rest[rows] - np.einsum("ij,ij->i", self.rest[rows], new)[:, None] * new
        used = self.used[rows] + np.square(new.astype(frame.dtype) @ frame.units.T)
        prices = self.prices[rows] * np.exp(frame.size_price * frame.sizes[columns])
        return _Beam(sets[kept], [*bases, new], rest, used, prices)


def _orthogonal(vectors: Array, bases: list[Array]) -> Array:
    """Take bases out of vectors row by row, twice against rounding; returns units."""
    for _ in range(2):
        for basis in bases:
            vectors = vectors - np.einsum("ij,ij->i", vectors, basis)[:, None] * basis
    return vectors / np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
