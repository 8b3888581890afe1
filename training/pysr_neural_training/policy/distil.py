"""`pysr-neural improve native`: the network of the step that looks ahead inside PySR, distilled from a deeper look.

Owns: states, labels by looking two changes ahead, the fit of the network, the command.  Does not own: features and file
(`pysr_neural.proposer.policy.native`), the step (the Julia package), how good a search gets (`bench native`).

States are members that BasicSR's default preset, a small PySR, meets on training problems.  Of each, some changes are
drawn, half of them evenly, half by the loss that is told; each is made, and the best of the changes after it that look
best is made too.  The loss at once and the lowest found, and the nodes that they took, say how much a change is worth,
half each: by the second alone, whatever does no harm is as good as the best, since the next change makes up for it.
Changes are wanted in proportion to 2**(bits / `SOFTNESS`).  Draws are weighed by how likely they were, in the targets
and in the network's softmax, so that what is learned is a distribution over all changes (sampled softmax: Bengio,
Senécal, AISTATS 2003).  Which place is looked at is learned beside it, from the places of the changes that are wanted.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pysr_neural.checks import whole
from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.problem import Problem
from pysr_neural.proposer.policy.native import (
    DEFAULT,
    DRAW_FEATURES,
    DRAWN_PLACES,
    HIDDEN,
    UNIT,
    Look,
    NativeForesight,
    quick_log2,
    save,
)
from pysr_neural.rng import generator
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.observer import SearchObserver
from pysr_neural_baseline.population import Member
from pysr_neural_baseline.search import run_search
from pysr_neural_training.policy.problems import PRIOR, PRIORS
from pysr_neural_training.problems.generate import Sampler

BY_LOSS = 7.0
"""Of the drawn half: probability as a power of the loss told, the same units as a score's of a decrease."""
FLOOR = 1e-6
"""Relative losses below are not told apart: what is left is for the engine's own tuning of constants."""
NODE_BITS = 0.1
"""Bits that a node must earn."""
SOFTNESS = 0.5
WORTHLESS = 40.0
"""Bits of a change that changes nothing."""
SECOND = 3
"""Changes after a change that are made."""
MOST_SIZE = 25


@dataclass(frozen=True)
class DistilConfig:
    """Settings.

    Parameters
    ----------
    problems : int
        On which states are met.
    states : int
        Per problem.
    generations : int
        Cycles of each search.
    changes : int
        Made of each state.
    epochs, batch_size : int
        A batch is of states.
    learning_rate : float
        At first; it falls to nothing.
    seed : int
    """

    problems: int = 144
    states: int = 12
    generations: int = 4
    changes: int = 16
    epochs: int = 60
    batch_size: int = 64
    learning_rate: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("problems", "states", "generations", "changes", "epochs", "batch_size"):
            whole(name, getattr(self, name), 1)


class Labels(NamedTuple):
    """Of each state, what was drawn.

    Parameters
    ----------
    features : array, shape (states, changes, features)
    drawn : array, shape (states, changes)
        Logarithms of the draws' chances.
    wanted : array, shape (states, changes)
        Target probabilities among the drawn.
    places : array, shape (states, places, features)
        What tells the places looked at apart; not numbers where there are fewer.
    wanted_places : array, shape (states, places)
        Target probabilities.
    """

    features: Array
    drawn: Array
    wanted: Array
    places: Array
    wanted_places: Array


def problems_of(seed: int, name: str, held_out: bool = False) -> Iterator[Problem]:
    """Yield problems of several operator sets with constants in turn, without end."""
    free = replace(PRIOR, constant_share=0.3, max_operators=7, max_size=MOST_SIZE)
    priors = {kind: replace(prior, constant_share=0.3) for kind, prior in PRIORS.items()}
    priors["larger"] = free
    streams = [iter(Sampler(prior, generator(seed, name, kind), held_out)) for kind, prior in priors.items()]
    for stream in cycle(streams):
        yield next(stream).problem


class _Met(SearchObserver):
    """Remembers members that a search met."""

    def __init__(self) -> None:
        self.trees: list[Node] = []

    def population(self, population: int, iteration: int, members: Sequence[Member]) -> None:
        self.trees += [member.tree for member in members]


