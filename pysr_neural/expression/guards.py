"""Where the reference preset's guarded arithmetic may differ from an operator's name.

Owns: `guard_acts`.  Does not own: the guarded functions and what they are shown as (`pysr_neural.operators`).
"""

import numpy as np

from pysr_neural.expression.node import Node
from pysr_neural.operators import DIVISION_EPSILON, OPERATORS, Operator


def guard_acts(node: Node) -> Operator | None:
    """Return the operator's row if its guard can change a value of this node, whatever the data; else None."""
    row = OPERATORS.get(node.operator or "")
    if row is None or row.shown is None:
        return None
    values = [child.value for child in node.children]
    if row.name == "/" and values[-1] is not None:
        return row if abs(values[-1]) < DIVISION_EPSILON else None
    if None in values:
        return row
    arguments = [np.float64(value) for value in values if value is not None]
    with np.errstate(all="ignore"):
        same = row.function(*arguments) == row.guarded(*arguments)
    return None if same else row
