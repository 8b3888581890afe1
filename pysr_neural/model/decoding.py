"""Grammar-constrained batched sampling with a shared prefix.

Owns: turning encoded prompts into well-formed token sequences.  Does not own: what is well-formed (`grammar`), prompts,
trees (`proposer.neural.transformer`).

A prefix's keys and values are computed once and enter attention as one matrix product for all of its samples.  Samples
that begin alike are computed once for as long as they are alike: the rows of a step are the distinct beginnings, not
the samples.  Several prompts, of several searches, grow in the same pass; prompts of similar length are padded to one.
Tensors are made on torch's default device, which must be the model's (``with model.device:``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pysr_neural.model.grammar import Grammar, GrammarState, within
from pysr_neural.model.policy import ProposerModel
from pysr_neural.wire import vocabulary as v
from pysr_neural.wire.prompt import MAX_POSITION, TARGET_SEGMENT, Prompt

CROWDED = 0.7
"""Share of a group's jobs below which those that are done are cleared away."""
PADDING = 1.3
"""How much longer than the shortest a prompt may be that is computed with it."""


@dataclass(frozen=True)
class Samples:
    """Sampled token sequences.

    Parameters
    ----------
    tokens : int64 tensor, shape (count, steps)
        Padded at the end with ``<pad>``.
    log_probabilities : tensor, shape (count,)
        Under the model at temperature 1, within the grammar.
    """

    tokens: Tensor
    log_probabilities: Tensor


@dataclass(frozen=True)
class Job:
    """One set of samples to draw.

    Parameters
    ----------
    prefix : Prefix
    grammar : Grammar
    count : int
        Number of samples, at least 1.
    temperature : float
        Above 0; 1 is the model's own distribution.
    generator : torch.Generator
        Source of all randomness.
    """

    prefix: "Prefix"
    grammar: Grammar
    count: int
    temperature: float
    generator: torch.Generator


class Prefix:
    """An encoded prompt: keys and values of every layer, shared by all samples.

    Parameters
    ----------
    model : ProposerModel
    keys, values : list of tensor, shapes (heads, head width, length) and (heads, length, head width)
        One per layer.
    """

    def __init__(self, model: ProposerModel, keys: list[Tensor], values: list[Tensor]) -> None:
        self.model, self.keys, self.values = model, keys, values

    @property
    def length(self) -> int:
        """Latents and prompt tokens."""
        return self.keys[0].shape[-1]


def encode(model: ProposerModel, latents: Tensor, prompts: Sequence[Prompt]) -> list[Prefix]:
    """Encode prompts together; those of similar length share a pass.

    Parameters
    ----------
    model : ProposerModel
    latents : tensor, shape (prompts, latents, width)
        From `ProposerModel.encoder`, one set per prompt.
    prompts : sequence of Prompt
    """
    found: dict[int, Prefix] = {}
    for group in _by_length([len(prompt.tokens) for prompt in prompts]):
        encoded = _encode_group(model, latents[group], [prompts[i] for i in group])
        found.update(zip(group, encoded, strict=True))
    return [found[i] for i in range(len(prompts))]


def _encode_group(model: ProposerModel, latents: Tensor, prompts: Sequence[Prompt]) -> list[Prefix]:
    longest = max(len(prompt.tokens) for prompt in prompts)
    columns = [
        torch.tensor(
            np.stack([np.pad(getattr(prompt, name), (0, longest - len(prompt.tokens))) for prompt in prompts]),
            device=latents.device,
        )
        for name in ("tokens", "positions", "segments")
    ]
    lengths = [latents.shape[1] + len(prompt.tokens) for prompt in prompts]
    mask = None
    if min(lengths) < max(lengths):
        mask = _within_lengths(lengths)[:, None, None, :]
    x = model.prefix(latents, *columns)
    keys, values = [], []
    for layer in model.layers:
        query, key, value = layer.attention.split(x)
        keys.append(key.transpose(2, 3).contiguous())
        values.append(value.contiguous())
        if len(keys) == len(model.layers):
            break  # Nothing reads what the last layer makes of a prompt.
        mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = layer.feedforward(layer.attention.merge(x, mixed))
    return [
        Prefix(model, [key[i, :, :, :length] for key in keys], [value[i, :, :length] for value in values])
        for i, length in enumerate(lengths)
    ]


