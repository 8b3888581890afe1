"""Which building block stands below which: the head that says so, and what it learns from.

Owns: the numbering of symbols as parents and children, `PairHead`, its targets and its loss.  Does not own: the rest of
the model (`policy`), the use of the probabilities (`proposer.neural.transformer`).

Parents are the operator tokens in their order, then the root; children are a constant, a variable, then the operator
tokens: the layout of `proposer.base.Prior.pairs`, with the vocabulary's operators in place of one search's.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pysr_neural.wire import vocabulary as v

ROOT = v.END_OPERATOR - v.FIRST_OPERATOR
CONSTANT, VARIABLE, FIRST_CHILD = 0, 1, 2
PARENTS, CHILDREN = ROOT + 1, ROOT + FIRST_CHILD


class PairHead(nn.Module):
    """Probabilities of children below each parent, as a product of three factors of low rank.

    The logit of child c below parent p in state h is ``sum_k gate(h)_k above_pk below_ck + bias(h)_c``.

    Parameters
    ----------
    width : int
        Of the states.
    rank : int
    """

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.above = nn.Embedding(PARENTS, rank)
        self.below = nn.Embedding(CHILDREN, rank)
        self.gate = nn.Linear(width, rank)
        self.bias = nn.Linear(width, CHILDREN)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map states (…, width) to logits (…, PARENTS, CHILDREN)."""
        gated = self.gate(hidden).unsqueeze(-2) * self.above.weight
        return gated @ self.below.weight.T + self.bias(hidden).unsqueeze(-2)

    def weights(self, hidden: Tensor, operators: Sequence[int]) -> npt.NDArray[np.float64]:
        """Return the probabilities for one search's operators, in the layout of `Prior.pairs`.

        Parameters
        ----------
        hidden : tensor, shape (width,)
        operators : sequence of int
            The token of each operator of the search.

        Returns
        -------
        array, shape (operators + 1, operators + 2)
            Rows sum to 1.
        """
        numbers = [token - v.FIRST_OPERATOR for token in operators]
        columns = [CONSTANT, VARIABLE, *(FIRST_CHILD + number for number in numbers)]
        logits = self(hidden)[[*numbers, ROOT]][:, columns]
        return logits.double().softmax(dim=-1).cpu().numpy()


def pair_targets(labels: Tensor) -> Tensor:
    """Count the parent–child pairs of the trees in token sequences.

    Parameters
    ----------
    labels : int64 tensor, shape (batch, steps)
        Trees in prefix order, with or without other tokens between them; negative values are padding.

    Returns
    -------
    float32 tensor, shape (batch, PARENTS, CHILDREN)
    """
    counts = np.zeros((len(labels), PARENTS, CHILDREN), dtype=np.float32)
    for row, tokens in enumerate(labels.tolist()):
        pending = [ROOT]
        for token in tokens:
            if token < 0 or v.IS_MANTISSA[token]:
                continue
            child = _child(token)
            if child is None:
                pending = [ROOT]
                continue
            counts[row, pending.pop() if pending else ROOT, child] += 1
            pending += [child - FIRST_CHILD] * int(v.ARITY[token])
    return torch.from_numpy(counts)


def pair_loss(logits: Tensor, counts: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of the counted pairs, each given its parent; shape ()."""
    return -(counts * logits.float().log_softmax(dim=-1)).sum() / counts.sum().clamp(min=1)


def _child(token: int) -> int | None:
    """Return the number of a token as a child; None if it is no part of a tree."""
    if v.ARITY[token]:
        return FIRST_CHILD + token - v.FIRST_OPERATOR
    if v.IS_EXPONENT[token] or not np.isnan(v.VALUE[token]):
        return CONSTANT
    return VARIABLE if v.FIRST_VARIABLE <= token < v.FIRST_VARIABLE + v.VARIABLE_SLOTS else None
