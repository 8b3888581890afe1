"""Whole answers out of parts: which targets are tried with how many parts, the most promising first.

Owns: `Joiner`, the order of its work.  Does not own: parts (`parts`), fits (`sums`, `forms`), targets (`splits`), what
answers are worth (`answers`).

A small model seldom writes a long answer down whole, but often writes down its parts, each in another sample.  All
subexpressions of samples and members, and enumerated expressions, are parts; sums, products and powers of them are
fitted to y, to what lies below an operator that can be inverted, and, again and again, to what is left of these when a
factor is split off.  Work is done in steps of some milliseconds and goes on where it was left: first with few parts,
then with many.
"""

import heapq
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from pysr_neural.expression.node import Node, variable
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.answers import Answers
from pysr_neural.proposer.joins.curve_pairs import MOST_VARIABLES, CurvePairs
from pysr_neural.proposer.joins.exact import Exact
from pysr_neural.proposer.joins.forms import PER_FORM, factored, fitted_sum, powers, products, whole_sum
from pysr_neural.proposer.joins.further import AGAIN, Further
from pysr_neural.proposer.joins.groups import distances
from pysr_neural.proposer.joins.groups import products as groups_of
from pysr_neural.proposer.joins.library import Library
from pysr_neural.proposer.joins.mixtures import mixtures
from pysr_neural.proposer.joins.parts import Parts, most_frequent
from pysr_neural.proposer.joins.reductions import Reduction, Selection, reductions, selection, similar
from pysr_neural.proposer.joins.relations import (
    DEGREE,
    LARGE,
    LONG,
    LONG_DEGREE,
    MIXED,
    MOST_BASES,
    PAIRS,
    SMALL,
    Extent,
    Relations,
    functions_in,
    simple_bases,
)
from pysr_neural.proposer.joins.relevance import by_correlation, relevant
from pysr_neural.proposer.joins.rests import Matching, matched
from pysr_neural.proposer.joins.splits import Target, targets_of, varies
from pysr_neural.proposer.joins.sums import SIZE_PRICE, sums

TESTED_ROWS, FIT_ROWS, SCREENED_ROWS = 1000, 200, 120
"""Most rows that dependence is tested on, that joins are fitted on, and that candidates are screened on."""
FEWEST_ROWS = 6
ROWS_PER_TERM = 8
ROUNDS = ((400, 80, 16, 0, 0), (400, 80, 16, 6, 12), (3000, 250, 30, 6, 60), (10000, 400, 30, 4, 150))
"""Of each round: enumerated parts, first parts, width of the beam, parts beside which all pairs are tried, steps
below factors.  After the last the second comes again."""
MOST_GIVEN = 150
MOST_TERMS, GIVEN = 5, 2
SHORT, MANY = 400, 2000
"""Short parts of which sums are looked for by what shorter sums leave; so many parts that all of them are tried too."""
SPLITS, NESTED_SPLITS = 20, 6
EAGER = 10
"""Factors of each kind below which a polynomial is looked for at once, from the second round on."""
LARGEST_WRAPPING = 12
"""Nodes around a target below which no further factor is split off."""
WAYS = frozenset(
    {
        "beside",
        "curves",
        "groups",
        "interactions",
        "mixtures",
        "pairs",
        "reductions",
        "relations",
        "relevance",
        "rests",
    }
)
"""Ways to look for answers beside sums, products and factors of parts."""
SAVED = 2
"""Nodes that the way back from a smaller problem may save."""
MIXED_ROWS, MIXED_AT_ONCE, ENUMERATED = 400, 4, 1000
"""Rows on which sets of functions are tried, how many in a step, enumerated parts that are functions in them."""
FUNCTIONS = 4
"""Of good answers, that come into longer products in each round."""
DEEPEST = 5
"""Smaller problems of smaller problems that are looked at."""
ROWS_FOR_TESTS = 30
SURE_STEPS = 3
"""Steps of smaller problems' work for each of the whole one's, if one of them is sure; otherwise one."""
HEAD_START, FOCUSED = 24, 4
"""Steps of work with only the variables that seem to matter, before that with all begins, and for each of its steps."""
FEW, NEXT_TO_NOTHING = 8, 0.8
"""Steps after which a head start with one variable is given up if it leaves so much unexplained: others matter too."""
TAKEN = 6
"""Answers of a step of a smaller problem's work that are rated."""
Pending = Callable[[], Target | None]
"""Makes a target once its turn comes."""
Queue = list[tuple[float, int, Pending]]
"""A heap: price, order of arrival, target."""
Screen = Callable[[Parts, list[int], int], list[int]]
"""Called with all parts, those of the next library in order, the variables first, and how many enumerated ones there
are to be; returns those that it takes, in order."""