def start_hidden(prefixes: Sequence[Prefix]) -> Tensor:
    """Return the decoder's state at ``<target>``, where the heads read, shape (prefixes, width)."""
    order, suffix = _start(prefixes)
    hidden = suffix.step(torch.full((len(prefixes),), v.TARGET), torch.arange(len(prefixes)), 0)
    return hidden[torch.argsort(torch.tensor(order))]


def _start(prefixes: Sequence[Prefix]) -> tuple[list[int], "_Suffix"]:
    """Group prefixes by length; returns their order in the groups, and the suffixes of all."""
    groups = _by_length([prefix.length for prefix in prefixes])
    firsts = accumulate((len(group) for group in groups), initial=0)
    shared = [_Shared([prefixes[i] for i in group], first) for group, first in zip(groups, firsts, strict=False)]
    return [i for group in groups for i in group], _Suffix(shared)


def sample(prefix: Prefix, grammar: Grammar, count: int, temperature: float, generator: torch.Generator) -> Samples:
    """Draw expressions from the model for one prompt; see `sample_many` and `Job`."""
    return sample_many([Job(prefix, grammar, count, temperature, generator)])[0]


@torch.inference_mode()
def sample_many(jobs: Sequence[Job]) -> list[Samples]:
    """Draw expressions for several prompts in one pass.

    Every one is well-formed and within its grammar.  A job's samples are the same in any company, but for the last
    digits of probabilities.

    Parameters
    ----------
    jobs : sequence of Job
        All of one model.

    Returns
    -------
    list of Samples
        One per job.
    """
    order, suffix = _start([job.prefix for job in jobs])
    jobs_in_order = [jobs[i] for i in order]
    counts = torch.tensor([job.count for job in jobs_in_order])
    limits = [min(2 * job.grammar.max_size + 1, MAX_POSITION - 1) for job in jobs_in_order]
    state = GrammarState(
        [within(job.grammar, limit) for job, limit in zip(jobs_in_order, limits, strict=True)],
        torch.arange(len(jobs)),
    )
    drawn = _grow(suffix, state, _Draws(jobs_in_order, limits), counts)
    ends = counts.cumsum(0).tolist()
    found: dict[int, Samples] = {}
    for i, end, limit, job in zip(order, ends, limits, jobs_in_order, strict=True):
        rows = slice(end - job.count, end)
        found[i] = Samples(drawn.tokens[rows, :limit], drawn.log_probabilities[rows])
    return [found[i] for i in range(len(jobs))]


def _grow(suffix: "_Suffix", state: GrammarState, draws: "_Draws", counts: Tensor) -> Samples:
    """Draw token after token until every sample is complete."""
    total = int(counts.sum())
    tokens = torch.full((total, draws.steps), v.PAD)
    scores = torch.zeros(total)
    samples, beginnings = torch.arange(total), torch.repeat_interleave(torch.arange(len(counts)), counts)
    current = torch.full((len(counts),), v.TARGET)
    for step in range(draws.steps):
        logits = suffix.head(suffix.step(current, state.which, step)).masked_fill(~state.mask(), float("-inf"))
        logs = logits.log_softmax(dim=-1)
        drawn = draws.draw(logs, beginnings, samples, state.which, step)
        scores[samples] += logs[beginnings, drawn]
        tokens[samples, step] = drawn
        distinct, beginnings = torch.unique(beginnings * len(v.NAMES) + drawn, return_inverse=True)
        current, parents = distinct % len(v.NAMES), distinct // len(v.NAMES)
        state.keep(parents)
        state.advance(current)
        growing = ~state.finished
        if not growing.any():
            break
        rows = torch.nonzero(growing)[:, 0]
        if len(rows) < len(current):
            state.keep(rows)
            current, parents = current[rows], parents[rows]
            unfinished = growing[beginnings]
            samples = samples[unfinished]
            beginnings = (growing.cumsum(0) - 1)[beginnings[unfinished]]
        suffix.follow(parents)
    return Samples(tokens, scores)