def states_of(problem: Problem, config: DistilConfig, rng: np.random.Generator) -> list[Node]:
    """Return different members that a short search met, drawn evenly."""
    met = _Met()
    run_search(problem, BasicSRConfig(generations=config.generations), seed=int(rng.integers(2**31)), observer=met)
    different = list(dict.fromkeys(met.trees))
    return [different[i] for i in rng.permutation(len(different))[: config.states]]


def worth(look: Look, place: int, plant: int, limit: int, rng: np.random.Generator) -> float:
    """Return the bits of loss, and of nodes, that a change leads to: half of those at once, half with one more."""
    child = look.child(place, plant)
    if child == look.tree:
        return WORTHLESS
    found = [_bits(look.foresight.loss(child), child.size)]
    further = look.foresight.look(child, limit, rng)
    if further is not None:
        told = np.where(further.allowed, further.decreases, -np.inf)
        best = np.argsort(told, axis=None)[-SECOND:]
        for row, column in zip(*np.unravel_index(best, told.shape), strict=True):
            if np.isfinite(told[row, column]):
                grandchild = further.child(int(row), int(column))
                found.append(_bits(look.foresight.loss(grandchild), grandchild.size))
    return (found[0] + min(found)) / 2


def _bits(loss: float, size: int) -> float:
    bounded = np.clip(loss if np.isfinite(loss) else 1e10, FLOOR, 1e10)
    return float(quick_log2(bounded)) + NODE_BITS * size


def label(look: Look, limit: int, changes: int, rng: np.random.Generator) -> Labels:
    """Draw changes of a state and look further; returns its row of `Labels`."""
    allowed = look.allowed & (look.decreases > -1.0)
    even = allowed / allowed.sum()
    greedy = np.where(allowed, np.exp(BY_LOSS * (look.decreases - look.decreases[allowed].max())), 0.0)
    chances = (even + greedy / greedy.sum()).ravel() / 2
    drawn = rng.choice(len(chances), changes, p=chances)
    places, plants = np.unravel_index(drawn, look.decreases.shape)
    bits = np.array([worth(look, int(p), int(k), limit, rng) for p, k in zip(places, plants, strict=True)])
    logs = np.log(chances[drawn])
    wanted = np.exp(-(bits - bits.min()) * np.log(2) / SOFTNESS - logs + logs.min())
    wanted /= wanted.sum()
    told = np.full((max(DRAWN_PLACES, len(look.places)), DRAW_FEATURES), np.nan)
    told[: len(look.places)] = look.place_features[:, :DRAW_FEATURES]
    wanted_places = np.asarray(np.bincount(places, wanted, len(told)), dtype=np.float64)
    return Labels(look.features(places, plants), logs, wanted, told, wanted_places)


def labels_of(problems: Iterable[Problem], config: DistilConfig, rng: np.random.Generator) -> Labels:
    """Meet states on problems and label them."""
    found = []
    for problem in problems:
        foresight = NativeForesight(problem)
        for tree in states_of(problem, config, rng):
            limit = int(rng.integers(min(tree.size + 2, MOST_SIZE), MOST_SIZE + 1))
            look = foresight.look(tree, limit, rng)
            if look is not None and (look.allowed & (look.decreases > -1.0)).any():
                found.append(label(look, limit, config.changes, rng))
    return Labels(*(np.stack(each) for each in zip(*found, strict=True)))


def initial(rng: np.random.Generator, features: int) -> Array:
    """Return weights that score changes by the loss told alone, ready to be trained."""
    units = np.zeros((HIDDEN, UNIT))
    units[:, 1:] = rng.normal(0, (2.0 / features) ** 0.5, (HIDDEN, features))
    direct = np.zeros(features)
    direct[-1] = BY_LOSS
    return np.concatenate([units.ravel(), np.zeros(HIDDEN), direct, np.zeros(DRAW_FEATURES)])


