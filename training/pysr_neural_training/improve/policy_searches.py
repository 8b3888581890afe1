"""Searches of BasicSR in which the policy makes all children, and what is to be learned from each.

Owns: what an action earned, the labels of an expert.  Does not own: rewards (`rewards`), experts and lessons
(`pysr_neural_training.policy`), rounds (`self_play`).
"""

import math
from collections.abc import Sequence

import numpy as np

from pysr_neural.operators import Array
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import ProposalBatch, ProposalRequest
from pysr_neural.proposer.policy.network import PolicyNetwork
from pysr_neural.proposer.policy.proposer import PolicyProposer, PolicySession, state_of
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.objective import scale_of
from pysr_neural_baseline.observer import Proposal
from pysr_neural_baseline.population import Member
from pysr_neural_baseline.search import SearchResult, run_search
from pysr_neural_training.improve.rewards import credited, log_decrease
from pysr_neural_training.policy.experts import ExpertConfig, LookAhead
from pysr_neural_training.policy.lessons import Lessons

SOLVED_BELOW = 1e-10


class Watched:
    """The policy as a proposer whose decisions become lessons.

    Parameters
    ----------
    policy : PolicyProposer
    lessons : Lessons
    """

    def __init__(self, policy: PolicyProposer, lessons: Lessons) -> None:
        self.policy, self.lessons = policy, lessons

    def open(self, problem: Problem) -> "_WatchedSession":
        """Start a search."""
        return _WatchedSession(self.policy, problem, self.lessons)


class _WatchedSession(PolicySession):
    def __init__(self, policy: PolicyProposer, problem: Problem, lessons: Lessons) -> None:
        super().__init__(policy, problem, lessons.watch)
        self.lessons = lessons

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Answer, and count the actions as lessons."""
        answer = super().propose(request)
        self.lessons.advance(len(answer.actions))
        return answer


class Guided:
    """The policy as a proposer whose states an expert labels.

    Parameters
    ----------
    policy : PolicyProposer
    expert : LookAhead
    """

    def __init__(self, policy: PolicyProposer, expert: LookAhead) -> None:
        self.policy, self.expert = policy, expert

    def open(self, problem: Problem) -> "_GuidedSession":
        """Start a search."""
        return _GuidedSession(self.policy, problem, self.expert)


class _GuidedSession(PolicySession):
    def __init__(self, policy: PolicyProposer, problem: Problem, expert: LookAhead) -> None:
        super().__init__(policy, problem)
        self.expert = expert

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Answer, and let the expert see what was answered to."""
        answer = super().propose(request)
        if answer.actions:
            self.expert.see(state_of(self.language, request))
        return answer


class Ledger:
    """Observes a search, and says what each proposed action earned.

    Parameters
    ----------
    scale : float
        What losses are divided by.
    discount : float
    """

    def __init__(self, scale: float, discount: float) -> None:
        self.scale, self.discount, self.best = scale, discount, math.inf
        self.refs: list[int] = []
        self.gains: dict[int, float] = {}
        self.parents: dict[int, tuple[int, ...]] = {}

    def population(self, population: int, iteration: int, members: Sequence[Member]) -> None:
        """Take the losses of the initial members."""
        if iteration == 0:
            self.best = min([self.best, *(member.loss / self.scale for member in members)])

    def proposal(self, told: Proposal) -> None:
        """Take a child."""
        if told.neural:
            self.refs.append(told.child_ref)
        if told.accepted:
            loss = told.after[0] / self.scale
            self.parents[told.child_ref] = told.parents
            self.gains[told.child_ref] = log_decrease(self.best, loss)
            self.best = min(self.best, loss)

    def relink(self, population: int, iteration: int, event: str, old_ref: int, member: Member) -> None:
        """Take a member that replaces another: it earns nothing, its descendants may."""
        self.parents[member.ref] = member.parents

    def death(self, population: int, iteration: int, cycle: int, ref: int) -> None:
        """Take a death: nothing is earned."""

    def earned(self) -> list[float]:
        """Return what each proposed action earned, with its share of what its descendants did."""
        credit = credited(self.gains, self.parents, self.discount)
        return [credit.get(ref, 0.0) for ref in self.refs]


def play(
    network: PolicyNetwork, problems: Sequence[Problem], config: BasicSRConfig, discount: float, seed: int
) -> tuple[Lessons, Array, list[bool]]:
    """Search problems with a policy, problem i with the seed ``seed + i``.

    Parameters
    ----------
    network : PolicyNetwork
    problems : sequence of Problem
    config : BasicSRConfig
    discount : float
        Share of a gain that is left for a parent.
    seed : int

    Returns
    -------
    lessons : Lessons
    earned : array, shape (actions,)
        What every action earned; NaN where that is not known.
    solved : list of bool
    """
    lessons, earned, solved = Lessons(), list[float](), list[bool]()
    proposer = Watched(PolicyProposer(network), lessons)
    for number, problem in enumerate(problems):
        ledger = Ledger(scale_of(problem.y), discount)
        found = run_search(problem, config, proposer, seed + number, observer=ledger)
        own, made = ledger.earned(), lessons.actions - len(earned)
        earned += own if len(own) == made else [math.nan] * made  # An action beyond a limit has no child.
        solved.append(is_solved(found, problem))
    return lessons, np.array(earned), solved


def is_solved(found: SearchResult, problem: Problem) -> bool:
    """Tell whether a search met a member that explains all but 1e-10 of the variance."""
    return found.hall_of_fame.lowest_loss <= SOLVED_BELOW * scale_of(problem.y)


def guided(
    network: PolicyNetwork,
    problems: Sequence[Problem],
    config: BasicSRConfig,
    expert: ExpertConfig,
    draws: int,
    seed: int,
) -> tuple[Lessons, list[bool]]:
    """Search problems with a policy, and let an expert that looks ahead say what it should have done.

    Parameters
    ----------
    network : PolicyNetwork
    problems : sequence of Problem
    config : BasicSRConfig
    expert : ExpertConfig
    draws : int
        Of `PolicyProposer`.
    seed : int

    Returns
    -------
    lessons : Lessons
        Its labels.
    solved : list of bool
    """
    lessons, solved = Lessons(), list[bool]()
    proposer = Guided(PolicyProposer(network, draws=draws), LookAhead(network, expert, lessons, seed))
    for number, problem in enumerate(problems):
        solved.append(is_solved(run_search(problem, config, proposer, seed + number), problem))
    return lessons, solved
