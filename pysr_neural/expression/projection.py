"""Least squares in which the linear coefficients are eliminated inside the fit of the rest (variable projection).

Owns: the linear solution, and the derivatives of what it leaves.  Does not own: which constants enter linearly
(`forms`), the descent over the parameters (`descent`).

Sums of squares are of values divided by a power of two near the largest |y|, to keep within the range of floats.

References
----------
G. H. Golub, V. Pereyra, SIAM J. Numer. Anal. 10 (1973) 413; the simpler Jacobian by L. Kaufman, BIT 15 (1975) 49.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp, inf, isfinite, ldexp, sqrt

import numpy as np

from pysr_neural.expression.forms import Form
from pysr_neural.expression.tape import ONE, Rows, Tape
from pysr_neural.operators import Array

DEPENDENT = 1e-12
"""A column of which no more than this share is independent of those before it gets the coefficient 0."""
ALREADY = 0.1
"""Share of a column's sum of squares that is left by one pass if no second pass is needed."""
EXACT, ROUNDING = 1e-28, 1e-32
"""Shares of y's sum of squares, about its mean and about 0, below both of which nothing is left to gain."""
MODERATE = 1e100
"""Columns whose sum of squares lies within this factor of 1 are not scaled."""


@dataclass(slots=True)
class Fit:
    """A point of the fit.

    Parameters
    ----------
    theta : array, shape (parameters,)
    shares : list of float
        Of the target in the directions of the basis.
    square : float
        Sum of squared residuals, over the square of the target's scale; infinite where a value is not finite.
    residuals : array, shape (rows,)
        Over the target's scale.
    basis : list of array
        Orthonormal, of the columns of the coefficients.
    triangle : list of list of float
        See `_solved`.
    """

    theta: Array
    shares: list[float]
    square: float
    residuals: Array
    basis: list[Array]
    triangle: list[list[float]]


class Target:
    """What is to be fitted.

    Parameters
    ----------
    y : array, shape (rows,)
    unit : float, optional
        A power of two that brings the largest |y| near 1.

    Attributes
    ----------
    values : array, shape (rows,)
        y times the unit.
    total : float
        Sum of squares of the values.
    spread : float
        The same about their mean; that of a constant is the sum itself.
    rounding : float
        Sum of squares below which nothing is left to gain.
    """

    def __init__(self, y: Array, unit: float | None = None) -> None:
        if unit is None:
            largest = float(np.maximum.reduce(np.abs(y), initial=0.0))
            unit = ldexp(1.0, -max(min(frexp(largest)[1], 1000), -1000))
        self.y, self.unit = y, unit
        self.values = y * unit
        self.total = float(self.values.dot(self.values))
        centred = self.values - float(np.add.reduce(self.values)) / len(y)
        self.spread = float(centred.dot(centred)) or self.total
        self.rounding = max(EXACT * self.spread, ROUNDING * self.total)

    def on(self, rows: Rows) -> Target:
        """Return the target on some of the rows."""
        return Target(np.ascontiguousarray(self.y[rows]), self.unit)


