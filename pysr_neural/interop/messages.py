"""Frames as requests and answers: what an OPEN or REQUEST means, how a proposal is written as BATCH.

Owns: the meaning of the frames' fields on the Python side and their checks.  Does not own: framing (`wire.frames`),
sockets (`interop.server`).

Texts that list names (operators, kinds) hold one name per line.  A missing parent is -1; an optional part that the
proposer left out is an empty array; `crossover_probability` is then NaN, as `seconds` is where there is no limit.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pysr_neural.errors import ExpressionError, WireError
from pysr_neural.problem import Complexities, Limits, OperatorSet, Problem
from pysr_neural.proposer.base import Child, ProposalBatch, ProposalRequest
from pysr_neural.state import KINDS, MemberView, levels_from_bits
from pysr_neural.wire.codes import decode, encode
from pysr_neural.wire.frames import Frame, MessageType, Value, frame

_LOGGER = logging.getLogger(__name__)
MAX_COUNT = 4096
MAX_PARENTS = 2
_EMPTY: npt.NDArray[np.float64] = np.zeros(0)


class _WrittenChild(NamedTuple):
    """A child as the wire carries it."""

    child: Child
    codes: Value
    constants: Value
    leaves: int


def problem_of(message: Frame) -> Problem:
    """Read the search that an OPEN frame begins.

    Raises
    ------
    WireError, ConfigError, DataError
        If the fields do not describe a search.
    """
    names = tuple(message.text("operator_names").split("\n"))
    arities = tuple(int(a) for a in message.fields["operator_arities"].reshape(-1))
    limits = message.fields["limits"].reshape(-1)
    if limits.size != 2:
        raise WireError(f"OPEN.limits must be [max_size, max_depth]; got {limits.size} values.")
    X, operators = np.array(message.fields["X"], dtype=np.float64), OperatorSet(names, arities)
    nested = _triples(message, "nested", "outer, inner, count", (len(names), len(names)))
    arguments = _triples(message, "arguments", "operator, argument, size", (len(names), 3))
    complexities = _complexities_of(message, X.shape[-1], len(names))
    return Problem(
        X,
        np.array(message.fields["y"], dtype=np.float64),
        operators,
        Limits(int(limits[0]), int(limits[1]), nested, arguments, complexities=complexities),
    )


def _triples(message: Frame, field: str, what: str, ends: tuple[int, int]) -> tuple[tuple[int, int, int], ...]:
    """Read a field of triples, of which the first two count from 0 and have ends."""
    values = message.fields[field]
    if values.size % 3:
        raise WireError(f"OPEN.{field} must hold triples ({what}); got {values.size} values.")
    triples = tuple((int(a), int(b), int(c)) for a, b, c in values.reshape(-1, 3))
    for a, b, c in triples:
        if not (0 <= a < ends[0] and 0 <= b < ends[1]):
            raise WireError(f"OPEN.{field} must hold positions below {ends}; got {(a, b, c)}.")
    return triples


def _complexities_of(message: Frame, features: int, operators: int) -> Complexities | None:
    """Read the complexities of a constant, each variable and each operator; none are sent where each counts 1."""
    values = message.fields["complexities"].reshape(-1).astype(np.float64).tolist()
    if not values:
        return None
    if len(values) != 1 + features + operators:
        raise WireError(
            f"OPEN.complexities must be of a constant, {features} variables and {operators} operators, or empty; got "
            f"{len(values)} values."
        )
    return Complexities(values[0], tuple(values[1 : 1 + features]), tuple(values[1 + features :]))


def request_of(message: Frame, problem: Problem) -> ProposalRequest:
    """Read a REQUEST frame.

    Raises
    ------
    WireError, ExpressionError
        If counts disagree, a value is out of range, or a member is no expression of the search.
    """
    count, temperature = int(message.scalar("count")), message.scalar("temperature")
    if not 0 <= count <= MAX_COUNT:
        raise WireError(f"REQUEST.count must lie in 0..{MAX_COUNT}; got {count}.")
    if not (math.isfinite(temperature) and temperature > 0):
        raise WireError(f"REQUEST.temperature must be finite and above 0; got {temperature}.")
    max_size, seconds = int(message.scalar("max_size")), message.scalar("seconds")
    return ProposalRequest(
        members=_members_of(message, problem),
        count=count,
        levels=levels_from_bits(int(message.scalar("levels"))),
        seed=int(message.scalar("seed")) & (2**63 - 1),
        temperature=temperature,
        max_size=max_size if max_size > 0 else None,
        progress=float(np.clip(np.nan_to_num(message.scalar("progress")), 0.0, 1.0)),
        seconds=None if math.isnan(seconds) else max(seconds, 0.0),
    )


def _members_of(message: Frame, problem: Problem) -> tuple[MemberView, ...]:
    lengths, codes, complexities = (_integers(message, name) for name in ("lengths", "codes", "complexities"))
    constants, losses = (message.fields[name].reshape(-1).astype(np.float64) for name in ("constants", "losses"))
    if not len(lengths) == len(losses) == len(complexities):
        raise WireError(
            f"REQUEST must give each member a length, a loss and a complexity; got {len(lengths)}, "
            f"{len(losses)} and {len(complexities)}."
        )
    if (lengths < 1).any() or int(lengths.sum()) != len(codes) or int((codes == 0).sum()) != len(constants):
        raise WireError(
            f"REQUEST's lengths must add up to its codes, and each code 0 needs a constant; got lengths "
            f"{lengths.tolist()[:8]}, {len(codes)} codes, {len(constants)} constants."
        )
    members, at, constant_at = [], 0, 0
    for length, loss, complexity in zip(lengths.tolist(), losses.tolist(), complexities.tolist(), strict=True):
        part = codes[at : at + length]
        zeros = int((part == 0).sum())
        values = constants[constant_at : constant_at + zeros]
        tree = decode(part.tolist(), values.tolist(), problem.operators, problem.X.shape[1])
        members.append(MemberView(tree, loss, complexity))
        at, constant_at = at + length, constant_at + zeros
    return tuple(members)


def _integers(message: Frame, name: str) -> npt.NDArray[np.int64]:
    return message.fields[name].reshape(-1).astype(np.int64)


def batch_frame(
    batch: ProposalBatch,
    message: Frame,
    problem: Problem,
    elapsed: float,
    left: Sequence[int],
    explained: bool,
) -> Frame:
    """Write a proposal as the answer to a REQUEST; a child that the wire cannot carry is left out, with a log entry.

    Parameters
    ----------
    batch : ProposalBatch
    message : Frame
        The request that it answers.
    problem : Problem
    elapsed : float
        Seconds that the proposer took.
    left : sequence of int
        What each child leaves of the data, see `pysr_neural.interop.explained.Remainder`.
    explained : bool
        Whether a member of the request leaves nothing, or only noise.
    """
    written = list(_written_children(batch.children, left, problem))
    parents = np.full((len(written), MAX_PARENTS), -1, dtype=np.int32)
    for row, each in zip(parents, written, strict=True):
        kept = each.child.parents[:MAX_PARENTS]
        row[: len(kept)] = kept
    prior, crossover = batch.prior, batch.crossover_probability
    return frame(
        MessageType.BATCH,
        message.request,
        search=message.fields["search"],
        lengths=[len(each.codes) for each in written],
        codes=_joined([each.codes for each in written], np.int32),
        constants=_joined([each.constants for each in written], np.float64),
        kinds=[KINDS.index(each.child.kind) for each in written],
        parents=parents,
        log_probabilities=[each.child.log_probability for each in written],
        leave_noise=[each.leaves for each in written],
        explained=explained,
        kind_weights=_optional(batch.kind_weights),
        crossover_probability=math.nan if crossover is None else crossover,
        parent_weights=_optional(batch.parent_weights),
        operator_weights=_optional(None if prior is None else prior.operators),
        variable_weights=_optional(None if prior is None else prior.variables),
        pair_weights=_optional(None if prior is None else prior.pairs),
        elapsed=elapsed,
    )


def _written_children(children: Sequence[Child], left: Sequence[int], problem: Problem) -> Iterator[_WrittenChild]:
    for child, leaves in zip(children, left, strict=True):
        try:
            codes, constants = encode(child.tree, problem.operators, problem.X.shape[1])
        except ExpressionError as error:
            _LOGGER.warning("A proposed child was left out: %s", error)
            continue
        if child.kind not in KINDS:
            _LOGGER.warning("A proposed child was left out: its kind %r is none of %s", child.kind, KINDS)
            continue
        yield _WrittenChild(child, codes, constants, leaves)


def _joined(parts: list[Value], dtype: npt.DTypeLike) -> Value:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=dtype)


def _optional(values: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float64]:
    return _EMPTY if values is None else values
