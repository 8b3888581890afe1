"""Search states to ask a policy about: snapshots of BasicSR searches on held-out problems.

Owns: `SearchState`, its features and groups, collecting.  Does not own: what the policy answers (`preferences`).

Half of the states come from searches that the policy itself helps, half from ordinary ones: a policy may do well on the
states that it leads to, and badly on others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Proposer
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.state import MemberView
from pysr_neural.wire.prompt import best_members
from pysr_neural_baseline import BasicSRConfig
from pysr_neural_baseline.search import Search, run_search
from pysr_neural_training.interpret.residuals import SHAPES, residual_shape
from pysr_neural_training.learning.recovery import held_out_problems
from pysr_neural_training.problems.generate import GeneratedProblem

EARLY, LATE = 1 / 3, 2 / 3
PLATEAU = 10
"""Generations without a lower cost that make a plateau."""
SNAPSHOTS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.95)
"""Shares of a search's generations at which its state is kept."""
ORDINARY, OWN = "ordinary search", "own search"
SMALLEST = 1e-16
FEATURES = ("progress", "stalled", "log10_loss", "best_size", *(f"residual_{shape}" for shape in SHAPES))
"""Names of a state's numbers, in the order of `SearchState.features`."""


@dataclass(frozen=True, eq=False)
class SearchState:
    """One moment of one search.

    Parameters
    ----------
    problem : Problem
    members : tuple of MemberView
        The population, not empty.
    progress : float
        Elapsed share of the search, 0 to 1.
    stalled : int
        Generations since the cost last fell.
    source : str
        `OWN` if the policy helped in this search, else `ORDINARY`.
    answer : Node or None
        The expression behind the data, where it is known.
    """

    problem: Problem
    members: tuple[MemberView, ...]
    progress: float
    stalled: int = 0
    source: str = ORDINARY
    answer: Node | None = None

    @cached_property
    def best(self) -> MemberView:
        """The member of lowest loss."""
        return best_members(self.members, 1)[0]

    @cached_property
    def loss(self) -> float:
        """Loss of the best member over the variance of y."""
        variance = float(np.var(self.problem.y)) or 1.0
        return self.best.loss / variance

    @cached_property
    def prediction(self) -> Array:
        """The best member's values, shape (rows,)."""
        return evaluate(self.best.tree, self.problem.X)

    @cached_property
    def residual(self) -> str:
        """Shape of what the best member leaves unexplained, one of `residuals.SHAPES`."""
        if not self.problem.operators.evaluable:
            return "undefined"
        return residual_shape(self.problem.X, self.problem.y, self.prediction)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of states that this one belongs to, in the order of the report."""
        stage = "early" if self.progress < EARLY else "late" if self.progress >= LATE else "middle"
        pace = "plateau" if self.stalled >= PLATEAU else "improving"
        return "all", stage, pace, f"residual {self.residual}", self.source

    @property
    def features(self) -> Array:
        """What a decision tree sees, shape (len(FEATURES),)."""
        log_loss = float(np.log10(np.clip(self.loss, SMALLEST, 1 / SMALLEST)))
        shapes = [float(self.residual == shape) for shape in SHAPES]
        return np.array([self.progress, float(self.stalled), log_loss, float(self.best.tree.size), *shapes])


GROUPS = (
    "all",
    "early",
    "middle",
    "late",
    "improving",
    "plateau",
    *(f"residual {shape}" for shape in SHAPES),
    OWN,
    ORDINARY,
)
"""All groups, in the order of the report."""


def search_config(generations: int, guided: bool) -> BasicSRConfig:
    """Return how states are searched for: one population, no clock; guided by the policy or not."""
    return BasicSRConfig(
        populations=1,
        generations=generations,
        extra_generations=0,
        levels=("seed", "kind", "child", "prior") if guided else (),
        guard=GuardRules(max_overhead=1.0),
    )


def collect(problems: int, generations: int, proposer: Proposer, seed: int, max_size: int = 25) -> list[SearchState]:
    """Search held-out problems with and without a policy's help, and keep states of these searches.

    Parameters
    ----------
    problems : int
        How many generated held-out problems; each is searched twice.
    generations : int
        Of each search, which ends early if it solves its problem.
    proposer : Proposer
        The policy.
    seed : int
    max_size : int, optional
        Of the problems' expressions, in nodes.
    """
    from tqdm import tqdm

    given = [each for each, _, _ in held_out_problems(problems, seed, max_size)]
    found: list[SearchState] = []
    for i, each in enumerate(tqdm(given, unit="problem", desc="searching")):
        for source in (OWN, ORDINARY):
            found += states_of(each, generations, proposer if source == OWN else None, seed + i)
    return found


def states_of(given: GeneratedProblem, generations: int, proposer: Proposer | None, seed: int) -> list[SearchState]:
    """Search one problem and return the states at `SNAPSHOTS`; fewer if it is solved before."""
    kept: list[SearchState] = []
    source = ORDINARY if proposer is None else OWN
    config = search_config(generations, proposer is not None)
    run_search(given.problem, config, proposer, seed, callback=_keeper(kept, given.tree, generations, source))
    return kept


def _keeper(kept: list[SearchState], answer: Node, generations: int, source: str) -> Callable[[Search], None]:
    """Make the callback that adds a search's states to a list."""
    wanted = {int(share * generations) for share in SNAPSHOTS}

    def keep(search: Search) -> None:
        if search.generation in wanted:
            members: Sequence[MemberView] = [member.view() for member in search.population]
            stalled = search.generation - search.last_progress
            progress = search.generation / generations
            kept.append(SearchState(search.problem, tuple(members), progress, stalled, source, answer))

    return keep