class Projection:
    """The fit of one form to a target.

    Parameters
    ----------
    tape : Tape
    form : Form
    target : Target

    Attributes
    ----------
    factors : list of int
        Parameters that are coefficients of what depends on other parameters.
    spent : float
        Evaluations of values or of derivatives, those on other rows by their share.
    """

    def __init__(self, tape: Tape, form: Form, target: Target) -> None:
        self.tape, self.form, self.target = tape, form, target
        self.spent = 0.0
        self._last: Fit | None = None
        depends, cores = tape.depends, form.cores
        self.factors = [i for i, (core, _) in enumerate(tape.origins) if core != -1 and depends[core]]
        self.order = list(range(len(cores)))
        """Columns that do not change stand first, since their part of the basis is made once; of them the constant."""
        if len(cores) > 1:
            self.order.sort(key=lambda i: (depends[cores[i]], cores[i] != ONE))
        known = len(cores) - sum([depends[core] for core in cores])
        self._fixed_changes = form.fixed != -1 and depends[form.fixed]
        self._basis: list[Array] = []
        self._triangle: list[list[float]] = []
        self._extend(self._basis, self._triangle, self.order[:known])
        self._rest = self.order[known:]
        self._rests = target.values
        self._shares: list[float] = []
        if not self._fixed_changes:
            self._rests, self._shares = _projected(self._without_fixed(), self._basis)

    def _without_fixed(self) -> Array:
        fixed, target = self.form.fixed, self.target
        return target.values if fixed == -1 else (target.y - self.tape.values[fixed]) * target.unit

    def _extend(self, basis: list[Array], triangle: list[list[float]], columns: list[int]) -> None:
        """Add columns to an orthonormal basis by the modified Gram–Schmidt method, twice if needed; see `_solved`."""
        values, cores = self.tape.values, self.form.cores
        for i in columns:
            column = values[cores[i]]
            size = float(column.dot(column))
            factor = 1.0
            if not 1 / MODERATE < size < MODERATE:
                largest = float(np.abs(column).max())
                if 0 < largest < inf:
                    factor = ldexp(1.0, -max(min(frexp(largest)[1], 1000), -1000))
                    column = column * factor
                    size = float(column.dot(column))
            if not isfinite(size):
                triangle.append([])
                basis.append(np.full_like(self.target.y, np.nan))
                continue
            shares = [0.0] * len(basis)
            rest = column
            left = size
            for _ in range(2 if basis else 0):
                for j, direction in enumerate(basis):
                    share = float(direction.dot(rest))
                    rest = rest - share * direction
                    shares[j] += share
                left = float(rest.dot(rest))
                if left > ALREADY * size:
                    break
            length = sqrt(left)
            if not length > DEPENDENT * sqrt(size):
                triangle.append([])
                basis.append(np.zeros_like(self.target.y))
                continue
            basis.append(rest / length)
            triangle.append([*shares, length, factor])

    def on(self, rows: Rows) -> Projection:
        """Return the same fit to some of the rows."""
        tape = self.tape.on(rows, [*self.form.cores, self.form.fixed])
        return Projection(tape, self.form, self.target.on(rows))

    def at(self, theta: Array) -> Fit:
        """Evaluate at parameters, with the best coefficients for them."""
        if self._last is not None and (theta is self._last.theta or not len(theta)):
            return self._last
        if len(theta):
            self.tape.run(theta)
        self.spent += 1
        basis, triangle = self._basis, self._triangle
        if self._rest:
            basis, triangle = list(basis), list(triangle)
            self._extend(basis, triangle, self._rest)
        if self._fixed_changes:
            residuals, shares = _projected(self._without_fixed(), basis)
        else:
            residuals, more = _projected(self._rests, basis[len(self._basis) :])
            shares = self._shares + more
        square = float(residuals.dot(residuals))
        self._last = Fit(theta, shares, square if isfinite(square) else inf, residuals, basis, triangle)
        return self._last

    def coefficients(self, fit: Fit) -> list[float]:
        """Return the coefficients of a point; 0 where a value is not finite."""
        coefficients = [0.0] * len(self.order)
        if isfinite(fit.square):
            for place, value in zip(self.order, _solved(fit.triangle, fit.shares), strict=True):
                coefficients[place] = value / self.target.unit
        return coefficients

    def losses(self, sets: int) -> Array:
        """Return sums of squares for the sets of parameters that the tape has been run for, shape (sets,).

        A set that has values that are not finite counts as if it explained nothing, and more the more there are.
        """
        values, shape = self.tape.values, (sets, len(self.target.y))
        columns = [_shaped(values[self.form.cores[i]], shape) for i in self._rest]
        known, target = np.array(self._basis), self._rests
        if self._fixed_changes:
            target = self._without_fixed()
            if len(known):
                target = target - (target @ known.T) @ known
        target = _shaped(target, shape)
        squares = _unexplained(target, columns, known)
        known_sets = np.isfinite(squares)
        if not known_sets.all():
            gaps = (~np.isfinite(sum(columns, start=target))).sum(axis=1)
            worse = np.where(gaps, (1.0 + 4.0 * gaps / shape[1]) * self.target.total, np.inf)
            squares = np.where(known_sets, squares, worse)
        return squares

    def polished(self, fit: Fit) -> list[float]:
        """Return the coefficients of a point, with one step of iterative refinement."""
        fit = self.at(fit.theta)
        rest, values, cores = self._without_fixed(), self.tape.values, self.form.cores
        coefficients = self.coefficients(fit)
        for core, value in zip(cores, coefficients, strict=True):
            rest = rest - (value * values[core]) * self.target.unit
        shares = _projected(rest, fit.basis)[1]
        for place, value in zip(self.order, _solved(fit.triangle, shares), strict=True):
            if isfinite(value):
                coefficients[place] += value / self.target.unit
        return coefficients

    def jacobian(self, fit: Fit) -> Array:
        """Return how predictions change with parameters, less what coefficients can make up for, (parameters, rows)."""
        fit = self.at(fit.theta)
        self.spent += 1
        factors: dict[int, Array | float] = {}
        if self.form.fixed != -1:
            factors[self.form.fixed] = self.target.unit
        for core, value in zip(self.form.cores, self.coefficients(fit), strict=True):
            factors[core] = factors.get(core, 0.0) + value * self.target.unit
        rows = np.zeros((len(fit.theta), len(self.target.y)))
        for i, slope in enumerate(self.tape.pull(factors)):
            if slope is not None:
                rows[i] = slope
        if fit.basis:
            basis = np.array(fit.basis)
            rows -= rows.dot(basis.T).dot(basis)
        return rows

    def normal(self, fit: Fit) -> tuple[list[list[float]], list[float]]:
        """Return the matrix and the right side of the normal equations of a change of the parameters.

        A parameter whose derivative is not finite somewhere gets zeros, and stays where it is.
        """
        rows = self.jacobian(fit)
        matrix = rows.dot(rows.T).tolist()
        bad = [i for i, row in enumerate(matrix) if not isfinite(row[i])]
        if bad:
            rows[bad] = 0.0
            matrix = rows.dot(rows.T).tolist()
        return matrix, rows.dot(fit.residuals).tolist()


