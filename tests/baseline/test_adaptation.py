"""Online adaptation in BasicSR: its mutations are recognised, and a search is steered by its own improvements."""

import numpy as np
import pytest

from pysr_neural.expression.sample import GrowSampler
from pysr_neural.proposer.adaptation import AdaptiveProposer
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.proposer.moves import move_between
from pysr_neural.proposer.scripted import ScriptedProposer
from pysr_neural_baseline import BasicSRConfig, fit_many, run_search
from pysr_neural_baseline.mutation import Mutations
from pysr_neural_baseline.symbols import Symbols
from tests.strategies import make_problem

PROBLEM = make_problem(operators=("+", "*", "sin", "cos"), rows=30, target=lambda a, b: a * b + a * a)
CONFIG = BasicSRConfig(
    populations=2, generations=30, levels=("kind", "prior"), guard=GuardRules(max_overhead=1.0), early_stop_loss=0.0
)
RECOGNISED = {
    "constant": {"constant"},
    "operator": {"operator"},
    "feature": {"feature"},
    "swap": {"swap"},
    "rotate": {"rotate", "swap"},
    "add": {"add", "insert"},
    "insert": {"add", "insert"},
    "delete": {"delete"},
}


@pytest.mark.parametrize("kind", RECOGNISED)
def test_basicsrs_mutations_are_recognised(kind):
    rng = np.random.default_rng(0)
    sampler = GrowSampler(PROBLEM.operators, 2, (1.0, 2.0))
    mutations = Mutations(BasicSRConfig(), Symbols(PROBLEM), 30, lambda tree: tree)
    changed, named = 0, []
    for _ in range(300):
        tree = sampler.tree(4, rng)
        mutated = mutations.apply(kind, tree, 1.0, rng)
        if mutated != tree:
            changed += 1
            move = move_between(tree, mutated)
            named.append(None if move is None else move.kind)
    assert changed > 50
    assert sum(name in RECOGNISED[kind] for name in named) >= 0.9 * changed, named


def adaptive_sessions(monkeypatch):
    """Keep the sessions that searches open."""
    opened = []
    opening = AdaptiveProposer.open
    monkeypatch.setattr(
        AdaptiveProposer, "open", lambda self, problem: opened.append(opening(self, problem)) or opened[-1]
    )
    return opened


def test_a_search_is_observed_and_steered(monkeypatch):
    opened = adaptive_sessions(monkeypatch)
    result = run_search(PROBLEM, CONFIG, AdaptiveProposer(ScriptedProposer([])), seed=1)
    assert result.counts.invalid == {}
    (session,) = opened
    assert session.kinds.trials.sum() > 10
    assert session.kinds.successes.sum() > 0
    plain = run_search(PROBLEM, CONFIG, ScriptedProposer([]), seed=1)
    assert [m.tree for m in result.population] != [m.tree for m in plain.population]


def test_the_same_seed_gives_the_same_search_alone_or_with_others():
    proposer = AdaptiveProposer(ScriptedProposer([]))
    alone = [run_search(PROBLEM, CONFIG, proposer, seed=seed) for seed in (1, 2)]
    together = fit_many([PROBLEM, PROBLEM], CONFIG, proposer, seeds=[1, 2])
    for one, other in zip(alone, together, strict=True):
        assert [m.tree for m in one.population] == [m.tree for m in other.population]


def test_the_transformer_can_be_wrapped():
    import torch

    from pysr_neural.model.config import ProposerConfig
    from pysr_neural.model.policy import ProposerModel
    from pysr_neural.proposer.neural.transformer import TransformerProposer

    sizes = {"width": 32, "heads": 2, "layers": 2, "feedforward": 48, "latents": 4, "encoder_layers": 1}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        small_model = ProposerModel(ProposerConfig(**sizes)).eval()
    config = CONFIG.changed(generations=4, levels=("child", "kind", "prior"))
    results = [
        run_search(PROBLEM, config, AdaptiveProposer(TransformerProposer(small_model)), seed=3) for _ in range(2)
    ]
    assert results[0].counts.served > 0
    assert [m.tree for m in results[0].population] == [m.tree for m in results[1].population]
