"""What a search is about: the operator set, the limits, and the data.

Owns: `OperatorSet`, `Limits`, `Problem` and the checks of user data.  Does not own: any engine's parameters.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pysr_neural.checks import number, whole
from pysr_neural.errors import ConfigError, DataError
from pysr_neural.operators import OPERATORS, Array, operator

MOST_PER_SIZE = 4
"""Nodes per unit of size that are reckoned with, where nodes may count less, or nothing."""


@dataclass(frozen=True)
class OperatorSet:
    """The operators of one search, in the order that the wire format numbers them.

    The order is SymbolicRegression.jl's: all unary operators as listed by the search, then all binary ones, and so on.
    A name that the operator table does not know is kept: it travels on the wire, and the model sees a generic token.

    Parameters
    ----------
    names : tuple of str
    arities : tuple of int
        One per name, ascending.
    """

    names: tuple[str, ...]
    arities: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.arities):
            raise ConfigError(
                f"Each operator needs an arity; got {len(self.names)} names, {len(self.arities)} arities."
            )
        arities = self.arities
        if arities and (list(arities) != sorted(arities) or arities[0] < 1 or arities[-1] > 3):
            raise ConfigError(f"Arities must ascend and lie in 1..3; got {self.arities}.")
        if len(set(zip(self.names, self.arities, strict=True))) != len(self.names):
            raise ConfigError(f"Operators must not repeat; got {self.names}.")

    @classmethod
    def of(cls, *names: str) -> "OperatorSet":
        """Build the set from names of the operator table, in any order.

        Raises
        ------
        ConfigError
            If the table lacks one.
        """
        rows = [operator(name) for name in names]
        rows.sort(key=lambda row: row.arity)
        return cls(tuple(row.name for row in rows), tuple(row.arity for row in rows))

    @cached_property
    def index(self) -> dict[tuple[str, int], int]:
        """Position of each (name, arity)."""
        return {key: i for i, key in enumerate(zip(self.names, self.arities, strict=True))}

    def of_arity(self, arity: int) -> tuple[str, ...]:
        """Return the names of one arity."""
        return self.names[bisect_left(self.arities, arity) : bisect_right(self.arities, arity)]

    @property
    def evaluable(self) -> bool:
        """Whether the operator table can evaluate every member of the set."""
        return all(
            OPERATORS.get(n) is not None and OPERATORS[n].arity == a
            for n, a in zip(self.names, self.arities, strict=True)
        )


@dataclass(frozen=True)
class Complexities:
    """What nodes count towards sizes, where not each counts 1; a tree's complexity is the sum, rounded.

    Parameters
    ----------
    constant : float
    variables : tuple of float
        One per feature.
    operators : tuple of float
        One per operator, in the set's order.

    Raises
    ------
    ConfigError
        If one is negative or not finite.
    """

    constant: float
    variables: tuple[float, ...]
    operators: tuple[float, ...]

    def __post_init__(self) -> None:
        for value in (self.constant, *self.variables, *self.operators):
            number("A complexity", value, least=0)

    @property
    def cheapest(self) -> float:
        """The least that a node counts."""
        return min(self.constant, *self.variables, *self.operators)


@dataclass(frozen=True)
class Limits:
    """Structural limits of a search.

    Parameters
    ----------
    max_size : int
        Largest size of a tree: its number of nodes, or its complexity.
    max_depth : int
        Longest path; a leaf has depth 1.
    nested : tuple of (int, int, int)
        ``(outer, inner, count)``: below operator ``outer``, at most ``count`` operators ``inner`` on any path; both are
        positions in the operator set.
    arguments : tuple of (int, int, int)
        ``(operator, argument, size)``: that argument of an operator has at most this size; arguments count from 0.
    constants : bool
        Whether there may be any constants.
    complexities : Complexities, optional
        By which sizes count, of trees and of arguments; without them, nodes are counted.
    """

    max_size: int = 30
    max_depth: int = 30
    nested: tuple[tuple[int, int, int], ...] = ()
    arguments: tuple[tuple[int, int, int], ...] = ()
    constants: bool = True
    complexities: Complexities | None = None

    def __post_init__(self) -> None:
        for name in ("max_size", "max_depth"):
            object.__setattr__(self, name, whole(name, getattr(self, name), 1))

    def most_nodes(self, max_size: int | None = None) -> int:
        """Return a bound on the number of nodes of a tree.

        Parameters
        ----------
        max_size : int, optional
            Current size limit, if tighter.
        """
        size = min(max_size or self.max_size, self.max_size)
        if self.complexities is None:
            return size
        cheapest = max(self.complexities.cheapest, 1 / MOST_PER_SIZE)
        return max(int((size + 0.5) / cheapest), 1)


@dataclass(frozen=True, eq=False)
class Problem:
    """Data and language of one search.

    Parameters
    ----------
    X : array, shape (rows, features)
        Finite.
    y : array, shape (rows,)
        Finite.
    operators : OperatorSet
    limits : Limits, optional
    name : str, optional
    variable_names : tuple of str, optional

    Raises
    ------
    DataError
        If shapes differ, there are no rows, or a value is not finite.
    """

    X: Array
    y: Array
    operators: OperatorSet
    limits: Limits = field(default_factory=Limits)
    name: str = "problem"
    variable_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        X, y = check_data(self.X, self.y)
        object.__setattr__(self, "X", X)
        object.__setattr__(self, "y", y)


def check_data(X: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Array, Array]:
    """Convert data to float64 and check that a search can use it.

    Returns
    -------
    X : array, shape (rows, features)
    y : array, shape (rows,)

    Raises
    ------
    DataError
        With what must hold, what was got, and how to fix it.
    """
    X, y = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if X.ndim != 2:
        raise DataError(f"X must have two dimensions, (rows, features); got shape {X.shape}. Try X.reshape(-1, 1).")
    if y.ndim != 1 or len(y) != len(X):
        raise DataError(f"y must have one value per row of X; got y of shape {y.shape} for {len(X)} rows.")
    if X.size == 0:
        raise DataError(f"X must have at least one row and one feature; got shape {X.shape}.")
    for label, values in (("X", X), ("y", y)):
        finite = np.isfinite(values)
        if not finite.all():
            bad = np.argwhere(~finite)
            where = ", ".join(map(str, bad[0]))
            raise DataError(
                f"{label} must be finite; got {len(bad)} NaN or infinite value(s), the first at "
                f"[{where}]. Drop or impute these rows."
            )
    return X, y
