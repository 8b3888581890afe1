"""The training prior: over operator sets, expressions, constants and inputs.

Owns: the draws and their weights.  Does not own: which draws become problems (`generate`).

The draws behind the default values are fixed: the same generator gives the same problems from release to release, and
the held-out problems of `recovery` depend on that.  Other named choices are for datasets (`dataset`).
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural.expression.node import Node, apply, constant, variable
from pysr_neural.operators import Array, operator
from pysr_neural.problem import OperatorSet

BINARY_WEIGHTS = {"+": 1.0, "-": 0.7, "*": 1.2, "/": 0.7, "^": 0.15}
UNARY_WEIGHTS = {
    "sin": 0.8,
    "cos": 0.8,
    "exp": 0.8,
    "log": 0.6,
    "sqrt": 0.6,
    "square": 0.7,
    "cube": 0.3,
    "tanh": 0.25,
    "inv": 0.25,
    "neg": 0.25,
    "abs": 0.2,
    "tan": 0.15,
    "sinh": 0.05,
    "cosh": 0.05,
    "asin": 0.08,
    "acos": 0.05,
    "atan": 0.1,
    "log10": 0.05,
    "log2": 0.03,
    "log1p": 0.05,
    "sign": 0.02,
    "relu": 0.02,
}
RARE_WEIGHT = 0.1
"""Weight of an operator that only the user's own set can bring in."""
UNARY_NAMES = tuple(UNARY_WEIGHTS)
UNARY_RATES = np.array(list(UNARY_WEIGHTS.values()))
UNARY_COUNTS = (0, 1, 2, 3, 4, 5, 6, 8, 10)
UNARY_COUNT_SHARES = (0.15, 0.1, 0.15, 0.15, 0.15, 0.1, 0.1, 0.05, 0.05)
SMALL_CONSTANTS = (1.0, 2.0, 3.0, 4.0, 5.0, 0.5, -1.0, -2.0, 10.0)
SMALL_CONSTANT_SHARES = (0.2, 0.3, 0.15, 0.05, 0.05, 0.1, 0.08, 0.04, 0.03)
EXPONENTS = (2.0, 3.0, 0.5, -1.0, -2.0, 1.5, 4.0, -0.5)
SIZES = ("uniform", "by_variables")
WEIGHTS = ("users", "ten_to_one")
CONSTANTS = ("mixed", "rounded")
INPUTS = ("ranges", "clusters")
MOST_CLUSTERS = 10
_VARIABLES = tuple(variable(i) for i in range(32))
Value = TypeVar("Value")


@dataclass(frozen=True)
class ProblemPrior:
    """The prior over problems.

    Parameters
    ----------
    max_operators : int
        Most operators before simplification.
    max_size : int
        Largest expression after simplification, in nodes.
    feature_weights : tuple of float
        Weight of 1, 2, … features.
    constant_share : float
        Share of leaves that are constants.
    unary_share : float
        Chance of a unary operator where the set has one; not used with ``weights="ten_to_one"``.
    noise_share : float
        Share of problems with noise on y.
    rows, row_weights : tuple
        Numbers of points and their weights.
    distractor_share : float
        Chance that unused variables stay in the data.
    min_operators : int
        Fewest operators before simplification.
    noise_levels : tuple of float
        Standard deviations of the noise relative to that of y, each as likely as the others.
    operators : tuple of str
        The operator set of every problem; empty to draw one for each problem, as users choose them.
    sizes : {"uniform", "by_variables"}
        Number of operators: uniform from ``min_operators`` to ``max_operators``; or, for D variables, 0 to D + 3 binary
        and 0 to 4 unary ones, each uniform.
    weights : {"users", "ten_to_one"}
        Weights of operators: as users choose them; or 10 for each binary and 1 for each unary one.
    constants : {"mixed", "rounded"}
        Half small integers and half rounded normal numbers; ``"mixed"`` has a few fractions among the former, and
        log-uniform numbers among the latter.
    inputs : {"ranges", "clusters"}
        A range of its own for each variable; or up to ten clusters, normal or uniform, rotated together.  Widths are
        heavy-tailed in either case.

    Raises
    ------
    ConfigError
        If a name is unknown, a number is out of range, or no problem can be made of the operators.
    """

    max_operators: int = 7
    max_size: int = 25
    feature_weights: tuple[float, ...] = (0.24, 0.3, 0.2, 0.1, 0.07, 0.04, 0.02, 0.02, 0.01)
    constant_share: float = 0.22
    unary_share: float = 0.33
    noise_share: float = 0.2
    rows: tuple[int, ...] = (8, 16, 32, 64)
    row_weights: tuple[float, ...] = (0.05, 0.15, 0.35, 0.45)
    distractor_share: float = 0.3
    min_operators: int = 1
    noise_levels: tuple[float, ...] = (0.001, 0.01, 0.1)
    operators: tuple[str, ...] = ()
    sizes: str = "uniform"
    weights: str = "users"
    constants: str = "mixed"
    inputs: str = "ranges"

    def __post_init__(self) -> None:
        for name, known in (("sizes", SIZES), ("weights", WEIGHTS), ("constants", CONSTANTS), ("inputs", INPUTS)):
            given = getattr(self, name)
            if given not in known:
                raise ConfigError(f"{name} must be one of {known}; got {given!r}." + did_you_mean(str(given), known))
        for name in ("constant_share", "unary_share", "noise_share", "distractor_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie between 0 and 1; got {getattr(self, name)}.")
        if self.constant_share > 0.5:
            raise ConfigError(
                f"constant_share must be at most 0.5, or sums of constants arise; got {self.constant_share}."
            )
        if not 0 <= self.min_operators <= self.max_operators:
            raise ConfigError(
                f"Numbers of operators must hold 0 ≤ min ≤ max; got {self.min_operators} and {self.max_operators}."
            )
        _check_numbers(self)
        if self.operators:
            _check_operators(self.operators)