class Joiner:
    """Joins parts to answers for one search.

    Parameters
    ----------
    X : array, shape (rows, features)
    y : array, shape (rows,)
        At most `TESTED_ROWS` rows are looked at: the first ones, so that rows in an order of their own must be
        shuffled.
    operators : OperatorSet
        Only these are used, but for those of expressions that are added.
    max_size : int
    allowed : callable of a Node, optional
        Further limits.
    ways : collection of str, optional
        Those of `WAYS` that are to be used.
    depth : int, optional
        Of a smaller problem of another search.
    screen : callable, optional
        See `Screen`.  With one, all variables are looked at from the beginning.

    Attributes
    ----------
    answers : Answers
        What was found.
    done : bool
        Whether nothing is left to be tried.
    """

    def __init__(
        self,
        X: Array,
        y: Array,
        operators: OperatorSet,
        max_size: int,
        allowed: Callable[[Node], bool] = lambda tree: True,
        ways: Collection[str] = WAYS,
        depth: int = 0,
        screen: Screen | None = None,
    ) -> None:
        self.ways, self.depth, self.done = frozenset(ways), depth, False
        self._all = X[:TESTED_ROWS], y[:TESTED_ROWS]
        self.X, self.y = X[:FIT_ROWS], y[:FIT_ROWS]
        self.operators, self.max_size, self.screen = operators, max_size, screen
        self.usable = len(self.y) >= FEWEST_ROWS and {("+", 2), ("*", 2)} <= set(operators.index) and varies(self.y)
        self.minus = ("-", 2) in operators.index
        self.names = "*/" if ("/", 2) in operators.index else "*"
        self.size_price = SIZE_PRICE * max(1.0, 60 / len(self.y))
        self.most_terms = max(1, min(MOST_TERMS, len(self.y) // ROWS_PER_TERM))
        with np.errstate(all="ignore"):
            self.answers = Answers(self.X, self.y, max_size, self.size_price, allowed)
            self._order = order = by_correlation(self.X, self.y)
            self.parts = Parts(self.X, operators, order)
            self._exact = Exact(self.X, order, operators)
        self.given: list[int] = []
        self._further: Further | None = None
        self._plain: set[int] = set()
        self._functions: set[Node] = set()
        self._width = self._fixed = self._eager = 0
        self._pairs_left = "pairs" in ways and X.shape[1] <= MOST_VARIABLES
        self._below: list[tuple[Reduction, Joiner]] = []
        self._turn: list[tuple[Reduction, Joiner]] = []
        self._tested: tuple[Array, Array] | None = None
        self._reductions: Iterator[Reduction] = iter(())
        self._relations = self._related(self.X, self.y, *simple_bases(self._order, operators), PAIRS, SMALL)
        if "reductions" in ways and depth < DEEPEST and len(self.y) >= ROWS_FOR_TESTS:
            self._tested = self._all
            self._reductions = reductions(*self._all, operators)
        focused = "relevance" in ways and depth == 0 and screen is None
        self._focus = self._focused(X, y) if focused else None
        self._steps = self._run()

    def add(self, trees: Sequence[Node]) -> None:
        """Take expressions whose subexpressions are parts from the next round on, the most frequent first."""
        if self.usable:
            new = self.parts.add(most_frequent([tree for tree in trees if self._known(tree)]))
            self.given = list(dict.fromkeys([*new, *self.given]))[:MOST_GIVEN]
            if self._focus is not None:
                found, joiner = self._focus
                joiner.add([part for part in map(found.part, most_frequent(trees)) if part is not None])

    def work(self, steps: int, stop: Callable[[], bool] = lambda: False) -> list[Node]:
        """Try so many further targets.

        Parameters
        ----------
        steps : int
            A step takes some milliseconds in the first round and ten times as long in the last.
        stop : callable
            Asked before each step.

        Returns
        -------
        list of Node
            At most `answers.KEPT` that were not handed over before, the best for their size first, no two of the same
            values.
        """
        if self.usable:
            with np.errstate(all="ignore"):
                for _ in range(steps):
                    if self.solved or stop():
                        break
                    next(self._relations, None)
                    if not self.solved:
                        next(self._steps, None)
        return self.answers.fresh()

    @property
    def solved(self) -> bool:
        """Whether an answer leaves nothing but rounding unexplained."""
        return self.answers.solved

    def _known(self, tree: Node) -> bool:
        return all(
            node.operator is None or (node.operator, len(node.children)) in self.operators.index for node in tree
        )

    def _run(self) -> Iterator[None]:
        """Do the work of all rounds a step at a time, and that of smaller problems between; in the first round only of
        one in a single variable, which is quick to find and to solve."""
        yield from self._focused_steps(HEAD_START)
        for number, first in enumerate(self._rounds()):
            yield
            yield from self._focused_steps(FOCUSED)
            if not number:
                self._go_below(similar(*self._tested, self.operators) if self._tested is not None else None)
            sure = any(reduction.sure for reduction, _ in self._below)
            for _ in range(SURE_STEPS if sure else 0 if first else 1):
                if not self._turn:
                    self._go_below(None if first else next(self._reductions, None))
                    self._turn = [each for each in self._below if not (each[1].solved or each[1].done)]
                if self._turn and not self.solved:
                    self._work_below(*self._turn.pop())
                    yield

    def _related(
        self, X: Array, y: Array, bases: Sequence[Node], sizes: Sequence[int], degree: int, extent: Extent
    ) -> Iterator[None]:
        """Look for quotients of two sums of products, on y and on what lies below an operator."""
        if "relations" in self.ways:
            relations = Relations(X, bases, sizes, degree, self.operators, extent)
            for target in targets_of(y, self.operators):
                self._rate(relations.found(target))
                yield

    def _with_functions(self) -> Iterator[None]:
        """Look for quotients of two sums of longer products, of the variables and one function of a good answer."""
        if "relations" in self.ways:
            X, y = self._all
            whole = targets_of(y, self.operators)[0]
            for function in functions_in(self.answers.best()[:AGAIN])[:FUNCTIONS]:
                if function not in self._functions:
                    self._functions.add(function)
                    bases = [*(variable(i) for i in self._order[: MOST_BASES - 1]), function]
                    relations = Relations(X, bases, [1] * len(bases), LONG_DEGREE, self.operators, LONG)
                    self._rate(relations.found(whole))
                    yield

    def _mixed(self) -> Iterator[None]:
        """Look for quotients of two sums of products of the variables and a few functions, of many sets of these."""
        if "mixtures" in self.ways:
            X, y = (each[:MIXED_ROWS] for each in self._all)
            whole = targets_of(y, self.operators)[0]
            parts = map(self.parts.tree, self.parts.enumerated(ENUMERATED))
            for number, bases in enumerate(mixtures(self._order, self.operators, parts)):
                relations = Relations(X, bases, [1] * len(bases), DEGREE, self.operators, MIXED)
                self._rate(relations.found(whole))
                if number % MIXED_AT_ONCE == 0:
                    yield

    def _focused(self, X: Array, y: Array) -> "tuple[Selection, Joiner] | None":
        """Begin the problem of those variables that seem to matter, if some do not."""
        with np.errstate(all="ignore"):
            kept = relevant(X, y) if self.usable else []
        if not 0 < len(kept) < X.shape[1]:
            return None
        found, ways = selection(X, y, kept), self.ways - {"relevance"}

        def allowed(tree: Node) -> bool:
            return self.answers.allowed(found.whole(tree))

        return found, Joiner(found.X, y, self.operators, self.max_size, allowed, ways)

    def _focused_steps(self, most: int) -> Iterator[None]:
        """Do so many steps of that problem's work."""
        if self._focus is None:
            return
        found, joiner = self._focus
        for count in range(most):
            if count == FEW and found.X.shape[1] == 1 and joiner.answers.least > NEXT_TO_NOTHING:
                self._focus = None
                return
            if joiner.done or self.solved:
                return
            for tree in joiner.work(1):
                self.answers.rate(found.whole(tree))
            yield

    def _go_below(self, found: Reduction | None) -> None:
        """Begin a smaller problem."""
        if found is None:
            return
        room, depth = self.max_size - found.size + SAVED, self.depth + 1

        def allowed(tree: Node) -> bool:
            return found.whole(tree).size <= self.max_size

        self._below.append((found, Joiner(found.X, found.y, self.operators, room, allowed, self.ways, depth)))

    def _work_below(self, reduction: Reduction, joiner: "Joiner") -> None:
        """Do a step of a smaller problem's work."""
        for tree in joiner.work(1)[:TAKEN]:
            self.answers.rate(reduction.whole(tree))

    def _rounds(self) -> Iterator[bool]:
        """Do the work of all rounds, a step at a time; tells each time whether it is the first round."""
        for turn, number in enumerate(itertools.chain(range(len(ROUNDS)), itertools.cycle(range(1, len(ROUNDS))))):
            most, firsts, self._width, self._fixed, steps = ROUNDS[number]
            self._eager = EAGER if number else PER_FORM
            library = self._library(most, firsts)
            if number:  # Not in the first round, which is to be quick.
                self._further = Further(
                    library, self._exact, self._order, self.operators, self.answers, self.ways, self._plain
                )
            self._relations = itertools.chain(self._with_functions(), self._relations)
            if turn == 1:  # Not each time that the second round comes again: terms and targets are the same then.
                parts = [self.parts.tree(part) for part in sorted(self._plain)[:SHORT]]
                self._relations = itertools.chain(
                    self._relations,
                    self._related(*self._all, *simple_bases(self._order, self.operators), DEGREE, LARGE),
                    self._related(*self._all, parts, [part.size for part in parts], 1, LARGE),
                    self._mixed(),
                )
            order, seen, empty = itertools.count(), set[tuple[str, str]](), True
            bases = targets_of(self.y, self.operators)
            queues: dict[str, Queue] = {each.base: [(0.0, next(order), partial(_itself, each))] for each in bases}
            while any(queues.values()) and steps >= 0:
                for queue in queues.values():
                    target = self._next(queue, seen)
                    if target is None:
                        continue
                    steps -= target.weights is not None
                    if steps < 0:
                        break
                    if target.weights is not None:  # All that is quicker was tried on y.
                        self._try_pairs(bases[0])
                    for price, below in self._step(library, target):
                        heapq.heappush(queue, (price, next(order), below))
                    empty = False
                    yield not number
            if empty:  # No part fits below any target: nor does it in later rounds.
                self.done = True
                return

    def _next(self, queue: Queue, seen: set[tuple[str, str]]) -> Target | None:
        """Take the most promising target that was not seen before and leaves room for a part."""
        while queue:
            target = heapq.heappop(queue)[2]()
            if target is not None and target.size + 3 <= self.max_size and target.key not in seen:
                seen.add(target.key)
                return target
        return None

    def _library(self, most: int, firsts: int) -> Library:
        again = self.parts.add(most_frequent(self.answers.best()[:AGAIN])) if len(self.answers) else []
        made = self.parts.enumerated(max(most, 2 * self.X.shape[1]))
        variables = made[: self.X.shape[1]]
        likely, last = list[int](), list[int]()
        if "groups" in self.ways and self._eager == EAGER:  # Not in the first round, which is to be quick.
            likely = self.parts.add(distances(self._order, self.operators))
            last = self.parts.add(groups_of(self._order, self.operators, most // 2))
        self._plain = {*made, *likely, *last}
        kept = list(dict.fromkeys([*variables, *likely, *again[:MOST_GIVEN], *self.given, *made, *last]))
        kept = kept if self.screen is None else self.screen(self.parts, kept, most)
        return Library(self.parts, np.array(kept), firsts, slice(0, SCREENED_ROWS), self.size_price)

    def _step(self, library: Library, target: Target) -> list[tuple[float, Pending]]:
        """Try all forms on a target; returns what is left when a factor is split off, with its price."""
        nested = target.weights is not None
        frame = library.frame(target.weights) if nested else library.base
        v = frame.target(target.values[library.rows])
        if v is None:
            return []
        self._rate(self._exact.found(target))
        if self.solved:
            return []
        for left, terms in sums(frame, v, self._width, self.most_terms, GIVEN, self._fixed):
            self._offer(library, target, terms, left)
        if not nested and "rests" in self.ways and self._further is not None:
            self._match(library, target)
        if not nested:
            self._try_products(library, target, v)
        self._rate(self._further.found(target) if self._further is not None else ())
        return [] if self.solved or target.size > LARGEST_WRAPPING else self._splits(library, target)

    def _match(self, library: Library, target: Target) -> None:
        """Try sums by what shorter ones leave, of short parts and, in a large library, of all."""
        kept = np.flatnonzero(np.isin(library.kept, np.fromiter(self._plain, dtype=np.intp)))
        for most in (SHORT,) if len(library) < MANY else (SHORT, len(kept)):
            if self.solved:
                return
            matching = Matching(library, target, kept[:most])
            for left, terms in matched(matching, self.most_terms):
                trees = [matching.tree(term) for term in terms]
                if not self.solved and self.answers.promises(left, target.size + sum(tree.size for tree in trees)):
                    tree = whole_sum(target, np.array([matching.values(term) for term in terms]), trees, self.minus)
                    self._rate([] if tree is None else [tree])

    def _splits(self, library: Library, target: Target) -> list[tuple[float, Pending]]:
        """Return what is left when a factor is split off, with its price; try simple forms below the first at once."""
        nested = target.weights is not None
        found: list[tuple[float, Pending]] = []
        for split in factored(library, target, self.names, NESTED_SPLITS if nested else SPLITS):
            if not nested and split.rank < self._eager and (below := split.below(library, target)) is not None:
                self._rate(self._exact.found(below))
                if split.rank < PER_FORM:
                    self._offer(library, below, [split.partner], split.left)
            price = float(np.log(split.cost)) + self.size_price * target.size
            found.append((price, partial(split.below, library, target)))
        return found

    def _try_products(self, library: Library, target: Target, v: Array) -> None:
        if self.solved:
            return
        self._rate(products(library, target, v, self.minus, self.names))
        if target.size == 0:
            self._rate(powers(library, target, self.operators, self.minus, self._fixed))

    def _rate(self, trees: Iterable[Node]) -> None:
        for tree in trees:
            self.answers.rate(tree)

    def _try_pairs(self, target: Target) -> None:
        """Try products and sums of two curves, once a search: rounds change nothing of what they depend on."""
        if self._pairs_left and not self.solved:
            self._pairs_left = False
            pairs = CurvePairs(self.X, self.operators, self._order, slice(0, SCREENED_ROWS), self.size_price)
            self._rate(pairs.found(target, self.minus, self.answers.promises))

    def _offer(self, library: Library, target: Target, terms: list[int], left: float) -> None:
        """Write a sum of parts down, unless there is much better already."""
        if self.answers.promises(left, target.size + int(library.sizes[terms].sum())):
            tree = fitted_sum(library, target, terms, self.minus)
            if tree is not None:
                self.answers.rate(tree)


def _itself(target: Target) -> Target:
    return target
