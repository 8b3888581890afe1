"""Which constants of a tree enter linearly, and which of the rest matter.

Owns: the reading of a tree as a form.  Does not own: the arithmetic of forms (`forms`), the fit (`projection`).
"""

from __future__ import annotations

from collections.abc import Sequence

from pysr_neural.expression.forms import LOGARITHMS, ROOT_POWERS, Algebra, Form, nothing
from pysr_neural.expression.node import Node
from pysr_neural.expression.numbers import number, set_number
from pysr_neural.expression.tape import ONE, Tape


class Forms(Algebra):
    """Builds the forms of the subtrees of one tree.

    Parameters
    ----------
    tape : Tape
    tree : Node

    Attributes
    ----------
    constants : list of float
        Of the tree, in prefix order; the `put` of forms writes here.
    """

    def __init__(self, tape: Tape, tree: Node) -> None:
        super().__init__(tape)
        self.constants = tree.constants()
        self._count = 0

    def assign(self, form: Form, coefficients: Sequence[float], theta: Sequence[float]) -> list[float]:
        """Return the tree's constants for coefficients of its form and parameters of the tape."""
        self.theta = theta
        for put, places in self._puts:
            put([theta[place] for place in places])
        form.put(coefficients)
        return self.constants

    def of(self, node: Node) -> Form:
        """Return the form of a subtree; to be called on the subtrees in prefix order."""
        if node.value is not None:
            return self._constant(node.value)
        if not node.constant_count:
            return Form(self.tape.known(node), [], [], nothing)
        if all(map(_is_number, node.children)):
            return self._number(node)
        name, children = node.operator, node.children
        if len(children) == 1:
            return self._unary(str(name), children[0])
        if name in ("+", "-"):
            left, right = self.of(children[0]), self.of(children[1])
            return self.sum(left, right if name == "+" else self.scaled(right, -1.0))
        if name in ("*", "/"):
            left, right = self.of(children[0]), self.of(children[1])
            return self.product(left, right if name == "*" else self.power(right, -1.0, "/"))
        if name == "^":
            return self.raised(self.of(children[0]), self.of(children[1]))
        return self.fixed(self.tape.apply(str(name), *[self.opaque(self.of(child)) for child in children]))

    def _constant(self, value: float) -> Form:
        constants, first = self.constants, self._count
        self._count += 1
        return Form(-1, [ONE], [value], lambda values: constants.__setitem__(first, values[0]))

    def _number(self, node: Node) -> Form:
        """Return the form of an operator over constants only: one number."""
        constants, first = self.constants, self._count
        self._count += node.constant_count

        def put(values: Sequence[float]) -> None:
            set_number(node, values[0], constants, first)

        return Form(-1, [ONE], [number(node)], put, False)

    def _unary(self, name: str, child: Node) -> Form:
        inner = self.of(child)
        if name == "neg":
            return self.scaled(inner, -1.0)
        if name in ROOT_POWERS and inner.fixed == -1:
            return self.power(inner, ROOT_POWERS[name], name)
        if name in LOGARITHMS and inner.fixed == -1:
            return self.logarithm(inner, name)
        if name == "exp" and ONE in inner.cores:
            return self.exponential(inner)
        return self.fixed(self.tape.apply(name, self.opaque(inner)))


def _is_number(node: Node) -> bool:
    """Tell whether a subtree holds constants only."""
    return node.value is not None or (node.constant_count > 0 and all(map(_is_number, node.children)))
