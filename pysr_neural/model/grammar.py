"""Which tokens may come next, so that every sample is one expression within the limits of its search.

Owns: `Grammar`, and its state while many samples grow.  Does not own: probabilities (`decoding`).

A prefix expression is complete when no slot is open, so no end token is needed: the mask admits exactly the tokens
after which the rest still fits the limits.  Rows may follow different grammars.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pysr_neural.problem import Complexities
from pysr_neural.wire import vocabulary as v

NESTED_FREE = 1 << 20
ROUNDING = 1e-4
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
    costs : tuple of float, optional
        What each token of the vocabulary counts towards ``max_cost``; see `token_costs`.
    max_cost : float
        Most that the tokens of an expression may count together.
    """

    operators: tuple[int, ...]
    variables: int
    max_size: int
    max_depth: int
    nested: tuple[tuple[int, int, int], ...] = ()
    constants: bool = True
    costs: tuple[float, ...] | None = None
    max_cost: float = math.inf


def token_costs(complexities: Complexities, operators: Sequence[int], features: Sequence[int]) -> tuple[float, ...]:
    """Return what each token of the vocabulary counts; of a token that stands for several operators, the most.

    Parameters
    ----------
    complexities : Complexities
    operators : sequence of int
        Tokens of the search's operators, in the set's order.
    features : sequence of int
        The feature of each variable slot in use.
    """
    leaf = (v.ARITY == 0) & ~v.IS_MANTISSA
    costs = np.where(leaf, complexities.constant, 0.0)
    for slot, feature in enumerate(features):
        costs[v.FIRST_VARIABLE + slot] = complexities.variables[feature]
    for token, cost in zip(operators, complexities.operators, strict=True):
        costs[token] = max(costs[token], cost)
    return tuple(costs.tolist())


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
        self.costs = self._costs(grammars)
        count, slots = len(which), max(grammar.max_size for grammar in grammars) + 3
        self.open = torch.ones(count, dtype=torch.int64)
        self.used = torch.zeros(count, dtype=torch.int64)
        self.pending = torch.zeros(count, dtype=torch.bool)
        self.depths = torch.zeros(count, slots, dtype=torch.int64)
        self.depths[:, 1] = 1
        self.budgets = torch.full((count, slots, rules), NESTED_FREE)
        self.spent = torch.zeros(count)

    def _costs(self, grammars: Sequence[Grammar]) -> Tensor | None:
        """Note what tokens cost, the cheapest leaf and the limit of each grammar; None if no grammar counts costs."""
        if all(grammar.costs is None for grammar in grammars):
            return None
        costs = torch.tensor([grammar.costs or (0.0,) * len(v.NAMES) for grammar in grammars])
        leaf = self.allowed & (self.arity == 0)
        self.cheapest = torch.where(leaf, costs, math.inf).amin(dim=1)
        self.max_cost = torch.maximum(torch.tensor([grammar.max_cost for grammar in grammars]), self.cheapest)
        return costs

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
        if self.costs is not None:
            # What the other open slots cost at least.
            others = (self.open[:, None] - 1 + self.arity) * self.cheapest[self.which, None]
            total = self.spent[:, None] + self.costs[self.which] + others
            mask &= total <= self.max_cost[self.which, None] + ROUNDING
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
        if self.costs is not None:
            self.spent += self.costs[self.which, tokens]
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
        self.open[rows], self.used[rows], self.pending[rows], self.spent[rows] = 1, 0, False, 0.0
        self.depths[rows, 1] = 1
        self.budgets[rows] = NESTED_FREE

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but some, which may repeat."""
        for name in ("which", "open", "used", "pending", "depths", "budgets", "spent"):
            setattr(self, name, getattr(self, name)[rows])
