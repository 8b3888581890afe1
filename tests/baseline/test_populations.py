"""BasicSR with every generation proposed as a whole."""

import torch

from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.proposer.neural.populations import PopulationProposer
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.search import run_search
from tests.strategies import make_problem


def test_generations_are_made_of_proposed_populations():
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    model = ProposerModel(ProposerConfig(width=16, heads=2, layers=1, feedforward=16, latents=2)).eval()
    torch.random.set_rng_state(state)
    config = BasicSRConfig.reference(
        population_size=8, generations=3, proposal_share=1.0, levels=("child",), guard=GuardRules(max_overhead=1.0)
    )
    result = run_search(make_problem(), config, PopulationProposer(model), seed=1)
    assert result.counts.calls == 3
    assert result.counts.served > 3 * 7 / 2
    assert result.counts.invalid == {}
    assert result.counts.served + result.counts.fallbacks == 3 * 7
