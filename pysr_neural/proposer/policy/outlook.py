"""A population's prospects: what its loss would be with something else in place of each of its nodes.

Owns: the losses of all pairs of a node and a part of the population, or a small tree.  Does not own: what nodes should
be (`foresight`), features (`population`).

All pairs are one product of matrices, in single precision; the nodes for which something comes so near that this does
not tell it are looked at again in double precision.
"""

import math
from collections.abc import Sequence

import numpy as np

from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.proposer.policy.foresight import Flags, Foresight, Ints, Losses, Plants, cleaned
from pysr_neural.proposer.policy.language import Floats
from pysr_neural.proposer.policy.shapes import ARITY, TOKEN, Shape

LEAST, MOST = 1e-12, 1e30
"""Relative losses below and above are not told apart."""
ROUNDING = 4 * float(np.finfo(np.float64).eps)
CLOSE = 1e-3
"""Of what a loss is the difference of: what is smaller is calculated in double precision."""
LOWEST, HIGHEST = -10.0, 25.0
PAIRS = 4_000_000
"""Most pairs of a node and a part that are looked at: more would take seconds, and gigabytes."""


class Outlook:
    """A population's prospects: for every node of its distinct trees, the loss with something else in its place.

    Parameters
    ----------
    foresight : Foresight
    trees : sequence of Node
        Of the members.
    shapes : sequence of Shape
        Of the members.
    best : float
        Lowest loss of the population, relative.

    Attributes
    ----------
    tree_of : int array, shape (members,)
        The distinct tree of each member.
    starts : int array, shape (trees,)
        Where the nodes of each distinct tree begin.
    crowded : bool
        Whether nothing is told of other parts, there being more pairs than `PAIRS`.
    best_plant, best_part : arrays, shape (nodes,)
        Prospects with the best small tree of `Plants` in place of each node, and with the best part of any member.
    flat : array, shape (nodes,)
        With the mean of its own values: nothing is lost where the node does not matter.
    """

    def __init__(self, foresight: Foresight, trees: Sequence[Node], shapes: Sequence[Shape], best: float) -> None:
        self._lowest, self.plants = math.log(best), foresight.plants
        distinct = dict(zip(trees, shapes, strict=True))
        numbers = {tree: i for i, tree in enumerate(distinct)}
        self.tree_of: Ints = np.array([numbers[tree] for tree in trees])
        sizes = np.array([len(shape.nodes) for shape in distinct.values()])
        self.starts: Ints = np.cumsum(sizes) - sizes
        own = foresight.wanted(distinct)
        values, finite, forms, rest = (np.concatenate(each) for each in zip(*own, strict=True))
        known: dict[Node, int] = {}
        nodes = [node for shape in distinct.values() for node in shape.nodes]
        self._part: Ints = np.array([known.setdefault(node, len(known)) for node in nodes])
        self.crowded = len(nodes) * len(known) > PAIRS
        self._first = len(foresight.plant_values)
        at = np.unique(self._part, return_index=True)[1][: 0 if self.crowded else None]
        candidates = np.concatenate([foresight.plant_values, values[at]])
        usable = np.concatenate([foresight.plant_finite, finite[at]])
        self._losses = _losses(forms, rest, candidates, usable)
        rows = np.concatenate([shape.rows for shape in distinct.values()])
        self._below_one_operand(foresight, rows, forms, rest, candidates, usable)
        within = np.minimum(np.arange(int(sizes.max())), sizes[:, None] - 1)
        self._parts_of = self._first + self._part[self.starts[:, None] + within]
        self.best_plant = self.told(self._losses[:, : self._first].min(axis=1, initial=np.inf))
        self.best_part = self.told(self._losses[:, self._first :].min(axis=1, initial=np.inf))
        self.flat = self.told(_flat(values, finite, forms, rest))

    def _below_one_operand(
        self, foresight: Foresight, rows: Ints, forms: Array, rest: Array, candidates: Array, usable: Flags
    ) -> None:
        """Try what stands below an operator of one operand together with the operator, so that all of it is exact."""
        tokens = np.where(rows[:, ARITY] == 1, rows[:, TOKEN], 0)
        for token in set(tokens.tolist()) - {0}:
            above = np.flatnonzero(tokens == token)
            with np.errstate(all="ignore"):
                made, finite = cleaned(foresight.operators[token - foresight.first_operator].function(candidates))
            self._losses[above + 1] = _losses(forms[above], rest[above], made, usable & finite)

    def told(self, losses: Losses) -> Array:
        """Return how far losses are below the population's lowest, in natural logarithms, bounded and divided by 5."""
        bounded = np.minimum(np.maximum(losses, LEAST), MOST)  # `clip` takes longer for few.
        return np.minimum(np.maximum(self._lowest - np.log(bounded), LOWEST), HIGHEST) / 5  # type: ignore[no-any-return]

    def planted(self, nodes: Ints) -> Array:
        """Return the prospects of nodes with what each beginning of `Plants` can become; shape (nodes, beginnings)."""
        return self.told(self.plants.lowest(self._losses[nodes, : self._first]))

    def mated(self, nodes: Ints, trees: Ints) -> Array:
        """Return the prospects of nodes with the best part of a tree.

        Parameters
        ----------
        nodes : int array, shape (trees, nodes)
        trees : int array, shape (trees,)
        """
        if self.crowded:
            return np.full(nodes.shape, LOWEST / 5)
        parts = self._parts_of[trees]
        return self.told(self._losses[nodes[:, :, None], parts[:, None]].min(axis=2))

    def paired(self, firsts: Ints) -> Array:
        """Return the prospects with the best part of every tree in the best place of some: (firsts, trees)."""
        if self.crowded:
            return np.full((len(firsts), len(self.starts)), LOWEST / 5)
        ends = np.append(self.starts[1:], len(self._losses))
        lowest = np.array([self._losses[self.starts[i] : ends[i], self._first :].min(axis=0) for i in firsts])
        return self.told(np.minimum.reduceat(lowest[:, self._part], self.starts, axis=1))

    def parted(self, nodes: Ints, others: Ints) -> Array:
        """Return the prospects of nodes with other nodes of the population in their place; shapes as of the indices."""
        if self.crowded:
            return np.full(np.broadcast_shapes(nodes.shape, others.shape), LOWEST / 5)
        return self.told(self._losses[nodes, self._first + self._part[others]])


