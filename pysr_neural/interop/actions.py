"""What was done to the parents of a recorded child: the columns of an action, inferred from the trees.

Owns: `Actions`.  Does not own: which edits make a child (`pysr_neural.expression.inference`), the columns
(`pysr_neural.trace.schema`), reading recordings (`recording`).

PySR says which kind it chose, of which parents, and what came of it.  Where several edits make the same child, one is
drawn, all equally likely, as nearly all of PySR's choices are: the first of them would favour nodes near the root.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pysr_neural.errors import ExpressionError
from pysr_neural.expression.inference import edits_between
from pysr_neural.expression.node import Node
from pysr_neural.problem import Problem
from pysr_neural.trace.schema import ACTION_COLUMNS
from pysr_neural.wire.codes import decode, encode_planted

Coded = tuple[Sequence[int], Sequence[float]]
"""Codes and constants."""


class Actions:
    """Infers the actions of one run.

    Parameters
    ----------
    problem : Problem
    rng : numpy.random.Generator
        Draws among edits that make the same child.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self.operators, self.features = problem.operators, problem.X.shape[1]
        self.rng = rng
        self._coded: dict[int, Coded] = {}
        self._trees: dict[int, Node | None] = {}

    def forget(self) -> None:
        """Begin anew: all members get new refs between iterations."""
        self._coded.clear()
        self._trees.clear()

    def meet(self, ref: int, codes: Sequence[int], constants: Sequence[float]) -> None:
        """Take the tree of a member, which may be a parent."""
        self._coded[ref] = (codes, constants)

    def columns(self, kind: str, parents: Sequence[int], child: Coded) -> Mapping[str, Any]:
        """Return the columns of an action; `ACTION_COLUMNS` where it cannot be told."""
        trees = [self._tree_of(ref) for ref in parents if ref >= 0]
        tree = self._tree(child)
        if tree is None or not trees or any(each is None for each in trees):
            return ACTION_COLUMNS
        edits = edits_between(kind, tree, *trees)  # type: ignore[arg-type]
        if not edits:
            return ACTION_COLUMNS
        node, place, planted = edits[int(self.rng.random() * len(edits))] if len(edits) > 1 else edits[0]
        codes, values = encode_planted(planted, self.operators, self.features) if planted is not None else (None, None)
        return {"action": True, "node": node, "place": place, "planted": codes, "planted_constants": values}

    def _tree_of(self, ref: int) -> Node | None:
        if ref not in self._trees:
            self._trees[ref] = self._tree(self._coded.get(ref, ((), ())))
        return self._trees[ref]

    def _tree(self, coded: Coded) -> Node | None:
        try:
            return decode(*coded, self.operators, self.features)
        except ExpressionError:  # Not known, or not of the search's language: then it tells nothing.
            return None
