"""The policy as a proposer: an action for every child that an engine asks for.

Owns: `PolicyProposer`, its sessions.  Does not own: decisions (`walk`), weights (`network`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pysr_neural.checks import whole
from pysr_neural.config import POLICY
from pysr_neural.errors import ConfigError
from pysr_neural.expression.edits import drawn, edited
from pysr_neural.expression.node import Node, constant
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Action, ProposalBatch, ProposalRequest
from pysr_neural.proposer.policy.choosers import Sampler, Watch
from pysr_neural.proposer.policy.language import Language
from pysr_neural.proposer.policy.network import PolicyNetwork
from pysr_neural.proposer.policy.population import PopulationState
from pysr_neural.proposer.policy.symbols import SymbolHead
from pysr_neural.proposer.policy.walk import Walk, actions_of
from pysr_neural.rng import generator

CHILD_LEVELS = ("child", "refresh")
DRAWS = 3
"""How many actions the bundled policy draws, at most, for each that is taken."""
BUNDLED = Path(__file__).parents[2] / "checkpoints" / "policy.safetensors"
BY_ENGINE = ("simplify", "optimize", "constant")
"""Kinds that an edit alone does not carry out."""
MET = 200_000
"""Trees that a session remembers, about."""
ONE = constant(1.0)
SPARE = 1.25
Draw = Callable[[int], tuple[Action, ...]]
"""Draws so many actions."""


def state_of(language: Language, request: ProposalRequest) -> PopulationState:
    """Return the state that a request tells of."""
    most = language.problem.limits.max_size
    max_size = most if request.max_size is None else min(most, request.max_size)
    return PopulationState(language, request.members, max_size, request.progress)


@dataclass(frozen=True)
class PolicyProposer:
    """Proposes actions by a trained policy.

    Parameters
    ----------
    network : PolicyNetwork
    temperature : float
        Times that of the request.
    draws : int
        Times as many actions are drawn as are asked for, at most: those are passed over first whose child was proposed
        before.  Probabilities are those of the draw.

    Raises
    ------
    ConfigError
        If one of them is out of range.
    """

    network: PolicyNetwork
    temperature: float = 1.0
    draws: int = 1

    def __post_init__(self) -> None:
        whole("draws", self.draws, 1)
        if not 1e-6 <= self.temperature <= 1e6:
            raise ConfigError(f"temperature must lie in 1e-6..1e6; got {self.temperature}.")

    @classmethod
    def from_file(cls, path: str | Path, temperature: float = 1.0, draws: int = 1) -> "PolicyProposer":
        """Load a policy from its safetensors file.

        Parameters
        ----------
        path : str or Path
            ``"policy"`` for the bundled one: imitation of BasicSR's reference preset, then DAgger (`training/LOG.md`).
        temperature, draws
            See the class.

        Raises
        ------
        CheckpointError
            If it is none.
        """
        return cls(PolicyNetwork.load(BUNDLED if path == POLICY else Path(path)), temperature, draws)

    def open(self, problem: Problem) -> "PolicySession":
        """Start a search."""
        return PolicySession(self, problem)


class PolicySession:
    """A policy at work in one search; follows the `Session` protocol.

    Parameters
    ----------
    proposer : PolicyProposer
    problem : Problem
    watch : callable, optional
        Takes every decision as it falls, for training.
    """

    def __init__(self, proposer: PolicyProposer, problem: Problem, watch: Watch | None = None) -> None:
        self.proposer, self.watch = proposer, watch
        self.language = Language(problem, proposer.network.config.foresight)
        self._symbols = SymbolHead(proposer.network, self.language) if watch is None else None
        self._met: set[Node] = set()
        self._tries = 1.0

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Answer with as many actions as children are asked for; without members there is nothing to vary."""
        if not request.members or not request.count or not set(request.levels) & set(CHILD_LEVELS):
            return ProposalBatch()
        state = state_of(self.language, request)
        rng = generator(request.seed, "policy")
        temperature = self.proposer.temperature * request.temperature

        def draw(count: int) -> tuple[Action, ...]:
            network = self.proposer.network
            sampler = Sampler(network, count, rng, temperature, self.watch, self._symbols)
            made = Walk(state, count, network.config.kinds).run(sampler)
            return actions_of(made, sampler.log_probability, sampler.entropy)

        if self.proposer.draws == 1:
            return ProposalBatch(actions=draw(request.count))
        return ProposalBatch(actions=self._fresh(draw, state, request.count))

    def _fresh(self, draw: Draw, state: PopulationState, count: int) -> tuple[Action, ...]:
        """Return so many actions, those first that lead to something new.

        Some more are drawn than lately were enough, and all the rest only if these are not.
        """
        if len(self._met) > MET:
            self._met.clear()
        self._met.update([member.tree for member in state.members])
        most = self.proposer.draws * count
        first = min(most, math.ceil(SPARE * self._tries * count))
        taken, left = list[Action](), list[Action]()
        for number in (first, most - first):
            for action in draw(number) if number and len(taken) < count else ():
                if len(taken) < count:
                    (left if self._is_met(action, state) else taken).append(action)
        self._tries = (len(taken) + len(left)) / max(len(taken), 1)
        return tuple((taken + left)[:count])

    def _is_met(self, action: Action, state: PopulationState) -> bool:
        """Tell whether an action's child was met before; from now on it was."""
        if action.kind in BY_ENGINE:
            return False
        child = child_of(action, state)
        known = child in self._met
        self._met.add(child)
        return known


def child_of(action: Action, state: PopulationState) -> Node:
    """Return an action's child, with 1 for constants that are still to be drawn; not of the kinds `BY_ENGINE`."""
    edit = action.edit
    planted = None if edit.planted is None else drawn(edit.planted, lambda: ONE)
    return edited(action.kind, edit._replace(planted=planted), *[state.members[i].tree for i in action.parents])
