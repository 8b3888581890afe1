"""How a child is made: parents, then crossover or mutation, within the limits of the search.

Owns: `Variation`, its two makers (``"grow"`` and ``"kinds"``), what a proposer's weights do to it, and
`EvolutionaryProposer`.  Does not own: tournaments (`selection`), the kinds (`mutation`), acceptance (`search`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pysr_neural.expression.constraints import check_tree
from pysr_neural.expression.edits import NOTHING, Edit, drawn, edited
from pysr_neural.expression.node import Node, constant, variable
from pysr_neural.expression.sample import GrowSampler, pick
from pysr_neural.operators import Array
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Action, Child, Prior, ProposalBatch, ProposalRequest
from pysr_neural.rng import generator
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.mutation import MUTATIONS, Mutations, changed, cross
from pysr_neural_baseline.objective import Objective, scale_of
from pysr_neural_baseline.population import Member
from pysr_neural_baseline.selection import Selection
from pysr_neural_baseline.symbols import Symbols, parent_of

ATTEMPTS = 100


@dataclass(frozen=True)
class Guidance:
    """What an injected proposer last said about ordinary variation; it holds until the next answer.

    Parameters
    ----------
    kinds : array, shape (len(KINDS),), optional
        Multipliers of the mutations' weights.
    crossover_probability : float, optional
        In place of the configured one.
    parents : mapping of int to float
        Weight of members by ref.
    prior : Prior, optional
        From which building blocks are drawn.
    """

    kinds: Array | None = None
    crossover_probability: float | None = None
    parents: Mapping[int, float] = field(default_factory=dict)
    prior: Prior | None = None

    def after(self, batch: ProposalBatch, members: Sequence[Member]) -> "Guidance":
        """Return the guidance after an answer to a request with some members; what it lacks stays as it was."""
        weights = batch.parent_weights
        return Guidance(
            self.kinds if batch.kind_weights is None else batch.kind_weights,
            self.crossover_probability if batch.crossover_probability is None else batch.crossover_probability,
            self.parents if weights is None else {m.ref: float(w) for m, w in zip(members, weights, strict=True)},
            self.prior if batch.prior is None else batch.prior,
        )


class Variation:
    """Ordinary variation for one search; follows the `Session` protocol, see `EvolutionaryProposer`.

    Parameters
    ----------
    problem : Problem
    config : BasicSRConfig
    selection : Selection, optional
        Shared with the search; without one, a fresh one.
    objective : Objective, optional
        Likewise.
    """

    def __init__(
        self,
        problem: Problem,
        config: BasicSRConfig,
        selection: Selection | None = None,
        objective: Objective | None = None,
    ) -> None:
        self.problem, self.config = problem, config
        self.objective = objective or Objective(problem, config)
        self.max_size = min(config.max_size, problem.limits.max_size)
        self.selection = selection or Selection(config, self.max_size)
        self.guidance = Guidance()
        self.constants = config.constants if problem.limits.constants else ()
        self.maker: Grow | Kinds = (Grow if config.variation == "grow" else Kinds)(self)
        limits = problem.limits
        self._more_limits = bool(limits.nested or limits.arguments) or limits.max_depth < self.max_size

    def fits(self, tree: Node) -> bool:
        """Tell whether a tree made of the search's own symbols is within its limits."""
        if tree.size > self.max_size:
            return False
        return not self._more_limits or check_tree(tree, self.problem, self.max_size) is None

    def refined(self, tree: Node) -> Node:
        """Return a tree with fitted constants."""
        return self.objective.refined(tree)[0]

    def initial(self, count: int, rng: np.random.Generator) -> list[Node]:
        """Return the first members of a population."""
        return self.maker.initial(count, rng)

    def heed(self, batch: ProposalBatch, members: Sequence[Member]) -> None:
        """Take what a proposer answered about kinds, parents, crossover and symbols."""
        self.guidance = self.guidance.after(batch, members)
        if batch.prior is not None:
            self.maker.heed(batch.prior)

    def child(self, members: Sequence[Member], temperature: float, rng: np.random.Generator) -> tuple[Child, bool]:
        """Make one child of a population.

        Parameters
        ----------
        members : sequence of Member
        temperature : float
            From 1 to 0.
        rng : numpy.random.Generator

        Returns
        -------
        child : Child
            Its parents are positions in ``members``.
        fits : bool
            Whether it is within the limits.
        """
        chance = self.guidance.crossover_probability
        chance = self.config.crossover_probability if chance is None else chance
        first = self.selection.parent(members, rng, self.guidance.parents)
        second = self.selection.parent(members, rng, self.guidance.parents) if rng.random() < chance else None
        tree, parents = members[first].tree, (first,) if second is None else (first, second)
        other = None if second is None else members[second].tree
        kind = "crossover" if second is not None else self.maker.kind(tree, rng)
        new, edit = tree, NOTHING
        for _ in range(self.maker.attempts):
            edit = self.maker.draw(kind, tree, temperature, rng) if other is None else cross(tree, other, rng)
            new = self._performed(kind, edit, tree, other)
            if self.fits(new):
                return Child(new, kind, parents, edit=edit), True
        return self.maker.misfit(Child(new, kind, parents, edit=edit), tree)

    def perform(
        self, action: Action, members: Sequence[Member], temperature: float, rng: np.random.Generator
    ) -> tuple[Child, bool]:
        """Do what a proposer decided; what it left open is drawn by the search's own rules.

        Parameters
        ----------
        action : Action
            Its parents are positions in ``members``.
        members : sequence of Member
        temperature, rng
            As for `child`.

        Returns
        -------
        child : Child
        fits : bool
            Whether it is within the limits.
        """
        trees = [members[position].tree for position in action.parents]
        edit = self._completed(action, trees[0], temperature, rng)
        new = self._performed(action.kind, edit, *trees)
        return Child(new, action.kind, action.parents, action.log_probability, edit), self.fits(new)

    def _completed(self, action: Action, tree: Node, temperature: float, rng: np.random.Generator) -> Edit:
        """Return an action's edit with nothing left open."""
        edit = action.edit
        if edit.planted is not None:
            return edit._replace(planted=drawn(edit.planted, lambda: self.maker.constant(rng)))
        if action.kind == "constant" and edit.node >= 0:
            factor = self.maker.mutations.factor(temperature, rng)
            return edit._replace(planted=changed(tree.at(edit.node), edit.place, factor))
        return edit

    def _performed(self, kind: str, edit: Edit, tree: Node, other: Node | None = None) -> Node:
        return edited(kind, edit, tree, other) if other is not None else self.maker.mutations.perform(kind, edit, tree)

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Answer with initial members if there is no population yet, otherwise with varied ones."""
        rng = generator(request.seed, "variation")
        if not request.members:
            return ProposalBatch(tuple([Child(tree, "randomize") for tree in self.initial(request.count, rng)]))
        scale = scale_of(self.problem.y) if self.config.relative_loss else 1.0
        members = [
            Member(view.tree, view.loss, view.loss / scale + self.config.parsimony * view.complexity, ref)
            for ref, view in enumerate(request.members)
        ]
        made = [self.child(members, 1.0, rng) for _ in range(request.count)]
        return ProposalBatch(tuple([child for child, fits in made if fits]))


class Grow:
    """The reference algorithm's initial population and mutation.

    Parameters
    ----------
    variation : Variation
        Whose limits hold.
    """

    attempts = 1

    def __init__(self, variation: Variation) -> None:
        config, problem = variation.config, variation.problem
        self.variation, self.config = variation, config
        self.sampler = GrowSampler(problem.operators, problem.X.shape[1], variation.constants, config.grow)
        self.symbols: Symbols | None = None
        plain = Symbols(problem, bool(variation.constants))
        self.mutations = Mutations(config, plain, variation.max_size, variation.refined)

    def heed(self, prior: Prior) -> None:
        """Draw planted subtrees from a proposer's prior."""
        self.symbols = Symbols(self.variation.problem, bool(self.variation.constants), prior)

    def initial(self, count: int, rng: np.random.Generator) -> list[Node]:
        """Return the first ``count`` of: terminals, x + c and x * c, squares, unaries, then random trees."""
        trees = self._building_blocks()[:count]
        while len(trees) < count:
            trees.append(self._random_tree(rng))
        return trees

    def kind(self, tree: Node, rng: np.random.Generator) -> str:
        """Name the only kind of mutation."""
        return "randomize"

    def constant(self, rng: np.random.Generator) -> Node:
        """Draw one of the constants."""
        return pick(self.sampler.constants, rng)

    def draw(self, kind: str, tree: Node, temperature: float, rng: np.random.Generator) -> Edit:
        """Draw a terminal or a small tree in place of a random subtree."""
        position = int(rng.random() * tree.size)
        terminal = rng.random() < self.config.terminal_mutation
        if self.symbols is not None:
            parent = parent_of(tree, position)
            size = 1 if terminal else 2**self.config.mutation_depth
            return Edit(position, -1, self.symbols.leaf(parent, rng) if terminal else self.symbols.tree(size, rng))
        new = self.sampler.terminal(rng) if terminal else self.sampler.tree(self.config.mutation_depth, rng)
        return Edit(position, -1, new)

    def misfit(self, child: Child, parent: Node) -> tuple[Child, bool]:
        """Return the unchanged parent in place of a child beyond the limits."""
        return Child(parent, "do_nothing", child.parents[:1], edit=NOTHING), True

    def _building_blocks(self) -> list[Node]:
        problem = self.variation.problem
        variables = [variable(i) for i in range(problem.X.shape[1])]
        constants = [constant(value) for value in self.variation.constants]
        pairs = [Node(name, (x, c)) for x in variables for c in constants for name in ("+", "*")]
        squares = [Node("*", (x, x)) for x in variables]
        unaries = [Node(name, (x,)) for name in self.sampler.unary for x in variables]
        return [
            tree
            for tree in (*variables, *constants, *pairs, *squares, *unaries)
            if (not tree.operator or (tree.operator, len(tree.children)) in problem.operators.index)
            and self.variation.fits(tree)
        ]

    def _random_tree(self, rng: np.random.Generator) -> Node:
        for _ in range(ATTEMPTS):
            tree = self.sampler.tree(self.config.initial_depth, rng)
            if self.variation.fits(tree):
                return tree
        return self.sampler.terminal(rng)


