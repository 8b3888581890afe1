"""The weights behind the decisions: one small network per decision, which scores options in a context.

Owns: `HEADS`, `PolicyNetwork`, scores, checkpoints.  Does not own: features (`population`, `language`), the order of
decisions and what is masked (`walk`), training (`pysr_neural_training.policy`).

A head scores option o in context c as a·x_o + w·relu(K x_o + Q c + b) + p·z_oc, where x are the option's features, c
the context's, and z what is known about the two together.  The first term alone can give each rank, kind or symbol a
weight of its own, and the last the weights that a rule of counting needs: uniform and rank-based rules are exact
special cases. Options are projected once per generation, whatever the number of actions.  Plain NumPy: at these sizes
a call of torch takes longer than its arithmetic.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pysr_neural.checks import whole
from pysr_neural.errors import CheckpointError, ConfigError, did_you_mean
from pysr_neural.expression.edits import MOST_OPERANDS
from pysr_neural.proposer.policy.language import SYMBOL_FEATURES, Flags, Floats, Ints
from pysr_neural.proposer.policy.population import (
    GLOBAL_FEATURES,
    MEMBER_FEATURES,
    MEMBER_PROSPECTS,
    NODE_FEATURES,
    NODE_PROSPECTS,
    ROOMS,
)
from pysr_neural.state import KINDS

POLICY_VERSION = 3
CHOSEN_KINDS = KINDS[: KINDS.index("crossover")]
PLACES = MOST_OPERANDS * MOST_OPERANDS
PLANTED_LEVELS = 4
SLOT_FEATURES = PLANTED_LEVELS + ROOMS + MOST_OPERANDS + SYMBOL_FEATURES + 4
"""Of the place where the next symbol goes."""
IMPOSSIBLE = -1e30
"""Score of what is masked: its probability is 0 exactly, and 0 times it is still 0."""


class Shape(NamedTuple):
    """How many features a head's options, contexts and pairs have."""

    options: int
    context: int
    pairs: int = 0


HEADS: Mapping[str, Shape] = {
    "cross": Shape(2, GLOBAL_FEATURES),
    "parent": Shape(MEMBER_FEATURES, GLOBAL_FEATURES + 2),
    "second": Shape(MEMBER_FEATURES, GLOBAL_FEATURES + MEMBER_FEATURES, 3),
    "kind": Shape(len(CHOSEN_KINDS), GLOBAL_FEATURES + MEMBER_FEATURES, 1),
    "node": Shape(NODE_FEATURES, GLOBAL_FEATURES + len(KINDS) + MEMBER_FEATURES, 2),
    "other": Shape(NODE_FEATURES, GLOBAL_FEATURES + NODE_FEATURES + ROOMS, 1),
    "place": Shape(PLACES, len(KINDS) + NODE_FEATURES),
    "token": Shape(SYMBOL_FEATURES, GLOBAL_FEATURES + len(KINDS) + SLOT_FEATURES, 2),
}
"""By decision, in the order in which they are made."""


def _rows(name: str, before: int, which: tuple[int, int]) -> tuple[str, int, int]:
    return name, before + which[0], before + which[1]


_UNSEEN = (
    *(_rows(f"{head}.{array}", 0, MEMBER_PROSPECTS) for head in ("parent", "second") for array in "Ka"),
    *(_rows(f"{head}.{array}", 0, NODE_PROSPECTS) for head in ("node", "other") for array in "Ka"),
    *(_rows(f"{head}.Q", GLOBAL_FEATURES, MEMBER_PROSPECTS) for head in ("second", "kind")),
    _rows("node.Q", GLOBAL_FEATURES + len(KINDS), MEMBER_PROSPECTS),
    _rows("other.Q", GLOBAL_FEATURES, NODE_PROSPECTS),
    _rows("place.Q", len(KINDS), NODE_PROSPECTS),
    *(_rows(f"{head}.p", at, (0, 1)) for head, at in (("second", 2), ("node", 1), ("other", 0), ("token", 1))),
)
"""Weights of foresight: array, first row, end."""


@dataclass(frozen=True)
class PolicyConfig:
    """Size of the networks, and the kinds that the policy may choose.

    Parameters
    ----------
    width : int
    kinds : tuple of str
        Of mutation; crossover is always possible.
    foresight : bool
        Whether it is told what the data say about every node.  Imitation has no need of that, and is cheaper without.
    """

    width: int = 32
    kinds: tuple[str, ...] = CHOSEN_KINDS
    foresight: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(self.kinds))
        unknown = [kind for kind in self.kinds if kind not in CHOSEN_KINDS]
        if unknown or not self.kinds:
            hint = did_you_mean(str(unknown[0]), CHOSEN_KINDS) if unknown else ""
            raise ConfigError(f"A policy's kinds must be some of {', '.join(CHOSEN_KINDS)}; got {self.kinds}.{hint}")
        whole("A policy's width", self.width, 1)


