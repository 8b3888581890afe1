"""What a search's numbers cannot hold of the data: `lost_in`.

Owns: the comparison of X and y with the spacing and the range of half, single and double precision.  Does not own: how
the user is told (`regressor`).

PySR calculates in single precision unless told otherwise.  An offset that is large beside what varies leaves nothing of
it, numbers beyond the range become infinite, and products and squared errors of very small or very large ones vanish or
overflow: then all members look alike, or a constant looks like an answer.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pysr_neural.operators import Array

TYPES: dict[int, type[np.floating]] = {16: np.float16, 32: np.float32, 64: np.float64}
"""PySR's ``precision`` → its numbers."""
LOST = 2.0**-11.5
"""Rounding beyond this share of the deviation leaves more unexplained than counts as solved, 2^-23 of the variance."""
SAME = 4 * np.finfo(np.float64).eps
"""Deviation, relative to the size, up to which values differ by rounding only."""


def lost_in(precision: int, X: npt.ArrayLike, y: npt.ArrayLike) -> tuple[str, ...]:
    """Say what of the data numbers of a precision cannot hold, each with its cure; nothing where they can.

    Parameters
    ----------
    precision : int
        16, 32 or 64, as in PySR.
    X : array, shape (rows, features)
    y : array, shape (rows,) or (rows, outputs)
        What is not real and finite is left out: others refuse it.
    """
    kind = TYPES.get(precision)
    if kind is None:
        return ()
    several = np.ndim(_real(y)) > 1
    columns = [(f"X[:, {i}]", column, "products") for i, column in _columns(X)]
    columns += [(f"y[:, {i}]" if several else "y", column, "squared errors") for i, column in _columns(y)]
    found = []
    for name, values, powers in columns:
        for fault, cure in _faults(values, kind, powers):
            found.append(f"{name} {fault} " + (f"Set precision=64, or {cure} it." if precision < 64 else "Scale it."))
    return tuple(found)


def _faults(values: Array, kind: type[np.floating], powers: str) -> Iterator[tuple[str, str]]:
    """Yield the first thing that is wrong with one column, and what to do with it."""
    limits, size = np.finfo(kind), float(np.max(np.abs(values)))
    if not size:
        return
    deviation = float(np.std(values / size)) * size
    if deviation <= SAME * size:
        deviation = 0.0
    bits = f"{limits.bits}-bit numbers"
    if size > float(limits.max):
        yield f"holds values up to {size:.1e}, which {bits} turn into infinity.", "scale"
    elif deviation and _rounding(values, kind) > LOST * deviation:
        apart = float(np.spacing(kind(size)))
        yield f"varies by {deviation:.1e} about {size:.1e}, where {bits} are {apart:.1e} apart.", "shift or scale"
    elif size > np.sqrt(float(limits.max)):
        yield f"is of the size {size:.1e}: {powers} of it overflow in {bits}.", "scale"
    elif (small := deviation or size) < _least(limits, powers):
        yield f"is of the size {small:.1e}: {powers} of it vanish in {bits}.", "scale"


def _least(limits: np.finfo, powers: str) -> float:  # type: ignore[type-arg]
    """Return the size below which squares vanish; errors are to be told apart to their last digit."""
    tiny = float(limits.tiny)
    return float(np.sqrt(tiny if powers == "products" else tiny / float(limits.eps)))


def _rounding(values: Array, kind: type[np.floating]) -> float:
    """Return what rounding to some numbers changes, root mean square."""
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.mean(np.square(values - values.astype(kind).astype(np.float64)))))


def _real(values: npt.ArrayLike) -> np.ndarray:  # type: ignore[type-arg]
    """Return data as an array; an empty one if it is no array of real numbers."""
    try:
        array = np.asarray(values)
    except ValueError:  # ragged: PySR's own check names it
        array = np.zeros(0)
    return array if array.dtype.kind in "fiu" and array.size else np.zeros(0)


def _columns(values: npt.ArrayLike) -> Iterator[tuple[int, Array]]:
    """Yield the finite values of each column, and its number."""
    array = _real(values)
    for i, column in enumerate(array.reshape(len(array), -1).T if array.size else ()):
        numbers = column.astype(np.float64)
        finite = numbers[np.isfinite(numbers)]
        if finite.size:
            yield i, finite
