"""Random problems: expressions from a prior, and data to go with them.

Owns: the training prior over operator sets, expressions, constants and inputs.  Does not own: model input (`examples`).

Train and held-out problems are told apart by the canonical skeleton of the expression, never by example: no held-out
problem, and none of the benchmark suites, shares an expression with training, whatever the seeds and the variables'
names.  Streams depend on (seed, name, shard).
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pysr_neural.expression.canonical import UNDEFINED, canonical
from pysr_neural.expression.evaluate import IEEE, evaluate
from pysr_neural.expression.node import Node, apply, constant, variable
from pysr_neural.expression.simplify import simplify
from pysr_neural.operators import Array
from pysr_neural.problem import Limits, OperatorSet, Problem

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
UNARY_NAMES = tuple(UNARY_WEIGHTS)
UNARY_RATES = np.array(list(UNARY_WEIGHTS.values()))
UNARY_COUNTS = (0, 1, 2, 3, 4, 5, 6, 8, 10)
UNARY_COUNT_SHARES = (0.15, 0.1, 0.15, 0.15, 0.15, 0.1, 0.1, 0.05, 0.05)
SMALL_CONSTANTS = (1.0, 2.0, 3.0, 4.0, 5.0, 0.5, -1.0, -2.0, 10.0)
SMALL_CONSTANT_SHARES = (0.2, 0.3, 0.15, 0.05, 0.05, 0.1, 0.08, 0.04, 0.03)
EXPONENTS = (2.0, 3.0, 0.5, -1.0, -2.0, 1.5, 4.0, -0.5)
Value = TypeVar("Value")
HELD_OUT_SHARE = 0.05
INVISIBLE = 1e-7
CHECKED_ROWS = 32
SUITE_KEYS = Path(__file__).parent / "suite_keys.txt"
"""Split keys of the benchmark suites; written by ``python -m pysr_neural_benchmarks.suite``."""
_BLOCK = re.compile(r"\^-?[\d.]+|\^C|[a-z]\w*|C|[+*]")
_POWER = re.compile(r"x\d+(?:\^(-?[\d.]+))?")
_EXPONENT = re.compile(r"\^-?[\d.]+")
_VARIABLE = re.compile(r"x\d+")


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
        Chance of a unary operator where the set has one.
    noise_share : float
        Share of problems with noise on y.
    rows, row_weights : tuple
        Numbers of points and their weights.
    distractor_share : float
        Chance that unused variables stay in the data.
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


@dataclass(frozen=True)
class GeneratedProblem:
    """A problem whose answer is known.

    Parameters
    ----------
    problem : Problem
    tree : Node
        The expression behind y, simplified.
    noise : float
        Standard deviation of the noise relative to that of y.
    """

    problem: Problem
    tree: Node
    noise: float = 0.0


@dataclass
class Sampler:
    """Draws problems from the prior.

    Parameters
    ----------
    prior : ProblemPrior
    rng : numpy.random.Generator
    held_out : bool
        Whether to draw held-out problems only, or training problems only.
    """

    prior: ProblemPrior
    rng: np.random.Generator
    held_out: bool = False
    rejected: dict[str, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[GeneratedProblem]:
        """Yield problems without end."""
        while True:
            found = self.attempt()
            if isinstance(found, GeneratedProblem):
                yield found
            else:
                self.rejected[found] = self.rejected.get(found, 0) + 1

    def attempt(self) -> GeneratedProblem | str:
        """Draw once; returns the problem, or why it was rejected."""
        operators = sample_operators(self.rng)
        weights = self.prior.feature_weights
        features = pick(range(1, len(weights) + 1), weights, self.rng)
        tree = simplify(sample_tree(self.prior, operators, features, self.rng))
        if tree.size > self.prior.max_size or not tree.variables():
            return "size"
        if any((node.operator, len(node.children)) not in operators.index for node in tree if node.operator):
            return "operators"
        skeleton = canonical(tree)
        if skeleton == UNDEFINED:
            return "undefined"
        if is_redundant(tree, skeleton):
            return "redundant"
        key = split_key(skeleton)
        if not (is_held_out(key) if self.held_out else in_training(key)):
            return "split"
        if self.rng.random() >= self.prior.distractor_share:
            tree, features = _used_variables_only(tree)
        return self._with_data(tree, features, operators)

    def _with_data(self, tree: Node, features: int, operators: OperatorSet) -> GeneratedProblem | str:
        rows = pick(self.prior.rows, self.prior.row_weights, self.rng)
        for _ in range(2):
            X = sample_inputs(rows, features, self.rng)
            y = evaluate(tree, X)
            scale = float(np.abs(y).max()) if np.all(np.isfinite(y)) else np.inf
            if 1e-6 < scale < 1e7 and float(np.std(y)) > 1e-4 * scale:
                if is_reducible(tree, X, y):
                    return "reducible"
                noise = 0.0
                if self.rng.random() < self.prior.noise_share:
                    noise = pick((0.001, 0.01, 0.1), (1.0, 1.0, 1.0), self.rng)
                    y = y + noise * float(np.std(y)) * self.rng.standard_normal(rows)
                problem = Problem(X, y, operators, Limits(max_size=self.prior.max_size))
                return GeneratedProblem(problem, tree, noise)
        return "values"


def split_key(skeleton: str) -> str:
    """Return what decides on which side of the split an expression is.

    Depends on nothing but the building blocks of its canonical skeleton, not counting which variable is which, signs
    and order: expressions that differ in the names of variables only have the same key.

    Parameters
    ----------
    skeleton : str
        From `expression.canonical.canonical`.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    return hashlib.sha256(" ".join(blocks_of(skeleton)).encode()).hexdigest()[:16]


