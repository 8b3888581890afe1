"""Many searches in step, which ask a proposer together.

Owns: `fit_many`.  Does not own: a single search (`search`), answering many requests at once
(`pysr_neural.proposer.guarded.propose_together`).
"""

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from typing import Any

from pysr_neural.errors import ConfigError
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import ProposalBatch, ProposalRequest, Proposer
from pysr_neural.proposer.guarded import propose_together
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.observer import SearchObserver
from pysr_neural_baseline.search import INTERRUPT, Search, SearchResult

Steps = Generator[ProposalRequest, ProposalBatch, SearchResult]


def fit_many(
    problems: Sequence[Problem],
    config: BasicSRConfig | Sequence[BasicSRConfig] | None = None,
    proposer: Proposer | None = None,
    seeds: Sequence[int] | int = 0,
    clock: Callable[[], float] = time.perf_counter,
    observers: Sequence[SearchObserver | None] | None = None,
) -> list[SearchResult]:
    """Search for an expression of each problem, all searches in step.

    A generation of every search waits for the proposer's answers to all of them, which a `BatchProposer` such as
    `TransformerProposer` gives in one pass of the model.  Each search finds what `run_search` finds with the same
    arguments, as long as no time limit is set (``timeout_seconds``, or ``max_overhead`` below 1): time passes for all.

    Parameters
    ----------
    problems : sequence of Problem
    config : BasicSRConfig or sequence of BasicSRConfig, optional
        One for all, or one per problem.
    proposer : Proposer, optional
        One for all.
    seeds : int or sequence of int
        One for all, or one per problem.
    clock : callable, optional
        Seconds, monotonic.
    observers : sequence of (SearchObserver or None), optional
        One per problem.

    Returns
    -------
    list of SearchResult
        One per problem, in order.

    Raises
    ------
    ConfigError
        If there are not as many configs, seeds or observers as problems, or as for `run_search`.
    """
    configs = list(config) if isinstance(config, Sequence) else [config or BasicSRConfig()] * len(problems)
    single = not isinstance(seeds, Iterable) or getattr(seeds, "ndim", 1) == 0
    each_seed: list[Any] = [seeds] * len(problems) if single else list(seeds)  # type: ignore[arg-type]
    watchers = [None] * len(problems) if observers is None else list(observers)
    for name, given in (("config", configs), ("seeds", each_seed), ("observers", watchers)):
        if len(given) != len(problems):
            raise ConfigError(f"{name} must be one for all or one per problem, {len(problems)}; got {len(given)}.")
    searches = [
        Search(problem, settings, proposer, seed, clock, observer)
        for problem, settings, seed, observer in zip(problems, configs, each_seed, watchers, strict=True)
    ]
    return _advanced(searches)


def _advanced(searches: Sequence[Search]) -> list[SearchResult]:
    """Advance all searches from request to request until each has ended; an interrupt ends all that are under way."""
    results: dict[int, SearchResult] = {}
    steps = [search.steps() for search in searches]
    waiting: dict[int, ProposalRequest] = {}
    for i, each in enumerate(steps):
        _advance(i, partial(next, each), waiting, results)
    while waiting:
        asked, waiting = waiting, {}
        sessions = [session for i in asked if (session := searches[i].session) is not None]
        answers: Sequence[ProposalBatch | None]
        try:
            answers = propose_together(sessions, list(asked.values()))
        except KeyboardInterrupt:
            answers = [None] * len(asked)
        for i, answer in zip(asked, answers, strict=True):
            interrupted = answer is None or any(result.stopped_by == INTERRUPT for result in results.values())
            _advance(i, partial(_resumed, steps[i], None if interrupted else answer), waiting, results)
    return [results[i] for i in range(len(searches))]


def _resumed(steps: Steps, answer: ProposalBatch | None) -> ProposalRequest:
    """Let a search go on with an answer; None stands for an interrupt."""
    return steps.throw(KeyboardInterrupt()) if answer is None else steps.send(answer)


def _advance(
    i: int, step: Callable[[], ProposalRequest], waiting: dict[int, ProposalRequest], results: dict[int, SearchResult]
) -> None:
    """Take one step of a search, and note its next request or its result."""
    try:
        waiting[i] = step()
    except StopIteration as end:
        results[i] = end.value
