"""The one prompt builder: the only place where context and population become model input.

Owns: the layout of prompts and of targets, the choice of variables, rows and members that fit the model.  Does not own:
token names (`vocabulary`), statistics of the data (`context`), tensors and batching (`model`).

Layout: task, the search's operators, its variables, the size limit, statistics if any; then each member: mark, loss
bucket, complexity bucket, its tokens.  A prompt is a set of members: positions count within a member, so their order
means nothing.  In an ``edit`` the parents come first, and after their marks the kind of the move: once for the first
parent, twice for the second.

The target follows in its own segment: one tree, which needs no end; or a ``population``, its trees one after the other
with the members' mark between them and ``<end>`` after the last, best first, and positions that begin anew with each
tree.  Training and inference, BasicSR and PySR all come through here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pysr_neural.errors import WireError, did_you_mean
from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.rng import generator
from pysr_neural.state import KINDS, MemberView
from pysr_neural.wire import vocabulary as v
from pysr_neural.wire.context import NOTHING, Context

Ids = npt.NDArray[np.int64]
HEADER_SEGMENT, MEMBER_SEGMENT, TARGET_SEGMENT = 0, 1, 2
MAX_POSITION = 96
MAX_MEMBERS = 20
SHOWN_ROWS = 64
"""Most rows of data that the encoder is shown of a search."""
DATA_COLUMNS = v.VARIABLE_SLOTS + 2
"""Columns of the encoder's input: variable slots, y, residual of the best member."""


@dataclass(frozen=True)
class Prompt:
    """Model input for one example.

    Parameters
    ----------
    tokens, positions, segments : int64 arrays, shape (length,)
        Token ids; position within the header or the member; segment.
    cut : int
        Members that were left out because there was no room for them.
    """

    tokens: Ids
    positions: Ids
    segments: Ids
    cut: int = 0


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


def shown_rows(count: int) -> Ids:
    """Return which of a search's rows the encoder is shown, ascending; the same ones every time."""
    return np.sort(generator(0, "rows").permutation(count)[:SHOWN_ROWS])


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
    *,
    kind: str = "",
    parents: Sequence[MemberView] = (),
    context: Context = NOTHING,
    room: int | None = None,
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
        Longest population shown, an edit's parents not counted.
    kind : str
        Of the move that an ``edit`` asks for, one of `state.KINDS`.
    parents : sequence of MemberView
        What it is to be made from, one or two members; they are shown whatever the limits.
    context : Context
        Statistics of the data; see `context.context_of`.
    room : int, optional
        Most tokens of the prompt: the worst members are left out until it fits.  Header and parents always stay.

    Returns
    -------
    Prompt

    Raises
    ------
    WireError
        If the task or the kind is unknown, an edit lacks its parents, another task has some, or a parent cannot be
        shown.
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
    positions = [0] * len(header) + list(context.positions)
    header += context.tokens
    scale = variance if variance > 0 else 1.0
    parts = _parent_parts(task, kind, parents, slots, scale)
    known = {parent.tree for parent in parents}
    shown = best_members([m for m in members if m.tree not in known] if known else members, max_members)
    fitting = [part for part in (_member_part(member, slots, scale) for member in shown) if part is not None]
    kept = _that_fit(fitting, room, len(header) + sum(map(len, parts)))
    tokens, segments = header, [HEADER_SEGMENT] * len(header)
    for part in [*parts, *fitting[:kept]]:
        tokens += part
        positions += range(len(part))
        segments += [MEMBER_SEGMENT] * len(part)
    ids, places, kinds = (np.array(column, dtype=np.int64) for column in (tokens, positions, segments))
    return Prompt(ids, places, kinds, len(fitting) - kept)


def _member_part(
    member: MemberView, slots: Slots, scale: float, marks: Sequence[int] = (v.MEMBER,)
) -> list[int] | None:
    """Write a member; None if it cannot be shown."""
    body = tree_tokens(member.tree, slots)
    if body is None or len(body) + len(marks) + 2 > MAX_POSITION:
        return None
    return [*marks, v.loss_token(member.loss / scale), v.complexity_token(member.complexity), *body]


def _parent_parts(task: str, kind: str, parents: Sequence[MemberView], slots: Slots, scale: float) -> list[list[int]]:
    if (task == "edit") != bool(parents) or len(parents) > 2:
        raise WireError(f"An edit must have one or two parents, and no other task any; got {len(parents)} of {task!r}.")
    if task != "edit":
        return []
    parts = [_member_part(m, slots, scale, [v.MEMBER, *[kind_token(kind)] * n]) for n, m in enumerate(parents, 1)]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts):
        raise WireError(
            f"An edit's parents must be of at most {MAX_POSITION - 5} tokens, and of variables with a slot."
        )
    return found


def _that_fit(parts: Sequence[Sequence[int]], room: int | None, used: int) -> int:
    """Return how many of the parts, from the first on, fit into what room is left."""
    if room is None:
        return len(parts)
    for kept, part in enumerate(parts):
        used += len(part)
        if used > room:
            return kept
    return len(parts)


def best_members(members: Sequence[MemberView], count: int) -> list[MemberView]:
    """Return up to ``count`` members of lowest loss, without repeated trees, in a stable order."""
    chosen: dict[Node, MemberView] = {}
    for member in sorted(members, key=lambda m: (not np.isfinite(m.loss), m.loss, m.complexity)):
        chosen.setdefault(member.tree, member)
        if len(chosen) == count:
            break
    return list(chosen.values())[:count]


def kind_token(kind: str) -> int:
    """Return the token of a variation kind.

    Raises
    ------
    WireError
        If there is no such kind.
    """
    if kind not in KINDS:
        raise WireError(f"A kind must be one of {KINDS}; got {kind!r}." + did_you_mean(kind, KINDS))
    return v.ID[f"kind:{KINDS.index(kind)}"]


def population_tokens(members: Sequence[MemberView], slots: Slots) -> list[int] | None:
    """Write a population as the answer to a ``population`` prompt; None if a tree of it cannot be written.

    Parameters
    ----------
    members : sequence of MemberView
        At least one; repeated trees are written once.
    slots : Slots
    """
    tokens: list[int] = []
    for member in best_members(members, len(members)):
        body = tree_tokens(member.tree, slots)
        if body is None or len(body) >= MAX_POSITION:
            return None
        tokens += [*body, v.MEMBER]
    return [*tokens[:-1], v.END]


def target_positions(tokens: Sequence[int]) -> list[int]:
    """Return the position of each input token of an answer: counted from the last mark, ``<target>`` or ``<member>``.

    Parameters
    ----------
    tokens : sequence of int
        Inputs, the first being ``<target>``; padding counts on, up to the last position there is.
    """
    positions, last = [], 0
    for i, token in enumerate(tokens):
        last = i if token == v.MEMBER else last
        positions.append(min(i - last, MAX_POSITION - 1))
    return positions
