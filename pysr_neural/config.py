"""How a search is to be helped: the user's one object, `NeuralProposer`.

Owns: the settings of neural help, their checks, and the short forms (`"default"`, a path, a proposer) of them.
Does not own: PySR's parameters, the model's sizes (`model.config`), training settings.

The object is frozen and plain data, so that scikit-learn's `clone`, pickle and PySR's checkpoints carry it.
"""

import os
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args

from pysr_neural.checks import AUTO, number, overhead, whole
from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural.state import levels_of

Transport = Literal["auto", "unix", "tcp"]
LEVELS_IN_PYSR = ("seed", "refresh")
"""The levels that were measured to help there (training/LOG.md, "A front apart")."""
MAX_BATCH = 4096
DEFAULT, POLICY, POLICY_SUFFIX = "default", "policy", ".safetensors"
BUNDLED = (DEFAULT, POLICY)
"""Names of what comes with the package: the transformer, the policy of actions."""


@dataclass(frozen=True)
class NeuralProposer:
    """How a transformer helps a search.

    Parameters
    ----------
    checkpoint : str
        ``"default"`` (bundled), a directory, or a hub id ``owner/name``.  Or a policy of actions, for BasicSR only:
        ``"policy"`` (bundled), or its safetensors file.
    levels : tuple of str, optional
        Where the model may help: any of ``seed``, ``child``, ``refresh``, ``kind``, ``parents``, ``crossover``,
        ``prior``, ``foresight``; ``"all"`` stands for all.  By default the engine's own choice: ``seed`` and
        ``refresh`` in PySR, ``seed`` and ``child`` in BasicSR.  ``foresight`` is PySR's own step that looks ahead:
        it asks no model, and alone needs no server.  An empty tuple records only: the search is that of plain PySR.
    max_overhead : float or str
        Largest share of the search's time that the help may cost, above 0 and at most 1; with PySR three quarters of it
        are for the model, the rest for the engine's own work on proposals.  ``"auto"``: half of the time as long as
        help may still pay, then a tenth (`pysr_neural.proposer.guarded`).
    batch_size : int
        Children per request to the model.
    temperature : float
        Of sampling, > 0; higher is more diverse.
    device : str
        Where the model runs: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` …
    seed : int
        Of sampling, not negative.
    weight : float
        Share of mutations, between 0 and 1, that take a whole proposed child while some are in stock.
    seed_timeout : float
        Seconds that the start of a search may wait for its first proposals.
    request_timeout : float
        Seconds after which the search gives up an answer, and leaves the server alone for a while.
    start_timeout : float
        Seconds that the server process may take to load the model before the search refuses to start.
    transport : {"auto", "unix", "tcp"}
        How the engine reaches the server; ``"auto"`` takes a Unix socket where there is one.
    proposer : str or Proposer, optional
        Your own proposer in place of a checkpoint: ``"module:attribute"``, which the server process imports, or an
        object with the `pysr_neural.proposer.base.Proposer` protocol, which answers from a thread of this process.
        Such an object must be picklable for PySR's checkpoints to be written.
    trace : str, optional
        Directory in which the search's trace is recorded, for training or inspection (``pysr-neural traces``); works
        with ``levels=()`` as well.
    trace_rate : float
        Share of the populations recorded, above 0 and at most 1; the first one always is.

    Raises
    ------
    ConfigError
        If a keyword is unknown or a value is out of range.

    Examples
    --------
    >>> NeuralProposer(levels=("child", "seed")).levels
    ('seed', 'child')
    """

    checkpoint: str = DEFAULT
    levels: tuple[str, ...] | None = None
    max_overhead: float | str = AUTO
    batch_size: int = 64
    temperature: float = 1.0
    device: str = "cpu"
    seed: int = 0
    weight: float = 0.1
    seed_timeout: float = 5.0
    request_timeout: float = 30.0
    start_timeout: float = 120.0
    transport: Transport = "auto"
    proposer: Any = None
    trace: str | None = None
    trace_rate: float = 0.05

    @property
    def label(self) -> str:
        """What reports call the proposer: the checkpoint's name, or that of your own proposer."""
        if self.proposer is None:
            return os.path.basename(self.checkpoint.rstrip("/")) or self.checkpoint
        return self.proposer if isinstance(self.proposer, str) else type(self.proposer).__name__

    def __new__(cls, *_: object, **given: object) -> Self:
        """Refuse unknown keywords by name, before the dataclass would with less help."""
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise ConfigError(f"NeuralProposer has no parameter {name!r}." + did_you_mean(name, known))
        return super().__new__(cls)

    def __post_init__(self) -> None:
        object.__setattr__(self, "checkpoint", _text("checkpoint", self.checkpoint))
        object.__setattr__(self, "device", _text("device", self.device))
        if self.levels is not None:
            object.__setattr__(self, "levels", levels_of(self.levels))
        if self.trace is not None:
            object.__setattr__(self, "trace", _text("trace", self.trace))
        for name in ("temperature", "request_timeout", "start_timeout"):
            object.__setattr__(self, name, number(name, getattr(self, name), above=0))
        object.__setattr__(self, "max_overhead", overhead(self.max_overhead))
        object.__setattr__(self, "trace_rate", number("trace_rate", self.trace_rate, above=0, most=1))
        object.__setattr__(self, "weight", number("weight", self.weight, above=0, below=1))
        object.__setattr__(self, "seed_timeout", number("seed_timeout", self.seed_timeout, least=0))
        object.__setattr__(self, "batch_size", whole("batch_size", self.batch_size, 1, MAX_BATCH))
        object.__setattr__(self, "seed", whole("seed", self.seed, 0, 2**63 - 1))
        if self.transport not in get_args(Transport):
            raise ConfigError(
                f"transport must be one of {get_args(Transport)}; got {self.transport!r}."
                + did_you_mean(str(self.transport), get_args(Transport))
            )
        _check_proposer(self.proposer)


