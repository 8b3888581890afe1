"""Trees as columns: each distinct tree is encoded once, rows refer to it until the columns are built.

Owns: `TreeColumns`.  Does not own: the codes (`wire.codes`), tables (`schema`).
"""

from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pysr_neural._optional import require
from pysr_neural.errors import TraceError
from pysr_neural.expression.node import Node
from pysr_neural.problem import OperatorSet
from pysr_neural.wire.codes import encode_lists

if TYPE_CHECKING:
    import pyarrow as pa

Encode = Callable[[Node, OperatorSet, int], tuple[list[int], list[float]]]
NO_TREE = -1
_LARGEST_CODE = 2**15 - 1


class TreeColumns:
    """Collects trees for the columns ``codes``, ``constants`` and ``complexity``.

    Searches propose the same trees again and again, so that looking a tree up is the usual case.  Trees of one 64-bit
    hash count as the same: comparing them node by node would take longer than everything else here, and would find a
    difference once in 10^9 traces.

    Parameters
    ----------
    operators : OperatorSet
    features : int
    encode : callable, optional
        From a tree, operators and features to codes and constants.

    Raises
    ------
    TraceError
        If there are more codes than 16 bits hold.
    """

    def __init__(self, operators: OperatorSet, features: int, encode: Encode = encode_lists) -> None:
        if features + len(operators.names) > _LARGEST_CODE:
            raise TraceError(
                f"A trace holds at most {_LARGEST_CODE} variables and operators together; got {features} variables."
            )
        self.operators, self.features, self._encode = operators, features, encode
        self._known: dict[int, int] = {}
        self._new: list[Node] = []
        self._codes, self._constants = array("h"), array("d")
        self._ends = array("i", [0, 0])

    def index(self, tree: Node) -> int:
        """Return the number of a tree, taking it in if it is new."""
        found = self._known.get(hash(tree))
        if found is None:
            found = self._known[hash(tree)] = len(self._known)
            self._new.append(tree)
        return found

    def columns(
        self, rows: Sequence[int] | npt.NDArray[np.int64]
    ) -> "tuple[pa.Array, pa.Array, npt.NDArray[np.int16]]":
        """Build the columns codes, constants and complexity (as the number of nodes).

        Parameters
        ----------
        rows : sequence of int
            Numbers of trees; `NO_TREE` gives null, and complexity -1.

        Raises
        ------
        ExpressionError
            If a tree uses a variable or an operator outside the search's.
        """
        pa = require("pyarrow", "training", "A trace")
        numbers = np.asarray(rows, dtype=np.int64)
        self._write()
        code_ends, constant_ends = np.array(self._ends).reshape(-1, 2).T.copy()
        take = pa.array(numbers, mask=numbers == NO_TREE)
        return (
            pa.ListArray.from_arrays(code_ends, np.array(self._codes)).take(take),
            pa.ListArray.from_arrays(constant_ends, np.array(self._constants)).take(take),
            np.append(np.diff(code_ends), -1).astype(np.int16)[numbers],
        )

    def _write(self) -> None:
        """Encode the trees that came since the last time: in one go, they are read from memory once."""
        codes, constants, ends = self._codes, self._constants, self._ends
        for tree in self._new:
            own, values = self._encode(tree, self.operators, self.features)
            codes.extend(own)
            constants.extend(values)
            ends.extend((len(codes), len(constants)))
        self._new = []
