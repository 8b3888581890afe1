"""The one prompt builder: the only place where context and population become model input.

Owns: the layout of prompts and of targets, the choice of variables and members that fit the model.  Does not own:
token names (`vocabulary`), tensors and batching (`model`).

Layout: task, the search's operators, its variables, the size limit; then each member: mark, loss bucket, complexity
bucket, its tokens.  A prompt is a set of members: positions count within a member, so their order means nothing.  The
target follows in its own segment.  Training and inference, BasicSR and PySR all come through here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pysr_neural.errors import WireError
from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.state import KINDS, MemberView
from pysr_neural.wire import vocabulary as v

Ids = npt.NDArray[np.int64]
HEADER_SEGMENT, MEMBER_SEGMENT, TARGET_SEGMENT = 0, 1, 2
MAX_POSITION = 96
MAX_MEMBERS = 20
DATA_COLUMNS = v.VARIABLE_SLOTS + 2
"""Columns of the encoder's input: variable slots, y, residual of the best member."""


@dataclass(frozen=True)
class Prompt:
    """Model input for one example.

    Parameters
    ----------
    tokens, positions, segments : int64 arrays, shape (length,)
        Token ids; position within the header or the member; segment.
    """

    tokens: Ids
    positions: Ids
    segments: Ids


@dataclass(frozen=True)
class Slots:
    """Which variables of a problem the model sees, and as which of its variable tokens.

    Parameters
    ----------
    features : tuple of int
        The problem's variable behind each slot; at most `vocabulary.VARIABLE_SLOTS`.
    """

    features: tuple[int, ...]

    @property
    def of_feature(self) -> dict[int, int]:
        """Slot of each visible variable."""
        return {feature: slot for slot, feature in enumerate(self.features)}


def choose_slots(X: Array, y: Array) -> Slots:
    """Choose the variables that the model sees: all, or those of highest rank correlation with y.

    Parameters
    ----------
    X : array, shape (rows, features)
    y : array, shape (rows,)
    """
    features = X.shape[1]
    if features <= v.VARIABLE_SLOTS:
        return Slots(tuple(range(features)))
    ranks = np.argsort(np.argsort(X, axis=0), axis=0).astype(float)
    target = np.argsort(np.argsort(y)).astype(float)
    ranks -= ranks.mean(axis=0)
    target -= target.mean()
    strength = np.abs(ranks.T @ target)
    strongest = np.argsort(-strength, kind="stable")[: v.VARIABLE_SLOTS]
    return Slots(tuple(sorted(int(i) for i in strongest)))


def data_columns(X: Array, y: Array, slots: Slots, residual: Array | None = None) -> npt.NDArray[np.float32]:
    """Lay the data out for the encoder.

    Returns
    -------
    float32 array, shape (rows, DATA_COLUMNS)
        NaN in absent columns.
    """
    columns = np.full((len(X), DATA_COLUMNS), np.nan, dtype=np.float32)
    with np.errstate(over="ignore"):
        columns[:, : len(slots.features)] = X[:, list(slots.features)]
        columns[:, -2] = y
        if residual is not None:
            columns[:, -1] = residual
    return np.clip(columns, np.float32(-3e38), np.float32(3e38))


def tree_tokens(tree: Node, slots: Slots) -> list[int] | None:
    """Write a tree as tokens; None if it uses a variable that has no slot."""
    slot_of = slots.of_feature
    tokens: list[int] = []
    for node in tree:
        if node.value is not None:
            tokens.extend(v.constant_tokens(node.value))
        elif node.index is not None:
            if node.index not in slot_of:
                return None
            tokens.append(v.FIRST_VARIABLE + slot_of[node.index])
        else:
            tokens.append(v.operator_token(node.operator or "", len(node.children)))
    return tokens


def operator_tokens(operators: OperatorSet) -> list[int]:
    """Return the token of each operator of the search, in its order."""
    return [v.operator_token(name, arity) for name, arity in zip(operators.names, operators.arities, strict=True)]


def build_prompt(
    task: str,
    operators: OperatorSet,
    slots: Slots,
    max_size: int,
    members: Sequence[MemberView] = (),
    variance: float = 1.0,
    max_members: int = MAX_MEMBERS,
) -> Prompt:
    """Build the model's input for one search state.

    Parameters
    ----------
    task : str
        ``"direct"``, ``"onestep"``, ``"population"`` or ``"edit"``.
    operators : OperatorSet
    slots : Slots
    max_size : int
        Size limit of what is asked for.
    members : sequence of MemberView
        The population; the best ``max_members`` that fit are shown.
    variance : float
        Of y; losses are shown relative to it.
    max_members : int
        Longest population shown.

    Returns
    -------
    Prompt

    Raises
    ------
    WireError
        If the task is unknown.
    """
    mark = v.ID.get(f"<{task}>")
    if f"<{task}>" not in v.TASKS or mark is None:
        raise WireError(f"A task must be one of {[t.strip('<>') for t in v.TASKS]}; got {task!r}.")
    header = [
        mark,
        *sorted(set(operator_tokens(operators))),
        *(v.FIRST_VARIABLE + i for i in range(len(slots.features))),
        v.complexity_token(max_size),
    ]
    tokens, positions, segments = list(header), [0] * len(header), [HEADER_SEGMENT] * len(header)
    scale = variance if variance > 0 else 1.0
    for member in best_members(members, max_members):
        body = tree_tokens(member.tree, slots)
        if body is None or len(body) + 3 > MAX_POSITION:
            continue
        part = [v.MEMBER, v.loss_token(member.loss / scale), v.complexity_token(member.complexity), *body]
        tokens += part
        positions += range(len(part))
        segments += [MEMBER_SEGMENT] * len(part)
    return Prompt(*(np.array(column, dtype=np.int64) for column in (tokens, positions, segments)))


def best_members(members: Sequence[MemberView], count: int) -> list[MemberView]:
    """Return up to ``count`` members of lowest loss, without repeated trees, in a stable order."""
    chosen: dict[Node, MemberView] = {}
    for member in sorted(members, key=lambda m: (not np.isfinite(m.loss), m.loss, m.complexity)):
        chosen.setdefault(member.tree, member)
        if len(chosen) == count:
            break
    return list(chosen.values())


def kind_token(kind: str) -> int:
    """Return the token of a variation kind."""
    return v.ID[f"kind:{KINDS.index(kind)}"]
