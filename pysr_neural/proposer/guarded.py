"""The guard around any proposer: nothing invalid, late or failing gets through, and nothing is lost silently.

Owns: validation of answers, the circuit breaker, the time budget, the counts.  Does not own: the fallback itself, which
is the engine's ordinary variation (an engine fills every child that is missing).  The Julia twin is
``julia/NeuralProposer``.

`GuardedSession._attempt` is the one place of this room that catches whatever a proposer raises.  It must: a proposer is
somebody's model or script, and a search of hours does not end because of it.  What it caught is counted by stage and
type, kept in `GuardedSession.failures`, and announced by one warning per search.
"""

import dataclasses
import math
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from pysr_neural.checks import AUTO, overhead, whole
from pysr_neural.errors import ConfigError, ExpressionError
from pysr_neural.expression.constraints import check_tree
from pysr_neural.expression.edits import edited
from pysr_neural.operators import Array
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import (
    KINDS,
    Action,
    BatchProposer,
    Child,
    Prior,
    ProposalBatch,
    ProposalCounts,
    ProposalRequest,
    Proposer,
    Session,
)

T = TypeVar("T")
EMPTY = ProposalBatch()
FORGETTING = 0.9
PAYING, IDLE, PATIENCE = 0.5, 0.1, 4.0
"""Of ``max_overhead="auto"``: share of the time while help may still pay, and after; seconds of help without a gain."""


class ProposerWarning(UserWarning):
    """A proposer failed; the search goes on without its answer."""


@dataclass(frozen=True)
class GuardRules:
    """When the guard steps in.

    Parameters
    ----------
    max_overhead : float or str
        Largest share of the elapsed search time that the proposer may have used when it is asked again; above 0 and
        at most 1.  1 sets no limit, and the search then does not depend on the clock.  ``"auto"``: `PAYING`, until the
        proposer has used `PATIENCE` seconds since the lowest loss of the population last fell; then `IDLE`.
    max_failures : int
        Failures in a row that open the circuit breaker.
    retry_after : int
        Requests skipped by an open breaker before one is let through on trial (half-open).
    kept_failures : int
        How many of the last failures are kept for the report.
    """

    max_overhead: float | str = AUTO
    max_failures: int = 3
    retry_after: int = 50
    kept_failures: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_overhead", overhead(self.max_overhead))
        for name in ("max_failures", "retry_after", "kept_failures"):
            object.__setattr__(self, name, whole(name, getattr(self, name), 1))


@dataclass(frozen=True)
class Failure:
    """One exception of a proposer.

    Parameters
    ----------
    stage : str
        ``"open"``, ``"propose"`` or ``"answer"`` (it came while the answer was being read).
    message : str
        Type and text of the exception.
    trace : str
        The traceback as text; no object of the proposer is kept alive.
    """

    stage: str
    message: str
    trace: str


