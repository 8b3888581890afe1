"""The populations of a recorded run while its events pass by.

Owns: `Stage`, who takes whose place.  Does not own: what the refs stand for (`replay`).
"""

from dataclasses import dataclass, field

from pysr_neural.trace.schema import DEATH, PROPOSAL

Place = tuple[int, int, int]
"""Population, iteration, cycle."""


@dataclass
class Stage:
    """The populations while events pass by, as refs in their slots.

    Parameters
    ----------
    generational : bool
        Whether all members leave at the end of a cycle.
    first_cycle : int
        The cycle before which a recorded population is known to stand.
    """

    generational: bool
    first_cycle: int
    slots: dict[int, list[int]] = field(default_factory=dict)
    now: dict[int, Place] = field(default_factory=dict)
    births: dict[int, list[int]] = field(default_factory=dict)
    based: set[tuple[int, int]] = field(default_factory=set)

    def enter(self, place: Place, bases: dict[tuple[int, int], list[int]]) -> list[int] | None:
        """Begin a cycle, unless it has begun; returns who stands then, None where that is not known."""
        population, iteration, cycle = place
        if self.now.get(population) == place:
            return self.slots.get(population)
        self._end_cycle(population)
        self.now[population] = place
        if (population, iteration) not in self.based and (cycle >= self.first_cycle or cycle < 0):
            self.based.add((population, iteration))
            if (population, iteration) in bases:
                self.slots[population] = list(bases[population, iteration])
            elif self.first_cycle:
                self.slots.pop(population, None)
        elif self.first_cycle and 0 <= cycle < self.first_cycle:
            self.slots.pop(population, None)
        return self.slots.get(population)

    def take(self, what: str, population: int, ref: int, replaced: int) -> None:
        """Let one event happen."""
        slots = self.slots.get(population)
        if slots is None or ref < 0 or self.now.get(population, (0, 0, 0))[2] < 0:
            return
        if what == PROPOSAL:
            self.births.setdefault(population, []).append(ref)
        elif what == DEATH:
            born = self.births.get(population, [])
            if born and ref in slots:
                slots[slots.index(ref)] = born.pop(0)
        elif not self.first_cycle:
            self._end_cycle(population)
            slots = self.slots[population]
            if replaced in slots:
                slots[slots.index(replaced)] = ref

    def leave(self) -> dict[int, list[int]]:
        """End all cycles; returns who stands then."""
        for population in self.slots:
            self._end_cycle(population)
        return self.slots

    def _end_cycle(self, population: int) -> None:
        born = self.births.pop(population, [])
        if self.generational and born:
            self.slots[population] = born
