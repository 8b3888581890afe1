"""The vocabulary of search states: levels, variation kinds, and a member as everyone outside an engine sees it.

Owns: `LEVELS`, `KINDS`, `MemberView`.  Does not own: requests and answers (`proposer.base`).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural.expression.node import Node

LEVELS = ("seed", "kind", "parents", "child", "crossover", "refresh", "prior", "foresight")
NATIVE_LEVELS = ("foresight",)
"""Levels that PySR's engine carries out itself: nobody is asked.  BasicSR has none of them."""
KINDS = (
    "constant",
    "operator",
    "feature",
    "swap",
    "rotate",
    "add",
    "insert",
    "delete",
    "simplify",
    "randomize",
    "do_nothing",
    "optimize",
    "crossover",
    "neural",
)
"""Variation kinds in wire order: SymbolicRegression.jl's mutations, then crossover, then whole proposals."""


def levels_of(names: Iterable[str] | str) -> tuple[str, ...]:
    """Check level names and bring them into canonical order; ``"all"`` stands for all of them.

    Raises
    ------
    ConfigError
        If a name is not a level, or what is given are no names at all.
    """
    if isinstance(names, str):
        names = LEVELS if names == "all" else (names,)
    names = tuple(names) if isinstance(names, Iterable) else (names,)
    if not all(isinstance(name, str) for name in names):
        raise ConfigError(f"levels must be names of levels, such as ('seed', 'child'), or 'all'; got {names!r}.")
    for name in names:
        if name not in LEVELS:
            raise ConfigError(
                f"A level must be one of the proposer's levels; got {name!r}." + did_you_mean(name, LEVELS)
            )
    return tuple(level for level in LEVELS if level in names)


def level_bits(levels: tuple[str, ...]) -> int:
    """Write levels as the wire's bit mask; bit i stands for ``LEVELS[i]``."""
    return sum(1 << i for i, level in enumerate(LEVELS) if level in levels)


def levels_from_bits(bits: int) -> tuple[str, ...]:
    """Read levels from the wire's bit mask."""
    return tuple(level for i, level in enumerate(LEVELS) if bits >> i & 1)


@dataclass(frozen=True)
class MemberView:
    """One population member as a proposer sees it.

    Parameters
    ----------
    tree : Node
    loss : float
        Mean squared error, lower is better; may be infinite.
    complexity : int
        The engine's complexity.
    score : float
        By which the engine's tournaments compare, lower is better; NaN where it does not say.
    birth : int
        Members of lower birth are older.
    """

    tree: Node
    loss: float
    complexity: int
    score: float = field(default=math.nan, compare=False)
    birth: int = field(default=0, compare=False)