class NoOutlook:
    """Stands for an `Outlook` where nobody looks ahead: all prospects are 0.

    Parameters
    ----------
    plants : Plants
    shapes : sequence of Shape
        Of the members.
    """

    def __init__(self, plants: Plants, shapes: Sequence[Shape]) -> None:
        sizes = np.array([len(shape.nodes) for shape in shapes])
        self.tree_of: Ints = np.arange(len(shapes))
        self.starts: Ints = np.cumsum(sizes) - sizes
        self.best_plant = self.best_part = self.flat = np.zeros(int(sizes.sum()))
        self._beginnings = len(plants.table)

    def planted(self, nodes: Ints) -> Array:
        """Return as many prospects as `Outlook` does."""
        return np.zeros((len(nodes), self._beginnings))

    def mated(self, nodes: Ints, trees: Ints) -> Array:
        """Return as many prospects as `Outlook` does."""
        return np.zeros(nodes.shape)

    def paired(self, firsts: Ints) -> Array:
        """Return as many prospects as `Outlook` does."""
        return np.zeros((len(firsts), len(self.starts)))

    def parted(self, nodes: Ints, others: Ints) -> Array:
        """Return as many prospects as `Outlook` does."""
        return np.zeros(np.broadcast_shapes(nodes.shape, others.shape))


def _losses(forms: Array, rest: Array, candidates: Array, usable: Flags) -> Floats:
    """Return the losses with each candidate in place of each node, infinite where that is not known."""
    with np.errstate(all="ignore"):
        terms = np.concatenate([np.square(candidates), candidates], axis=1, dtype=np.float32, casting="same_kind")
        losses: Floats = forms.astype(np.float32) @ terms.T
        losses += rest[:, None].astype(np.float32)
        if not usable.all():
            losses[:, ~usable] = np.inf
        lowest = losses.min(axis=1, initial=np.inf)
    told = np.isfinite(rest)
    losses[~told] = np.inf
    near = np.flatnonzero(told & ~(lowest > CLOSE * rest))  # Nor is what is not a number.
    if len(near):
        losses[near] = _exact_losses(forms[near], rest[near], candidates, usable)
    return losses


def _exact_losses(forms: Array, rest: Array, candidates: Array, usable: Flags) -> Array:
    count = candidates.shape[1]
    with np.errstate(all="ignore"):
        losses = forms[:, :count] @ np.square(candidates).T
        losses += rest[:, None]
        told = ROUNDING * losses  # No less can be told from so large terms.
        losses += forms[:, count:] @ candidates.T
        np.maximum(losses, told, out=losses)
        losses[:, ~usable] = np.inf
        np.copyto(losses, np.inf, where=np.isnan(losses))
    return np.minimum(losses, MOST)


def _flat(values: Array, finite: Flags, forms: Array, rest: Array) -> Array:
    means, count = values.mean(axis=1), values.shape[1]
    with np.errstate(all="ignore"):
        losses = forms[:, :count].sum(axis=1) * means * means + rest
        losses = np.maximum(losses + forms[:, count:].sum(axis=1) * means, ROUNDING * losses)
    return np.where(finite & ~np.isnan(losses), losses, np.inf)
