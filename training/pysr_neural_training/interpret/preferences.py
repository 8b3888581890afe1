"""What a policy prefers in a search state: asked like an engine asks, and averaged over groups of states.

Owns: `Preference`, asking, means over states.  Does not own: the states (`states`), the static form (`distil`).

All preferences are lifts: 1 is what a policy without preferences would give, 2 twice that.  Operators and pairs are
averaged over the states whose search has them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from pysr_neural.errors import ConfigError
from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.base import (
    KINDS,
    BatchProposer,
    Prior,
    ProposalBatch,
    ProposalRequest,
    Proposer,
    Session,
    normalized,
)
from pysr_neural_training.interpret.states import SearchState

TOGETHER = 16
"""States that a model is asked about in one pass."""
LEVELS = ("kind", "parents", "child", "crossover", "prior")
CONSTANT, VARIABLE, ROOT = "constant", "variable", "root"
"""Names of symbols in pairs, beside the operators'."""
IN_ANSWER, NOT_IN_ANSWER = "in the answer", "not in the answer"
MISSING, PRESENT = "not in the best member", "in the best member"
ROLES = (IN_ANSWER, NOT_IN_ANSWER, MISSING, PRESENT)
"""What a variable is to a state; numbers of variables mean nothing across problems."""
Key = TypeVar("Key")


@dataclass(frozen=True, eq=False)
class Preference:
    """What a policy answered in one state; None or empty for what it has no opinion on.

    Parameters
    ----------
    kinds : array, shape (len(KINDS),), optional
        Lift of each kind; their mean is 1.
    crossover_probability : float, optional
    operators : mapping of str to float
        Lift of each operator of the search.
    pairs : mapping of (str, str) to float
        Lift of each child symbol below each parent symbol.
    variables : mapping of str to float
        Mean lift of the variables of each of `ROLES` that the state has, where there are several variables.
    children : tuple of Node
        Sampled expressions.
    """

    kinds: Array | None = None
    crossover_probability: float | None = None
    operators: Mapping[str, float] = field(default_factory=dict)
    pairs: Mapping[tuple[str, str], float] = field(default_factory=dict)
    variables: Mapping[str, float] = field(default_factory=dict)
    children: tuple[Node, ...] = ()

    @property
    def sizes(self) -> list[int]:
        """Numbers of nodes of the sampled expressions."""
        return [tree.size for tree in self.children]


def ask(
    proposer: Proposer, states: Sequence[SearchState], children: int = 16, temperature: float = 1.0, seed: int = 0
) -> list[Preference]:
    """Ask a policy in every state.

    Parameters
    ----------
    proposer : Proposer
        The policy; opened once per problem.
    states : sequence of SearchState
    children : int
        Expressions wanted per state.
    temperature : float
        Of sampling.
    seed : int

    Raises
    ------
    ConfigError
        If there are no states.
    """
    if not states:
        raise ConfigError("A policy can be interpreted on one search state at least; got none. Raise --problems.")
    from tqdm import tqdm

    sessions: dict[int, Session] = {}
    found: list[Preference] = []
    with tqdm(total=len(states), unit="state", desc="asking") as bar:
        for start in range(0, len(states), TOGETHER):
            part = states[start : start + TOGETHER]
            for state in part:
                if id(state.problem) not in sessions:
                    sessions[id(state.problem)] = proposer.open(state.problem)
            requests = [
                ProposalRequest(
                    state.members,
                    children,
                    LEVELS,
                    seed + i,
                    temperature,
                    state.problem.limits.max_size,
                    state.progress,
                )
                for i, state in enumerate(part, start)
            ]
            batches = _answers(proposer, [sessions[id(state.problem)] for state in part], requests)
            found += [preference_of(batch, state) for batch, state in zip(batches, part, strict=True)]
            bar.update(len(part))
    return found


def _answers(
    proposer: Proposer, sessions: Sequence[Session], requests: Sequence[ProposalRequest]
) -> list[ProposalBatch]:
    if isinstance(proposer, BatchProposer):
        return proposer.propose_many(sessions, requests)
    return [session.propose(request) for session, request in zip(sessions, requests, strict=True)]


