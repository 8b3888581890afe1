"""Members, where they come from, and the best of each size.

Owns: `Member`, `Ancestry`, `HallOfFame`.  Does not own: making members (`variation`).
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

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
        Running number: ``generation * population_size + slot``.
    parents : tuple of int
        Refs of the members that it was made from.
    kind : str
        How it was made, one of `pysr_neural.state.KINDS`.
    neural : bool
        Whether an injected proposer made it or one of its ancestors.
    """

    tree: Node
    loss: float
    cost: float
    ref: int
    parents: tuple[int, ...] = ()
    kind: str = "randomize"
    neural: bool = False

    def view(self) -> MemberView:
        """Return the member as proposers see it."""
        return MemberView(self.tree, self.loss, self.tree.size)


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


class HallOfFame:
    """The member of lowest loss of each size."""

    def __init__(self) -> None:
        self.best: dict[int, Member] = {}
        self.lowest_loss = float("inf")

    def update(self, member: Member) -> None:
        """Take a member in if it is the best of its size; the first of equals stays."""
        if member.loss == float("inf"):
            return
        known = self.best.get(member.tree.size)
        if known is None or member.loss < known.loss:
            self.best[member.tree.size] = member
            self.lowest_loss = min(self.lowest_loss, member.loss)

    def front(self) -> list[Member]:
        """Return the Pareto front: members that no smaller one equals in loss, from small to large."""
        front: list[Member] = []
        for size in sorted(self.best):
            if not front or self.best[size].loss < front[-1].loss:
                front.append(self.best[size])
        return front
