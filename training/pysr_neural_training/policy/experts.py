"""Experts to imitate: the actions that earned most in the policy's own searches, and the best of many tried on a state.

Owns: `imitate` (expert iteration), `LookAhead` (DAgger's expert).  Does not own: what actions earned
(`improve.self_play`), lessons (`lessons`), the gradient of a policy (`gradient`).

Expert iteration after Anthony, Tian, Barber (NeurIPS 2017); deviation: the expert is the search itself, whose moves are
imitated in proportion to what they earned, in place of a tree search.  DAgger after Ross, Gordon, Bagnell (AISTATS
2011), on the labels of all rounds; deviation: only states are labelled in which the expert finds something better than
the best member.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pysr_neural.checks import whole
from pysr_neural.errors import ConfigError
from pysr_neural.expression.fit import mean_squared_error
from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.proposer.policy.choosers import Recorded, Sampler
from pysr_neural.proposer.policy.network import PolicyNetwork
from pysr_neural.proposer.policy.population import PopulationState
from pysr_neural.proposer.policy.proposer import BY_ENGINE, child_of
from pysr_neural.proposer.policy.walk import Walk, actions_of
from pysr_neural.rng import generator
from pysr_neural_training.policy.gradient import Decisions
from pysr_neural_training.policy.learner import TorchPolicy
from pysr_neural_training.policy.lessons import Lesson, Lessons

MOST_EARNED = 3.0
"""Nats beyond which an action counts for no more: one lucky step is not worth a hundred good ones."""


@dataclass(frozen=True)
class ExpertConfig:
    """How experts are imitated.

    Parameters
    ----------
    steps, batch_size : int
        A batch is of actions.
    learning_rate : float
        At first; it falls to nothing.
    tries : int
        Actions that a look ahead tries on a state.
    share : float
        Of the states that are looked ahead from.
    seed : int
    """

    steps: int = 200
    batch_size: int = 512
    learning_rate: float = 5e-3
    tries: int = 200
    share: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        whole("steps", self.steps, 0)
        whole("batch_size", self.batch_size, 1)
        whole("tries", self.tries, 1)
        if not self.learning_rate > 0 or not 0 < self.share <= 1:
            raise ConfigError(f"learning_rate must be above 0, share above 0 and at most 1; got {self}.")


def imitate(
    network: PolicyNetwork, finished: Mapping[str, Lesson], earned: Array, config: ExpertConfig, number: int = 0
) -> tuple[PolicyNetwork, dict[str, Any]]:
    """Make what earned something likelier, in proportion to what it earned.

    Parameters
    ----------
    network : PolicyNetwork
    finished : dict of str to Lesson
    earned : array, shape (actions,)
    config : ExpertConfig
    number : int
        Of the round.

    Returns
    -------
    network : PolicyNetwork
    facts : dict
        ``earned`` on average, ``imitated`` actions, ``loss`` at first and ``last_loss`` per action, in nats.
    """
    weights = np.clip(np.where(np.isfinite(earned), earned, 0.0), 0.0, MOST_EARNED)
    facts: dict[str, Any] = {"earned": float(np.nanmean(earned)) if len(earned) else 0.0}
    facts["imitated"] = int((weights > 0).sum())
    if not facts["imitated"]:
        return network, facts
    policy, decisions = TorchPolicy(network), Decisions(finished)
    rng = generator(config.seed, "expert", number)
    optimizer = torch.optim.Adam(policy.parameters(), lr=config.learning_rate)
    shares, losses = weights / weights.sum(), list[float]()
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (1 - step / config.steps)
        actions = rng.choice(len(weights), config.batch_size, p=shares)
        loss = torch.zeros(())
        for head, lesson in finished.items():
            rows, _ = decisions.of(head, actions)
            if len(rows):
                logs = policy.log_probabilities(head, lesson, rows)
                loss = loss - logs[torch.arange(len(rows)), torch.from_numpy(lesson.chosen[rows])].sum()
        loss = loss / len(actions)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    tenth = max(1, len(losses) // 10)
    facts |= {"loss": float(np.mean(losses[:tenth])), "last_loss": float(np.mean(losses[-tenth:]))}
    return policy.network(), facts


class LookAhead:
    """Labels states with the best of many actions of the policy: that whose child has the lowest loss.

    Parameters
    ----------
    network : PolicyNetwork
        Of whose actions some are tried.
    config : ExpertConfig
    lessons : Lessons
        What is found becomes a lesson here.
    seed : int
    """

    def __init__(self, network: PolicyNetwork, config: ExpertConfig, lessons: Lessons, seed: int) -> None:
        self.network, self.config, self.lessons = network, config, lessons
        self.rng = generator(seed, "look ahead")

    def see(self, state: PopulationState) -> None:
        """Label a state, if it is its turn, and if something better is found."""
        if self.config.share < 1 and self.rng.random() >= self.config.share:
            return
        sampler = Sampler(self.network, self.config.tries, self.rng)
        made = Walk(state, self.config.tries, self.network.config.kinds).run(sampler)
        best, lowest = None, min(member.loss for member in state.members)
        known: set[Node] = {member.tree for member in state.members}
        for action in actions_of(made, sampler.log_probability, sampler.entropy):
            if action.kind in (*BY_ENGINE, "do_nothing"):
                continue
            child = child_of(action, state)
            if child in known or child.size > state.max_size:
                continue
            known.add(child)
            problem = state.language.problem
            if (loss := mean_squared_error(child, problem.X, problem.y)) < lowest:
                best, lowest = action, loss
        if best is not None:
            Walk(state, 1, self.network.config.kinds).run(Recorded([best], state.language, self.lessons.watch))
            self.lessons.advance(1)