class GuardedProposer:
    """Wraps any proposer; what it opens never raises and answers only what the search may use.

    Parameters
    ----------
    proposer : Proposer
    rules : GuardRules, optional
    clock : callable, optional
        Seconds, monotonic; injectable for tests.

    Raises
    ------
    ConfigError
        If it is no proposer.
    """

    def __init__(
        self, proposer: Proposer, rules: GuardRules | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        if isinstance(proposer, type) or not callable(getattr(proposer, "open", None)):
            raise ConfigError(
                f"A proposer must be an object with a method open(problem), not its class; got {proposer!r}."
            )
        self.proposer = proposer
        self.rules = rules or GuardRules()
        self.clock = clock

    def open(self, problem: Problem) -> "GuardedSession":
        """Start a search; the wrapped proposer is opened at the first request."""
        return GuardedSession(self.proposer, problem, self.rules, self.clock)


@dataclass
class _Breaker:
    """Opens after failures in a row, then lets one request in many through until one succeeds."""

    rules: GuardRules
    failures: int = 0
    waited: int = 0

    @property
    def is_open(self) -> bool:
        return self.failures >= self.rules.max_failures

    def lets_through(self) -> bool:
        if not self.is_open:
            return True
        self.waited += 1
        return self.waited > self.rules.retry_after

    def record(self, success: bool) -> None:
        self.failures = 0 if success else self.failures + 1
        self.waited = 0


@dataclass
class GuardedSession:
    """One search's guarded proposer; follows the `Session` protocol.

    Parameters
    ----------
    proposer : Proposer
    problem : Problem
    rules : GuardRules
    clock : callable

    Attributes
    ----------
    counts : ProposalCounts
    failures : deque of Failure
        The last few.
    """

    proposer: Proposer
    problem: Problem
    rules: GuardRules
    clock: Callable[[], float]
    counts: ProposalCounts = field(default_factory=ProposalCounts)

    def __post_init__(self) -> None:
        self.failures: deque[Failure] = deque(maxlen=self.rules.kept_failures)
        self._breaker = _Breaker(self.rules)
        self._inner: Session | None = None
        self._started = self.clock()
        self._warned = False
        self._usual, self._lowest, self._fruitless_since = 0.0, math.inf, 0.0

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Answer a request with valid children only; an empty batch if the proposer is out of time or out of order.

        The time of one call is not known in advance: the budget decides whether to ask, so that the share may be
        exceeded by the last call, and is made good by waiting.  Nor is the proposer asked where the request gives it
        less time than it usually takes.
        """
        begun = self.clock()
        session = self.ready(request)
        if session is None:
            return EMPTY
        answer = self._asked(session, request)
        return self.take(answer, request, self.clock() - begun)

    def ready(self, request: ProposalRequest) -> Session | None:
        """Begin a call: return the wrapped session, opened if need be; None if it must not or cannot be asked now."""
        if self.time_share > self._allowed(request):
            self.counts.skip("time budget")
            return None
        if request.seconds is not None and self._usual > request.seconds:
            self.counts.skip("too little time left")
            self._usual *= FORGETTING  # The first call takes longest; without this a slow one would be the last.
            return None
        if not self._breaker.lets_through():
            self.counts.skip("circuit breaker open")
            return None
        self.counts.calls += 1
        if self._inner is None:
            begun = self.clock()
            self._inner = self._attempt("open", lambda: self.proposer.open(self.problem))
            if self._inner is None:
                self._breaker.record(False)
                self.counts.seconds += self.clock() - begun
        return self._inner

    def take(self, answer: ProposalBatch | None, request: ProposalRequest, seconds: float) -> ProposalBatch:
        """End a call: check the answer, None standing for a failure, and account for the time that it took."""
        begun = self.clock()
        checked = None if answer is None else self._attempt("answer", lambda: self._checked(answer, request))
        self._breaker.record(checked is not None)
        seconds += self.clock() - begun
        self.counts.seconds += seconds
        self._usual = seconds
        return EMPTY if checked is None else checked

    def _allowed(self, request: ProposalRequest) -> float:
        """Return the share of the time that the proposer may have used now."""
        if isinstance(self.rules.max_overhead, float):
            return self.rules.max_overhead
        lowest = min((member.loss for member in request.members), default=math.inf)
        if lowest < self._lowest:
            self._lowest, self._fruitless_since = lowest, self.counts.seconds
        return PAYING if self.counts.seconds - self._fruitless_since < PATIENCE else IDLE

    @property
    def time_share(self) -> float:
        """Share of the time since `open` that the proposer has used."""
        elapsed = self.clock() - self._started
        return self.counts.seconds / elapsed if elapsed > 0 else 0.0

    def _asked(self, session: Session, request: ProposalRequest) -> ProposalBatch | None:
        return self._attempt("propose", lambda: session.propose(request))

    def _attempt(self, stage: str, step: Callable[[], T]) -> T | None:
        """Take one step of the proposer; None if it raised (see the module's docstring)."""
        try:
            result = step()
            if result is None:
                raise TypeError(f"A proposer must answer with an object at stage {stage!r}; got None.")
            return result
        except Exception as error:  # noqa: BLE001
            self.counts.reject(stage, type(error).__name__)
            message = f"{type(error).__name__}: {error}"
            self.failures.append(Failure(stage, message, "".join(traceback.format_exception(error))))
            self._warn(stage, message)
            return None

    def _warn(self, stage: str, message: str) -> None:
        if self._warned:
            return
        self._warned = True
        warnings.warn(
            f"The proposer failed at stage {stage!r} ({message}); the search goes on with ordinary variation. "
            "Later failures are counted in the report without a warning.",
            ProposerWarning,
            stacklevel=6,
        )

    def _checked(self, answer: object, request: ProposalRequest) -> ProposalBatch:
        if not isinstance(answer, ProposalBatch):
            raise TypeError(f"A proposer must answer with a ProposalBatch; got {type(answer).__name__}.")
        children = tuple([child for child in answer.children if self._accepts(child, request)])
        if len(children) > request.count:
            self.counts.reject("child", "too many", len(children) - request.count)
            children = children[: request.count]
        actions = tuple([action for action in answer.actions if self._accepts(action, request)])
        most = request.count - len(children)
        if len(actions) > most:
            self.counts.reject("child", "too many", len(actions) - most)
            actions = actions[:most]
        self.counts.served += len(children) + len(actions)
        return dataclasses.replace(
            answer,
            children=children,
            actions=actions,
            kind_weights=self._weights("kind_weights", answer.kind_weights, (len(KINDS),)),
            parent_weights=self._weights("parent_weights", answer.parent_weights, (len(request.members),)),
            crossover_probability=self._probability(answer.crossover_probability),
            prior=self._prior(answer.prior),
        )

    def _accepts(self, child: object, request: ProposalRequest) -> bool:
        reason = reason_against(child, request) if isinstance(child, Action) else self._reason(child, request)
        if reason is not None:
            self.counts.reject("child", reason)
        return reason is None

    def _reason(self, child: object, request: ProposalRequest) -> str | None:
        if not isinstance(child, Child):
            return "not a child"
        if child.kind not in KINDS:
            return "kind"
        if any(not 0 <= parent < len(request.members) for parent in child.parents):
            return "parent"
        return check_tree(child.tree, self.problem, request.max_size)

    def _weights(self, name: str, weights: Array | None, shape: tuple[int, ...]) -> Array | None:
        if weights is None:
            return None
        values = np.asarray(weights, dtype=np.float64)
        if values.shape == shape and np.all(np.isfinite(values)) and np.all(values >= 0) and values.sum() > 0:
            return values
        self.counts.reject("weights", name)
        return None

    def _probability(self, value: float | None) -> float | None:
        if value is None or (math.isfinite(value) and 0 <= value <= 1):
            return value
        self.counts.reject("weights", "crossover_probability")
        return None

    def _prior(self, prior: Prior | None) -> Prior | None:
        if prior is None:
            return None
        operators = len(self.problem.operators.names)
        parts = (
            self._weights("prior.operators", prior.operators, (operators,)),
            self._weights("prior.variables", prior.variables, (self.problem.X.shape[1],)),
            self._weights("prior.pairs", prior.pairs, (operators + 1, operators + 2)),
        )
        return None if any(part is None for part in parts) else Prior(*parts)  # type: ignore[arg-type]


def reason_against(action: Action, request: ProposalRequest) -> str | None:
    """Say why an action cannot be carried out; None if it can.  Limits are looked at afterwards."""
    if action.kind not in KINDS or action.kind == "neural":
        return "kind"
    wanted = 2 if action.kind == "crossover" else 1
    if len(action.parents) != wanted or any(not 0 <= parent < len(request.members) for parent in action.parents):
        return "parent"
    trees = [request.members[parent].tree for parent in action.parents]
    if action.edit.node >= trees[0].size:
        return "node"
    if action.kind == "constant" and action.edit.planted is None:
        return None if action.edit.node < 0 or trees[0].at(action.edit.node).value is not None else "node"
    if action.kind in ("simplify", "optimize"):
        return None
    try:
        edited(action.kind, action.edit, *trees)
    except ExpressionError:
        return "edit"
    return None


def propose_together(sessions: Sequence[GuardedSession], requests: Sequence[ProposalRequest]) -> list[ProposalBatch]:
    """Answer one request of each session, all at once where the proposer can (`proposer.base.BatchProposer`).

    If it fails, or answers with a wrong number of batches, they are asked one after another, so that one search's
    failure costs no other search its answer.  The time of a common call is shared among its searches.

    Parameters
    ----------
    sessions : sequence of GuardedSession
        All of one proposer.
    requests : sequence of ProposalRequest
        One per session.
    """
    proposer = sessions[0].proposer if sessions else None
    if not isinstance(proposer, BatchProposer):
        return [session.propose(request) for session, request in zip(sessions, requests, strict=True)]
    begun = sessions[0].clock()
    ready = {i: inner for i, each in enumerate(sessions) if (inner := each.ready(requests[i])) is not None}
    answers: list[ProposalBatch] = [EMPTY] * len(sessions)
    if not ready:
        return answers
    wanted = [requests[i] for i in ready]
    first = sessions[min(ready)]
    found = first._attempt("propose", lambda: _as_many(proposer.propose_many(list(ready.values()), wanted), wanted))
    seconds = (sessions[0].clock() - begun) / len(ready)
    for place, (i, inner) in enumerate(ready.items()):
        answer = sessions[i]._asked(inner, requests[i]) if found is None else found[place]
        answers[i] = sessions[i].take(answer, requests[i], seconds)
    return answers


def _as_many(answers: list[ProposalBatch], requests: Sequence[ProposalRequest]) -> list[ProposalBatch]:
    if not isinstance(answers, list) or len(answers) != len(requests):
        raise TypeError(f"propose_many must answer with a list of {len(requests)} batches; got {answers!r:.80}.")
    return answers
