"""Grammar-constrained batched sampling with a shared prefix.

Owns: turning an encoded prefix into well-formed token sequences.  Does not own: prompts, trees
(`proposer.transformer`).

A prefix expression is complete when no slot is open, so no end token is needed: at each step the mask admits exactly
the tokens after which the rest still fits the limits.  The prefix's keys and values are computed once and enter
attention as one matrix product for all samples.  Tensors are made on torch's default device, which must be the model's
(``with model.device:``).  Samples that begin alike are computed once for as long as they are
alike: the rows of a step are the distinct beginnings, not the samples.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pysr_neural.model.policy import ProposerModel
from pysr_neural.wire import vocabulary as v
from pysr_neural.wire.prompt import MAX_POSITION, TARGET_SEGMENT, Prompt

NESTED_FREE = 1 << 20


@dataclass(frozen=True)
class Grammar:
    """What a sample may contain.

    Parameters
    ----------
    operators : tuple of int
        Tokens of the operators in use.
    variables : int
        Number of variable slots in use.
    max_size, max_depth : int
    nested : tuple of (int, int, int)
        ``(outer token, inner token, count)``, as in `problem.Limits` but with tokens.
    constants : bool
        Whether constants may occur.
    """

    operators: tuple[int, ...]
    variables: int
    max_size: int
    max_depth: int
    nested: tuple[tuple[int, int, int], ...] = ()
    constants: bool = True


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


class GrammarState:
    """Open slots of all samples, and the mask of admissible next tokens."""

    def __init__(self, grammar: Grammar, count: int) -> None:
        self.grammar = grammar
        self.arity = torch.tensor(v.ARITY)
        self.is_exponent = torch.tensor(v.IS_EXPONENT)
        self.is_mantissa = torch.tensor(v.IS_MANTISSA)
        self.leaves = torch.zeros(len(v.NAMES), dtype=torch.bool)
        self.leaves[v.FIRST_VARIABLE : v.FIRST_VARIABLE + grammar.variables] = True
        if grammar.constants or not grammar.variables:
            self.leaves |= self.is_exponent
            self.leaves[v.ID["int:-1"] : v.ID["const:pi"] + 1] = True
        self.allowed = self.leaves.clone()
        self.allowed[list(grammar.operators)] = True
        self.open = torch.ones(count, dtype=torch.int64)
        self.used = torch.zeros(count, dtype=torch.int64)
        self.pending = torch.zeros(count, dtype=torch.bool)
        self.depths = torch.zeros(count, grammar.max_size + 3, dtype=torch.int64)
        self.depths[:, 1] = 1
        self.budgets = torch.full((count, grammar.max_size + 3, len(grammar.nested)), NESTED_FREE)
        self.outer = torch.tensor([n[0] for n in grammar.nested], dtype=torch.int64)
        self.inner = torch.tensor([n[1] for n in grammar.nested], dtype=torch.int64)
        self.limit = torch.tensor([n[2] for n in grammar.nested], dtype=torch.int64)

    @property
    def finished(self) -> Tensor:
        """Which samples are complete expressions, bool (count,)."""
        return (self.open == 0) & ~self.pending

    def mask(self) -> Tensor:
        """Return admissible tokens, bool (count, vocabulary)."""
        room = self.grammar.max_size - self.used - self.open
        fits = self.arity[None, :] <= room[:, None]
        depth = self.depths.gather(1, self.open[:, None])
        deep = depth < self.grammar.max_depth
        mask = self.allowed & fits & (deep | (self.arity == 0))
        if len(self.inner):
            top = self.budgets.gather(1, self.open[:, None, None].expand(-1, 1, len(self.inner)))[:, 0]
            spent = torch.zeros_like(mask)
            for column, token in enumerate(self.inner.tolist()):
                spent[:, token] |= top[:, column] <= 0
            mask &= ~spent
        return torch.where(self.pending[:, None], self.is_mantissa, mask)

    def advance(self, tokens: Tensor) -> None:
        """Take one token per sample."""
        arity = self.arity[tokens]
        was_pending = self.pending
        depth = self.depths.gather(1, self.open[:, None])
        position = self.open.clone()
        steps = torch.where(was_pending, 0, 1)
        if len(self.inner):
            self._advance_budgets(tokens, arity, position)
        for extra in range(3):
            slot = torch.where(extra < arity, position + extra, 0)
            self.depths.scatter_(1, slot[:, None], depth + 1)
        self.used += steps
        self.open += torch.where(was_pending, 0, arity - 1)
        self.pending = self.is_exponent[tokens] & ~was_pending

    def _advance_budgets(self, tokens: Tensor, arity: Tensor, position: Tensor) -> None:
        columns = len(self.inner)
        top = self.budgets.gather(1, position[:, None, None].expand(-1, 1, columns))[:, 0]
        below = torch.where(tokens[:, None] == self.inner, torch.where(top < NESTED_FREE, top - 1, top), top)
        below = torch.where((tokens[:, None] == self.outer), torch.minimum(below, self.limit), below)
        for extra in range(3):
            slot = torch.where(extra < arity, position + extra, 0)
            self.budgets.scatter_(1, slot[:, None, None].expand(-1, 1, columns), below[:, None])

    def keep(self, rows: Tensor) -> None:
        """Drop all samples but some."""
        for name in ("open", "used", "pending", "depths", "budgets"):
            setattr(self, name, getattr(self, name)[rows])


class Prefix:
    """An encoded prompt: keys and values of every layer, shared by all samples.

    Parameters
    ----------
    model : ProposerModel
    latents : tensor, shape (1, latents, width)
        From `ProposerModel.encoder`.
    prompt : Prompt
    """

    def __init__(self, model: ProposerModel, latents: Tensor, prompt: Prompt) -> None:
        self.model = model
        ids = [torch.tensor(a, device=latents.device)[None] for a in (prompt.tokens, prompt.positions, prompt.segments)]
        x = model.prefix(latents, *ids)
        self.keys, self.values = [], []
        for layer in model.layers:
            query, key, value = layer.attention.split(x)
            self.keys.append(key[0].transpose(1, 2).contiguous())
            self.values.append(value[0].contiguous())
            mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value)
            x = layer.feedforward(layer.attention.merge(x, mixed))


def start_hidden(prefix: Prefix) -> Tensor:
    """Return the decoder's state at ``<target>``, where the heads read, shape (width,)."""
    suffix = _Suffix(prefix)
    return suffix.step(torch.tensor([v.TARGET]), 0)[0]