def _check_numbers(prior: ProblemPrior) -> None:
    if len(prior.rows) != len(prior.row_weights) or min(prior.rows, default=0) < 2:
        raise ConfigError(
            "rows must be numbers of points, each at least 2, with as many row_weights; "
            f"got {list(prior.rows)} and {list(prior.row_weights)}."
        )
    if min(prior.noise_levels, default=-1) < 0:
        raise ConfigError(f"noise_levels must be at least one number, none negative; got {list(prior.noise_levels)}.")
    for name in ("feature_weights", "row_weights"):
        weights = getattr(prior, name)
        if not weights or min(weights) < 0 or not 0 < sum(weights) < float("inf"):
            raise ConfigError(f"{name} must hold weights of at least 0, not all of them 0; got {list(weights)}.")


def _check_operators(names: Sequence[str]) -> None:
    OperatorSet.of(*names)
    if not any(row.arity == 2 and row.name != "^" for row in map(operator, names)):
        raise ConfigError(
            "An operator set must hold one of + - * / max min, or nothing joins two variables (^ takes numbers as "
            f"exponents); got {', '.join(names)}."
        )


PRIORS: Mapping[str, ProblemPrior] = MappingProxyType(
    {
        "small": ProblemPrior(),
        "wide": ProblemPrior(min_operators=0, max_operators=17, max_size=35, weights="ten_to_one", constants="rounded"),
        "clusters": ProblemPrior(sizes="by_variables", max_size=35, inputs="clusters"),
    }
)
"""Priors by name: that of the shipped configurations; 0–17 operators with weights 10 : 1 for binary ones; numbers of
operators by the number of variables, and inputs from clusters."""


def pick(values: Sequence[Value], shares: Sequence[float], rng: np.random.Generator) -> Value:
    """Draw one of a few values; several times as fast as NumPy's ``choice``."""
    point = rng.random() * sum(shares)
    for value, share in zip(values, shares, strict=True):
        point -= share
        if point < 0:
            return value
    return values[-1]


def sample_operators(rng: np.random.Generator) -> OperatorSet:
    """Draw an operator set such as users choose: mostly the four arithmetic ones, and some unary operators."""
    drawn = rng.random(len(BINARY_WEIGHTS)).tolist()
    binary = [
        name
        for (name, weight), point in zip(BINARY_WEIGHTS.items(), drawn, strict=True)
        if point < (0.92 if weight >= 0.7 else 0.25)
    ]
    if "+" not in binary and "*" not in binary:
        binary += ["+", "*"]
    # The first to arrive, each at a rate of its weight: a weighted draw without replacement.
    arrivals = rng.standard_exponential(len(UNARY_NAMES)) / UNARY_RATES
    count = pick(UNARY_COUNTS, UNARY_COUNT_SHARES, rng)
    unary = [UNARY_NAMES[i] for i in arrivals.argsort().tolist()[:count]]
    return OperatorSet((*unary, *binary), (1,) * count + (2,) * len(binary))


def sample_tree(prior: ProblemPrior, operators: OperatorSet, features: int, rng: np.random.Generator) -> Node:
    """Draw an expression over an operator set."""
    grow = _Grower(prior, operators, features, rng)
    if prior.sizes == "by_variables":
        return grow.with_unary(int(rng.integers(features + 4)), int(rng.integers(5)))
    return grow.tree(prior.min_operators + int(rng.integers(prior.max_operators - prior.min_operators + 1)), False)


