"""Steps of learning: the policy's heads in torch, and the loss of their decisions.

Owns: `TorchPolicy`, `fit`.  Does not own: lessons (`lessons`), the network as it is used
(`pysr_neural.proposer.policy`).

A test ties the scores here to those of `pysr_neural.proposer.policy.network`.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pysr_neural.checks import whole
from pysr_neural.errors import ConfigError
from pysr_neural.proposer.policy.network import HEADS, PolicyConfig, PolicyNetwork
from pysr_neural.rng import generator
from pysr_neural_training.policy.lessons import Lesson

CHUNK = 4096
"""Decisions whose likelihood is computed at once."""


@dataclass(frozen=True)
class FitConfig:
    """How a policy learns from lessons.

    Parameters
    ----------
    steps : int
        Per head, at most.
    batch_size : int
        Decisions of a step.
    learning_rate : float
        At first; it falls to nothing along a cosine.
    minutes : float
        Limit for all heads together.
    seed : int
    """

    steps: int = 3000
    batch_size: int = 512
    learning_rate: float = 0.01
    minutes: float = 30.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            whole(name, getattr(self, name), 1)
        if not self.learning_rate > 0 or not self.minutes > 0:
            raise ConfigError(
                f"learning_rate and minutes must be above 0; got {self.learning_rate} and {self.minutes}."
            )


class TorchPolicy(torch.nn.Module):
    """The heads of a policy, with gradients.

    Parameters
    ----------
    network : PolicyNetwork
        Where to start.
    """

    def __init__(self, network: PolicyNetwork) -> None:
        super().__init__()
        self.config: PolicyConfig = network.config
        made = {name.replace(".", "_"): torch.nn.Parameter(torch.tensor(w)) for name, w in network.weights.items()}
        self.arrays = torch.nn.ParameterDict(made)

    def of_head(self, head: str) -> list[torch.nn.Parameter]:
        """Return the parameters of one head."""
        return [value for name, value in self.arrays.items() if name.startswith(f"{head}_")]

    def log_probabilities(self, head: str, lesson: Lesson, rows: Any) -> torch.Tensor:
        """Return log-probabilities of the options of some decisions; shape (decisions, options)."""
        options = torch.from_numpy(lesson.options[lesson.block[rows]]).float()
        context = torch.from_numpy(lesson.context[rows]).float()
        mask = torch.from_numpy(lesson.mask[rows])
        arrays = self.arrays
        asked = context @ arrays[f"{head}_Q"] + arrays[f"{head}_b"]
        hidden = torch.relu(options @ arrays[f"{head}_K"] + asked[:, None])
        scores = hidden @ arrays[f"{head}_w"] + options @ arrays[f"{head}_a"]
        if lesson.pairs is not None:
            scores = scores + torch.from_numpy(lesson.pairs[rows]).float() @ arrays[f"{head}_p"]
        return torch.log_softmax(scores.masked_fill(~mask, -1e30), dim=-1)

    def network(self) -> PolicyNetwork:
        """Return the policy as it is used."""
        weights = {name: self.arrays[name.replace(".", "_")].detach().numpy().copy() for name in _names()}
        return PolicyNetwork(weights, self.config)


def fit(
    network: PolicyNetwork, lessons: Mapping[str, Lesson], config: FitConfig
) -> tuple[PolicyNetwork, dict[str, float]]:
    """Maximise the likelihood of the decisions, head by head.

    Returns
    -------
    network : PolicyNetwork
    losses : dict of str to float
        Mean negative log-likelihood of each head's decisions over the last tenth of its steps.
    """
    policy, losses = TorchPolicy(network), {}
    begun = time.perf_counter()
    heads = [head for head in HEADS if head in lessons and len(lessons[head].chosen)]
    for number, head in enumerate(heads):
        left = config.minutes * 60 - (time.perf_counter() - begun)
        losses[head] = _fit_head(policy, head, lessons[head], config, max(left, 0.0) / (len(heads) - number))
    return policy.network(), losses


def _fit_head(policy: TorchPolicy, head: str, lesson: Lesson, config: FitConfig, seconds: float) -> float:
    optimizer = torch.optim.Adam(policy.of_head(head), lr=config.learning_rate)
    rng = generator(config.seed, "policy", head)
    found: list[float] = []
    begun = time.perf_counter()
    for step in range(config.steps):
        share = max(step / config.steps, (time.perf_counter() - begun) / seconds if seconds > 0 else 1.0)
        if step and share >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * 0.5 * (1 + np.cos(np.pi * share))
        rows = rng.integers(len(lesson.chosen), size=min(config.batch_size, len(lesson.chosen)))
        logs = policy.log_probabilities(head, lesson, rows)
        loss = -logs[torch.arange(len(rows)), torch.from_numpy(lesson.chosen[rows])].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return float(np.mean(found[-max(1, len(found) // 10) :])) if found else float("nan")


@torch.inference_mode()
def likelihood(network: PolicyNetwork, lessons: Mapping[str, Lesson]) -> dict[str, float]:
    """Return the mean negative log-likelihood of each head's decisions."""
    policy, found = TorchPolicy(network), {}
    for head, lesson in lessons.items():
        total = 0.0
        for start in range(0, len(lesson.chosen), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(lesson.chosen)))
            logs = policy.log_probabilities(head, lesson, rows)
            total -= float(logs[torch.arange(len(rows)), torch.from_numpy(lesson.chosen[rows])].sum())
        found[head] = total / max(len(lesson.chosen), 1)
    return found


def _names() -> list[str]:
    from pysr_neural.proposer.policy.network import shapes

    return list(shapes(PolicyConfig()))
