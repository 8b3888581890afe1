"""Ways to look for answers beside sums, products and factors of parts, from a search's second round on.

Owns: `Further`, which of them are tried on which targets.  Does not own: the ways themselves (`curve_search`,
`relations`, `beside`, `interactions`), the order of targets (`search`).
"""

from collections.abc import Collection, Iterator

from pysr_neural.expression.node import Node
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.answers import Answers
from pysr_neural.proposer.joins.beside import Beside
from pysr_neural.proposer.joins.curve_search import Curves, with_curves
from pysr_neural.proposer.joins.exact import Exact
from pysr_neural.proposer.joins.interactions import INTERACTING, Interactions
from pysr_neural.proposer.joins.library import Library
from pysr_neural.proposer.joins.relations import DEGREE, Relations, bases_of
from pysr_neural.proposer.joins.splits import Target

AGAIN = 12
"""Answers whose functions come first in quotients, and whose subexpressions are parts of the next round."""
CURVED = 2
"""Nodes around a target, as of a factor, up to which parts with free constants and quotients are tried."""


class Further:
    """What is tried on y and on what lies right below, with one round's library.

    Parameters
    ----------
    library : Library
    exact : Exact
    order : list of int
        The variables, the most important first.
    operators : OperatorSet
    answers : Answers
        So far.
    ways : collection of str
        See `search.WAYS`.
    plain : collection of int
        See `Curves`.
    """

    def __init__(
        self,
        library: Library,
        exact: Exact,
        order: list[int],
        operators: OperatorSet,
        answers: Answers,
        ways: Collection[str],
        plain: Collection[int],
    ) -> None:
        self._minus, columns = ("-", 2) in operators.index, library.parts.columns
        self._library, self._answers = library, answers
        self._relations: list[Relations] = []
        self._curves: Curves | None = None
        self._beside: Beside | None = None
        self._interactions: Interactions | None = None
        if "relations" in ways and ("/", 2) in operators.index:
            for bases in bases_of(order, operators, answers.best()[:AGAIN]):
                sizes = [base.size + 1 for base in bases]
                self._relations.append(Relations(columns.T, bases, sizes, DEGREE, operators))
        if "curves" in ways:
            self._curves = Curves(library, operators, plain)
        if "beside" in ways and exact.terms:
            self._beside = Beside(library, exact.terms, exact.values, self._minus)
        if "interactions" in ways and exact.terms and len(columns) in INTERACTING:  # Not with few rows.
            self._interactions = Interactions(library, self._minus)

    def found(self, target: Target) -> Iterator[Node]:
        """Yield whole answers, until one of them leaves nothing."""
        if target.weights is None:
            yield from self._beside_others(target)
        if target.size <= CURVED:
            v = self._library.base.target(target.values[self._library.rows])
            if self._curves is not None and v is not None and not self._answers.solved:
                yield from with_curves(self._curves, target, v, self._minus)
            for relations in () if self._answers.solved else self._relations:
                yield from relations.found(target)

    def _beside_others(self, target: Target) -> Iterator[Node]:
        if self._interactions is not None and target.size == 0 and not self._answers.solved:
            yield from self._interactions.found(target)
        if self._beside is not None and not self._answers.solved:
            tree = self._beside.found(target)
            if tree is not None:
                yield tree
