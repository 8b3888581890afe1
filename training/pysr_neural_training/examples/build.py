"""Training examples: the stream of batches, from generated problems and from traces.

Owns: `ExampleConfig`, which batch holds what, examples of generated problems.  Does not own: the layouts (`layouts`),
the prior (`generate`), dismantled targets (`dismantle`), traces (`from_traces`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field, fields, replace
from functools import cached_property
from itertools import count

import numpy as np
from torch import Tensor

from pysr_neural.errors import ConfigError
from pysr_neural.rng import generator
from pysr_neural.wire import prompt as p
from pysr_neural.wire.context import context_named
from pysr_neural_training.examples.dismantle import damaged_members
from pysr_neural_training.examples.from_traces import TraceSource, check_targets, reverse_example
from pysr_neural_training.examples.layouts import IGNORED, Example, Scene, collate, counts_of
from pysr_neural_training.examples.residuals import missing_part
from pysr_neural_training.problems.generate import GeneratedProblem, ProblemPrior, Sampler, pick
from pysr_neural_training.problems.reader import training_dataset

__all__ = [
    "IGNORED",
    "BatchSource",
    "Example",
    "ExampleConfig",
    "Layouts",
    "batches",
    "collate",
    "count_examples",
    "make_batch",
]

MEMBERS_COST = {"direct": 1, "onestep": 2, "edit": 2, "population": 4}
"""By how much a batch is smaller than one of ``direct``, since its examples are longer."""
PATIENCE = 1000
"""Refused problems for each one taken, beyond which something is wrong with the settings."""


@dataclass(frozen=True)
class Layouts:
    """How many batches are of each layout, relative to the others.

    All 0: ``direct``, and ``onestep`` by ``onestep_share``.
    """

    direct: float = 0.0
    onestep: float = 0.0
    population: float = 0.0
    edit: float = 0.0

    def __post_init__(self) -> None:
        if any(not 0 <= weight < float("inf") for weight in astuple(self)):
            raise ConfigError(f"Weights of layouts must be finite and at least 0; got {astuple(self)}.")


@dataclass(frozen=True)
class ExampleConfig:
    """How examples are made.

    Parameters
    ----------
    batch_size : int
        Of ``direct``; batches with populations are smaller (`MEMBERS_COST`).
    onestep_share : float
        Share of batches with a population in the prompt, where ``layouts`` says nothing.
    max_members : int
        Most members in a prompt.
    distinct : int
        Number of batches that are repeated for ever; 0 repeats none.
    layouts : Layouts
    traces : sequence of str
        Folders of traces; none by default.
    trace_share : float
        Share of batches that come from the traces, if there are any.
    targets : str
        What is learned, one of `from_traces.TARGETS`.  Generated problems know no searches: ``reverse`` asks for one
        mending move where the others ask for the whole answer.
    target_fraction : float
        Share of the traces' targets that is used.
    context : str
        What prompts say about the data, one of `wire.context.CONTEXTS`.
    residual_share : float
        Share of ``direct`` examples about generated problems that ask for what a partial solution leaves.
    max_tokens : int
        Most tokens of prompt and target together: the worst members make room, the target never; 0 for no limit.
    data : str
        Folder of a dataset from ``pysr-neural data generate`` to take problems from; empty to draw them on the way.
    skip_corrupt : bool
        Whether to go on without those of its shards that are missing or not readable.

    Raises
    ------
    ConfigError
        If a share, a name or a number is out of range.
    """

    batch_size: int = 128
    onestep_share: float = 0.35
    max_members: int = 6
    distinct: int = 0
    layouts: Layouts = field(default_factory=Layouts)
    traces: Sequence[str] = ()
    trace_share: float = 1.0
    targets: str = "all"
    target_fraction: float = 1.0
    context: str = "basic"
    residual_share: float = 0.0
    max_tokens: int = 0
    data: str = ""
    skip_corrupt: bool = False

    def __post_init__(self) -> None:
        for name in ("onestep_share", "trace_share", "residual_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be between 0 and 1; got {getattr(self, name)}.")
        for name, least in (("batch_size", 1), ("max_members", 1), ("distinct", 0), ("max_tokens", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}; got {getattr(self, name)}.")
        if isinstance(self.traces, str):
            raise ConfigError(f"traces must be a list of folders; got {self.traces!r}. Write [{self.traces!r}].")
        context_named(self.context)
        check_targets(self.targets, self.target_fraction)


@dataclass
class BatchSource:
    """Makes batches by number, and counts what became of the attempts.

    Parameters
    ----------
    prior : ProblemPrior
    config : ExampleConfig
    seed : int

    Attributes
    ----------
    counts : Counter of str
        Examples and tokens made, members cut for want of room, attempts given up by reason; of all layouts.
    """

    prior: ProblemPrior
    config: ExampleConfig
    seed: int
    counts: Counter[str] = field(default_factory=Counter)

    @cached_property
    def traces(self) -> TraceSource | None:
        """The traces, opened when they are first asked for."""
        config = self.config
        if not config.traces:
            return None
        return TraceSource(
            config.traces,
            config.targets,
            config.target_fraction,
            config.max_members,
            config.max_tokens,
            config.context,
            self.seed,
            skipped=self.counts,
        )

    def batch(self, number: int) -> dict[str, Tensor]:
        """Make one padded batch; it depends on the seed and the number alone."""
        rng, rows, layout, size = self._begin(number)
        if self.traces is not None and rng.random() < self.config.trace_share:
            made = self.traces.examples(layout, size, rng)
        else:
            made = self._generated(layout, rows, size, number, rng)
        self.counts.update(counts_of(made))
        self.counts[f"batches of {layout}"] += 1
        return collate(made)

    def size(self, number: int) -> int:
        """Return how many examples a batch has, without making it."""
        return self._begin(number)[-1]

    def _begin(self, number: int) -> tuple[np.random.Generator, int, str, int]:
        """Make a batch's first choices: its generator, and the rows, the layout and the number of its examples."""
        rng = generator(self.seed, "train", number)
        rows = pick(self.prior.rows, self.prior.row_weights, rng)
        layout = self._layout(rng)
        return rng, rows, layout, max(self.config.batch_size // MEMBERS_COST[layout], 1)

    def _layout(self, rng: np.random.Generator) -> str:
        weights = self.config.layouts
        if any(astuple(weights)):
            return pick([each.name for each in fields(weights)], astuple(weights), rng)
        return "onestep" if rng.random() < self.config.onestep_share else "direct"

    def _generated(self, layout: str, rows: int, size: int, number: int, rng: np.random.Generator) -> list[Example]:
        """Make examples of generated problems of the same number of points, or nearly so if they are a dataset's."""
        config = self.config
        problems: Iterable[GeneratedProblem] = Sampler(replace(self.prior, rows=(rows,), row_weights=(1.0,)), rng)
        if config.data:
            problems = training_dataset(config.data, config.skip_corrupt).stream(self.seed, number, config.batch_size)
        chosen: list[Example] = []
        refused: Counter[str] = Counter()
        for problem in problems:
            found = make_example(problem, layout, self.prior, config, rng)
            if isinstance(found, Example):
                chosen.append(found)
            else:
                refused[found] += 1
            if len(chosen) == size:
                break
            if refused.total() > PATIENCE * (1 + len(chosen)):
                raise ConfigError(
                    f"Generated problems must give examples of the layout {layout!r}; {refused.total()} were refused: "
                    f"{dict(refused)}. Raise examples.max_tokens, or lower prior.max_size."
                )
        self.counts.update(refused)
        return chosen


def batches(
    prior: ProblemPrior, config: ExampleConfig, seed: int, start: int = 0, stride: int = 1
) -> Iterator[dict[str, Tensor]]:
    """Yield the padded batches ``start``, ``start + stride``, … without end.

    A batch depends on the seed and its number alone, so that neither an interruption nor the number of processes that
    make batches changes what is trained on.
    """
    source = BatchSource(prior, config, seed)
    for number in count(start, stride):
        yield source.batch(number % config.distinct if config.distinct else number)


def count_examples(prior: ProblemPrior, config: ExampleConfig, seed: int, stop: int) -> int:
    """Count the examples of the first ``stop`` batches, repeated ones as often as they are repeated."""
    source = BatchSource(prior, config, seed)
    period = min(config.distinct or stop, stop)
    sizes = [source.size(number) for number in range(period)]
    whole, rest = divmod(stop, period) if period else (0, 0)
    return whole * sum(sizes) + sum(sizes[:rest])


def make_batch(prior: ProblemPrior, config: ExampleConfig, seed: int, number: int) -> dict[str, Tensor]:
    """Make one padded batch; see `BatchSource`."""
    return BatchSource(prior, config, seed).batch(number)


def make_example(
    given: GeneratedProblem, layout: str, prior: ProblemPrior, config: ExampleConfig, rng: np.random.Generator
) -> "Example | str":
    """Build one example of a generated problem; returns why not, if its target does not fit the model."""
    slots = p.choose_slots(given.problem.X, given.problem.y)
    if layout == "direct" and config.residual_share and rng.random() < config.residual_share:
        given = missing_part(given, rng) or given
    scene = Scene(given.problem, slots, config.context, config.max_members, config.max_tokens, every_row=True)
    if layout in ("population", "edit") or (layout == "onestep" and config.targets == "reverse"):
        return reverse_example(scene, given, layout, config.max_members, rng)
    unfit = scene.unfit(given.tree)
    if unfit:
        return unfit
    limit = min(given.tree.size + int(rng.integers(0, 12)), given.problem.limits.max_size)
    if layout == "direct":
        return scene.direct(given.tree, limit)
    members, kind = damaged_members(given, prior, config.max_members, rng)
    return scene.onestep(members, given.tree, limit, kind)
