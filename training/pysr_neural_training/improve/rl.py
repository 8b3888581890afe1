"""`pysr-neural improve rl`: policy gradient on searches, rewarded by what they gain per time.

Owns: rewards of draws, the loss, its training steps.  Does not own: reward functions (`rewards`), probabilities
(`scoring`), the loop (`rounds`).

A policy gradient after Williams (Machine Learning 8, 1992) with the group baseline of GRPO (Shao et al.,
arXiv:2402.03300), the clipped ratio of PPO (Schulman et al., arXiv:1707.06347) and a penalty on the divergence from the
starting policy.  Deviations: a group is everything that the model drew in one state of a search, over several
questions, and is not divided by its standard deviation; advantages are scaled once per round; the divergence is exact,
summed over the vocabulary, not estimated from samples; entropy is not rewarded as such, only what it lacks to a floor,
a share of the starting policy's, is penalised; a draw's reward is its own and what its descendants gain, discounted by
births instead of steps; some steps rehearse the supervised examples.  The gradient is that of the drawn tokens:
constants are fitted afterwards, as a part of the environment.

A draw's gain is by how much the logarithm of the search's best loss fell, divided by the draw's cost: the model's time
for its tokens and the engine's for its evaluation, at this round's measured rates.  Since these are measured, a round
that is made again is not the same to the last bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pysr_neural.errors import ConfigError
from pysr_neural.expression.node import Node
from pysr_neural.model.checkpoint import load
from pysr_neural.model.grammar import Grammar
from pysr_neural.model.policy import ProposerModel
from pysr_neural.rng import generator
from pysr_neural_baseline.objective import scale_of
from pysr_neural_training.examples.build import IGNORED, Example, collate
from pysr_neural_training.improve import rewards
from pysr_neural_training.improve.config import RLConfig
from pysr_neural_training.improve.episodes import Draw, Episode
from pysr_neural_training.improve.lessons import is_rehearsal, questions_of, rehearsal_batch, set_rate, take_step
from pysr_neural_training.improve.rounds import main_of
from pysr_neural_training.improve.scoring import score


@dataclass(frozen=True)
class Rewarded:
    """A draw with what it earned.

    Parameters
    ----------
    episode, visit : int
        Where it was drawn.
    draw : Draw
    gain : float
        Its own and its descendants'.
    seconds : float
        What it cost.
    """

    episode: int
    visit: int
    draw: Draw
    gain: float
    seconds: float


@dataclass(frozen=True)
class Sample:
    """A draw ready to be learned from."""

    example: Example
    grammar: Grammar
    log_probability: float
    advantage: float
    count: int


class PolicyGradient:
    """Reinforcement learning.

    Parameters
    ----------
    config : RLConfig

    Raises
    ------
    ConfigError
        If searches are at another temperature than 1, at which the probabilities hold that the gradient needs.
    """

    name = "rl"

    def __init__(self, config: RLConfig) -> None:
        if config.temperatures != (1.0,):
            raise ConfigError(f"Policy gradients need temperatures = [1.0]; got {list(config.temperatures)}.")
        self._config = config

    @property
    def config(self) -> RLConfig:
        """Its settings."""
        return self._config

    def learn(self, model: ProposerModel, episodes: Sequence[Episode], number: int, part: Path) -> dict[str, Any]:
        """Reward this round's draws, and take steps along the policy gradient."""
        samples, counts = samples_of(model, episodes, self.config)
        return {"examples": len(samples), **counts, **train(model, samples, self.config, number)}


def rewarded_draws(episodes: Sequence[Episode], discount: float) -> list[Rewarded]:
    """Return every draw with its gain and its cost, search by search and state by state."""
    tokens = sum(len(draw.tokens) * draw.count for e in episodes for visit in e.visits for draw in visit.draws)
    evaluations = sum(e.evaluations for e in episodes)
    per_token = sum(e.model_seconds for e in episodes) / max(tokens, 1)
    per_evaluation = sum(max(e.seconds - e.model_seconds, 0.0) for e in episodes) / max(evaluations, 1)
    found = []
    for i, episode in enumerate(episodes):
        best_before, later = gains_of(episode, discount)
        scale = scale_of(episode.given.problem.y)
        for j, visit in enumerate(episode.visits):
            for draw in visit.draws:
                own = rewards.log_decrease(best_before[j], draw.loss / scale)
                gain = own + later.get((j, draw.tree), 0.0)
                seconds = rewards.seconds_spent(len(draw.tokens), 1.0, per_token, per_evaluation)
                found.append(Rewarded(i, j, draw, gain, seconds))
    return found


