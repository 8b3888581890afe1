"""Searches by a policy, with every state that it was shown and what became of its proposals.

Owns: watching searches, running many at once, here or on Dask workers.  Does not own: what is noted (`episodes`), the
search (`pysr_neural_baseline`), rewards (`rewards`), labels (`relabel`).

A visited state is the request that the policy itself received, noted between the search and the policy; so states are
the policy's own, whatever it is.  Of a transformer the draws are noted too, served or not.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from pysr_neural.expression.node import apply
from pysr_neural.model.checkpoint import load
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import BatchProposer, ProposalBatch, ProposalRequest, Proposer, Session
from pysr_neural.proposer.neural.questions import Question
from pysr_neural.proposer.neural.transformer import TransformerProposer, TransformerSession
from pysr_neural.rng import generator
from pysr_neural.wire import vocabulary as v
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.many import fit_many
from pysr_neural_baseline.objective import scale_of
from pysr_neural_baseline.observer import Proposal, SearchObserver
from pysr_neural_baseline.population import Member
from pysr_neural_baseline.search import SearchResult
from pysr_neural_training.improve.episodes import Draw, Episode, Event, Planned, Visit
from pysr_neural_training.workers import Workers


@dataclass(frozen=True)
class RolloutJob:
    """Searches run in step by one worker; no checkpoint means ordinary evolution."""

    checkpoint: str
    searches: tuple[Planned, ...]
    config: BasicSRConfig
    solved_below: float
    threads: int = 1


@dataclass
class Watcher(SearchObserver):
    """Notes one search's visits and events."""

    temperature: float = 1.0
    visits: list[Visit] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def population(self, population: int, iteration: int, members: Sequence[Member]) -> None:
        """Note the initial members."""
        if iteration == 0:
            for m in members:
                self.events.append(Event(0, m.ref, (), m.tree, m.kind, m.loss, m.neural))

    def proposal(self, told: Proposal) -> None:
        """Note one proposal."""
        visit, (loss, _) = len(self.visits) - 1, told.after
        self.events.append(Event(visit, told.child_ref, told.parents, told.child, told.kind, loss, told.neural))

    def relink(self, population: int, iteration: int, event: str, old_ref: int, member: Member) -> None:
        """Note a member that was simplified, tuned or copied."""
        visit = len(self.visits) - 1
        self.events.append(Event(visit, member.ref, member.parents, member.tree, event, member.loss, False))


class TracedSession(TransformerSession):
    """A transformer's session that keeps what was drawn for the last answer."""

    draws: tuple[Draw, ...] = ()

    def _draws(self, request: ProposalRequest) -> int:
        """Ask in every request: a policy learns from what it drew."""
        return request.count

    def answer(
        self,
        request: ProposalRequest,
        questions: Sequence[Question],
        hidden: torch.Tensor | None,
        rng: np.random.Generator,
    ) -> ProposalBatch:
        """Answer as ever, and keep the draws."""
        batch = super().answer(request, questions, hidden, rng)
        self.draws = tuple(self._drawn(request, questions))
        return batch

    def _drawn(self, request: ProposalRequest, questions: Sequence[Question]) -> Iterator[Draw]:
        rng = generator(request.seed, "draws")
        for i, question in enumerate(questions):
            if question.samples is None:
                continue
            counts: dict[tuple[int, ...], int] = {}
            scores: dict[tuple[int, ...], float] = {}
            for row, score in zip(
                question.samples.tokens.tolist(), question.samples.log_probabilities.tolist(), strict=True
            ):
                tokens = tuple(row[: row.index(v.PAD)] if v.PAD in row else row)
                counts[tokens] = counts.get(tokens, 0) + 1
                scores[tokens] = score
            for tokens, count in counts.items():
                tree = self.reader.tree(list(tokens), rng)
                if question.base is not None:
                    name, position = question.base
                    tree = apply(name, request.members[position].tree, tree)
                yield Draw(i, tokens, scores[tokens], count, *self._refined(tree))


class WatchedProposer:
    """Stands between searches and a policy: sets the temperature, and notes what the policy is shown and answers.

    Parameters
    ----------
    proposer : Proposer
    watchers : mapping of int to Watcher
        By ``id`` of the problem; every search has a problem object of its own.
    """

    def __init__(self, proposer: Proposer, watchers: Mapping[int, Watcher]) -> None:
        self.proposer, self.watchers = proposer, watchers

    def open(self, problem: Problem) -> "WatchedSession":
        """Start a search."""
        if isinstance(self.proposer, TransformerProposer):
            session = TracedSession(self.proposer.model, problem, self.proposer.combine)
            return WatchedSession(session, self.watchers[id(problem)])
        return WatchedSession(self.proposer.open(problem), self.watchers[id(problem)])

    def propose_many(
        self, sessions: Sequence["WatchedSession"], requests: Sequence[ProposalRequest]
    ) -> list[ProposalBatch]:
        """Answer one request of each session."""
        warmed = [session.warmed(request) for session, request in zip(sessions, requests, strict=True)]
        inner = [session.inner for session in sessions]
        if isinstance(self.proposer, BatchProposer):
            answers = self.proposer.propose_many(inner, warmed)
        else:
            answers = [session.propose(request) for session, request in zip(inner, warmed, strict=True)]
        for session, request, answer in zip(sessions, warmed, answers, strict=True):
            session.note(request, answer)
        return answers


