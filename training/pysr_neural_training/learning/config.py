"""What a training run is asked to do: a TOML file over defaults, and the checks of its values.

Owns: `TrainConfig` and its sections, reading them.  Does not own: what the prior and the examples mean (`generate`,
`examples`), training (`train`).
"""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural_training.examples.build import ExampleConfig
from pysr_neural_training.problems.generate import ProblemPrior

DECAYS = ("linear", "cosine", "constant")
TRACKERS = ("tensorboard", "wandb", "wandb-offline")


@dataclass(frozen=True)
class ModelSize:
    """Sizes of the model; see `ProposerConfig`.

    Raises
    ------
    ConfigError
        If one is impossible.
    """

    width: int = 128
    heads: int = 4
    layers: int = 4
    feedforward: int = 384
    latents: int = 16
    encoder_layers: int = 2
    probes: bool = True
    pair_rank: int = 0

    def __post_init__(self) -> None:
        _check(self, "model", 1, ("width", "heads", "layers", "feedforward", "latents", "encoder_layers"))
        _check(self, "model", 0, ("pair_rank",))
        if self.width % self.heads:
            raise ConfigError(
                f"model.width must be a multiple of model.heads; got {self.width} and {self.heads} heads. "
                f"Try model.width={self.heads * max(1, round(self.width / self.heads))}."
            )


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Parameters
    ----------
    steps : int
        Optimiser steps.
    accumulate : int
        Batches per process and step.
    minutes : float
        Wall-clock limit, ``inf`` for none; the learning rate follows whichever of steps and minutes is further.
    learning_rate : float
    decay : str
        How the learning rate falls, to a twentieth in the end: ``linear``, ``cosine`` or ``constant`` (not at all).
    warmup : int
        Steps of linear warm-up.
    weight_decay, gradient_clip : float
    workers : int
        Processes that generate data.
    threads : int
        CPU threads of the model.
    save_every, log_every : int
        Steps between checkpoints, and between records in ``metrics.jsonl``.
    bf16 : bool
        Mixed precision where the hardware has it, single precision elsewhere.

    Raises
    ------
    ConfigError
        If a value is impossible.
    """

    steps: int = 10_000
    accumulate: int = 1
    minutes: float = 60.0
    learning_rate: float = 1.5e-3
    decay: str = "linear"
    warmup: int = 300
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    workers: int = 1
    threads: int = 1
    save_every: int = 250
    log_every: int = 25
    bf16: bool = False

    def __post_init__(self) -> None:
        _check(self, "schedule", 1, ("steps", "accumulate", "warmup", "threads", "save_every", "log_every"))
        _check(self, "schedule", 0, ("learning_rate", "weight_decay", "gradient_clip", "workers"))
        if not self.minutes > 0:
            raise ConfigError(f"schedule.minutes must be above 0, or inf for no limit; got {self.minutes}.")
        _check_names("schedule.decay", [self.decay], DECAYS)


@dataclass(frozen=True)
class Evaluation:
    """How a run is measured while it goes on, on held-out problems that stay the same.

    Parameters
    ----------
    every : int
        Steps between measurements, the last step being measured as well; 0 switches them off.
    problems : int
    draws : int
        Samples per problem.
    seed : int
        Of the problems; other ones than those of ``bench recovery``, whose seed is 12345.
    max_size : int
        Largest true expression, in nodes.

    Raises
    ------
    ConfigError
        If a value is impossible.
    """

    every: int = 500
    problems: int = 32
    draws: int = 32
    seed: int = 7
    max_size: int = 15

    def __post_init__(self) -> None:
        _check(self, "evaluation", 0, ("every", "seed"))
        _check(self, "evaluation", 1, ("problems", "draws"))
        _check(self, "evaluation", 3, ("max_size",))


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Parameters
    ----------
    name : str
    seed : int
    initial : str
        Checkpoint whose weights to start from, by any name that ``neural_proposer=`` takes; empty for random ones.
    track : tuple of str
        Where metrics go besides ``metrics.jsonl``: any of ``tensorboard``, ``wandb``, ``wandb-offline``.
    model, schedule, prior, examples, evaluation
        See their classes.

    Raises
    ------
    ConfigError
        If a value is impossible.
    """

    name: str = "tiny"
    seed: int = 1
    initial: str = ""
    track: tuple[str, ...] = ("tensorboard",)
    model: ModelSize = field(default_factory=ModelSize)
    schedule: Schedule = field(default_factory=Schedule)
    prior: ProblemPrior = field(default_factory=ProblemPrior)
    examples: ExampleConfig = field(default_factory=ExampleConfig)
    evaluation: Evaluation = field(default_factory=Evaluation)

    def __post_init__(self) -> None:
        _check(self, "", 0, ("seed",))
        _check_names("track", self.track, TRACKERS)
        _check(self.prior, "prior", 1, ("max_operators", "max_size"))
        _check(self.examples, "examples", 2, ("batch_size",))
        _check(self.examples, "examples", 1, ("max_members",))


