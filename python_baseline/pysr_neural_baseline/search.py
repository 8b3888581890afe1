"""The one BasicSR loop: initial population, generations, stop; with or without an injected proposer.

Owns: the order of events, elitism, stopping, who fills which slot, the counts.  Does not own: variation (`variation`),
losses (`objective`), guarding of a proposer (`pysr_neural.proposer.guarded`).

Generational with elitism: slot 0 is the best ever, every other slot a new child.  An injected proposer is asked for
some of the slots; what it does not deliver, ordinary variation fills.  The same seed gives the same search, unless time
limits it: ``timeout_seconds``, or a proposer's ``max_overhead`` below 1.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pysr_neural.errors import ConfigError
from pysr_neural.expression.node import Node
from pysr_neural.expression.simplify import simplify
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Child, ProposalBatch, ProposalCounts, ProposalRequest, Proposer
from pysr_neural.proposer.guarded import Failure, GuardedProposer
from pysr_neural.rng import generator
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.objective import Objective
from pysr_neural_baseline.population import Ancestry, HallOfFame, Member
from pysr_neural_baseline.variation import Variation

NOTHING = ProposalBatch()
ROUNDING = 1e-9
"""A simplified tree may be worse by this share: adding constants in another order changes the last digits."""


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Parameters
    ----------
    best : Member
        Of lowest cost.
    hall_of_fame : HallOfFame
    population : tuple of Member
        The last one.
    ancestry : Ancestry
    generations, evaluations : int
    seconds : float
    stopped_by : str
        ``"solved"``, ``"generations"``, ``"time"``, ``"evaluations"`` or ``"callback"``.
    counts : ProposalCounts or None
        Of the injected proposer.
    failures : tuple of Failure
        Its last few exceptions.
    seeded, injected : int
        Its children in the initial population; those of ``refresh``.
    """

    best: Member
    hall_of_fame: HallOfFame
    population: tuple[Member, ...]
    ancestry: Ancestry
    generations: int
    evaluations: int
    seconds: float
    stopped_by: str
    counts: ProposalCounts | None = None
    failures: tuple[Failure, ...] = ()
    seeded: int = 0
    injected: int = 0


