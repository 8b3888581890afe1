"""What a search is given, with the names that people use.

Owns: `Measurements`.  Does not own: where they come from (`tables`, `judging`), what is made of them (`outcome`).
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from pysr_neural.operators import Array

DECADES = 2.0
"""Values above 0 that span more powers of ten than this are best shown logarithmic."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Measurements:
    """Columns of numbers: some to explain one other.

    Parameters
    ----------
    X : array, shape (rows, features)
    y : array, shape (rows,)
    features : tuple of str
        Names of the columns in expressions.
    labels : tuple of str
        The same for axes, with units.
    target, target_label : str
    logarithmic : tuple of str
        Which of the axes ``"x"`` and ``"y"`` are best shown logarithmic.
    """

    X: Array
    y: Array
    features: tuple[str, ...]
    labels: tuple[str, ...]
    target: str
    target_label: str
    logarithmic: tuple[str, ...] = ()

    def rows(self, chosen: npt.NDArray[np.intp]) -> Self:
        """Return some of the rows."""
        return replace(self, X=self.X[chosen], y=self.y[chosen])


def labelled(name: str, unit: str) -> str:
    """Return a name as an axis has it."""
    return f"{name} / {unit}" if unit else name


def spread_widely(values: Array) -> bool:
    """Tell whether values are all above 0 and span some powers of ten."""
    return bool(values.min() > 0 and np.log10(values.max()) - np.log10(values.min()) > DECADES)
