"""Curves on a grid of constants, beside parts: what each pair leaves of a target.

Owns: `Grid`, in one product for all pairs.  Does not own: which curves and parts (`curve_search`), fits of constants.
"""

import numpy as np
import numpy.typing as npt

from pysr_neural.operators import Array
from pysr_neural.proposer.joins.sums import Floats


class Grid:
    """Curves on a grid, orthogonal to a constant, and what they share with parts."""

    def __init__(self, columns: Array, level: Array, partners: Floats) -> None:
        dtype = partners.dtype
        columns = columns - (columns @ level)[..., None] * level
        first, second = columns[:, 0], columns[:, 1]
        first, usable = normal(first)
        second = second - np.einsum("ij,ij->i", first, second)[:, None] * first
        second, _ = normal(second)
        self.first, self.second, self.usable = first.astype(dtype), second.astype(dtype), usable
        self.partners = partners
        self.one, self.two = self.first @ partners.T, self.second @ partners.T
        free = 1 - self.one * self.one - self.two * self.two
        self.inverse = np.where(free > 1e-4, 1 / np.where(free > 1e-4, free, 1), 0).astype(dtype)

    def left(self, v: Array, prices: Floats) -> tuple[Floats, Floats]:
        """Return what each curve leaves beside each part, times that one's price, and what it leaves alone."""
        v = v.astype(self.first.dtype)
        one, two, along = self.first @ v, self.second @ v, self.partners @ v
        rest = along - self.one * one[:, None]
        rest -= self.two * two[:, None]
        np.square(rest, out=rest)
        rest *= self.inverse
        alone = 1 - one * one - two * two
        rest = np.maximum(alone[:, None] - rest, 1e-7)
        rest *= prices
        rest[~self.usable] = np.inf
        return rest, np.where(self.usable, np.maximum(alone, 1e-7), np.inf)


def normal(columns: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Scale columns, shape (columns, rows), to norm 1; returns zeros and False for those without one."""
    norms = np.sqrt(np.einsum("ij,ij->i", columns, columns))
    usable = np.isfinite(norms) & (norms > 1e-7)
    return np.where(usable[:, None], columns / np.where(usable, norms, 1)[:, None], 0.0), usable