def load_config(path: Path, settings: list[str]) -> TrainConfig:
    """Read a TOML file over the defaults, then ``section.key=value`` settings over both.

    Raises
    ------
    ConfigError
        If the file is missing or not TOML, a key is unknown, or a value is of another type or impossible.
    """
    return filled(TrainConfig(), read_values(path, settings))


def named_config(name: str, settings: list[str]) -> TrainConfig:
    """Read a shipped configuration by its name, such as ``tiny``, or a TOML file; see `load_config`."""
    shipped = Path(__file__).parents[1] / "configs" / f"{name}.toml"
    return load_config(shipped if shipped.exists() else Path(name), settings)


def read_values(path: Path | None, settings: Sequence[str]) -> dict[str, Any]:
    """Read a TOML file, if there is one, then ``section.key=value`` settings over it.

    Raises
    ------
    ConfigError
        If the file is missing or not TOML, or a setting is not of that form.
    """
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text()) if path is not None else {}
        for setting in settings:
            key, _, text = setting.partition("=")
            *sections, last = key.split(".")
            target = values
            for section in sections:
                target = target.setdefault(section, {})
            target[last] = tomllib.loads(f"value = {text}")["value"]
    except (OSError, tomllib.TOMLDecodeError, AttributeError) as error:
        raise ConfigError(
            f"A configuration must be a readable TOML file with settings KEY=VALUE; got: {error}."
        ) from error
    return values


def filled(default: Any, values: dict[str, Any], where: str = "") -> Any:
    """Return a dataclass with some values in place of its own, sections in place of sections.

    Raises
    ------
    ConfigError
        If a key is unknown, or a value is of another type.
    """
    known = {f.name for f in fields(default)}
    changes = {}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"A configuration key must be known; got {where + key!r}." + did_you_mean(key, known))
        present = getattr(default, key)
        changes[key] = (
            filled(present, value, f"{where}{key}.")
            if hasattr(present, "__dataclass_fields__") and isinstance(value, dict)
            else _typed(where + key, value, present)
        )
    return replace(default, **changes)


def _typed(name: str, value: Any, present: Any) -> Any:
    """Return a value as the type of the present one."""
    if isinstance(present, tuple) and isinstance(value, list | tuple):
        alike = {type(item) for item in present} in ({int}, {float}, {str})
        return tuple(_typed(name, item, present[0]) if alike else item for item in value)
    if isinstance(present, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(present):
        kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", tuple: "a list"}
        advice = f" Give the same type as its default {present!r}." if type(present) in kinds else ""
        raise ConfigError(f"{name} must be {kinds.get(type(present), 'a section')}; got {value!r}.{advice}")
    return value


def _check(section: Any, where: str, least: int, names: Iterable[str]) -> None:
    for name in names:
        value = getattr(section, name)
        if not least <= value < float("inf"):
            raise ConfigError(f"{where}{'.' if where else ''}{name} must be at least {least}; got {value}.")


def _check_names(name: str, given: Iterable[str], known: tuple[str, ...]) -> None:
    for value in given:
        if value not in known:
            raise ConfigError(f"{name} must be known; got {value!r}." + did_you_mean(value, known))