def run_search(
    problem: Problem,
    config: BasicSRConfig | None = None,
    proposer: Proposer | None = None,
    seed: int = 0,
    callback: Callable[["Search"], object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> SearchResult:
    """Search for an expression.

    Parameters
    ----------
    problem : Problem
    config : BasicSRConfig, optional
    proposer : Proposer, optional
        Injected and guarded; see ``proposal_share`` and ``levels`` of the config.
    seed : int
        Not negative.
    callback : callable, optional
        Called with the `Search` after every generation; a true answer stops the search.
    clock : callable, optional
        Seconds, monotonic.

    Raises
    ------
    ConfigError
        If the operator table cannot evaluate an operator of the problem.
    """
    return Search(problem, config or BasicSRConfig(), proposer, seed, clock).run(callback)


class Search:
    """The state of one search; `run` drives it.

    Parameters
    ----------
    problem, config, proposer, seed, clock
        See `run_search`.
    """

    def __init__(
        self,
        problem: Problem,
        config: BasicSRConfig,
        proposer: Proposer | None,
        seed: int,
        clock: Callable[[], float],
    ) -> None:
        if not problem.operators.evaluable:
            raise ConfigError(
                f"BasicSR evaluates with the operator table; got operators that it lacks among "
                f"{problem.operators.names}. Use PySR for operators of your own."
            )
        self.problem, self.config, self.seed, self.clock = problem, config, seed, clock
        self.objective = Objective(problem, config)
        self.variation = Variation(problem, config)
        self.session = GuardedProposer(proposer, config.guard, clock).open(problem) if proposer is not None else None
        self.rng = generator(seed, "search")
        self.hall_of_fame, self.ancestry = HallOfFame(), Ancestry()
        self.population: list[Member] = []
        self.best: Member | None = None
        self.generation = 0
        self.last_progress = 0
        self._fitted: set[Node] = set()
        self.solved_at: int | None = None
        self.seeded = self.injected = 0
        self.started = clock()

    @property
    def progress(self) -> float:
        """Elapsed share of the search, 0 to 1, by whichever limit is nearest."""
        shares = [self.generation / max(self.config.generations, 1)]
        if self.config.timeout_seconds:
            shares.append((self.clock() - self.started) / self.config.timeout_seconds)
        if self.config.max_evaluations:
            shares.append(self.objective.evaluations / self.config.max_evaluations)
        return min(max(shares), 1.0)

    def run(self, callback: Callable[["Search"], object] | None = None) -> SearchResult:
        """Run until a limit is reached; see `run_search`."""
        self._begin()
        while (stopped_by := self._limit_reached()) is None:
            if callback is not None and callback(self):
                stopped_by = "callback"
                break
            self._step()
        self._finish()
        if self.best is None:
            raise AssertionError("A population has at least two members.")
        return SearchResult(
            self.best,
            self.hall_of_fame,
            tuple(self.population),
            self.ancestry,
            self.generation,
            self.objective.evaluations,
            self.clock() - self.started,
            stopped_by,
            self.session.counts if self.session else None,
            tuple(self.session.failures) if self.session else (),
            self.seeded,
            self.injected,
        )

    def _begin(self) -> None:
        wanted = self._wanted("seed")
        batch = self._ask(("seed",), wanted)
        self.seeded = len(batch.children)
        room = self.config.population_size - self.seeded
        ordinary = [Child(tree) for tree in self.variation.initial(room, self.rng)]
        self._take(None, [*batch.children, *ordinary], len(batch.children), wanted)

    def _step(self) -> None:
        self.generation += 1
        elite = self.best
        wanted = self._wanted("child") or (self._wanted("refresh") if self._stagnates() else 0)
        level = "child" if "child" in self.config.levels else "refresh"
        soft = tuple(name for name in ("parents", "crossover") if name in self.config.levels)
        batch = self._ask((level, *soft) if wanted else soft, wanted)
        self.injected += len(batch.children) if level == "refresh" else 0
        ordinary = self.variation.children(
            [member.tree for member in self.population],
            [member.cost for member in self.population],
            self.config.population_size - 1 - len(batch.children),
            self.rng,
            batch.crossover_probability,
            batch.parent_weights,
        )
        self._take(elite, [*batch.children, *ordinary], len(batch.children), wanted)
        if self.config.optimize_constants and self.generation % self.config.optimize_every == 0:
            self._optimize()

    def _wanted(self, level: str) -> int:
        if self.session is None or level not in self.config.levels:
            return 0
        return max(1, round(self.config.proposal_share * (self.config.population_size - 1)))

    def _stagnates(self) -> bool:
        waited = self.generation - self.last_progress
        return waited > 0 and waited % self.config.stagnation == 0

    def _ask(self, levels: tuple[str, ...], count: int) -> ProposalBatch:
        if self.session is None or not levels or (count == 0 and levels == ("seed",)):
            return NOTHING
        seed = int(generator(self.seed, "proposer", self.generation).integers(1 << 62))
        views = tuple([member.view() for member in self.population])
        return self.session.propose(
            ProposalRequest(
                views,
                count,
                levels,
                seed,
                max_size=self.variation.max_size,
                progress=self.progress,
            )
        )

    def _take(self, elite: Member | None, children: Sequence[Child], proposed: int, wanted: int) -> None:
        """Make the next population: the elite, then the children, of which the first ones were proposed."""
        before, members = self.population, []
        if elite is not None:
            members.append(self._member(Child(elite.tree, "do_nothing"), (elite.ref,), elite.neural))
        for i, child in enumerate(children):
            parents = [before[p] for p in child.parents]
            neural = i < proposed or any(parent.neural for parent in parents)
            member = self._member(child, tuple([parent.ref for parent in parents]), neural)
            members.append(member)
            if i < proposed:
                self._count(member, parents)
        if self.session is not None:
            self.session.counts.fallbacks += wanted - proposed
        self.population = members
        self._note(members)

    def _member(self, child: Child, parents: tuple[int, ...], neural: bool) -> Member:
        loss = self.objective.loss(child.tree)
        member = Member(
            child.tree,
            loss,
            self.objective.cost(loss, child.tree.size),
            len(self.ancestry),
            parents,
            child.kind,
            neural,
        )
        self.ancestry.add(parents)
        self.hall_of_fame.update(member)
        return member

    def _count(self, member: Member, parents: Sequence[Member]) -> None:
        if self.session is None or not np.isfinite(member.loss):
            return
        self.session.counts.accepted += 1
        rivals = [parent.loss for parent in parents] or ([self.best.loss] if self.best else [])
        self.session.counts.improved += bool(rivals) and member.loss < min(rivals)

    def _note(self, members: Sequence[Member]) -> None:
        """Keep the best ever, and when that was."""
        cheapest = min(members, key=lambda member: member.cost)
        if self.best is None or cheapest.cost < self.best.cost:
            self.last_progress = self.generation
            self.best = cheapest
        elif self.best is not members[0] and members[0].tree == self.best.tree:
            self.best = members[0]
        if self.solved_at is None and self.objective.is_solved(self.hall_of_fame.lowest_loss):
            self.solved_at = self.generation

    def _optimize(self) -> None:
        """Fit, in place, the constants of the best members that have any and were not fitted before."""
        order = sorted(range(len(self.population)), key=lambda i: self.population[i].cost)
        room = self.config.optimize_count
        for i in order:
            tree = self.population[i].tree
            if room == 0 or not np.isfinite(self.population[i].loss):
                break
            if tree not in self._fitted and tree.constants():
                self.population[i] = self._refined(self.population[i])
                self._fitted |= {tree, self.population[i].tree}
                room -= 1
        self._note(self.population)

    def _finish(self) -> None:
        """Fit the constants of the front, which the population may have lost long ago."""
        if self.config.optimize_constants:
            for member in self.hall_of_fame.front():
                if member.tree not in self._fitted:
                    self._refined(member)

    def _refined(self, member: Member) -> Member:
        tree, loss = self.objective.refined(simplify(member.tree))
        if tree == member.tree or loss > member.loss * (1 + ROUNDING):
            return member
        fitted = Member(
            tree, loss, self.objective.cost(loss, tree.size), member.ref, member.parents, "optimize", member.neural
        )
        self.hall_of_fame.update(fitted)
        return fitted

    def _limit_reached(self) -> str | None:
        config = self.config
        if self.solved_at is not None and (
            self.generation - self.solved_at >= config.extra_generations or 1 in self._solved_sizes()
        ):
            return "solved"
        if self.generation >= config.generations:
            return "generations"
        if config.timeout_seconds is not None and self.clock() - self.started >= config.timeout_seconds:
            return "time"
        if config.max_evaluations is not None and self.objective.evaluations >= config.max_evaluations:
            return "evaluations"
        return None

    def _solved_sizes(self) -> list[int]:
        best = self.hall_of_fame.best
        return [size for size in best if self.objective.is_solved(best[size].loss)]
