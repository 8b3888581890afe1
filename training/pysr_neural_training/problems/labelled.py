"""Enumerated parts of many problems with the labels: does a part belong to the answer, in any way of writing it?

Owns: `Pool`, parts of one language on some rows; problems drawn for it; labels.  Does not own: the prior (`priors`),
what is true about an expression (`truths`), what is learned from labels.

One enumeration serves many problems: each label is then a look-up.  A part counts as one of the answer if its values
are those of a subexpression, or of a sum or product of some of its terms, up to a factor and a constant.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pysr_neural.expression.canonical import UNDEFINED, canonical
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node, variable
from pysr_neural.expression.simplify import simplify
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.parts import Parts, values_of
from pysr_neural_training.problems.identify import is_reducible, leaves_of, says_twice
from pysr_neural_training.problems.priors import ProblemPrior, pick, sample_inputs, sample_operators, sample_tree
from pysr_neural_training.problems.split import in_training, is_held_out, split_key
from pysr_neural_training.problems.truths import all_parts, in_arithmetic

USUAL = ("+", "-", "*", "/", "sin", "cos", "exp", "log", "sqrt")
FEATURES = (0.3, 0.3, 0.25, 0.08, 0.04, 0.03)
WIDE_SHARE = 0.4
"""Variables whose range is as wide as those of automatic benchmarks."""
EXPRESSIONS = ProblemPrior(min_operators=3, max_operators=13, max_size=30, constant_share=0.12)
PATIENCE, HELD_OUT_PATIENCE = 30, 200
"""Draws of a pool for each problem that is wanted."""
MOST_SHARED = 3
"""Most small parts that stand in for variables when an expression is drawn."""
_DIGITS, _LEAST_NORM = 1e8, 1e-6

Key = tuple[int, ...]
"""Equal for parts that are the same up to a factor and a constant."""


@dataclass(frozen=True)
class LabelledPrior:
    """Which problems are labelled.

    Parameters
    ----------
    listed : int
        Enumerated parts.
    rows : int
    min_size, max_size : int
        Of an answer, in nodes.
    held_out : bool
    problems : ProblemPrior, optional
        Of expressions.
    """

    listed: int = 10_000
    rows: int = 96
    min_size: int = 8
    max_size: int = 30
    held_out: bool = False
    problems: ProblemPrior = EXPRESSIONS


class Labelled(NamedTuple):
    """A problem, and which of its pool's parts belong to the answer.

    Parameters
    ----------
    tree : Node
    y : array, shape (rows,)
    true : array of int
        Parts, by their place among the listed ones.
    truths : int
        Distinct parts of the answer, listed or not.
    small : int
        Those of at most 7 nodes.
    """

    tree: Node
    y: Array
    true: npt.NDArray[np.int64]
    truths: int
    small: int


class Pool:
    """Enumerated parts of one language on some rows.

    Parameters
    ----------
    prior : LabelledPrior
    rng : numpy.random.Generator

    Attributes
    ----------
    X : array, shape (rows, features)
    operators : OperatorSet
    parts : Parts
    listed : array of int
        None a variable, no two the same up to a factor and a constant.
    """

    def __init__(self, prior: LabelledPrior, rng: np.random.Generator) -> None:
        self.prior, self.rng = prior, rng
        features = pick(range(1, len(FEATURES) + 1), FEATURES, rng)
        self.operators = OperatorSet.of(*USUAL) if rng.random() < 0.6 else sample_operators(rng)
        if not {("+", 2), ("*", 2)} <= set(self.operators.index):
            self.operators = OperatorSet.of(*USUAL)
        self.X = inputs(prior.rows, features, rng)
        self.parts = Parts(self.X, self.operators, rng.permutation(features).tolist())
        with np.errstate(all="ignore"):
            found = distinct(self.parts, self.parts.enumerated(prior.listed), prior.rows)
            self._leaves = set(affine_keys(self.parts.columns))
        self.listed = np.array(list(found.values()), dtype=np.int64)
        self._place = {key: place for place, key in enumerate(found)}

    def attempt(self) -> Labelled | None:
        """Draw a problem; None if it is of no use."""
        tree = simplify(self._drawn())
        if not self.prior.min_size <= tree.size <= self.prior.max_size or not tree.variables():
            return None
        skeleton = canonical(tree)
        variables, constants = leaves_of(tree)
        if skeleton == UNDEFINED or says_twice(len(variables), constants, skeleton):
            return None
        key = split_key(skeleton)
        if not (is_held_out(key) if self.prior.held_out else in_training(key)):
            return None
        y = evaluate(tree, self.X)
        scale = float(np.abs(y).max())
        if not (1e-9 < scale < 1e12 and np.std(y) > 1e-4 * scale) or is_reducible(tree, self.X, y):
            return None
        return self._labelled(tree, y)

    def draw(self, count: int) -> Iterator[Labelled]:
        """Yield at most so many problems of which some parts are listed."""
        found = 0
        for _ in range((HELD_OUT_PATIENCE if self.prior.held_out else PATIENCE) * count):
            labelled = self.attempt()
            if labelled is not None and len(labelled.true):
                yield labelled
                found += 1
                if found == count:
                    return

    def _drawn(self) -> Node:
        """Draw an expression; small listed parts may stand in for some of its variables."""
        features, rng = self.X.shape[1], self.rng
        shared = int(rng.integers(MOST_SHARED + 1))
        tree = sample_tree(self.prior.problems, self.operators, features + shared, rng)
        few = self.listed[: max(1, min(len(self.listed), 40 * features))]
        chosen = [self.parts.tree(int(rng.choice(few))) for _ in range(shared)]
        return _with_parts(tree, features, chosen)

    def _labelled(self, tree: Node, y: Array) -> Labelled:
        whole_tree = in_arithmetic(tree)
        trees = [each for each in all_parts(whole_tree) if each.size < whole_tree.size]
        with np.errstate(all="ignore"):
            values = values_of(trees, self.X.T) if trees else np.empty((0, len(y)))
            usable = np.flatnonzero(np.isfinite(values).all(axis=1))
            values, trees = values[usable], [trees[k] for k in usable.tolist()]
            whole = affine_keys(y[None])[0]
            seen: dict[Key, int] = {}
            for each, key in zip(trees, affine_keys(values), strict=True):
                if key is not None and key != whole and key not in self._leaves:
                    seen[key] = min(seen.get(key, each.size), each.size)
        true = sorted(self._place[key] for key in seen if key in self._place)
        small = sum(size <= 7 for size in seen.values())
        return Labelled(tree, y, np.array(true, dtype=np.int64), len(seen), small)


def inputs(rows: int, features: int, rng: np.random.Generator) -> Array:
    """Draw inputs: the ranges of the prior, or those of automatic benchmarks, from narrow to thousands wide."""
    X = sample_inputs(rows, features, rng)
    for feature in range(features):
        if rng.random() < WIDE_SHARE:
            width = 10 ** rng.uniform(-0.5, 3)
            low = pick((-width, 0.0, 0.02 * width, 0.5 * width, -2 * width), (2, 4, 1, 1, 1), rng)
            high = -1e-3 * width if low < -width else width
            X[:, feature] = rng.uniform(low, high, rows)
    return X


def affine_keys(values: Array) -> list[Key | None]:
    """Return what is the same for rows that differ by a factor and a constant only; None for constant ones."""
    probe = np.random.default_rng(1).standard_normal((values.shape[1], 2))
    values = values / np.abs(values).max(axis=1)[:, None]
    values = values - values.mean(axis=1)[:, None]
    norms = np.sqrt(np.einsum("ij,ij->i", values, values))
    with np.errstate(all="ignore"):
        marks = values @ probe / norms[:, None]
    marks *= np.sign(marks[:, :1])
    usable = np.isfinite(marks).all(axis=1) & (norms > _LEAST_NORM)
    keys = np.rint(np.where(usable[:, None], marks, 0) * _DIGITS).astype(np.int64)
    return [tuple(key) if good else None for key, good in zip(keys.tolist(), usable.tolist(), strict=True)]


def distinct(parts: Parts, made: Sequence[int], rows: int) -> dict[Key, int]:
    """Return parts of which no two are the same up to a factor and a constant, and none a variable, by their key."""
    first: dict[Key, int] = {}
    for part, key in zip(made, affine_keys(parts.values[list(made)][:, :rows]), strict=True):
        if key is not None:
            first.setdefault(key, part)
    variables = set(affine_keys(parts.columns[:, :rows]))
    return {key: part for key, part in first.items() if key not in variables}


def _with_parts(tree: Node, features: int, chosen: list[Node]) -> Node:
    """Replace the variables beyond the first so many by expressions."""
    if tree.index is not None:
        return chosen[tree.index - features] if tree.index >= features else variable(tree.index)
    return (
        Node(tree.operator, tuple([_with_parts(c, features, chosen) for c in tree.children])) if tree.children else tree
    )
