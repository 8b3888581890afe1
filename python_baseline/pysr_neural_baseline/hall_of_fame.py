"""The best member of each size that a search has accepted.

Owns: `HallOfFame`, its Pareto front.  Does not own: which of them moves into a population (`tuning`).
"""

from pysr_neural_baseline.population import Member


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
