"""Which functions come together with the variables in a quotient of two sums of products: some hundred sets of them.

Owns: the sets, their order.  Does not own: the factorization that finds a relation (`relations`).

An answer in a few functions is a quotient of two short polynomials in the variables and these; which functions, is told
by trying.  A set costs one or two milliseconds.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence

from pysr_neural.expression.node import Node, apply, variable
from pysr_neural.problem import OperatorSet

MOST_VARIABLES = 5
"""With more, there are too many products for these rows."""
LARGEST, DEEP = 5, 150
"""Nodes of a function of more than one variable or operator, and how many of these are looked at."""


def mixtures(order: Sequence[int], operators: OperatorSet, parts: Iterable[Node]) -> Iterator[list[Node]]:
    """Yield variables and functions, the sets that are simpler first.

    Parameters
    ----------
    order : sequence of int
        Variables, the most important first.
    operators : OperatorSet
    parts : iterable of Node
        Expressions, the small ones first: those that are functions are tried too.
    """
    variables = [variable(i) for i in order]
    if len(order) > MOST_VARIABLES:
        return
    plain = [apply(name, each) for each in variables for name in operators.of_arity(1)]
    deep = [_with_inner(part) for part in parts if len(part.children) == 1 and 2 < part.size <= LARGEST][:DEEP]
    pairs, triples = (itertools.combinations(plain, count) for count in (2, 3))
    beside = ((*functions, each) for functions in deep for each in plain if each not in functions)
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(triples, beside, fillvalue=()))
    for functions in itertools.chain(pairs, deep, filter(None, in_turn)):
        yield [*variables, *functions]


def _with_inner(function: Node) -> tuple[Node, ...]:
    """Return a function with those that are inside."""
    return tuple(dict.fromkeys(node for node in function if len(node.children) == 1))
