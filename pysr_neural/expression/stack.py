"""Evaluation of many expressions at once: a stack machine for NumPy and torch.

Owns: programs (postfix, padded to one length), running them on a CPU or a GPU.  Does not own: evaluation of one
expression, or of its variants (`evaluate`), which is faster for few.

All programs go through their instructions in step; in each step, those with the same instruction are one array
operation.  What a program does to its stack is known beforehand, so that nothing but values is computed while it runs.
A constant is part of the instruction that uses it, as in ``x * 2``; parts without variables are worked out when a
program is made.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from pysr_neural.errors import DataError, ExpressionError, did_you_mean
from pysr_neural.expression.evaluate import IEEE
from pysr_neural.expression.node import Node
from pysr_neural.expression.tensor_functions import torch_functions
from pysr_neural.operators import OPERATORS, Array

if TYPE_CHECKING:
    import torch

    Values = TypeVar("Values", Array, torch.Tensor)
else:
    Values = TypeVar("Values")

NOTHING, CONSTANT, VARIABLE = range(3)
"""Instructions that are no operators: padding; push the operand; push the variable that the operand numbers."""
BLOCK_BYTES = 2**21
"""Memory for the stacks of programs that NumPy runs in step: no more than what a processor's cache holds."""
NAMES = tuple(OPERATORS)
_FORMS = 3
"""Forms of an operator, in order: arguments from the stack, the second one a constant, the first one a constant."""
_PLAIN, _CONSTANT_SECOND, _CONSTANT_FIRST = range(_FORMS)
_FIRST = {name: VARIABLE + 1 + _FORMS * i for i, name in enumerate(NAMES)}
_PUSHED = np.zeros(VARIABLE + 1 + _FORMS * len(NAMES), dtype=np.int64)
_PUSHED[[CONSTANT, VARIABLE]] = 1
_PUSHED[[_FIRST[name] for name in NAMES if OPERATORS[name].arity == 2]] = -1


@dataclass(frozen=True, eq=False)
class Programs:
    """Programs of many expressions.

    Parameters
    ----------
    instructions : int16 array, shape (programs, length)
        Padded with `NOTHING`.
    operands : float64 array, shape (programs, length)
        Constants and numbers of variables; 0 elsewhere.
    """

    instructions: npt.NDArray[np.int16]
    operands: Array

    def __len__(self) -> int:
        """Return the number of programs."""
        return len(self.instructions)

    def __getitem__(self, part: slice) -> "Programs":
        """Return some of the programs."""
        return Programs(self.instructions[part], self.operands[part])

    @cached_property
    def slots(self) -> npt.NDArray[np.int64]:
        """Where on its stack each instruction leaves its result, shape (programs, length)."""
        return np.cumsum(_PUSHED[self.instructions], axis=1) - 1

    @cached_property
    def depth(self) -> int:
        """Most values on any stack."""
        return int(self.slots.max(initial=-1)) + 1

    @cached_property
    def features(self) -> int:
        """Number of variables that X must have."""
        return int(self.operands[self.instructions == VARIABLE].max(initial=-1)) + 1

    @cached_property
    def groups(self) -> "Groups":
        """The instructions in the order of their execution."""
        step, programs = np.nonzero(self.instructions.T)
        instructions, operands = self.instructions[programs, step], self.operands[programs, step]
        exponents = np.where(instructions == _FIRST["^"] + _CONSTANT_SECOND, operands, 0.0)
        order = np.lexsort((exponents.view(np.int64), instructions, step))
        keys = np.stack([step, instructions, exponents.view(np.int64)])[:, order]
        starts = np.flatnonzero(np.any(keys[:, 1:] != keys[:, :-1], axis=0)) + 1
        bounds = (0, *starts.tolist(), len(order)) if len(order) else (0,)
        at = programs[order], step[order]
        operands = self.operands[at]
        variables = np.where(keys[1] == VARIABLE, operands, 0.0).astype(np.int64)
        return Groups(tuple(keys[1, bounds[:-1]].tolist()), bounds, at[0], self.slots[at], operands, variables)


@dataclass(frozen=True, eq=False)
class Groups:
    """Equal instructions of a step, group after group; powers are equal if their exponents are.

    NumPy computes some powers another way if the exponent is one number for all.

    Parameters
    ----------
    instructions : tuple of int
        Of each group.
    bounds : tuple of int
        Group i is ``bounds[i]:bounds[i + 1]`` of the arrays.
    programs, slots, operands, variables : arrays, shape (instructions,)
        Variables are operands as whole numbers, 0 where the operand is none.
    """

    instructions: tuple[int, ...]
    bounds: tuple[int, ...]
    programs: npt.NDArray[np.int64]
    slots: npt.NDArray[np.int64]
    operands: Array
    variables: npt.NDArray[np.int64]


def compile_trees(trees: Sequence[Node]) -> Programs:
    """Make programs of expressions.

    Raises
    ------
    ExpressionError
        If the operator table lacks an operator of theirs.
    """
    instructions: list[int] = []
    operands: list[float] = []
    ends = [0]
    with np.errstate(all="ignore"):
        for tree in trees:
            constant = _write(tree, instructions, operands)
            if constant is not None:
                instructions.append(CONSTANT)
                operands.append(float(constant))
            ends.append(len(instructions))
    lengths = np.diff(ends)
    filled = np.arange(lengths.max(initial=0)) < lengths[:, None]
    programs = Programs(np.zeros(filled.shape, dtype=np.int16), np.zeros(filled.shape))
    programs.instructions[filled], programs.operands[filled] = instructions, operands
    return programs