def neural_proposer_of(value: object, name: str = "neural_proposer") -> NeuralProposer | None:
    """Read an estimator's parameter for neural help.

    Parameters
    ----------
    value : None, str, path, NeuralProposer, or Proposer
        None switches neural help off; a text or path is a checkpoint; an object with ``open`` is a proposer.
    name : str
        Of the parameter, for the message.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    if value is None or isinstance(value, NeuralProposer):
        return value
    if isinstance(value, str | os.PathLike):
        return NeuralProposer(checkpoint=str(value))
    if callable(getattr(value, "open", None)) and not isinstance(value, type):
        return NeuralProposer(proposer=value)
    raise ConfigError(
        f"{name} must be None, {bundled_in_words()}, a checkpoint's path or hub id, a NeuralProposer(...), or an "
        f"object with the Proposer protocol; got {value!r}."
        + (" Pass an instance, not its class." if isinstance(value, type) else "")
    )


def bundled_in_words() -> str:
    """Return the names of what comes with the package, as error messages have them."""
    return ", ".join(map(repr, BUNDLED))


def is_policy(checkpoint: str) -> bool:
    """Tell whether a checkpoint is a policy of actions (`pysr_neural.proposer.policy`), not a transformer."""
    return checkpoint == POLICY or checkpoint.endswith(POLICY_SUFFIX)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise ConfigError(f"{name} must be a text that is not empty; got {value!r}.")
    return str(value)


def _check_proposer(value: object) -> None:
    if value is None or (not isinstance(value, str | type) and callable(getattr(value, "open", None))):
        return
    if isinstance(value, str):
        module, _, attribute = value.partition(":")
        if module and attribute and all(part.isidentifier() for part in [*module.split("."), *attribute.split(".")]):
            return
        raise ConfigError(f"A proposer given as text must read 'module:attribute'; got {value!r}.")
    raise ConfigError(
        f"A proposer must have a method open(problem), as in pysr_neural.proposer.base; got {value!r}. "
        "Pass an instance, not its class."
    )
