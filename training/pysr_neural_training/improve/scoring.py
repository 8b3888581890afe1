"""Probabilities of drawn tokens, recomputed by the model with gradients.

Owns: distributions within the grammar, as sampling had them; entropies and divergences.  Does not own: sampling
(`pysr_neural.model.decoding`), the grammar (`pysr_neural.model.grammar`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pysr_neural.model.grammar import Grammar, GrammarState, within
from pysr_neural.model.policy import ProposerModel
from pysr_neural.wire.prompt import MAX_POSITION
from pysr_neural.wire.vocabulary import NAMES
from pysr_neural_training.examples.build import IGNORED

FORBIDDEN = -1e9
"""Logit of a token that the grammar does not admit; finite, so that nothing becomes NaN in the backward pass."""


@dataclass(frozen=True)
class Scored:
    """A batch of token sequences under a model.

    Parameters
    ----------
    logs : tensor, shape (batch, steps, vocabulary)
        Logarithms of the probabilities of every next token, within the grammar.
    drawn : tensor, shape (batch,)
        Logarithm of each sequence's probability.
    counted : bool tensor, shape (batch, steps)
        False in the padding.
    """

    logs: Tensor
    drawn: Tensor
    counted: Tensor

    def entropy(self) -> Tensor:
        """Return the mean entropy per token, shape ()."""
        return self._mean(-(self.logs.exp() * self.logs).sum(dim=-1))

    def divergence(self, reference: "Scored") -> Tensor:
        """Return the mean divergence per token from another model's distributions, shape ()."""
        return self._mean((self.logs.exp() * (self.logs - reference.logs)).sum(dim=-1))

    def _mean(self, per_token: Tensor) -> Tensor:
        return (per_token * self.counted).sum() / self.counted.sum().clamp(min=1)


def score(model: ProposerModel, batch: dict[str, Tensor], grammars: Sequence[Grammar]) -> Scored:
    """Compute the probabilities of a batch's targets at temperature 1, within each row's grammar.

    Parameters
    ----------
    model : ProposerModel
    batch : dict of str to tensor
        From `examples.collate`.
    grammars : sequence of Grammar
        One per row.
    """
    inputs = {key: value for key, value in batch.items() if key not in ("labels", "kinds", "presence")}
    labels = batch["labels"]
    counted = labels != IGNORED
    logits = model(**inputs).logits.float().masked_fill(~admitted(labels, grammars), FORBIDDEN)
    logs = logits.log_softmax(dim=-1)
    chosen = logs.gather(2, labels.clamp(min=0)[:, :, None])[:, :, 0]
    return Scored(logs, (chosen * counted).sum(dim=1), counted)


def admitted(labels: Tensor, grammars: Sequence[Grammar]) -> Tensor:
    """Return which tokens the grammar admits at every step, bool (batch, steps, vocabulary); all of them in padding."""
    rows, steps = labels.shape
    masks = torch.ones(rows, steps, len(NAMES), dtype=torch.bool)
    limits = [min(2 * grammar.max_size + 1, MAX_POSITION - 1) for grammar in grammars]
    sampled = [within(grammar, limit) for grammar, limit in zip(grammars, limits, strict=True)]
    state, growing = GrammarState(sampled, torch.arange(rows)), torch.arange(rows)
    for step in range(steps):
        masks[growing, step] = state.mask()
        state.advance(labels[growing, step])
        kept = torch.nonzero(~state.finished)[:, 0]
        state.keep(kept)
        growing = growing[kept]
        if not len(growing):
            break
    return masks