def blocks_of(skeleton: str) -> tuple[str, ...]:
    """Return the sorted building blocks of a canonical skeleton, every variable being ``x``."""
    return tuple(sorted("x" if _VARIABLE.fullmatch(block) else block for block in _BLOCK.findall(skeleton)))


@cache
def _suite_keys() -> frozenset[str]:
    return frozenset(SUITE_KEYS.read_text().split())


def in_training(key: str) -> bool:
    """Tell whether expressions of a key may be trained on: those of neither suites nor the held-out share."""
    return key not in _suite_keys() and not is_held_out(key)


def is_held_out(key: str) -> bool:
    """Tell whether expressions of a key belong to the held-out random problems."""
    return int(key[:8], 16) < HELD_OUT_SHARE * 0x1_0000_0000 and key not in _suite_keys()


def sample_operators(rng: np.random.Generator) -> OperatorSet:
    """Draw an operator set such as users choose: mostly the four arithmetic ones, and some unary operators."""
    drawn = rng.random(len(BINARY_WEIGHTS))
    binary = [
        name
        for (name, weight), point in zip(BINARY_WEIGHTS.items(), drawn, strict=True)
        if point < (0.92 if weight >= 0.7 else 0.25)
    ]
    if not {"+", "*"} & set(binary):
        binary += ["+", "*"]
    # The first to arrive, each at a rate of its weight: a weighted draw without replacement.
    arrivals = rng.standard_exponential(len(UNARY_NAMES)) / UNARY_RATES
    unary = [UNARY_NAMES[i] for i in np.argsort(arrivals)[: pick(UNARY_COUNTS, UNARY_COUNT_SHARES, rng)]]
    return OperatorSet.of(*unary, *binary)


def pick(values: Sequence[Value], shares: Sequence[float], rng: np.random.Generator) -> Value:
    """Draw one of a few values; several times as fast as NumPy's ``choice``."""
    point = rng.random() * sum(shares)
    for value, share in zip(values, shares, strict=True):
        point -= share
        if point < 0:
            return value
    return values[-1]


def sample_tree(prior: ProblemPrior, operators: OperatorSet, features: int, rng: np.random.Generator) -> Node:
    """Draw an expression over an operator set."""
    unary, binary = operators.of_arity(1), operators.of_arity(2)
    unary_weights = np.array([UNARY_WEIGHTS[name] for name in unary])
    binary_weights = np.array([BINARY_WEIGHTS[name] for name in binary])
    unary_sums, binary_sums = np.cumsum(unary_weights), np.cumsum(binary_weights)

    def leaf(may_be_constant: bool) -> Node:
        if may_be_constant and rng.random() < prior.constant_share / (1 - prior.constant_share):
            return constant(sample_constant(rng))
        return variable(int(rng.integers(features)))

    def grow(count: int, may_be_constant: bool) -> Node:
        if count == 0:
            return leaf(may_be_constant)
        if unary and rng.random() < prior.unary_share:
            name = unary[int(np.searchsorted(unary_sums, rng.random() * unary_sums[-1]))]
            return apply(name, grow(count - 1, False))
        name = binary[int(np.searchsorted(binary_sums, rng.random() * binary_sums[-1]))]
        if name == "^":
            return apply(name, grow(count - 1, False), constant(EXPONENTS[int(rng.integers(len(EXPONENTS)))]))
        left = int(rng.integers(count))
        first = grow(left, True)
        return apply(name, first, grow(count - 1 - left, first.value is None))

    return grow(1 + int(rng.integers(prior.max_operators)), False)


