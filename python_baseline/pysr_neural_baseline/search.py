"""The one BasicSR loop: initial populations, generations, stop; with or without an injected proposer.

Owns: the order of events, who fills which place, stopping, the counts.  Does not own: parents and survival
(`selection`), children (`variation`, `mutation`), losses (`objective`), the end of an iteration (`tuning`), guarding of
a proposer (`pysr_neural.proposer.guarded`).

`Search._generation` is one generation.  A population's turn lasts an iteration of several generations; then the next
population's turn comes.  An injected proposer is asked once per generation; what it does not deliver, ordinary
variation fills.  The search asks by yielding the request, so that `many.fit_many` can ask for many searches at once.

The same seed gives the same search, unless time limits it: ``timeout_seconds``, or a proposer's ``max_overhead`` below
1.  A time limit holds: it is looked at before every evaluation, and proposals, fits and the end keep to it.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TypeVar

import numpy as np

from pysr_neural.checks import whole
from pysr_neural.deadline import Deadline
from pysr_neural.errors import ConfigError
from pysr_neural.expression.constraints import check_tree
from pysr_neural.expression.node import Node
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Child, ProposalBatch, ProposalCounts, ProposalRequest, Proposer
from pysr_neural.proposer.guarded import Failure, GuardedProposer
from pysr_neural.rng import generator
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.hall_of_fame import HallOfFame
from pysr_neural_baseline.objective import Objective, check_size
from pysr_neural_baseline.observer import Proposal, SearchObserver
from pysr_neural_baseline.population import Ancestry, Member, Population, cost_of
from pysr_neural_baseline.selection import REPLACEMENTS, AllLeave, OldestLeaves, Selection
from pysr_neural_baseline.tuning import Tuning
from pysr_neural_baseline.variation import Variation

T = TypeVar("T")
NOTHING = ProposalBatch()
NAN = float("nan")
INTERRUPT = "interrupt"
PROPOSAL_PART = 0.5
"""Of the time that is left, which a proposer's answer may take."""
LAST_PART, EVALUATIONS_PER_FIT = 0.1, 15
"""Largest part of a time limit that is kept for the last fits; what one takes, in evaluations."""
SOFT_LEVELS = ("kind", "parents", "crossover", "prior")
"""Levels that weigh ordinary variation instead of replacing it."""
Callback = Callable[["Search"], object]
Asking = Generator[ProposalRequest, ProposalBatch, None]
"""Steps of a search that yield requests to the proposer and receive its answers."""


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Parameters
    ----------
    best : Member
        Of lowest cost.
    hall_of_fame : HallOfFame
    population : tuple of Member
        The last members of all populations.
    ancestry : Ancestry
    generations, evaluations : int
    seconds : float
    stopped_by : str
        ``"solved"``, ``"generations"``, ``"time"``, ``"evaluations"``, ``"callback"`` or ``"interrupt"`` (Ctrl-C).
    counts : ProposalCounts or None
        Of the injected proposer.
    failures : tuple of Failure
        Its last few exceptions.
    seeded, injected : int
        Its children in the initial populations; those of ``refresh``.
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
    callback: Callback | None = None,
    clock: Callable[[], float] = time.perf_counter,
    observer: SearchObserver | None = None,
    guesses: Sequence[Node] = (),
) -> SearchResult:
    """Search for an expression; Ctrl-C ends the search, and what was found so far is returned.

    Parameters
    ----------
    problem : Problem
    config : BasicSRConfig, optional
    proposer : Proposer, optional
        Injected and guarded; see ``proposal_share`` and ``levels`` of the config.
    seed : int
        Not negative.
    callback : callable, optional
        Called with the `Search` before every generation; a true answer stops the search.
    clock : callable, optional
        Seconds, monotonic.
    observer : SearchObserver, optional
        Told of everything that happens, without any effect on the search.
    guesses : sequence of Node, optional
        Members to begin with, dealt out to the populations in turn, as many as find room.

    Raises
    ------
    ConfigError
        If the operator table cannot evaluate an operator of the problem, the limits admit nothing, or a guess is not
        of the problem's language and limits.
    DataError
        If squared errors of y leave the range of floats.
    """
    search = Search(problem, config or BasicSRConfig(), proposer, seed, clock, observer, guesses)
    return search.run(callback)


