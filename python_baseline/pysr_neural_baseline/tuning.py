"""What happens to a population at the end of an iteration: simplification, constant fitting, migration.

Owns: these three, and which trees have been fitted already.  Does not own: when an iteration ends (`search`), least
squares (`pysr_neural.expression.fit`).
"""

from collections.abc import Callable, Sequence

import numpy as np

from pysr_neural.expression.node import Node
from pysr_neural.expression.simplify import simplify
from pysr_neural.rng import generator
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.objective import Objective
from pysr_neural_baseline.population import Member, Population
from pysr_neural_baseline.selection import best_of

ROUNDING = 1e-9
"""A simplified tree may be worse by this share: adding constants in another order changes the last digits."""

Enter = Callable[[Node, float, str, Member, bool], Member]
"""Makes a member of a tree, its loss, a kind, the member that it comes from, and whether it counts as newly born."""
Moved = Callable[[Population, str, int, Member], None]
"""Takes the news that a member has replaced the one with a given ref: population, event, old ref, member."""


class Tuning:
    """Improves populations between iterations.

    Parameters
    ----------
    config : BasicSRConfig
    objective : Objective
    enter : callable
        See `Enter`.
    moved : callable
        See `Moved`.
    seed : int
        Of the search.
    late : callable
        Whether the search's time is up: then nothing more is begun.
    """

    def __init__(
        self,
        config: BasicSRConfig,
        objective: Objective,
        enter: Enter,
        moved: Moved,
        seed: int,
        late: Callable[[], bool],
    ) -> None:
        self.config, self.objective, self.enter, self.moved, self.late = config, objective, enter, moved, late
        self.rng = generator(seed, "tuning")
        self._fitted: set[Node] = set()

    def improve(self, population: Population) -> None:
        """Simplify every member, and fit the constants of some."""
        config = self.config
        if config.simplify:
            for i in range(len(population.members)):
                self._change(population, i, "simplify", self.simplified)
        if config.optimize_constants:
            chosen = self.rng.random(len(population.members)) < config.optimize_probability
            for i in np.flatnonzero(chosen).tolist():
                self._change(population, i, "tuning", self.fitted)

    def migrate(self, population: Population, all_populations: Sequence[Population], front: Sequence[Member]) -> None:
        """Put copies of the best of all populations and of the hall of fame in random places."""
        best = [member for each in all_populations for member in best_of(each.members, self.config.migration_count)]
        for share, migrants in ((self.config.migration, best), (self.config.migration_best, front)):
            if not share or not migrants:
                continue
            size = len(population.members)
            for _ in range(min(int(self.rng.poisson(share * size)), size, len(migrants))):
                place = int(self.rng.random() * size)
                migrant = migrants[int(self.rng.random() * len(migrants))]
                copy = self.enter(migrant.tree, migrant.loss, "do_nothing", migrant, True)
                self._replace(population, place, "migration", copy)

    def simplified(self, member: Member) -> Member:
        """Return the member with its tree simplified, as old as before; the member itself if nothing changed."""
        if self.late():
            return member
        tree = simplify(member.tree, self.objective.problem.limits.constants)
        if tree == member.tree:
            return member
        loss = self.objective.loss(tree)
        return member if loss > member.loss * (1 + ROUNDING) else self.enter(tree, loss, "simplify", member, False)

    def fitted(self, member: Member) -> Member:
        """Return the member with its constants fitted, newly born; the member itself if that did not help."""
        if self.late() or not self.can_be_fitted(member):
            return member
        tree, loss = self.objective.refined(member.tree)
        self._fitted |= {member.tree, tree}
        return member if loss >= member.loss else self.enter(tree, loss, "optimize", member, True)

    def can_be_fitted(self, member: Member) -> bool:
        """Tell whether a member has constants that were not fitted yet."""
        return member.tree not in self._fitted and bool(np.isfinite(member.loss)) and bool(member.tree.constants())

    def _change(self, population: Population, place: int, event: str, change: Callable[[Member], Member]) -> None:
        member = population.members[place]
        changed = change(member)
        if changed is not member:
            self._replace(population, place, event, changed)

    def _replace(self, population: Population, place: int, event: str, member: Member) -> None:
        old = population.members[place].ref
        population.members[place] = member
        self.moved(population, event, old, member)