class _Draws:
    """Random numbers of all samples, each job's from its own generator, and drawing by inversion."""

    def __init__(self, jobs: Sequence[Job], limits: Sequence[int]) -> None:
        self.steps = max(limits)
        self.points = torch.zeros(sum(job.count for job in jobs), self.steps, dtype=torch.float64)
        row = 0
        for job, limit in zip(jobs, limits, strict=True):
            points = torch.rand(limit, job.count, generator=job.generator, dtype=torch.float64)
            self.points[row : row + job.count, :limit] = points.T
            row += job.count
        self.temperatures = torch.tensor([job.temperature for job in jobs])

    def draw(self, logs: Tensor, rows: Tensor, samples: Tensor, which: Tensor, step: int) -> Tensor:
        """Draw a token for each sample from its row's distribution."""
        weights = (logs / self.temperatures[which, None]).double().softmax(dim=-1)
        cumulative = weights.cumsum(dim=-1)[rows]
        points = self.points[samples, step, None] * cumulative[:, -1:]
        return torch.searchsorted(cumulative, points, right=True)[:, 0]


def _by_length(lengths: Sequence[int]) -> list[list[int]]:
    """Group positions so that little is padded: each group's lengths lie within a factor of its shortest."""
    groups: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if not groups or lengths[i] > PADDING * lengths[groups[-1][0]]:
            groups.append([])
        groups[-1].append(i)
    return groups


def _within_lengths(lengths: Sequence[int]) -> Tensor:
    """Return which positions are no padding, bool (rows, longest)."""
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


class _Shared:
    """The keys and values of prefixes of similar length, padded: (jobs, heads, …) per layer."""

    def __init__(self, prefixes: Sequence[Prefix], first: int) -> None:
        lengths = [prefix.length for prefix in prefixes]
        longest = max(lengths)
        layers = range(len(prefixes[0].keys))
        self.ids, self.model = torch.arange(first, first + len(prefixes)), prefixes[0].model
        pads = [longest - length for length in lengths]
        pair = list(zip(prefixes, pads, strict=True))
        self.keys = [torch.stack([functional.pad(each.keys[i], (0, pad)) for each, pad in pair]) for i in layers]
        self.values = [
            torch.stack([functional.pad(each.values[i], (0, 0, 0, pad)) for each, pad in pair]) for i in layers
        ]
        self.bias: Tensor | None = None
        if min(lengths) < longest:
            self.bias = torch.where(_within_lengths(lengths), 0.0, float("-inf"))[:, None, None, :]

    def arrange(self, jobs: Tensor) -> None:
        """Take the job of each row, ascending, for the steps to come."""
        present = torch.unique_consecutive(jobs)
        if len(present) < CROWDED * len(self.ids):  # Jobs that are done need no more room.
            self._keep(present)
        job = torch.searchsorted(self.ids, jobs)
        counts = torch.bincount(job, minlength=len(self.ids))
        self.deep = int(counts.max())
        self.even = self.deep * len(self.ids) == len(jobs)
        self.places = job * self.deep + torch.arange(len(jobs)) - (counts.cumsum(0) - counts)[job]

    def _keep(self, ids: Tensor) -> None:
        kept = torch.searchsorted(self.ids, ids)
        self.keys = [key[kept] for key in self.keys]
        self.values = [value[kept] for value in self.values]
        self.bias = None if self.bias is None else self.bias[kept]
        self.ids = ids

    def scores(self, layer: int, query: Tensor) -> Tensor:
        """Multiply queries (rows, heads, width) with the keys: (rows, heads, length)."""
        scores = torch.matmul(self._spread(query), self.keys[layer])
        return self._gather(scores if self.bias is None else scores + self.bias)

    def mix(self, layer: int, weights: Tensor) -> Tensor:
        """Mix the values by weights (rows, heads, length): (rows, heads, width)."""
        return self._gather(torch.matmul(self._spread(weights), self.values[layer]))

    def _spread(self, rows: Tensor) -> Tensor:
        """Lay rows (rows, heads, n) out as (jobs, heads, deepest, n)."""
        if not self.even:
            spread = torch.zeros(len(self.ids) * self.deep, *rows.shape[1:])
            spread[self.places] = rows
            rows = spread
        return rows.view(len(self.ids), self.deep, *rows.shape[1:]).transpose(1, 2)

    def _gather(self, spread: Tensor) -> Tensor:
        rows = spread.transpose(1, 2).reshape(len(self.ids) * self.deep, spread.shape[1], spread.shape[3])
        return rows if self.even else rows[self.places]