class Search:
    """The state of one search; `run` drives it.

    Parameters
    ----------
    problem, config, proposer, seed, clock, observer, guesses
        See `run_search`.
    variation : callable, optional
        Makes the ordinary variation; see `Variation` for its arguments.
    """

    def __init__(
        self,
        problem: Problem,
        config: BasicSRConfig,
        proposer: Proposer | None,
        seed: int,
        clock: Callable[[], float] = time.perf_counter,
        observer: SearchObserver | None = None,
        guesses: Sequence[Node] = (),
        variation: Callable[..., Variation] = Variation,
    ) -> None:
        if not problem.operators.evaluable:
            raise ConfigError(
                f"BasicSR evaluates with the operator table; got operators that it lacks among "
                f"{problem.operators.names}. Use PySR for operators of your own."
            )
        check_size(problem.y)
        if not config.constants and problem.limits.constants:
            problem = replace(problem, limits=replace(problem.limits, constants=False))
        for guess in guesses:
            if (reason := check_tree(guess, problem, config.max_size)) is not None:
                raise ConfigError(f"A guess must be of the search's operators and limits; got {guess} ({reason}).")
        self.problem, self.config, self.clock, self.observer = problem, config, clock, observer
        self.guesses = tuple(guesses)
        self.seed = seed = whole("seed", seed, 0)
        self.deadline = Deadline(config.timeout_seconds, clock)
        self.objective = Objective(problem, config, self.deadline)
        self.selection = Selection(config, min(config.max_size, problem.limits.max_size))
        self.variation = variation(problem, config, self.selection, self.objective)
        self.tuning = Tuning(config, self.objective, self._successor, self._moved, seed, self.deadline.passed)
        self.session = GuardedProposer(proposer, config.guard, clock).open(problem) if proposer is not None else None
        self.rng, self.judging = generator(seed, "search"), generator(seed, "acceptance")
        self.hall_of_fame, self.ancestry = HallOfFame(), Ancestry()
        self.populations = [Population(i) for i in range(config.populations)]
        self.turn = 0
        self.best: Member | None = None
        self.generation = 0
        self.last_progress = 0
        self.solved_at: int | None = None
        self.seeded = self.injected = 0
        self.started = clock()

    @property
    def population(self) -> list[Member]:
        """The members of the population whose turn it is."""
        return self.populations[self.turn].members

    @property
    def progress(self) -> float:
        """Elapsed share of the search, 0 to 1, by whichever limit is nearest."""
        shares = [self.generation / max(self.config.generations, 1)]
        if self.config.timeout_seconds:
            shares.append((self.clock() - self.started) / self.config.timeout_seconds)
        if self.config.max_evaluations:
            shares.append(self.objective.evaluations / self.config.max_evaluations)
        return min(max(shares), 1.0)

    def run(self, callback: Callback | None = None) -> SearchResult:
        """Run until a limit is reached; see `run_search`."""
        steps = self.steps(callback)
        try:
            request = next(steps)
            while True:
                try:
                    answer = self.session.propose(request) if self.session is not None else NOTHING
                except KeyboardInterrupt as interrupt:
                    request = steps.throw(interrupt)
                else:
                    request = steps.send(answer)
        except StopIteration as end:
            result: SearchResult = end.value
            return result

    def steps(self, callback: Callback | None = None) -> Generator[ProposalRequest, ProposalBatch, SearchResult]:
        """Run, and yield whenever the proposer is to be asked; see `many.fit_many`.

        An interrupt ends the search with what it has found; it goes on as an exception only if that is nothing.
        """
        try:
            stopped_by = yield from self._until_stopped(callback)
            self._finish()
        except KeyboardInterrupt:
            if not self.hall_of_fame.best:
                raise
            stopped_by = INTERRUPT
            known = [self.best] if self.best is not None else []
            self.best = min([*known, *self.hall_of_fame.best.values()], key=cost_of)
        if self.best is None:
            raise AssertionError("A population has at least two members.")
        return SearchResult(
            self.best,
            self.hall_of_fame,
            tuple([member for population in self.populations for member in population.members]),
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

    def _until_stopped(self, callback: Callback | None) -> Generator[ProposalRequest, ProposalBatch, str]:
        """Run generations until a limit is reached; returns which."""
        yield from self._begin()
        while (stopped_by := self._limit_reached()) is None:
            if callback is not None and callback(self):
                return "callback"
            yield from self._generation()
        return stopped_by

    def _begin(self) -> Asking:
        """Fill the populations: with guesses and what the proposer seeds, dealt out in turn, and ordinary members."""
        wanted = self._wanted("seed") * len(self.populations)
        batch = yield from self._ask(("seed",) if wanted else (), wanted, ())
        self.seeded = len(batch.children)
        self._count_fallbacks(wanted, batch)
        self.variation.heed(batch, ())
        for population in self.populations:
            if self._has_to_stop():
                break
            seeds = batch.children[population.index :: len(self.populations)]
            guesses = self.guesses[population.index :: len(self.populations)][: self.config.population_size]
            seeds = seeds[: self.config.population_size - len(guesses)]
            ordinary = self.variation.initial(self.config.population_size - len(seeds) - len(guesses), self.rng)
            for i, child in enumerate([*seeds, *map(Child, [*guesses, *ordinary])]):
                if self._has_to_stop():
                    break
                kind = child.kind if i < len(seeds) else "randomize"
                loss = self.objective.loss(child.tree)
                member = self._member(child.tree, loss, kind, (), i < len(seeds))
                population.members.append(member)
                self._count(member, (), i < len(seeds))
            if population.members:
                self._note(population)
                self._tell_population(population)

    def _generation(self) -> Asking:
        """Let one population make its children: the proposer's first, then ordinary ones."""
        population = self.populations[self.turn]
        self.generation += 1
        level = "refresh" if self._stagnates() else "child"
        wanted = self._wanted(level)
        soft = tuple([name for name in SOFT_LEVELS if name in self.config.levels])
        snapshot = tuple(population.members)
        batch = yield from self._ask((level, *soft) if wanted else soft, wanted, snapshot)
        self._count_fallbacks(wanted, batch)
        self.variation.heed(batch, snapshot)
        self.injected += len(batch.children) if level == "refresh" else 0

        cycle = REPLACEMENTS[self.config.replacement](population)
        if cycle.elite is not None:
            self._try(population, cycle, Child(cycle.elite.tree, "do_nothing"), [cycle.elite])
        temperature = self._temperature(population)
        for child in self._in_time(batch.children):
            parents = [snapshot[position] for position in child.parents]
            self._try(population, cycle, child, parents, proposed=True, once=True, injected=level == "refresh")
        count = self.config.children - len(batch.children)
        for action in self._in_time(batch.actions):
            child, fits = self.variation.perform(action, snapshot, temperature, self.rng)
            if fits:
                self._try(population, cycle, child, [snapshot[i] for i in child.parents], proposed=True)
            count -= self._counts_as_done(fits)
        among = snapshot if self.config.simultaneous else population.members
        made = (self.variation.child(among, temperature, self.rng) for _ in range(count))
        for child, fits in self._in_time(made) if cycle.judges else self._at_once(made):
            self._try(population, cycle, child, [among[i] for i in child.parents], fits)
        for member in cycle.finish():
            self._tell_death(population, member)
        self._note(population)
        population.cycle += 1
        if population.cycle == self.config.cycles_per_iteration:
            self._end_iteration(population)

    def _in_time(self, children: Iterable[T]) -> Iterator[T]:
        """Yield children, which may be made on the way, until time is up."""
        each = iter(children)
        while not self.deadline.passed() and (child := next(each, None)) is not None:
            yield child

    def _at_once(self, made: Iterable[tuple[Child, bool]]) -> list[tuple[Child, bool]]:
        """Make and evaluate all children together, which saves time where none changes what the next is made from.

        Where time runs out, those that were not evaluated are left out.
        """
        children = list(made)
        stop = self.deadline.passed if self.config.timeout_seconds is not None else None
        known = iter(self.objective.losses([child.tree for child, fits in children if fits], stop))
        return list(takewhile(lambda each: not each[1] or next(known, None) is not None, children))

    def _try(
        self,
        population: Population,
        cycle: OldestLeaves | AllLeave,
        child: Child,
        parents: Sequence[Member],
        fits: bool = True,
        proposed: bool = False,
        once: bool = False,
        injected: bool = False,
    ) -> None:
        """Evaluate a child, and put it in if it is accepted.

        One that is handed out once, and has the lowest loss so far, always is: variation, of which a policy's actions
        are a sort, may come upon a refused child again, while a proposer hands each out once.
        """
        loss, cost, reason = NAN, NAN, "constraints"
        if fits:
            loss = self.objective.loss(child.tree)
            cost, reason = self.objective.cost(loss, child.tree.size), ""
            rival = parents[0] if parents else cycle.rival()
            lowest = once and loss < self.hall_of_fame.lowest_loss
            if cycle.judges and rival is not None:
                kind = "crossover" if injected else child.kind
                refusal = self.selection.refusal(
                    kind, cost, child.tree.size, rival, self._temperature(population), self.judging
                )
                reason = "" if lowest else refusal
        refs = tuple([parent.ref for parent in parents])
        left, ref = None, -1
        if not reason:
            neural = proposed or any(parent.neural for parent in parents)
            member = self._member(child.tree, loss, child.kind, refs, neural)
            left, ref = cycle.place(member), member.ref
            self._count(member, parents, proposed)
        if self.observer is not None:
            before = (parents[0].loss, parents[0].cost) if parents else (NAN, NAN)
            place = (population.index, population.iteration, population.cycle)
            told = Proposal(
                *place, child.kind, refs, child.tree, ref, before, (loss, cost), reason, proposed, child.edit
            )
            self.observer.proposal(told)
            if left is not None:
                self._tell_death(population, left)

    def _end_iteration(self, population: Population) -> None:
        self.tuning.improve(population)
        self.tuning.migrate(population, self.populations, self.hall_of_fame.front())
        self.selection.frequencies.count(member.tree.size for member in population.members)
        self._note(population)
        population.iteration, population.cycle = population.iteration + 1, 0
        self._tell_population(population)
        self.turn = (self.turn + 1) % len(self.populations)

    def _finish(self) -> None:
        """Simplify and fit the front, which the populations may have lost long ago; the best first, as time permits."""
        for member in reversed(self.hall_of_fame.front()):
            simple = self.tuning.simplified(member) if self.config.simplify else member
            if self.config.optimize_constants:
                self.tuning.fitted(simple)

    def _ask(
        self, levels: tuple[str, ...], count: int, members: Sequence[Member]
    ) -> Generator[ProposalRequest, ProposalBatch, ProposalBatch]:
        if self.session is None or not levels or self.deadline.passed():
            return NOTHING
        seed = int(generator(self.seed, "proposer", self.generation).integers(1 << 62))
        score = self.selection.score
        views = tuple([member.view(score(member)) for member in members])
        answer = yield ProposalRequest(
            views,
            count,
            levels,
            seed,
            temperature=self.config.proposal_temperature,
            max_size=self.variation.max_size,
            progress=self.progress,
            seconds=None if self.config.timeout_seconds is None else PROPOSAL_PART * self.deadline.left,
        )
        return answer

    def _wanted(self, level: str) -> int:
        """Return how many children to ask for, 0 for a level that is switched off."""
        if self.session is None or level not in self.config.levels:
            return 0
        return max(1, round(self.config.proposal_share * self.config.children))

    def _stagnates(self) -> bool:
        waited = self.generation - self.last_progress
        return "refresh" in self.config.levels and waited > 0 and waited % self.config.stagnation == 0

    def _temperature(self, population: Population) -> float:
        cycles = self.config.cycles_per_iteration
        return 1.0 - population.cycle / (cycles - 1) if cycles > 1 else 1.0

    def _member(
        self, tree: Node, loss: float, kind: str, parents: tuple[int, ...], neural: bool, birth: int | None = None
    ) -> Member:
        """Make a member, with the next ref, known to the ancestry and to the hall of fame."""
        ref = len(self.ancestry)
        cost = self.objective.cost(loss, tree.size)
        member = Member(tree, loss, cost, ref, parents, kind, neural, ref if birth is None else birth)
        self.ancestry.add(parents)
        self.hall_of_fame.update(member)
        return member

    def _successor(self, tree: Node, loss: float, kind: str, of: Member, newborn: bool) -> Member:
        return self._member(tree, loss, kind, (of.ref,), of.neural, None if newborn else of.birth)

    def _count(self, member: Member, parents: Sequence[Member], proposed: bool) -> None:
        if self.session is None or not proposed or not np.isfinite(member.loss):
            return
        self.session.counts.accepted += 1
        rivals = [parent.loss for parent in parents] or ([self.best.loss] if self.best else [])
        self.session.counts.improved += bool(rivals) and member.loss < min(rivals)

    def _counts_as_done(self, fits: bool) -> bool:
        """Tell whether an action made its child; one beyond limits that the proposer does not know is made good."""
        if self.session is not None and not fits:
            self.session.counts.reject("child", "limits")
            self.session.counts.served -= 1
            self.session.counts.fallbacks += 1
        return fits

    def _count_fallbacks(self, wanted: int, batch: ProposalBatch) -> None:
        if self.session is not None:
            self.session.counts.fallbacks += wanted - len(batch.children) - len(batch.actions)

    def _note(self, population: Population) -> None:
        """Keep the best ever, and when that was."""
        members = population.members
        cheapest = min(members, key=cost_of)
        if self.best is None or cheapest.cost < self.best.cost:
            self.last_progress = self.generation
            self.best = cheapest
        elif self.best is not members[0] and members[0].tree == self.best.tree:
            self.best = members[0]
        if self.solved_at is None and self.objective.is_solved(self.hall_of_fame.lowest_loss):
            self.solved_at = self.generation

    def _limit_reached(self) -> str | None:
        config = self.config
        if self.solved_at is not None and (
            self.generation - self.solved_at >= config.extra_generations or 1 in self._solved_sizes()
        ):
            return "solved"
        if self.generation >= config.generations:
            return "generations"
        if config.timeout_seconds is not None and self.deadline.left <= self._reserved():
            return "time"
        if config.max_evaluations is not None and self.objective.evaluations >= config.max_evaluations:
            return "evaluations"
        return None

    def _has_to_stop(self) -> bool:
        """Tell whether time is up and something was found, so that initial members may be left out."""
        return self.deadline.passed() and bool(self.hall_of_fame.best)

    def _reserved(self) -> float:
        """Return the seconds that the last fits may need, by the pace of the search."""
        if not self.config.optimize_constants or not self.objective.evaluations:
            return 0.0
        elapsed = self.clock() - self.started - (self.session.counts.seconds if self.session else 0.0)
        waiting = sum(self.tuning.can_be_fitted(member) for member in self.hall_of_fame.best.values())
        needed = waiting * EVALUATIONS_PER_FIT * elapsed / self.objective.evaluations
        return min(needed, LAST_PART * (self.config.timeout_seconds or 0.0))

    def _solved_sizes(self) -> list[int]:
        best = self.hall_of_fame.best
        return [size for size in best if self.objective.is_solved(best[size].loss)]

    def _moved(self, population: Population, event: str, old_ref: int, member: Member) -> None:
        if self.observer is not None:
            self.observer.relink(population.index, population.iteration, event, old_ref, member)

    def _tell_population(self, population: Population) -> None:
        if self.observer is not None:
            self.observer.population(population.index, population.iteration, population.members)

    def _tell_death(self, population: Population, member: Member) -> None:
        if self.observer is not None:
            self.observer.death(population.index, population.iteration, population.cycle, member.ref)
