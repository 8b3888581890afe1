"""Members, the populations that they live in, and where they come from.

Owns: `Member`, `Population`, `Ancestry`.  Does not own: making members (`variation`), choosing among them
(`selection`).
"""

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

from pysr_neural.expression.node import Node
from pysr_neural.state import MemberView


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a population.

    Parameters
    ----------
    tree : Node
    loss, cost : float
        Lower is better.
    ref : int
        Running number, unique within a search.
    parents : tuple of int
        Refs of the members that it was made from.
    kind : str
        How it was made, one of `pysr_neural.state.KINDS`.
    neural : bool
        Whether an injected proposer made it or one of its ancestors.
    birth : int
        Running number that counts as its age: the oldest member makes room for a child.
    """

    tree: Node
    loss: float
    cost: float
    ref: int
    parents: tuple[int, ...] = ()
    kind: str = "randomize"
    neural: bool = False
    birth: int = 0

    def view(self, score: float = math.nan) -> MemberView:
        """Return the member as proposers see it, with what tournaments compare."""
        return MemberView(self.tree, self.loss, self.tree.size, score, self.birth)


@dataclass
class Population:
    """One of a search's populations, and how far it has come.

    Parameters
    ----------
    index : int
    members : list of Member
    iteration : int
        Iterations finished.
    cycle : int
        Cycles finished within the present iteration.
    """

    index: int
    members: list[Member] = field(default_factory=list)
    iteration: int = 0
    cycle: int = 0

    def cheapest(self) -> Member:
        """Return the member of lowest cost; the first of equals."""
        return min(self.members, key=cost_of)


def cost_of(member: Member) -> float:
    """Return a member's cost, as a key to sort by."""
    return member.cost


class Ancestry:
    """The parents of every member ever made, at 8 bytes a member and 8 a parent."""

    def __init__(self) -> None:
        self._flat, self._ends = array("q"), array("q")

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, parents: Iterable[int]) -> None:
        """Record the parents of the next ref."""
        self._flat.extend(parents)
        self._ends.append(len(self._flat))

    def parents(self, ref: int) -> tuple[int, ...]:
        """Return the refs of a member's parents."""
        return tuple(self._flat[self._ends[ref - 1] if ref else 0 : self._ends[ref]])

    def ancestors(self, ref: int) -> set[int]:
        """Return the refs of all ancestors, the member itself left out."""
        found: set[int] = set()
        waiting = list(self.parents(ref))
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting.extend(self.parents(one))
        return found