def scores(weights: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Score changes; shape of the features but for the last."""
    units, end = weights[: HIDDEN * UNIT].reshape(HIDDEN, UNIT), HIDDEN * (UNIT + 1)
    hidden = torch.relu(features @ units[:, 1:].T + units[:, 0])
    return hidden @ weights[HIDDEN * UNIT : end] + features @ weights[end:-DRAW_FEATURES]


def loss_of(weights: torch.Tensor, labels: Labels, rows: Any = slice(None)) -> torch.Tensor:
    """Return the mean cross-entropy with the targets, less the targets' own entropy, in nats."""
    features, drawn, wanted = (torch.from_numpy(each[rows]) for each in labels[:3])
    return _excess(scores(weights, features) - drawn, wanted)


def place_loss_of(weights: torch.Tensor, labels: Labels, rows: Any = slice(None)) -> torch.Tensor:
    """Return the same of the draw of a place."""
    places, wanted = torch.from_numpy(labels.places[rows]), torch.from_numpy(labels.wanted_places[rows])
    absent = places[..., 0].isnan()
    told = (places.nan_to_num() @ weights[-DRAW_FEATURES:]).masked_fill(absent, -1e9)
    return _excess(told, wanted)


def _excess(told: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    own = torch.special.xlogy(wanted, wanted)
    return (own - wanted * torch.log_softmax(told, dim=1)).sum(dim=1).mean()


def fit(labels: Labels, config: DistilConfig) -> Array:
    """Train the network."""
    rng = generator(config.seed, "distil", "fit")
    weights = torch.from_numpy(initial(rng, labels.features.shape[2])).requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=config.learning_rate)
    count = len(labels.features)
    batches = -(-count // config.batch_size)
    for step in range(config.epochs * batches):
        optimizer.param_groups[0]["lr"] = config.learning_rate * (1 - step / (config.epochs * batches))
        if step % batches == 0:
            order = rng.permutation(count)
        at = step % batches * config.batch_size
        rows = order[at : at + config.batch_size]
        loss = loss_of(weights, labels, rows) + place_loss_of(weights, labels, rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return np.asarray(weights.detach().numpy())


def distil(config: DistilConfig) -> tuple[Array, dict[str, Any]]:
    """Meet states, label them, train; returns the weights and what held-out states say of them.

    Returns
    -------
    weights : array
    facts : dict
        ``states``, ``held_out_states``; of the held-out ones, in nats above the targets' entropy: ``loss``, ``uniform``
        (all changes alike) and ``greedy`` (the best single weight of the decrease); ``place_loss``, ``place_uniform``.
    """
    labels = labels_of(
        islice(problems_of(config.seed, "distil"), config.problems), config, generator(config.seed, "distil")
    )
    others = islice(problems_of(config.seed, "distil held out", held_out=True), max(1, config.problems // 5))
    held_out = labels_of(others, config, generator(config.seed, "distil held out"))
    weights = fit(labels, config)
    greedy = []
    for slope in (1.0, 2.0, 4.0, 7.0, 10.0, 15.0, 20.0, 30.0):
        single = np.zeros_like(weights)
        single[-1 - DRAW_FEATURES] = slope
        greedy.append(float(loss_of(torch.from_numpy(single), held_out)))
    facts = {
        "states": len(labels.features),
        "held_out_states": len(held_out.features),
        "loss": float(loss_of(torch.from_numpy(weights), held_out)),
        "uniform": float(loss_of(torch.zeros(len(weights), dtype=torch.float64), held_out)),
        "greedy": min(greedy),
        "place_loss": float(place_loss_of(torch.from_numpy(weights), held_out)),
        "place_uniform": float(place_loss_of(torch.zeros(len(weights), dtype=torch.float64), held_out)),
    }
    return weights, facts


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural improve native", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=DEFAULT, help="safetensors file of the weights")
    defaults = DistilConfig()
    for name in ("problems", "states", "generations", "changes", "epochs", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name))
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = vars(parser.parse_args(argv))
    out, as_json = options.pop("out"), options.pop("json")
    begun = time.perf_counter()
    weights, facts = distil(DistilConfig(**options))
    save(weights, out)
    facts["seconds"] = round(time.perf_counter() - begun, 1)
    print(
        f"{facts['states']} states; on {facts['held_out_states']} held out, nats above the targets: "
        f"{facts['loss']:.3f}, by the decrease alone {facts['greedy']:.3f}, all alike {facts['uniform']:.3f}; "
        f"places {facts['place_loss']:.3f}, all alike {facts['place_uniform']:.3f}. {out}"
    )
    if as_json:
        print(json.dumps(facts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