class _Grower:
    """Grows trees; weights are summed once, and numbers of one possible value are not drawn."""

    def __init__(self, prior: ProblemPrior, operators: OperatorSet, features: int, rng: np.random.Generator) -> None:
        self.unary, self.binary = operators.of_arity(1), operators.of_arity(2)
        if prior.weights == "users":
            self.unary_sums = list(accumulate([UNARY_WEIGHTS.get(name, RARE_WEIGHT) for name in self.unary]))
            self.binary_sums = list(accumulate([BINARY_WEIGHTS.get(name, RARE_WEIGHT) for name in self.binary]))
            self.unary_share = prior.unary_share if self.unary else 0.0
        else:
            self.unary_sums = list(accumulate([1.0] * len(self.unary)))
            self.binary_sums = list(accumulate([10.0] * len(self.binary)))
            self.unary_share = len(self.unary) / (len(self.unary) + 10 * len(self.binary))
        self.constant_chance = prior.constant_share / (1 - prior.constant_share)
        self.constants, self.features = prior.constants, features
        self.rng, self.random, self.integers = rng, rng.random, rng.integers

    def tree(self, count: int, may_be_constant: bool) -> Node:
        """Grow a tree of so many operators."""
        if count == 0:
            return self.leaf(may_be_constant)
        if self.unary_share and self.random() < self.unary_share:
            return apply(self.unary_name(), self.tree(count - 1, False))
        name = self.binary[bisect_left(self.binary_sums, self.random() * self.binary_sums[-1])]
        if name == "^":
            return apply(name, self.tree(count - 1, False), constant(EXPONENTS[int(self.integers(len(EXPONENTS)))]))
        left = int(self.integers(count)) if count > 1 else 0
        first = self.tree(left, True)
        return apply(name, first, self.tree(count - 1 - left, first.value is None))

    def with_unary(self, binary: int, unary: int) -> Node:
        """Grow a tree of binary operators, then put unary ones at random places."""
        self.unary_share = 0.0
        grown = self.tree(binary, False)
        for _ in range(unary if self.unary else 0):
            position = int(self.integers(grown.size))
            grown = grown.replace(position, apply(self.unary_name(), grown.at(position)))
        return grown

    def unary_name(self) -> str:
        return self.unary[bisect_left(self.unary_sums, self.random() * self.unary_sums[-1])]

    def leaf(self, may_be_constant: bool) -> Node:
        if may_be_constant and self.random() < self.constant_chance:
            return constant(sample_constant(self.rng, self.constants))
        return _VARIABLES[int(self.integers(self.features)) if self.features > 1 else 0]


def sample_constant(rng: np.random.Generator, kind: str) -> float:
    """Draw a constant: half small integers, half rounded normal or (``"mixed"``) log-uniform numbers."""
    point = rng.random()
    if kind == "rounded":
        return float(rng.integers(1, 11)) if point < 0.5 else round(rng.normal(0, 5), 2) or 1.0
    if point < 0.5:
        return pick(SMALL_CONSTANTS, SMALL_CONSTANT_SHARES, rng)
    if point < 0.85:
        return round(rng.normal(0, 3), 2) or 1.0
    sign = 1.0 if rng.random() < 0.5 else -1.0
    return float(f"{sign * 10 ** rng.uniform(-2, 3):.3g}")


def sample_inputs(rows: int, features: int, rng: np.random.Generator, kind: str = "ranges") -> Array:
    """Draw inputs of shape (rows, features); each feature has a heavy-tailed range of its own."""
    if kind == "clusters":
        return _clusters(rows, features, rng)
    X = np.empty((rows, features))
    for feature in range(features):
        width = 10 ** rng.normal(0.3, 0.4)
        shape = rng.random()
        if shape < 0.4:
            X[:, feature] = rng.uniform(-width, width, rows)
        elif shape < 0.7:
            low = width * pick((0.0, 0.1, 0.5), (1.0, 1.0, 1.0), rng)
            X[:, feature] = rng.uniform(low, low + width, rows)
        elif shape < 0.85:
            X[:, feature] = rng.normal(rng.normal(0, width / 2), width / 2, rows)
        else:
            X[:, feature] = 10 ** rng.uniform(-1, 1, rows) * width / 3
    return X


def _clusters(rows: int, features: int, rng: np.random.Generator) -> Array:
    """Draw from clusters, normal or uniform; rotate and whiten all, then give each feature a range of its own."""
    count = 1 + int(rng.integers(MOST_CLUSTERS))
    sizes = rng.standard_exponential(count)
    member = np.minimum(np.searchsorted(np.cumsum(sizes), rng.random(rows) * sizes.sum()), count - 1)
    scales = 10 ** rng.normal(-0.3, 0.3, (count, features))
    normal = rng.random(count) < 0.5
    points = np.where(
        normal[member, None], rng.standard_normal((rows, features)), rng.uniform(-1.7, 1.7, (rows, features))
    )
    points = rng.normal(0, 1, (count, features))[member] + scales[member] * points
    rotation, _ = np.linalg.qr(rng.standard_normal((features, features)))
    points = points @ rotation
    points = (points - points.mean(axis=0)) / np.maximum(points.std(axis=0), 1e-9)
    widths = 10 ** rng.normal(0.1, 0.4, features)
    return widths * (points + rng.choice((0.0, 2.0, 4.0), features))