def sample_constant(rng: np.random.Generator) -> float:
    """Draw a constant: half small integers, half rounded normal or log-uniform numbers."""
    kind = rng.random()
    if kind < 0.5:
        return pick(SMALL_CONSTANTS, SMALL_CONSTANT_SHARES, rng)
    if kind < 0.85:
        return round(rng.normal(0, 3), 2) or 1.0
    sign = 1.0 if rng.random() < 0.5 else -1.0
    return float(f"{sign * 10 ** rng.uniform(-2, 3):.3g}")


def sample_inputs(rows: int, features: int, rng: np.random.Generator) -> Array:
    """Draw inputs of shape (rows, features); each feature has a heavy-tailed range of its own."""
    columns = []
    for _ in range(features):
        width = 10 ** rng.normal(0.3, 0.4)
        kind = rng.random()
        if kind < 0.4:
            columns.append(rng.uniform(-width, width, rows))
        elif kind < 0.7:
            low = width * pick((0.0, 0.1, 0.5), (1.0, 1.0, 1.0), rng)
            columns.append(rng.uniform(low, low + width, rows))
        elif kind < 0.85:
            columns.append(rng.normal(rng.normal(0, width / 2), width / 2, rows))
        else:
            columns.append(10 ** rng.uniform(-1, 1, rows) * width / 3)
    return np.stack(columns, axis=1)


def is_redundant(tree: Node, skeleton: str) -> bool:
    """Tell whether an expression uses a variable or a constant more often than its canonical skeleton needs to.

    Parameters
    ----------
    tree : Node
    skeleton : str
        From `expression.canonical.canonical`.
    """
    leaves = [node for node in tree if not node.children]
    variables = sum(leaf.index is not None for leaf in leaves)
    powers = _POWER.findall(skeleton)
    needed = sum(max(1.0, abs(float(power))) if power else 1.0 for power in powers)
    constants = skeleton.count("C") + len(_EXPONENT.findall(skeleton))
    return variables > needed or len(leaves) - variables > constants


def is_reducible(tree: Node, X: Array, y: Array) -> bool:
    """Tell whether a part of an expression makes no difference to the data, so that nobody could find it.

    A part makes no difference if its mean, or one of its arguments alone, in its place leaves a fraction of variance
    unexplained of at most `INVISIBLE`.

    Parameters
    ----------
    tree : Node
    X : array, shape (rows, features)
    y : array, shape (rows,)
        The expression's values.
    """
    columns, y = np.ascontiguousarray(X[:CHECKED_ROWS].T), y[:CHECKED_ROWS]
    offset = y - y.mean()
    allowed = INVISIBLE * float(offset @ offset or y @ y)

    def values(node: Node) -> Any:
        if node.index is not None:
            return columns[node.index]
        return np.float64(node.value) if node.operator is None else IEEE[node.operator](*map(values, node.children))

    def is_invisible(node: Node, path: list[tuple[Callable[..., Any], list[Any], int]]) -> bool:
        """Tell whether this part, or one below it, makes no difference; the path leads up to the root."""
        if node.operator is None:
            return False
        arguments = list(map(values, node.children))
        function = IEEE[node.operator]
        for simpler in (np.mean(function(*arguments)), *arguments):
            found = simpler
            for above, others, place in reversed(path):
                found = above(*others[:place], found, *others[place + 1 :])
            difference = found - y
            if float(np.vdot(difference, difference)) <= allowed:
                return True
        return any(
            is_invisible(child, [*path, (function, arguments, place)]) for place, child in enumerate(node.children)
        )

    with np.errstate(all="ignore"):
        return is_invisible(tree, [])


def _used_variables_only(tree: Node) -> tuple[Node, int]:
    new_index = {old: new for new, old in enumerate(sorted(tree.variables()))}

    def rename(node: Node) -> Node:
        if node.index is not None:
            return variable(new_index[node.index])
        return Node(node.operator, tuple(map(rename, node.children))) if node.children else node

    return rename(tree), len(new_index)
