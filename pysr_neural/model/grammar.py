"""Which tokens may come next, so that every sample is one expression within the limits of its search.

Owns: `Grammar`, and its state while many samples grow.  Does not own: probabilities (`decoding`).

A prefix expression is complete when no slot is open, so no end token is needed: the mask admits exactly the tokens
after which the rest still fits the limits.  Rows may follow different grammars.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pysr_neural.wire import vocabulary as v

NESTED_FREE = 1 << 20
ABSENT = -1
"""Token of no rule."""


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


def within(grammar: Grammar, steps: int) -> Grammar:
    """Shrink the size limit where the position table is too short for the worst case of two tokens per leaf."""
    return replace(grammar, max_size=max(min(grammar.max_size, steps * 2 // 3), 1))


class GrammarState:
    """Open slots of all rows, and the mask of admissible next tokens.

    Parameters
    ----------
    grammars : sequence of Grammar
    which : int64 tensor, shape (rows,)
        The grammar of each row.
    """

    def __init__(self, grammars: Sequence[Grammar], which: Tensor) -> None:
        self.which = which
        self.arity = torch.tensor(v.ARITY)
        self.is_exponent = torch.tensor(v.IS_EXPONENT)
        self.is_mantissa = torch.tensor(v.IS_MANTISSA)
        self.allowed = torch.stack([self._allowed(grammar) for grammar in grammars])
        self.max_size = torch.tensor([grammar.max_size for grammar in grammars])
        self.max_depth = torch.tensor([grammar.max_depth for grammar in grammars])
        rules = max(len(grammar.nested) for grammar in grammars)
        none = (ABSENT, ABSENT, NESTED_FREE)
        table = [[*grammar.nested, *[none] * (rules - len(grammar.nested))] for grammar in grammars]
        nested = torch.tensor(table, dtype=torch.int64).reshape(len(grammars), rules, 3)
        self.outer, self.inner, self.limit = nested.unbind(dim=2)
        count, slots = len(which), max(grammar.max_size for grammar in grammars) + 3
        self.open = torch.ones(count, dtype=torch.int64)
        self.used = torch.zeros(count, dtype=torch.int64)
        self.pending = torch.zeros(count, dtype=torch.bool)
        self.depths = torch.zeros(count, slots, dtype=torch.int64)
        self.depths[:, 1] = 1
        self.budgets = torch.full((count, slots, rules), NESTED_FREE)

    def _allowed(self, grammar: Grammar) -> Tensor:
        """Return the grammar's tokens, mantissas left out, bool (vocabulary,)."""
        allowed = torch.zeros(len(v.NAMES), dtype=torch.bool)
        allowed[v.FIRST_VARIABLE : v.FIRST_VARIABLE + grammar.variables] = True
        if grammar.constants or not grammar.variables:
            allowed |= self.is_exponent
            allowed[v.ID["int:-1"] : v.ID["const:pi"] + 1] = True
        allowed[list(grammar.operators)] = True
        return allowed

    @property
    def finished(self) -> Tensor:
        """Which rows are complete expressions, bool (rows,)."""
        return (self.open == 0) & ~self.pending

    def mask(self) -> Tensor:
        """Return admissible tokens, bool (rows, vocabulary)."""
        room = self.max_size[self.which] - self.used - self.open
        fits = self.arity[None, :] <= room[:, None]
        depth = self.depths.gather(1, self.open[:, None])
        deep = depth < self.max_depth[self.which, None]
        mask = self.allowed[self.which] & fits & (deep | (self.arity == 0))
        rules = self.inner.shape[1]
        if rules:
            top = self.budgets.gather(1, self.open[:, None, None].expand(-1, 1, rules))[:, 0]
            inner = self.inner[self.which]
            for column in range(rules):
                spent = (top[:, column] <= 0)[:, None]
                mask &= ~(spent & (torch.arange(mask.shape[1]) == inner[:, column, None]))
        return torch.where(self.pending[:, None], self.is_mantissa, mask)

    def advance(self, tokens: Tensor) -> None:
        """Take one token per row."""
        arity = self.arity[tokens]
        was_pending = self.pending
        depth = self.depths.gather(1, self.open[:, None])
        position = self.open.clone()
        steps = torch.where(was_pending, 0, 1)
        if self.inner.shape[1]:
            self._advance_budgets(tokens, arity, position)
        for extra in range(3):
            slot = torch.where(extra < arity, position + extra, 0)
            self.depths.scatter_(1, slot[:, None], depth + 1)
        self.used += steps
        self.open += torch.where(was_pending, 0, arity - 1)
        self.pending = self.is_exponent[tokens] & ~was_pending

    def _advance_budgets(self, tokens: Tensor, arity: Tensor, position: Tensor) -> None:
        columns = self.inner.shape[1]
        top = self.budgets.gather(1, position[:, None, None].expand(-1, 1, columns))[:, 0]
        below = torch.where(
            tokens[:, None] == self.inner[self.which], torch.where(top < NESTED_FREE, top - 1, top), top
        )
        below = torch.where(
            tokens[:, None] == self.outer[self.which], torch.minimum(below, self.limit[self.which]), below
        )
        for extra in range(3):
            slot = torch.where(extra < arity, position + extra, 0)
            self.budgets.scatter_(1, slot[:, None, None].expand(-1, 1, columns), below[:, None])

    def restart(self, rows: Tensor) -> None:
        """Begin new expressions in some rows, given by number or as a mask."""
        self.open[rows], self.used[rows], self.pending[rows] = 1, 0, False
        self.depths[rows, 1] = 1
        self.budgets[rows] = NESTED_FREE

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but some, which may repeat."""
        for name in ("which", "open", "used", "pending", "depths", "budgets"):
            setattr(self, name, getattr(self, name)[rows])