class _Suffix:
    """The distinct beginnings' own keys and values: (layers, 2, rows, heads, steps, head width)."""

    def __init__(self, groups: Sequence[_Shared]) -> None:
        self.groups = list(groups)
        self.model = groups[0].model
        self.bounds = [0]
        for group in groups:
            self.bounds.append(self.bounds[-1] + len(group.ids))
        heads, width = groups[0].keys[0].shape[1:3]
        self.store = torch.empty(len(groups[0].keys), 2, self.bounds[-1], heads, 0, width)
        self.scale = width**-0.5

    def head(self, hidden: Tensor) -> Tensor:
        """Return the logits of the next token."""
        return self.model.head(hidden)  # type: ignore[no-any-return]

    def follow(self, parents: Tensor) -> None:
        """Make the beginnings at ``parents`` the rows of the next step; some go on in several ways, some not at all."""
        self.store = self.store.index_select(2, parents)

    def step(self, tokens: Tensor, jobs: Tensor, step: int) -> Tensor:
        """Advance every row by one token; returns the normalised hidden state (rows, width)."""
        model = self.model
        room = torch.empty(*self.store.shape[:4], 1, self.store.shape[5])
        self.store = torch.cat([self.store, room], dim=4)
        parts = self._arranged(jobs)
        x = model.embed(tokens, torch.tensor(step), torch.tensor(TARGET_SEGMENT))[:, None, :]
        for i, layer in enumerate(model.layers):
            query, key, value = layer.attention.split(x)
            keys, values = self.store[i]
            keys[:, :, step] = key[:, :, 0]
            values[:, :, step] = value[:, :, 0]
            own = (keys * query).sum(dim=-1)
            mixed = [self._attend(group, i, query[rows, :, 0], own[rows], values[rows]) for group, rows in parts]
            together = mixed[0] if len(mixed) == 1 else torch.cat(mixed)
            x = layer.feedforward(layer.attention.merge(x, together[:, :, None]))
        return model.norm(x[:, 0])  # type: ignore[no-any-return]

    def _arranged(self, jobs: Tensor) -> list[tuple[_Shared, slice]]:
        """Return each group that still has rows, and its rows."""
        ends = torch.searchsorted(jobs, torch.tensor(self.bounds)).tolist()
        parts = []
        for group, first, last in zip(self.groups, ends[:-1], ends[1:], strict=True):
            if first < last:
                group.arrange(jobs[first:last])
                parts.append((group, slice(first, last)))
        return parts

    def _attend(self, group: _Shared, layer: int, query: Tensor, own: Tensor, values: Tensor) -> Tensor:
        shared = group.scores(layer, query)
        weights = torch.cat([shared, own], dim=-1).mul_(self.scale).softmax(dim=-1)
        split = shared.shape[-1]
        return group.mix(layer, weights[:, :, :split]) + (weights[:, :, split:, None] * values).sum(dim=2)