class PolicyNetwork:
    """All heads with their weights.

    Parameters
    ----------
    weights : mapping of str to float32 array
        ``head.K`` (options, width), ``head.Q`` (context, width), ``head.b`` and ``head.w`` (width), ``head.a``
        (options),
        ``head.p`` (pairs).
    config : PolicyConfig, optional

    Raises
    ------
    CheckpointError
        If an array is missing, of another shape, or not finite.
    """

    def __init__(self, weights: Mapping[str, Floats], config: PolicyConfig | None = None) -> None:
        self.config = config or PolicyConfig()
        wanted = shapes(self.config)
        for name, shape in wanted.items():
            if name not in weights or weights[name].shape != shape or not np.isfinite(weights[name]).all():
                got = "none" if name not in weights else f"one of {weights[name].shape}, or not finite"
                raise CheckpointError(f"A policy needs an array {name!r} of shape {shape}; got {got}. Train it again.")
        self.weights = {name: np.asarray(weights[name], dtype=np.float32) for name in wanted}

    @classmethod
    def initial(cls, config: PolicyConfig | None = None, seed: int = 0) -> "PolicyNetwork":
        """Return a network that decides uniformly among what is possible, ready to be trained."""
        settings, rng = config or PolicyConfig(), np.random.default_rng(seed)
        made = {}
        for name, shape in shapes(settings).items():
            deep = name.endswith((".K", ".Q"))
            scale = (2.0 / shape[0]) ** 0.5 if deep else 0.0
            made[name] = (scale * rng.standard_normal(shape)).astype(np.float32)
        return cls(made, settings)

    def seeing(self) -> "PolicyNetwork":
        """Return the policy with foresight; if it had none it decides as before, and can learn what to make of it."""
        if self.config.foresight:
            return self
        weights = {name: array.copy() for name, array in self.weights.items()}
        for name, begin, end in _UNSEEN:
            weights[name][begin:end] = 0.0
        return PolicyNetwork(weights, replace(self.config, foresight=True))

    def projected(self, head: str, options: Floats) -> tuple[Floats, Floats]:
        """Project options: what the hidden layer and what the score gets from each.

        Parameters
        ----------
        head : str
        options : array, shape (…, options' features)
        """
        return options @ self.weights[f"{head}.K"], options @ self.weights[f"{head}.a"]

    def scores(self, head: str, hidden: Floats, direct: Floats, context: Floats, pairs: Floats | None) -> Floats:
        """Score options in contexts.

        Parameters
        ----------
        head : str
        hidden, direct : arrays, shapes (1 or contexts, options, width) and (1 or contexts, options)
            From `projected`.
        context : array, shape (contexts, context's features)
        pairs : array, shape (contexts, options, pairs' features), optional

        Returns
        -------
        array, shape (contexts, options)
        """
        weights = self.weights
        asked = context @ weights[f"{head}.Q"] + weights[f"{head}.b"]
        layer = hidden + asked[:, None]
        np.maximum(layer, 0.0, out=layer)
        scores: Floats = (layer.reshape(-1, layer.shape[-1]) @ weights[f"{head}.w"]).reshape(layer.shape[:-1])
        scores += direct
        if pairs is not None:
            scores += (pairs.reshape(-1, pairs.shape[-1]) @ weights[f"{head}.p"]).reshape(scores.shape)
        return scores

    def possible_scores(
        self, head: str, options: Floats, context: Floats, mask: Flags, at: Ints, pairs: Floats | None
    ) -> Floats:
        """Score those options that are possible, where every context has options of its own; the others `IMPOSSIBLE`.

        Parameters
        ----------
        head : str
        options : array, shape (blocks, options, options' features)
        context : array, shape (contexts, context's features)
        mask : bool array, shape (contexts, options)
        at : int array, shape (contexts,)
            Which block.
        pairs : array, shape (contexts, options, pairs' features), optional

        Returns
        -------
        array, shape (contexts, options)
        """
        weights = self.weights
        row, option = np.nonzero(mask)
        own = options[at[row], option]
        layer = own @ weights[f"{head}.K"]
        layer += (context @ weights[f"{head}.Q"] + weights[f"{head}.b"])[row]
        np.maximum(layer, 0.0, out=layer)
        told = layer @ weights[f"{head}.w"] + own @ weights[f"{head}.a"]
        if pairs is not None:
            told += pairs[row, option] @ weights[f"{head}.p"]
        scores = np.full(mask.shape, IMPOSSIBLE, dtype=np.float32)
        scores[row, option] = told
        return scores

    def save(self, path: Path) -> None:
        """Write the weights as safetensors, with the settings as metadata."""
        from safetensors.numpy import save

        facts = {"policy_version": str(POLICY_VERSION), "width": str(self.config.width)}
        facts |= {"kinds": json.dumps(self.config.kinds), "foresight": json.dumps(self.config.foresight)}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(save(self.weights, facts))  # Others may read it.

    @classmethod
    def load(cls, path: Path) -> "PolicyNetwork":
        """Read what `save` wrote.

        Raises
        ------
        CheckpointError
            If the file is not a policy of this version.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy") as file:
                facts = file.metadata() or {}
                if facts.get("policy_version") != str(POLICY_VERSION):
                    raise CheckpointError(
                        f"A policy must be of version {POLICY_VERSION}; {path} is of {facts.get('policy_version')}. "
                        "Train it again."
                    )
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"A policy must be a safetensors file; {path} cannot be read: {error}") from error
        foresight = json.loads(facts.get("foresight", "true"))  # Older files do not say: they have it.
        return cls(weights, PolicyConfig(int(facts["width"]), tuple(json.loads(facts["kinds"])), foresight))


def shapes(config: PolicyConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array of weights."""
    made: dict[str, tuple[int, ...]] = {}
    for head, shape in HEADS.items():
        made[f"{head}.K"], made[f"{head}.Q"] = (shape.options, config.width), (shape.context, config.width)
        made[f"{head}.b"] = made[f"{head}.w"] = (config.width,)
        made[f"{head}.a"] = (shape.options,)
        if shape.pairs:
            made[f"{head}.p"] = (shape.pairs,)
    return made
