"""Policy gradient on actions that earned something.

Owns: `GradientConfig`, `improve`, the baseline.  Does not own: what actions earned (`improve.self_play`), lessons
(`lessons`), scores (`learner`).

After Williams (Machine Learning 8, 1992) with the clipped ratio of PPO (Schulman et al., arXiv:1707.06347).
Deviations: the value baseline is a ridge regression of what was earned on the features of the state, fitted anew each
round, instead of a network; advantages are divided by their spread once per round; the divergence from the starting
policy is exact, summed over the options of every decision; entropy is not rewarded as such, only what it lacks to a
floor, a share of the starting policy's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pysr_neural.checks import whole
from pysr_neural.errors import ConfigError
from pysr_neural.operators import Array
from pysr_neural.proposer.policy.language import Ints
from pysr_neural.proposer.policy.network import PolicyNetwork
from pysr_neural.rng import generator
from pysr_neural_training.policy.learner import TorchPolicy
from pysr_neural_training.policy.lessons import Lesson

RIDGE = 1.0


@dataclass(frozen=True)
class GradientConfig:
    """Steps of a round.

    Parameters
    ----------
    steps, batch_size : int
        A batch is of actions.
    learning_rate : float
    clip : float
        Largest change of an action's probability that is rewarded, as a share.
    kl, entropy_weight : float
        Weights of the divergence from the start, and of what the entropy lacks to its floor, per action, in nats.
    entropy_floor : float
        Share of the start's entropy.
    seed : int
    """

    steps: int = 100
    batch_size: int = 1024
    learning_rate: float = 1e-3
    clip: float = 0.2
    kl: float = 0.02
    entropy_weight: float = 0.1
    entropy_floor: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        whole("steps", self.steps, 0)
        whole("batch_size", self.batch_size, 1)
        if min(self.learning_rate, self.clip) <= 0 or min(self.kl, self.entropy_weight, self.entropy_floor) < 0:
            raise ConfigError(f"learning_rate and clip must be above 0, weights at least 0; got {self}.")


class Decisions:
    """The decisions of some actions, found quickly."""

    def __init__(self, lessons: Mapping[str, Lesson]) -> None:
        self.lessons = lessons
        self.order = {head: np.argsort(lesson.action, kind="stable") for head, lesson in lessons.items()}
        self.sorted = {head: lesson.action[self.order[head]] for head, lesson in lessons.items()}

    def of(self, head: str, actions: Ints) -> tuple[Ints, Ints]:
        """Return the rows of a head that belong to some actions, and to which of them each does."""
        known = self.sorted[head]
        starts, ends = np.searchsorted(known, actions, "left"), np.searchsorted(known, actions, "right")
        counts = ends - starts
        of = np.repeat(np.arange(len(actions)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.order[head][np.repeat(starts, counts) + within], of


def advantages(lesson: Lesson, earned: Array) -> Array:
    """Return by how much actions earned more than actions in such states do, in units of its spread; 0 where unknown.

    Parameters
    ----------
    lesson : Lesson
        Of the first decision: one per action, whose context is the state.
    earned : array, shape (actions,)
    """
    states = np.zeros((len(earned), lesson.context.shape[1] + 1))
    states[lesson.action, :-1], states[:, -1] = lesson.context, 1.0
    known = np.isfinite(earned)
    if not known.any():
        return np.zeros(len(earned))
    own, mean = states[known], earned[known].mean()
    weights = np.linalg.solve(own.T @ own + RIDGE * np.eye(own.shape[1]), own.T @ (earned[known] - mean))
    rest = np.where(known, earned, 0.0) - mean - states @ weights
    rest[~known] = 0.0
    return rest / (rest.std() or 1.0)


def improve(
    network: PolicyNetwork,
    start: PolicyNetwork,
    finished: Mapping[str, Lesson],
    earned: Array,
    config: GradientConfig,
    number: int = 0,
) -> tuple[PolicyNetwork, dict[str, Any]]:
    """Take a round's steps.

    Parameters
    ----------
    network : PolicyNetwork
        Which acted.
    start : PolicyNetwork
        From which the divergence counts.
    finished : dict of str to Lesson
    earned : array, shape (actions,)
    config : GradientConfig
    number : int
        Of the round.

    Returns
    -------
    network : PolicyNetwork
    facts : dict
        ``earned`` on average, ``kl``, ``entropy`` and ``start_entropy`` per action at the end.
    """
    gains = advantages(finished["cross"], earned) if finished else np.zeros(0)
    policy, before, reference = TorchPolicy(network), TorchPolicy(network), TorchPolicy(start)
    decisions, rng = Decisions(finished), generator(config.seed, "policy gradient", number)
    optimizer = torch.optim.Adam(policy.parameters(), lr=config.learning_rate)
    measured: list[dict[str, float]] = []
    for _ in range(config.steps if len(gains) else 0):
        actions = np.sort(rng.choice(len(gains), min(config.batch_size, len(gains)), replace=False))
        loss, facts = _loss((policy, before, reference), decisions, actions, gains[actions], config)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        measured.append(facts)
    last = measured[-max(1, len(measured) // 5) :]
    means = {name: float(np.mean([each[name] for each in last])) for name in (last[0] if last else ())}
    return policy.network(), {"earned": float(np.nanmean(earned)) if len(earned) else 0.0, **means}


def _loss(
    policies: tuple[TorchPolicy, TorchPolicy, TorchPolicy],
    decisions: Decisions,
    actions: Ints,
    gains: Array,
    config: GradientConfig,
) -> tuple[torch.Tensor, dict[str, float]]:
    policy, before, reference = policies
    change = torch.zeros(len(actions))
    divergence, entropy, start_entropy = torch.zeros(()), torch.zeros(()), torch.zeros(())
    for head, lesson in decisions.lessons.items():
        rows, of = decisions.of(head, actions)
        if not len(rows):
            continue
        each, chosen = torch.arange(len(rows)), torch.from_numpy(lesson.chosen[rows])
        now = policy.log_probabilities(head, lesson, rows)
        with torch.no_grad():
            old = before.log_probabilities(head, lesson, rows)[each, chosen]
            start = reference.log_probabilities(head, lesson, rows)
        change = change.index_add(0, torch.from_numpy(of), now[each, chosen] - old)
        shares = now.exp()
        divergence = divergence + (shares * (now - start)).sum()
        entropy = entropy - (shares * now).sum()
        start_entropy = start_entropy - (start.exp() * start).sum()
    count = len(actions)
    divergence, entropy, start_entropy = divergence / count, entropy / count, start_entropy / count
    worth = torch.from_numpy(gains).float()
    ratio = change.clamp(max=10.0).exp()
    clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
    gain = torch.minimum(ratio * worth, clipped * worth).mean()
    lack = (config.entropy_floor * start_entropy - entropy).clamp(min=0.0)
    loss = -gain + config.kl * divergence + config.entropy_weight * lack
    facts = {"kl": divergence.item(), "entropy": entropy.item(), "start_entropy": start_entropy.item()}
    return loss, facts
