"""An observer that remembers every call, in plain values."""

from pysr_neural.expression.text import to_string


class Diary:
    """Everything that a search told, in order."""

    def __init__(self):
        self.events = []

    def population(self, population, iteration, members):
        self.events.append(("population", population, iteration, tuple((m.ref, to_string(m.tree)) for m in members)))

    def proposal(self, told):
        place, (before, after) = (told.population, told.iteration, told.cycle), (repr(told.before), repr(told.after))
        child = (told.kind, told.parents, to_string(told.child), told.child_ref)
        self.events.append(("proposal", *place, *child, before, after, told.accepted, told.reason, told.neural))

    def relink(self, population, iteration, event, old_ref, member):
        self.events.append(("relink", population, iteration, event, old_ref, member.ref, to_string(member.tree)))

    def death(self, population, iteration, cycle, ref):
        self.events.append(("death", population, iteration, cycle, ref))

    def of(self, name):
        return [event for event in self.events if event[0] == name]
