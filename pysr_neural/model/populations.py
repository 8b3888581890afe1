"""Sampling of whole populations: trees one after the other, each drawn in sight of those before it.

Owns: `sample_population`.  Does not own: sampling of single trees for many prompts at once (`decoding`), what is
well-formed (`grammar`), how a population is written (`wire.prompt`).
"""

import torch
from torch import Tensor
from torch.nn import functional

from pysr_neural.model.decoding import Prefix
from pysr_neural.model.grammar import Grammar, GrammarState, within
from pysr_neural.wire import vocabulary as v
from pysr_neural.wire.prompt import MAX_POSITION, TARGET_SEGMENT


@torch.inference_mode()
def sample_population(
    prefix: Prefix, grammar: Grammar, most: int, temperature: float, generator: torch.Generator
) -> list[list[int]]:
    """Draw a population from the model, as the layout ``population`` taught it.

    Parameters
    ----------
    prefix : Prefix
        Of a ``population`` prompt.
    grammar : Grammar
        Of every tree.
    most : int
        Trees after which the population ends, if the model does not end it before; at least 1.
    temperature : float
        Above 0.
    generator : torch.Generator
        Source of all randomness.

    Returns
    -------
    list of list of int
        Tokens of 1 to ``most`` trees, every one well-formed and within the grammar.
    """
    writer = _Writer(prefix)
    limit = within(grammar, min(2 * grammar.max_size + 1, MAX_POSITION - 1))
    ends = torch.zeros(len(v.NAMES), dtype=torch.bool)
    ends[[v.MEMBER, v.END]] = True
    trees: list[list[int]] = []
    mark = v.TARGET
    while mark != v.END:
        logits, tree = writer.step(mark, 0), []
        state = GrammarState([limit], torch.zeros(1, dtype=torch.int64))
        while not state.finished.item():
            token = _draw(logits, state.mask()[0], temperature, generator)
            state.advance(torch.tensor([token]))
            tree.append(token)
            logits = writer.step(token, len(tree))
        trees.append(tree)
        mark = v.END if len(trees) == most else _draw(logits, ends, temperature, generator)
    return trees


def _draw(logits: Tensor, allowed: Tensor, temperature: float, generator: torch.Generator) -> int:
    weights = (logits.masked_fill(~allowed, float("-inf")).double() / temperature).softmax(dim=-1)
    return int(torch.multinomial(weights, 1, generator=generator).item())


class _Writer:
    """One answer, written token by token behind an encoded prompt."""

    def __init__(self, prefix: Prefix) -> None:
        self.model = prefix.model
        self.keys = [key.transpose(1, 2) for key in prefix.keys]
        self.values = list(prefix.values)

    def step(self, token: int, position: int) -> Tensor:
        """Write one token; returns the logits of the next, shape (vocabulary,)."""
        model = self.model
        x = model.embed(torch.tensor([[token]]), torch.tensor([[position]]), torch.tensor([[TARGET_SEGMENT]]))
        for i, layer in enumerate(model.layers):
            query, key, value = layer.attention.split(x)
            self.keys[i] = torch.cat([self.keys[i], key[0]], dim=1)
            self.values[i] = torch.cat([self.values[i], value[0]], dim=1)
            mixed = functional.scaled_dot_product_attention(query, self.keys[i][None], self.values[i][None])
            x = layer.feedforward(layer.attention.merge(x, mixed))
        return model.head(model.norm(x[:, 0]))[0]  # type: ignore[no-any-return]