def _shaped(values: Array, shape: tuple[int, int]) -> Array:
    """Return values as they are if they have a shape, else as if they had."""
    return values if values.shape == shape else np.broadcast_to(values, shape)


def _unexplained(target: Array, columns: list[Array], known: Array) -> Array:
    """Return the sums of squares that columns leave of a target, (sets, rows) each; not finite where they are not.

    The target has no part in the span of the `known` orthonormal rows, and columns count without theirs.
    """
    basis: list[Array] = []
    for column in columns:
        before = np.einsum("sr,sr->s", column, column)
        if len(known):
            column = column - (column @ known.T) @ known
        for direction in basis:
            column = column - np.einsum("sr,sr->s", direction, column)[:, None] * direction
        length = np.einsum("sr,sr->s", column, column)
        length = np.where(length <= 1e-20 * before, np.inf, length)
        target = target - (np.einsum("sr,sr->s", column, target) / length)[:, None] * column
        if len(columns) > 1:
            basis.append(column / np.sqrt(length)[:, None])
    return np.einsum("sr,sr->s", target, target)


def _projected(values: Array, basis: list[Array]) -> tuple[Array, list[float]]:
    """Return values less their part in the span of a basis, and that part's coordinates."""
    shares = []
    for direction in basis:
        share = float(direction.dot(values))
        values = values - share * direction
        shares.append(share)
    return values, shares


def _solved(triangle: list[list[float]], shares: list[float]) -> list[float]:
    """Solve the triangular system of `Projection._extend`.

    A row of the triangle holds a column's coordinates, and the factor from its coefficient to the column's; it is empty
    where the column depends on those before it.
    """
    remaining, solution = list(shares), [0.0] * len(triangle)
    for i in range(len(triangle) - 1, -1, -1):
        if not triangle[i]:
            continue
        *above, length, factor = triangle[i]
        value = remaining[i] / length
        for j, share in enumerate(above):
            remaining[j] -= value * share
        solution[i] = value * factor
    return solution
