"""Settings of the `improve` commands.

Owns: the configurations and how they are read.  Does not own: settings of BasicSR (`pysr_neural_baseline.config`) and
of supervised training (`train`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pysr_neural.checks import whole
from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_training.learning.config import filled, read_values
from pysr_neural_training.problems.generate import ProblemPrior

ENGINES = ("basic", "pysr")
EXPERTS = ("children", "lookahead", "reverse", "best")


@dataclass(frozen=True)
class ImproveConfig:
    """What all three methods have in common.

    Parameters
    ----------
    seed : int
    initial : str
        Checkpoint to start from, by any name that ``neural_proposer=`` takes.
    rounds : int
        Most rounds.
    patience : int
        Rounds without a better result on the held-out problems after which the run stops.
    problems : int
        Training problems searched per round.
    pool : int
        Training problems to choose them from; one that comes again can be solved faster than before.
    held_out : int
        Held-out problems that judge every round; the same in all rounds.
    temperatures : tuple of float
        Every training problem is searched once at each.
    max_operators, max_size : int
        Of the problems.
    generations, population_size : int
        Of each search.
    proposal_share : float
        Share of a generation's children that the policy is asked for.
    solved_below : float
        Mean squared error over the variance of y that counts as solved.
    together : int
        Searches that ask the model in one pass.
    steps, batch_size : int
        Of training per round.
    learning_rate : float
    rehearsal : float
        Share of training steps on batches of the supervised generator, so that nothing is forgotten.
    threads : int
        CPU threads of the model.
    workers : int
        Dask workers for searches; 0 searches in this process.
    scheduler : str
        Address of a Dask scheduler to use instead.
    """

    seed: int = 0
    initial: str = "default"
    rounds: int = 3
    patience: int = 2
    problems: int = 64
    pool: int = 256
    held_out: int = 64
    temperatures: tuple[float, ...] = (1.0,)
    max_operators: int = 6
    max_size: int = 25
    generations: int = 30
    population_size: int = 20
    proposal_share: float = 0.2
    solved_below: float = 1e-10
    together: int = 32
    steps: int = 150
    batch_size: int = 64
    learning_rate: float = 1e-4
    rehearsal: float = 0.5
    threads: int = 1
    workers: int = 0
    scheduler: str = ""

    def __post_init__(self) -> None:
        for name in ("rounds", "patience", "problems", "pool", "held_out", "max_operators", "max_size", "generations",
                     "together", "batch_size", "threads"):  # fmt: skip
            whole(name, getattr(self, name), 1)
        for name in ("seed", "steps", "learning_rate", "solved_below", "workers"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0; got {getattr(self, name)}.")
        for name in ("proposal_share", "rehearsal"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is a share, 0 to 1; got {getattr(self, name)}.")
        if not self.temperatures or not all(0 < value < float("inf") for value in self.temperatures):
            raise ConfigError(f"temperatures must be one or more numbers above 0; got {self.temperatures}.")
        if self.pool < self.problems:
            raise ConfigError(f"pool must be at least problems, {self.problems}; got {self.pool}.")

    @property
    def search(self) -> BasicSRConfig:
        """The searches: one small population, and no limit of time, so that a seed gives the same search."""
        return BasicSRConfig(
            populations=1,
            population_size=self.population_size,
            generations=self.generations,
            max_size=self.max_size,
            proposal_share=self.proposal_share,
            early_stop_loss=self.solved_below,
            extra_generations=0,
            guard=GuardRules(max_overhead=1.0),
        )

    @property
    def prior(self) -> ProblemPrior:
        """The problems: those of supervised training, without noise."""
        return ProblemPrior(
            max_operators=self.max_operators, max_size=self.max_size, noise_share=0.0, rows=(64,), row_weights=(1.0,)
        )


@dataclass(frozen=True)
class DaggerConfig(ImproveConfig):
    """Of `dagger`.

    Parameters
    ----------
    engine : str
        Whose states are labelled: BasicSR's, or ``"pysr"``: those of PySR as well, recorded with the present policy.
    expert : str
        One of `EXPERTS`: the best of ``tries`` ordinary children; the move that a short search from the state prefers;
        a step back towards the known target; or the best of the three.
    tries : int
        Ordinary children that an expert makes per state.
    lookahead : int
        Generations of the short search.
    states : int
        States labelled per search.
    margin : float
        By how much a label must be better than the state's best member: its loss falls at least by this share.
    """

    engine: str = "basic"
    expert: str = "best"
    tries: int = 40
    lookahead: int = 5
    states: int = 6
    margin: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("expert", EXPERTS), ("engine", ENGINES)):
            if getattr(self, name) not in known:
                got = getattr(self, name)
                raise ConfigError(f"{name} must be one of {known}; got {got!r}." + did_you_mean(got, known))
        for name in ("tries", "lookahead", "states"):
            whole(name, getattr(self, name), 1)
        if not 0 <= self.margin < 1:
            raise ConfigError(f"margin is a share, at least 0 and below 1; got {self.margin}.")


@dataclass(frozen=True)
class ExpertIterationConfig(ImproveConfig):
    """Of `expert-iteration`.

    Parameters
    ----------
    buffer : int
        Most moves that the replay buffer holds; the oldest leave.
    hindsight : int
        States of a solved search, its start among them, that are shown with the solution as answer.
    """

    temperatures: tuple[float, ...] = (0.8, 1.0, 1.4)
    problems: int = 48
    buffer: int = 20_000
    hindsight: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.buffer < 1 or self.hindsight < 0:
            raise ConfigError(
                f"buffer must be at least 1 and hindsight at least 0; got {self.buffer} and {self.hindsight}."
            )


@dataclass(frozen=True)
class RLConfig(ImproveConfig):
    """Of `rl`.

    Parameters
    ----------
    discount : float
        Share of a gain that goes to each ancestor's proposal, per birth between them.
    kl : float
        Weight of the divergence from the starting policy.
    entropy_floor : float
        Share of the starting policy's entropy below which proposals must not fall.
    entropy_weight : float
        Weight of what is missing to the floor.
    clip : float
        How far the ratio of new to old probability counts, as in PPO.
    """

    discount: float = 0.8
    kl: float = 0.05
    entropy_floor: float = 0.7
    entropy_weight: float = 0.5
    clip: float = 0.2
    learning_rate: float = 3e-5
    rehearsal: float = 0.25
    steps: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("discount", "entropy_floor"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is a share, 0 to 1; got {getattr(self, name)}.")
        for name in ("kl", "entropy_weight", "clip"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0; got {getattr(self, name)}.")


SMOKE: dict[str, Any] = {
    "rounds": 2,
    "problems": 6,
    "pool": 8,
    "held_out": 6,
    "max_operators": 3,
    "generations": 5,
    "steps": 4,
    "batch_size": 8,
}
"""Settings of ``--smoke``: everything once, in well under a minute."""

Config = TypeVar("Config", bound=ImproveConfig)


def read_config(default: Config, path: Path | None, settings: Sequence[str]) -> Config:
    """Read a TOML file over the defaults, then ``key=value`` settings over both.

    Raises
    ------
    ConfigError
        If the file is missing or not TOML, a key is unknown, or a value is of another type or out of range.
    """
    config: Config = filled(default, read_values(path, settings))
    return config
