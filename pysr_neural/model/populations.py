"""Sampling of whole populations: trees one after the other, each drawn in sight of those before it.

Owns: `sample_populations`.  Does not own: sampling of single trees (`decoding`), what is well-formed (`grammar`), how a
population is written (`wire.prompt`).

Several populations, of several searches, are written in the same pass, a token of each at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pysr_neural.model.decoding import CROWDED, Job, Prefix
from pysr_neural.model.grammar import GrammarState, within
from pysr_neural.wire import vocabulary as v
from pysr_neural.wire.prompt import MAX_POSITION, TARGET_SEGMENT

BLOCK = 64
"""Tokens by which the room for what is written grows."""


@dataclass
class _Answer:
    """One population while it is written."""

    job: Job
    trees: list[list[int]]
    done: bool = False

    def take(self, token: int, ended: bool) -> bool:
        """Take a token, unless all is written; tells whether it stands between trees."""
        if not self.done:
            if ended and token == v.END:
                self.done = True
            elif ended:
                self.trees.append([])
            else:
                self.trees[-1].append(token)
        return ended


@torch.inference_mode()
def sample_populations(jobs: Sequence[Job]) -> list[list[list[int]]]:
    """Draw populations from the model, as the layout ``population`` taught it.

    Parameters
    ----------
    jobs : sequence of Job
        At least one, all of one model; each with the prefix of a ``population`` prompt, the grammar of every tree, and
        the number of trees after which the population ends, if the model does not end it before.

    Returns
    -------
    list of list of list of int
        Of each population the tokens of its 1 to ``count`` trees, every one well-formed and within the grammar.
    """
    writer = _Writer([job.prefix for job in jobs])
    limits = [within(job.grammar, min(2 * job.grammar.max_size + 1, MAX_POSITION - 1)) for job in jobs]
    state = GrammarState(limits, torch.arange(len(jobs)))
    answers = [_Answer(job, [[]]) for job in jobs]
    writing, marks = answers, torch.tensor([v.MEMBER, v.END])
    tokens, positions = torch.full((len(jobs),), v.TARGET), torch.zeros(len(jobs), dtype=torch.int64)
    while True:
        logits, ended = writer.step(tokens, positions), state.finished
        allowed = state.mask()
        allowed[ended] = False
        allowed[ended[:, None] & torch.isin(torch.arange(allowed.shape[1]), marks)] = True
        tokens = _draw(logits.masked_fill(~allowed, float("-inf")), writing)
        state.advance(tokens)
        drawn = zip(writing, tokens.tolist(), ended.tolist(), strict=True)
        begins = torch.tensor([answer.take(token, between) for answer, token, between in drawn])
        positions = torch.where(begins, 0, positions + 1)
        full = state.finished & torch.tensor([len(answer.trees) == answer.job.count for answer in writing])
        for row in torch.nonzero(full)[:, 0].tolist():
            writing[row].done = True
        state.restart(begins | full)
        going = [i for i, answer in enumerate(writing) if not answer.done]
        if not going:
            return [answer.trees for answer in answers]
        if len(going) < CROWDED * len(writing):
            rows = torch.tensor(going)
            writing = [writing[i] for i in going]
            state.keep(rows)
            writer.keep(rows)
            tokens, positions = tokens[rows], positions[rows]


def _draw(logits: Tensor, writing: Sequence[_Answer]) -> Tensor:
    """Draw a token for each row by inversion, with each population's own random numbers."""
    temperatures = torch.tensor([answer.job.temperature for answer in writing])
    cumulative = (logits.double() / temperatures[:, None]).softmax(dim=-1).cumsum(dim=-1)
    points = torch.stack([torch.rand(1, generator=a.job.generator, dtype=torch.float64) for a in writing])
    return torch.searchsorted(cumulative, points * cumulative[:, -1:], right=True)[:, 0]


class _Writer:
    """Answers written token by token behind encoded prompts, which are padded to the longest."""

    def __init__(self, prefixes: Sequence[Prefix]) -> None:
        self.model = prefixes[0].model
        lengths = [prefix.length for prefix in prefixes]
        longest = self.written = max(lengths)
        self.seen = torch.arange(longest) < torch.tensor(lengths)[:, None]
        layers = range(len(self.model.layers))
        self.keys = [_padded([prefix.keys[i].transpose(1, 2) for prefix in prefixes], longest) for i in layers]
        self.values = [_padded([prefix.values[i] for prefix in prefixes], longest) for i in layers]

    def step(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Write a token in each row; returns the logits of the next ones, shape (rows, vocabulary)."""
        model, end = self.model, self.written + 1
        if end > self.keys[0].shape[2]:
            self.keys, self.values = ([_longer(each) for each in part] for part in (self.keys, self.values))
        self.seen = functional.pad(self.seen, (0, 1), value=True)
        segments = torch.full_like(tokens, TARGET_SEGMENT)
        x = model.embed(tokens[:, None], positions[:, None], segments[:, None])
        for layer, keys, values in zip(model.layers, self.keys, self.values, strict=True):
            query, key, value = layer.attention.split(x)
            keys[:, :, self.written], values[:, :, self.written] = key[:, :, 0], value[:, :, 0]
            mixed = functional.scaled_dot_product_attention(
                query, keys[:, :, :end], values[:, :, :end], attn_mask=self.seen[:, None, None]
            )
            x = layer.feedforward(layer.attention.merge(x, mixed))
        self.written = end
        return model.head(model.norm(x[:, 0]))  # type: ignore[no-any-return]

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but some."""
        self.seen = self.seen[rows]
        self.keys, self.values = ([each[rows] for each in part] for part in (self.keys, self.values))


def _padded(parts: Sequence[Tensor], longest: int) -> Tensor:
    """Stack (heads, length, head width) to (rows, heads, longest and a block, head width)."""
    return torch.stack([functional.pad(part, (0, 0, 0, longest + BLOCK - part.shape[1])) for part in parts])


def _longer(part: Tensor) -> Tensor:
    return functional.pad(part, (0, 0, 0, BLOCK))