def preference_of(batch: ProposalBatch, state: SearchState) -> Preference:
    """Read an answer."""
    kinds = None if batch.kind_weights is None else normalized(batch.kind_weights) * len(KINDS)
    trees = tuple([child.tree for child in batch.children])
    if batch.prior is None:
        return Preference(kinds, batch.crossover_probability, children=trees)
    operators = state.problem.operators
    shares = normalized(batch.prior.operators) * len(operators.names)
    return Preference(
        kinds,
        batch.crossover_probability,
        dict(zip(operators.names, shares.tolist(), strict=True)),
        dict(_pairs(batch.prior, operators)),
        _roles(batch.prior, state),
        trees,
    )


def _pairs(prior: Prior, operators: OperatorSet) -> Iterator[tuple[tuple[str, str], float]]:
    symbols = (CONSTANT, VARIABLE, *operators.names)
    for parent, row in zip((*operators.names, ROOT), prior.pairs, strict=True):
        shares = normalized(row) * len(symbols)
        for child, share in zip(symbols, shares.tolist(), strict=True):
            yield (parent, child), share


def _roles(prior: Prior, state: SearchState) -> dict[str, float]:
    lifts = normalized(prior.variables) * len(prior.variables)
    if len(lifts) < 2:
        return {}
    everything, used = set(range(len(lifts))), state.best.tree.variables()
    members = {MISSING: everything - used, PRESENT: used}
    if state.answer is not None:
        members |= {IN_ANSWER: state.answer.variables(), NOT_IN_ANSWER: everything - state.answer.variables()}
    return {role: float(lifts[sorted(which)].mean()) for role, which in members.items() if which}


@dataclass(frozen=True, eq=False)
class GroupPreference:
    """Means over a group of states.

    Parameters
    ----------
    states : int
        How many.
    kinds : mapping of str to float
        Empty if the policy has no opinion.
    operators, variables : mapping of str to float
    counts : mapping of str to int
        How many states an operator's mean is over.
    size, growth : float
        Median size of sampled expressions, and of their difference to the best member's; NaN if there are none.
    """

    states: int
    kinds: Mapping[str, float]
    operators: Mapping[str, float]
    variables: Mapping[str, float]
    counts: Mapping[str, int]
    size: float
    growth: float


def by_group(
    states: Sequence[SearchState], preferences: Sequence[Preference], groups: Sequence[str]
) -> dict[str, GroupPreference]:
    """Average the preferences of each group that has states."""
    members = {group: [i for i, state in enumerate(states) if group in state.groups] for group in groups}
    return {
        group: _mean([states[i] for i in chosen], [preferences[i] for i in chosen])
        for group, chosen in members.items()
        if chosen
    }


def _mean(states: Sequence[SearchState], preferences: Sequence[Preference]) -> GroupPreference:
    sizes = [size for each in preferences for size in each.sizes]
    growth = [
        size - state.best.tree.size for state, each in zip(states, preferences, strict=True) for size in each.sizes
    ]
    return GroupPreference(
        len(states),
        mean_kinds(preferences) or {},
        mean_of(each.operators for each in preferences),
        mean_of(each.variables for each in preferences),
        Counter(name for each in preferences for name in each.operators),
        float(np.median(sizes)) if sizes else float("nan"),
        float(np.median(growth)) if growth else float("nan"),
    )


def mean_kinds(preferences: Iterable[Preference]) -> dict[str, float] | None:
    """Return the mean lift of each kind; None if the policy says nothing about kinds."""
    rows = [each.kinds for each in preferences if each.kinds is not None]
    if not rows:
        return None
    return dict(zip(KINDS, np.mean(rows, axis=0).tolist(), strict=True))


def mean_of(tables: Iterable[Mapping[Key, float]]) -> dict[Key, float]:
    """Average tables key by key, each over the tables that have the key."""
    collected: dict[Key, list[float]] = {}
    for table in tables:
        for key, value in table.items():
            collected.setdefault(key, []).append(value)
    return {key: float(np.mean(values)) for key, values in collected.items()}
