"""What is noted of a search by a policy: its states, what was drawn and answered there, and what became of it.

Owns: `Episode` and its parts, the searches planned, counts over episodes.  Does not own: noting it (`rollout`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pysr_neural.expression.node import Node
from pysr_neural.proposer.base import ProposalRequest
from pysr_neural_training.problems.generate import GeneratedProblem


@dataclass(frozen=True)
class Draw:
    """One distinct sample of the model, served or not.

    Parameters
    ----------
    question : int
        Position of its question among those that the request makes.
    tokens : tuple of int
        As sampled.
    log_probability : float
        At temperature 1, within the grammar.
    count : int
        How often it was drawn.
    tree : Node
        In its place, constants fitted.
    loss : float
        Mean squared error.
    """

    question: int
    tokens: tuple[int, ...]
    log_probability: float
    count: int
    tree: Node
    loss: float


@dataclass(frozen=True)
class Visit:
    """One state that the policy was shown, and its answer.

    Parameters
    ----------
    request : ProposalRequest
        As the policy received it.
    children : tuple of Node
        What it answered, before the guard.
    draws : tuple of Draw
        Empty for policies other than a transformer.
    """

    request: ProposalRequest
    children: tuple[Node, ...]
    draws: tuple[Draw, ...]


@dataclass(frozen=True)
class Event:
    """One member that was born, or a proposal that was refused.

    Parameters
    ----------
    visit : int
        Position of the last visit before it.
    ref : int
        -1 if it was refused.
    parents : tuple of int
    tree : Node
    kind : str
    loss : float
        Mean squared error; NaN if it was not evaluated.
    neural : bool
        Whether the policy proposed it.
    """

    visit: int
    ref: int
    parents: tuple[int, ...]
    tree: Node
    kind: str
    loss: float
    neural: bool


@dataclass(frozen=True)
class Episode:
    """One search.

    Parameters
    ----------
    given : GeneratedProblem
    number, seed : int
        Of the problem, and of the search.
    temperature : float
    visits : tuple of Visit
    events : tuple of Event
    solved : bool
    line : frozenset of int
        Refs of the best member and of its ancestors.
    best : Node
    loss : float
        Of the best member, over the variance of y.
    evaluations : int
        Of the engine, until it stopped.
    seconds, model_seconds : float
        This search's share of the time of all in step; that of the policy.
    failures : int
        Calls of the policy that raised.
    """

    given: GeneratedProblem
    number: int
    seed: int
    temperature: float
    visits: tuple[Visit, ...]
    events: tuple[Event, ...]
    solved: bool
    line: frozenset[int]
    best: Node
    loss: float
    evaluations: int
    seconds: float
    model_seconds: float
    failures: int = 0


@dataclass(frozen=True)
class Planned:
    """A search to be run: a problem with its number, a seed, a temperature."""

    given: GeneratedProblem
    number: int
    seed: int
    temperature: float = 1.0


def summary(episodes: Sequence[Episode], budget: int) -> dict[str, Any]:
    """Count what searches reached.

    Parameters
    ----------
    episodes : sequence of Episode
    budget : int
        Evaluations that an unsolved search counts for.

    Returns
    -------
    dict
        ``searches``, ``solved``, ``evaluations`` (mean until solution), ``seconds`` and ``model_seconds`` (means).
    """
    spent = [episode.evaluations if episode.solved else max(budget, episode.evaluations) for episode in episodes]
    return {
        "searches": len(episodes),
        "solved": sum(episode.solved for episode in episodes),
        "evaluations": round(float(np.mean(spent)), 1) if spent else 0.0,
        "seconds": round(float(np.mean([e.seconds for e in episodes])), 4) if episodes else 0.0,
        "model_seconds": round(float(np.mean([e.model_seconds for e in episodes])), 4) if episodes else 0.0,
    }