@dataclass
class WatchedSession:
    """One search's session behind a `WatchedProposer`."""

    inner: Session
    watcher: Watcher

    def warmed(self, request: ProposalRequest) -> ProposalRequest:
        """Return the request at this search's temperature."""
        return replace(request, temperature=self.watcher.temperature)

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Answer one request."""
        warmed = self.warmed(request)
        answer = self.inner.propose(warmed)
        self.note(warmed, answer)
        return answer

    def note(self, request: ProposalRequest, answer: ProposalBatch) -> None:
        """Note a state and its answer."""
        draws = self.inner.draws if isinstance(self.inner, TracedSession) else ()
        self.watcher.visits.append(Visit(request, tuple([child.tree for child in answer.children]), draws))


def roll_out(
    searches: Sequence[Planned], config: BasicSRConfig, proposer: Proposer | None, solved_below: float
) -> list[Episode]:
    """Run searches in step.

    Parameters
    ----------
    searches : sequence of Planned
    config : BasicSRConfig
    proposer : Proposer, optional
        The policy; ordinary evolution alone without one.
    solved_below : float
        Mean squared error over the variance of y.

    Returns
    -------
    list of Episode
        One per search, in order.
    """
    problems = [replace(search.given.problem) for search in searches]  # An object each: see `WatchedProposer`.
    watchers = [Watcher(search.temperature) for search in searches]
    by_problem = {id(problem): watcher for problem, watcher in zip(problems, watchers, strict=True)}
    watched = WatchedProposer(proposer, by_problem) if proposer is not None else None
    began = time.perf_counter()
    results = fit_many(problems, config, watched, [search.seed for search in searches], observers=watchers)
    seconds = (time.perf_counter() - began) / max(len(searches), 1)
    return [
        _episode(search, watcher, result, solved_below, seconds)
        for search, watcher, result in zip(searches, watchers, results, strict=True)
    ]


def _episode(search: Planned, watcher: Watcher, result: SearchResult, solved_below: float, seconds: float) -> Episode:
    best = min(result.hall_of_fame.front() or [result.best], key=lambda member: member.loss)
    loss = best.loss / scale_of(search.given.problem.y)
    return Episode(
        search.given,
        search.number,
        search.seed,
        search.temperature,
        tuple(watcher.visits),
        tuple(watcher.events),
        loss <= solved_below,
        frozenset(result.ancestry.ancestors(best.ref) | {best.ref}),
        best.tree,
        loss,
        result.evaluations,
        seconds,
        result.counts.seconds if result.counts is not None else 0.0,
        len(result.failures),
    )


def run_rollout(job: RolloutJob) -> list[Episode]:
    """Run a job, in this process or on a worker."""
    torch.set_num_threads(job.threads)
    # What learns is judged: the model's own draws, without what is combined of their parts.
    proposer = TransformerProposer(load(job.checkpoint), combine=False) if job.checkpoint else None
    return roll_out(job.searches, job.config, proposer, job.solved_below)


def collect(
    searches: Sequence[Planned],
    checkpoint: str,
    config: BasicSRConfig,
    solved_below: float,
    together: int = 32,
    workers: Workers | None = None,
    threads: int = 1,
    label: str = "searches",
) -> list[Episode]:
    """Run searches with a checkpoint's policy, some in step; returns their episodes in order.

    Parameters
    ----------
    searches : sequence of Planned
    checkpoint : str
        By any name that ``neural_proposer=`` takes; empty for ordinary evolution.
    config : BasicSRConfig
    solved_below : float
    together : int
        Searches in step.
    workers : Workers, optional
        Where to run; here without.
    threads : int
    label : str
        Of the progress bar.
    """
    from tqdm import tqdm

    parts = [tuple(searches[i : i + together]) for i in range(0, len(searches), together)]
    jobs = [RolloutJob(checkpoint, part, config, solved_below, threads) for part in parts]
    place: dict[int, int] = {id(job): i for i, job in enumerate(jobs)}
    found: dict[int, list[Episode]] = {}
    with tqdm(total=len(searches), unit="search", desc=label) as bar:
        for job, episodes in (workers or Workers(0)).results(run_rollout, jobs):
            found[place[id(job)]] = episodes
            bar.update(len(episodes))
    return [episode for i in range(len(jobs)) for episode in found[i]]
