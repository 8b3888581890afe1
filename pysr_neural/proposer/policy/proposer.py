"""The policy as a proposer: an action for every child that an engine asks for.

Owns: `PolicyProposer`, its sessions.  Does not own: decisions (`walk`), weights (`network`).
"""

from dataclasses import dataclass
from pathlib import Path

from pysr_neural.problem import Problem
from pysr_neural.proposer.base import ProposalBatch, ProposalRequest
from pysr_neural.proposer.policy.choosers import Sampler, Watch
from pysr_neural.proposer.policy.language import Language
from pysr_neural.proposer.policy.network import PolicyNetwork
from pysr_neural.proposer.policy.population import PopulationState
from pysr_neural.proposer.policy.walk import Walk, actions_of
from pysr_neural.rng import generator

CHILD_LEVELS = ("child", "refresh")


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
    """

    network: PolicyNetwork
    temperature: float = 1.0

    @classmethod
    def from_file(cls, path: str | Path, temperature: float = 1.0) -> "PolicyProposer":
        """Load a policy from its safetensors file.

        Raises
        ------
        CheckpointError
            If it is none.
        """
        return cls(PolicyNetwork.load(Path(path)), temperature)

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
        self.proposer, self.language, self.watch = proposer, Language(problem), watch

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Answer with as many actions as children are asked for; without members there is nothing to vary."""
        if not request.members or not request.count or not set(request.levels) & set(CHILD_LEVELS):
            return ProposalBatch()
        state = state_of(self.language, request)
        network = self.proposer.network
        rng = generator(request.seed, "policy")
        temperature = self.proposer.temperature * request.temperature
        sampler = Sampler(network, request.count, rng, temperature, self.watch)
        made = Walk(state, request.count, network.config.kinds).run(sampler)
        return ProposalBatch(actions=actions_of(made, sampler.log_probability, sampler.entropy))
