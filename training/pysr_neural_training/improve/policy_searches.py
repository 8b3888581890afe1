"""Searches of BasicSR in which the policy makes all children, and what is to be learned from each.

Owns: jobs, what an action earned, the labels of an expert.  Does not own: rewards (`rewards`), experts and lessons
(`pysr_neural_training.policy`), rounds (`self_play`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pysr_neural.operators import Array
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import ProposalBatch, ProposalRequest, Proposer
from pysr_neural.proposer.policy.network import PolicyNetwork
from pysr_neural.proposer.policy.proposer import PolicyProposer, PolicySession, state_of
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.objective import scale_of
from pysr_neural_baseline.observer import Proposal, SearchObserver
from pysr_neural_baseline.population import Member
from pysr_neural_baseline.search import SearchResult, run_search
from pysr_neural_training.improve.rewards import credited, log_decrease
from pysr_neural_training.policy.experts import ExpertConfig, LookAhead
from pysr_neural_training.policy.lessons import Lesson, Lessons, merged
from pysr_neural_training.workers import Workers

SOLVED_BELOW = 1e-10
OWN, LABELS = "own", "expert"


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


class Ledger(SearchObserver):
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

    def earned(self) -> list[float]:
        """Return what each proposed action earned, with its share of what its descendants did."""
        credit = credited(self.gains, self.parents, self.discount)
        return [credit.get(ref, 0.0) for ref in self.refs]


class Played(NamedTuple):
    """What some searches gave.

    Parameters
    ----------
    lessons : dict of str to Lesson
        The policy's own decisions, or an expert's labels.
    earned : array, shape (actions,)
        What each action of the lessons earned, NaN where that is not known; of a label 1.
    solved : list of bool
    evaluations, children : list of int
        Of each search; a child that was met before costs no evaluation.
    """

    lessons: dict[str, Lesson]
    earned: Array
    solved: list[bool]
    evaluations: list[int]
    children: list[int]


@dataclass(frozen=True, eq=False)
class Job:
    """Searches that a worker makes.

    Parameters
    ----------
    number : int
        Of the job.
    network : PolicyNetwork or None
        None for BasicSR alone.
    problems : tuple of Problem
    seeds : tuple of int
        Of each problem's search: of one seed, searches draw alike.
    config : BasicSRConfig
    learns : str
        ``"own"``: decisions and what they earned; ``"expert"``: labels; otherwise nothing.
    discount : float
        Share of a gain that is left for a parent.
    draws : int
        Of `PolicyProposer`; not where the policy's own decisions are learned from.
    expert : ExpertConfig
    """

    number: int
    network: PolicyNetwork | None
    problems: tuple[Problem, ...]
    seeds: tuple[int, ...]
    config: BasicSRConfig
    learns: str = ""
    discount: float = 0.8
    draws: int = 1
    expert: ExpertConfig = field(default_factory=ExpertConfig)


def run_job(job: Job) -> Played:
    """Make the searches of a job."""
    lessons, earned, found = Lessons(), list[float](), list[SearchResult]()
    proposer = _proposer(job, lessons)
    for problem, seed in zip(job.problems, job.seeds, strict=True):
        ledger = Ledger(scale_of(problem.y), job.discount) if job.learns == OWN else None
        before = lessons.actions
        found.append(run_search(problem, job.config, proposer, seed, observer=ledger))
        made = lessons.actions - before
        own = [1.0] * made if ledger is None else ledger.earned()
        earned += own if len(own) == made else [math.nan] * made  # An action beyond a limit has no child.
    solved = [is_solved(*pair) for pair in zip(found, job.problems, strict=True)]
    taught = lessons.finished() if lessons.actions else {}
    children = [max(1, each.generations) * job.config.children for each in found]
    return Played(taught, np.array(earned), solved, [each.evaluations for each in found], children)


def run_all(jobs: Sequence[Job], workers: Workers) -> Played:
    """Run jobs; returns all that they gave, in the order of the jobs."""
    results = {job.number: played for job, played in workers.results(run_job, jobs)}
    each = [results[job.number] for job in jobs]
    return Played(
        merged([played.lessons for played in each]),
        np.concatenate([played.earned for played in each]),
        [solved for played in each for solved in played.solved],
        [used for played in each for used in played.evaluations],
        [made for played in each for made in played.children],
    )


def is_solved(found: SearchResult, problem: Problem) -> bool:
    """Tell whether a search met a member that explains all but 1e-10 of the variance."""
    return found.hall_of_fame.lowest_loss <= SOLVED_BELOW * scale_of(problem.y)


def _proposer(job: Job, lessons: Lessons) -> Proposer | None:
    if job.network is None:
        return None
    if job.learns == OWN:
        return Watched(PolicyProposer(job.network), lessons)
    policy = PolicyProposer(job.network, draws=job.draws)
    return Guided(policy, LookAhead(job.network, job.expert, lessons, job.seeds[0])) if job.learns == LABELS else policy
