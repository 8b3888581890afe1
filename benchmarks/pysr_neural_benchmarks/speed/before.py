"""The fit of constants as it was before exact derivatives: what `bench constants` compares with.

Owns: a plain copy of `refine` at commit 2bfb38b, with what it called, down to the powers; SciPy's fit.  Does not own:
the product's fit (`pysr_neural.expression.fit`); nothing but the benchmark may import this.
"""

from collections.abc import Callable
from math import isfinite

import numpy as np

from pysr_neural.expression.evaluate import IEEE, evaluate
from pysr_neural.expression.node import Node
from pysr_neural.operators import Array

LARGE = 1e150
DIFFERENCE = 2.0**-26
INITIAL_DAMPING = 1e-4
TOLERANCE = 1.5e-8


def power_before(base: Array, exponent: Array) -> Array:
    """Return a power; NaN outside its domain."""
    integer = exponent == np.round(exponent)
    undefined = np.where(integer, (exponent < 0) & (base == 0), (base < 0) | ((exponent < 0) & (base == 0)))
    return np.where(~undefined, np.power(np.where(undefined, 1.0, base), exponent), np.nan)


FUNCTIONS = {**IEEE, "^": power_before}


def mean_squared_error(tree: Node, X: Array, y: Array) -> float:
    """Return the mean squared error; infinite if any prediction is not finite."""
    with np.errstate(all="ignore"):
        loss = float(np.mean(np.square(evaluate(tree, X, FUNCTIONS) - y)))
    return loss if np.isfinite(loss) else float("inf")


def refine_before(tree: Node, X: Array, y: Array, max_evaluations: int = 120) -> tuple[Node, float]:
    """Fit the constants by Levenberg–Marquardt with forward differences of residuals, from their present values."""
    start = tree.constants()
    loss = mean_squared_error(tree, X, y)
    if not start or len(start) > len(y):
        return tree, loss
    predicted = parametric(tree, X)

    def residuals(values: Array) -> Array:
        difference = predicted(values) - y
        if isfinite(np.vdot(difference, difference)):
            return difference
        return np.nan_to_num(difference, nan=LARGE, posinf=LARGE, neginf=-LARGE).clip(-LARGE, LARGE)

    with np.errstate(all="ignore"):
        fitted = least_squares(residuals, np.array(start), max_evaluations)
    if not np.all(np.isfinite(fitted)):
        return tree, loss
    candidate = tree.with_constants(fitted.tolist())
    new_loss = mean_squared_error(candidate, X, y)
    return (candidate, new_loss) if new_loss < loss else (tree, loss)


def least_squares(residuals: Callable[[Array], Array], start: Array, max_evaluations: int) -> Array:
    """Minimise a sum of squares; returns the best parameters found."""
    point, rest = start, residuals(start)
    square, spent, damping, growth = float(rest @ rest), 1, INITIAL_DAMPING, 2.0
    while square > 0 and spent + len(point) < max_evaluations:
        steps = DIFFERENCE * np.where(point == 0, 1.0, np.abs(point))
        jacobian = (residuals(point + np.diag(steps)) - rest) / steps[:, None]
        spent += len(point)
        curvature, gradient = jacobian @ jacobian.T, jacobian @ rest
        diagonal = curvature.diagonal().copy()
        diagonal[diagonal == 0] = 1.0
        while spent < max_evaluations:
            try:
                damped = curvature.copy()
                damped.flat[:: len(point) + 1] += damping * diagonal
                change = np.linalg.solve(damped, -gradient)
            except np.linalg.LinAlgError:
                return point
            moved = point + change
            moved_rest = residuals(moved)
            moved_square, spent = float(moved_rest @ moved_rest), spent + 1
            gain = square - moved_square
            expected = float(change @ (damping * diagonal * change - gradient))
            if gain > 0:
                done = gain <= TOLERANCE * square
                point, rest, square = moved, moved_rest, moved_square
                if done:
                    return point
                quality = min(gain / expected, 1.0) if expected > 0 else 1.0
                damping *= max(1 / 3, 1 - (2 * quality - 1) ** 3)
                growth = 2.0
                break
            if np.all(np.abs(change) <= TOLERANCE * np.abs(point)):
                return point
            damping, growth = damping * growth, growth * 2
    return point


def parametric(tree: Node, X: Array) -> Callable[[Array], Array]:
    """Make a function from constants, (k,) or (sets, k), to values, (rows,) or (sets, rows)."""
    columns, count = np.ascontiguousarray(X.T), len(tree.constants())
    slots: list[Array] = [np.float64(0)] * count  # type: ignore[list-item]
    steps: list[tuple[Callable[..., Array], int, tuple[int, ...]]] = []
    constants = iter(range(count))

    def place(node: Node) -> tuple[int, bool]:
        if node.value is not None:
            return next(constants), True
        if node.operator is None:
            return add(columns[int(node.index or 0)]), False
        placed = [place(child) for child in node.children]
        function, sources = FUNCTIONS[node.operator], tuple(slot for slot, _ in placed)
        if not any(depends for _, depends in placed):
            return add(function(*[slots[slot] for slot in sources])), False
        steps.append((function, len(slots), sources))
        return add(np.float64(0)), True  # type: ignore[arg-type]

    def add(value: Array) -> int:
        slots.append(value)
        return len(slots) - 1

    with np.errstate(all="ignore"):
        last, _ = place(tree)

    def values(constants: Array) -> Array:
        slots[:count] = constants if constants.ndim == 1 else constants.T[:, :, None]
        for function, target, sources in steps:
            slots[target] = (
                function(slots[sources[0]], slots[sources[1]])
                if len(sources) == 2
                else function(*[slots[source] for source in sources])
            )
        result = np.empty((*constants.shape[:-1], X.shape[0]))
        result[:] = slots[last]
        return result

    return values


def refine_by_scipy(tree: Node, X: Array, y: Array, max_evaluations: int = 120) -> tuple[Node, float]:
    """Fit the constants by SciPy's `least_squares` (trust region, its own differences, scaled by the Jacobian)."""
    from scipy.optimize import least_squares as scipy_least_squares

    loss = mean_squared_error(tree, X, y)
    start = tree.constants()
    if not start:
        return tree, loss

    def residuals(constants: Array) -> Array:
        return evaluate(tree.with_constants(constants.tolist()), X, FUNCTIONS) - y

    try:
        with np.errstate(all="ignore"):
            found = scipy_least_squares(residuals, start, x_scale="jac", max_nfev=max_evaluations)
    except (ValueError, np.linalg.LinAlgError):  # Not finite at the start, or on the way.
        return tree, loss
    candidate = tree.with_constants(found.x.tolist())
    new_loss = mean_squared_error(candidate, X, y)
    return (candidate, new_loss) if new_loss < loss else (tree, loss)