def run(programs: Programs, X: Values) -> Values:
    """Evaluate every program.

    Parameters
    ----------
    programs : Programs
    X : array or tensor, shape (rows, features) or (programs, rows, features)
        One X for all, or one for each.  A tensor is computed with where it lies, in its own precision.

    Returns
    -------
    array or tensor, shape (programs, rows)
        May hold NaN and infinities.  For float64 arrays, the values of `evaluate.evaluate`, bit for bit.

    Raises
    ------
    DataError
        If X has another number of dimensions, of programs, or too few features.
    """
    own = X.ndim == 3
    if X.ndim not in (2, 3) or (own and len(X) != len(programs)) or X.shape[-1] < programs.features:
        raise DataError(
            f"X must have shape (rows, features) or ({len(programs)}, rows, features) with at least "
            f"{programs.features} features; got {tuple(X.shape)}."
        )
    if not isinstance(X, np.ndarray):
        return _TorchMachine(X).run(programs, own)
    values = np.empty((len(programs), X.shape[-2]))
    block = max(BLOCK_BYTES // (8 * max(X.shape[-2] * programs.depth, 1)), 16)
    for start in range(0, len(programs), block):
        part = slice(start, start + block)
        values[part] = _NumpyMachine(X[part] if own else X).run(programs[part], own)
    return values


def _write(node: Node, instructions: list[int], operands: list[float]) -> Any:
    """Write what leaves a node's value on the stack; returns the value instead if it is a constant."""
    if node.index is not None:
        instructions.append(VARIABLE)
        operands.append(node.index)
        return None
    if node.operator is None:
        return np.float64(node.value)  # type: ignore[arg-type]
    row, children = OPERATORS.get(node.operator), node.children
    if row is None or row.arity != len(children):
        raise ExpressionError(
            f"An operator must be a row of the operator table; got {node.operator!r} of {len(children)} arguments."
            + did_you_mean(node.operator, OPERATORS)
        )
    first = _write(children[0], instructions, operands)
    if row.arity == 1:
        if first is not None:
            return row.function(first)
        form, operand = _PLAIN, 0.0
    else:
        second = _write(children[1], instructions, operands)
        if first is not None and second is not None:
            return row.function(first, second)
        if first is not None:
            form, operand = _CONSTANT_FIRST, float(first)
        else:
            form, operand = (_PLAIN, 0.0) if second is None else (_CONSTANT_SECOND, float(second))
    instructions.append(_FIRST[row.name] + form)
    operands.append(operand)
    return None


class _Machine:
    """Runs programs with the arrays of one library; their indexing is the same."""

    functions: Mapping[str, Callable[..., Any]]

    def __init__(self, X: Any) -> None:
        self.X = X

    def empty(self, *shape: int) -> Any:
        raise NotImplementedError

    def columns(self) -> Any:
        """Return X with features before rows."""
        raise NotImplementedError

    def moved(self, array: npt.NDArray[Any]) -> Any:
        """Bring an array to where X is."""
        raise NotImplementedError

    def quiet(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def run(self, programs: Programs, own: bool) -> Any:
        """Run all; ``own``: whether each has its own X."""
        groups, columns = programs.groups, self.columns()
        stack = self.empty(max(programs.depth, 1), len(programs), self.X.shape[-2])
        arrays = groups.programs, groups.slots, groups.operands, groups.variables
        all_of, slots, operands, variables = map(self.moved, arrays)
        with self.quiet():
            for i, instruction in enumerate(groups.instructions):
                part = slice(groups.bounds[i], groups.bounds[i + 1])
                at = slots[part], all_of[part]
                if instruction == VARIABLE:
                    stack[at] = columns[all_of[part], variables[part]] if own else columns[variables[part]]
                elif instruction == CONSTANT:
                    stack[at] = operands[part, None]
                else:
                    name, form = NAMES[(instruction - VARIABLE - 1) // _FORMS], (instruction - VARIABLE - 1) % _FORMS
                    function = self.functions[name]
                    if form == _CONSTANT_SECOND and name == "^":
                        stack[at] = function(stack[at], operands[part.start])
                    elif form == _CONSTANT_SECOND:
                        stack[at] = function(stack[at], operands[part, None])
                    elif form == _CONSTANT_FIRST:
                        stack[at] = function(operands[part, None], stack[at])
                    elif _PUSHED[instruction]:
                        stack[at] = function(stack[at], stack[at[0] + 1, at[1]])
                    else:
                        stack[at] = function(stack[at])
        return stack[0]


class _NumpyMachine(_Machine):
    functions = IEEE

    def empty(self, *shape: int) -> Any:
        return np.empty(shape)

    def columns(self) -> Any:
        return np.ascontiguousarray(np.swapaxes(self.X, -1, -2), dtype=np.float64)

    def moved(self, array: npt.NDArray[Any]) -> Any:
        return array

    def quiet(self) -> AbstractContextManager[Any]:
        return np.errstate(all="ignore")


class _TorchMachine(_Machine):
    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:  # type: ignore[override]
        return torch_functions()

    def empty(self, *shape: int) -> Any:
        return self.X.new_empty(shape)

    def columns(self) -> Any:
        return self.X.transpose(-1, -2).contiguous()

    def moved(self, array: npt.NDArray[Any]) -> Any:
        import torch

        moved = torch.from_numpy(array).to(self.X.device)
        return moved.to(self.X.dtype) if moved.is_floating_point() else moved