class Kinds:
    """SymbolicRegression.jl's initial population and kinds of mutation.

    Parameters
    ----------
    variation : Variation
        Whose limits and guidance hold.
    """

    attempts = 10

    def __init__(self, variation: Variation) -> None:
        self.variation, self.config = variation, variation.config
        self._use(Symbols(variation.problem, bool(variation.constants)))

    def _use(self, symbols: Symbols) -> None:
        self.symbols = symbols
        self.mutations = Mutations(self.config, symbols, self.variation.max_size, self.variation.refined)

    def heed(self, prior: Prior) -> None:
        """Draw symbols from a proposer's prior."""
        self._use(Symbols(self.variation.problem, bool(self.variation.constants), prior))

    def initial(self, count: int, rng: np.random.Generator) -> list[Node]:
        """Return random trees of three operators, or of fewer where the limits are tight."""
        return [self._random_tree(rng) for _ in range(count)]

    def kind(self, tree: Node, rng: np.random.Generator) -> str:
        """Draw a kind by the configured weights, times a proposer's."""
        kinds = self.variation.guidance.kinds
        weights = self.mutations.weights(tree, None if kinds is None else kinds.tolist())
        point = rng.random() * sum(weights)
        for kind, weight in zip(MUTATIONS, weights, strict=True):
            point -= weight
            if point < 0:
                return kind
        return "do_nothing"

    def constant(self, rng: np.random.Generator) -> Node:
        """Draw a constant from the normal distribution."""
        return constant(float(rng.standard_normal()))

    def draw(self, kind: str, tree: Node, temperature: float, rng: np.random.Generator) -> Edit:
        """Draw an edit of a kind."""
        return self.mutations.draw(kind, tree, temperature, rng)

    def misfit(self, child: Child, parent: Node) -> tuple[Child, bool]:
        """Return the child as it is: the step fails."""
        return child, False

    def _random_tree(self, rng: np.random.Generator) -> Node:
        for _ in range(ATTEMPTS):
            tree = self.symbols.initial(rng)
            if self.variation.fits(tree):
                return tree
        return self.symbols.leaf(None, rng)


@dataclass(frozen=True)
class EvolutionaryProposer:
    """Proposes what BasicSR would do by itself, one step from the population that it is shown.

    Parameters
    ----------
    config : BasicSRConfig
    """

    config: BasicSRConfig

    def open(self, problem: Problem) -> Variation:
        """Start a search."""
        return Variation(problem, self.config)