@torch.inference_mode()
def sample(
    prefix: Prefix,
    grammar: Grammar,
    count: int,
    temperature: float,
    generator: torch.Generator,
) -> Samples:
    """Draw expressions from the model; every one is well-formed and within the grammar.

    Parameters
    ----------
    prefix : Prefix
    grammar : Grammar
    count : int
    temperature : float
        Above 0; 1 is the model's own distribution.
    generator : torch.Generator
        Source of all randomness.

    Returns
    -------
    Samples
    """
    steps = min(2 * grammar.max_size + 1, MAX_POSITION - 1)
    state = GrammarState(_within(grammar, steps), 1)
    suffix = _Suffix(prefix)
    tokens = torch.full((count, steps), v.PAD)
    scores = torch.zeros(count)
    samples, beginnings = torch.arange(count), torch.zeros(count, dtype=torch.int64)
    current = torch.tensor([v.TARGET])
    for step in range(steps):
        logits = prefix.model.head(suffix.step(current, step)).masked_fill(~state.mask(), float("-inf"))
        logs = logits.log_softmax(dim=-1)
        drawn = _draw(logs / temperature, beginnings, generator)
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


def _draw(logits: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a token for each sample from its row's distribution, by inversion."""
    cumulative = logits.double().softmax(dim=-1).cumsum(dim=-1)[rows]
    points = torch.rand(len(rows), 1, generator=generator, dtype=torch.float64) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, points, right=True)[:, 0]


def _within(grammar: Grammar, steps: int) -> Grammar:
    """Shrink the size limit where the position table is too short for the worst case of two tokens per leaf."""
    largest = min(grammar.max_size, steps * 2 // 3)
    return Grammar(
        grammar.operators, grammar.variables, max(largest, 1), grammar.max_depth, grammar.nested, grammar.constants
    )


class _Suffix:
    """The distinct beginnings' own keys and values: (layers, 2, rows, heads, steps, head width)."""

    def __init__(self, prefix: Prefix) -> None:
        self.prefix = prefix
        heads, width, _ = prefix.keys[0].shape
        self.store = torch.empty(len(prefix.keys), 2, 1, heads, 0, width)
        self.scale = width**-0.5

    def follow(self, parents: Tensor) -> None:
        """Make the beginnings at ``parents`` the rows of the next step; some go on in several ways, some not at all."""
        self.store = self.store.index_select(2, parents)

    def step(self, tokens: Tensor, step: int) -> Tensor:
        """Advance every row by one token; returns the normalised hidden state (rows, width)."""
        model = self.prefix.model
        count = len(tokens)
        room = torch.empty(*self.store.shape[:4], 1, self.store.shape[5])
        self.store = torch.cat([self.store, room], dim=4)
        x = model.embed(tokens, torch.tensor(step), torch.tensor(TARGET_SEGMENT))[:, None, :]
        for i, layer in enumerate(model.layers):
            query, key, value = layer.attention.split(x)
            keys, values = self.store[i]
            keys[:, :, step] = key[:, :, 0]
            values[:, :, step] = value[:, :, 0]
            shared = torch.matmul(query[:, :, 0].transpose(0, 1), self.prefix.keys[i]).transpose(0, 1)
            own = (keys * query).sum(dim=-1)
            weights = torch.cat([shared, own], dim=-1).mul_(self.scale).softmax(dim=-1)
            split = shared.shape[-1]
            mixed = torch.matmul(weights[:, :, :split].transpose(0, 1), self.prefix.values[i]).transpose(0, 1)
            mixed = mixed + (weights[:, :, split:, None] * values).sum(dim=2)
            x = layer.feedforward(layer.attention.merge(x, mixed.reshape(count, -1, 1, mixed.shape[-1])))
        return model.norm(x[:, 0])  # type: ignore[no-any-return]