def gains_of(episode: Episode, discount: float) -> tuple[list[float], dict[tuple[int, Node], float]]:
    """Follow a search's best loss.

    Returns
    -------
    best_before : list of float
        The search's best relative loss before each visit; 1, that of the mean, before the first.
    later : dict of (int, Node) to float
        Visit and tree of each accepted proposal of the policy: its share of what its descendants gained.
    """
    scale = scale_of(episode.given.problem.y)
    best, gains, parents, best_before = 1.0, {}, {}, list[float]()
    for event in episode.events:
        while len(best_before) <= event.visit:
            best_before.append(best)
        if event.ref >= 0:
            parents[event.ref] = event.parents
            gains[event.ref] = rewards.log_decrease(best, event.loss / scale)
            best = min(best, event.loss / scale)
    best_before += [best] * (len(episode.visits) - len(best_before))
    credit = rewards.credited(gains, parents, discount)
    later = {
        (event.visit, event.tree): credit[event.ref] - gains[event.ref]
        for event in episode.events
        if event.neural and event.ref >= 0
    }
    return best_before, later


def samples_of(
    model: ProposerModel, episodes: Sequence[Episode], config: RLConfig
) -> tuple[list[Sample], dict[str, Any]]:
    """Make samples of the draws of all states in which some draw did better than another.

    Returns
    -------
    samples : list of Sample
    counts : dict
        ``flat`` states without a difference, ``not_finite`` rewards (they count as 0), ``reward``, the mean.
    """
    draws = rewarded_draws(episodes, config.discount)
    values, not_finite = rewards.cleaned(rewards.per_time([d.gain for d in draws], [d.seconds for d in draws]))
    groups: dict[tuple[int, int], list[int]] = {}
    for i, each in enumerate(draws):
        groups.setdefault((each.episode, each.visit), []).append(i)
    samples: list[Sample] = []
    flat = 0
    for (episode, visit), members in groups.items():
        counts = [draws[i].draw.count for i in members]
        advantages = rewards.group_advantages(values[members], counts)
        if not np.any(np.abs(advantages) > 1e-9):
            flat += 1
            continue
        problem, request = episodes[episode].given.problem, episodes[episode].visits[visit].request
        questions = questions_of(model, problem, request)
        for i, advantage in zip(members, advantages.tolist(), strict=True):
            draw = draws[i].draw
            question = questions[draw.question]
            example = Example(question.prompt, list(draw.tokens), question.data, IGNORED)
            samples.append(Sample(example, question.grammar, draw.log_probability, advantage, draw.count))
    spread = float(np.std([sample.advantage for sample in samples])) if samples else 1.0
    scaled = [replace(sample, advantage=sample.advantage / (spread or 1.0)) for sample in samples]
    reward = round(float(values.mean()), 4) if len(values) else 0.0
    return scaled, {"flat": flat, "not_finite": not_finite, "reward": reward}


def train(model: ProposerModel, samples: Sequence[Sample], config: RLConfig, number: int) -> dict[str, Any]:
    """Take a round's steps in place; returns divergence, entropy and its floor at the end, and skipped steps."""
    if not samples or not config.steps:
        return {"steps": 0}
    reference = load(config.initial)
    rng = generator(config.seed, "policy gradient", number)
    shares = np.array([sample.count for sample in samples], dtype=np.float64)
    shares /= shares.sum()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    measured: list[dict[str, float]] = []
    skipped = 0
    for step in range(config.steps):
        set_rate(optimizer, config.learning_rate, step, config.steps)
        if is_rehearsal(step, config.rehearsal):
            loss = model(**rehearsal_batch(config, number, step)).loss
        else:
            chosen = [samples[i] for i in rng.choice(len(samples), config.batch_size, p=shares)]
            loss, measures = policy_loss(model, reference, chosen, config)
            measured.append(measures)
        skipped += not take_step(model, optimizer, loss)
    last = measured[-max(1, len(measured) // 5) :]
    means = {name: round(float(np.mean([m[name] for m in last])), 4) for name in (last[0] if last else ())}
    return {"steps": config.steps, "skipped_steps": skipped, **means}


def policy_loss(
    model: ProposerModel, reference: ProposerModel, samples: Sequence[Sample], config: RLConfig
) -> tuple[torch.Tensor, dict[str, float]]:
    """Return the loss of a batch of samples, and its ``kl``, ``entropy`` and ``floor``."""
    batch, grammars = collate([sample.example for sample in samples]), [sample.grammar for sample in samples]
    advantages = torch.tensor([sample.advantage for sample in samples], dtype=torch.float32)
    before = torch.tensor([sample.log_probability for sample in samples], dtype=torch.float32)
    now = score(model, batch, grammars)
    with torch.no_grad():
        start = score(reference, batch, grammars)
    ratio = (now.drawn - before).clamp(max=10.0).exp()
    clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
    gain = torch.minimum(ratio * advantages, clipped * advantages).mean()
    divergence, entropy = now.divergence(start), now.entropy()
    floor = config.entropy_floor * start.entropy()
    loss = -gain + config.kl * divergence + config.entropy_weight * (floor - entropy).clamp(min=0.0)
    return loss, {"kl": divergence.item(), "entropy": entropy.item(), "floor": floor.item()}


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return main_of("rl", RLConfig(), PolicyGradient, (__doc__ or "").splitlines()[0], argv)


if __name__ == "__main__":
    raise SystemExit(main())
