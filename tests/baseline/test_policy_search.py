"""The bundled policy of actions in BasicSR, and where it is refused."""

import numpy as np
import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.interop.plugin import NeuralProposerPlugin
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.proposer.load import load_proposer
from pysr_neural.proposer.policy.proposer import PolicyProposer
from pysr_neural_baseline import BasicSR
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.search import run_search


def test_it_solves_with_few_evaluations_what_basicsr_does_not():
    proposer = load_proposer("transformer", "policy", "cpu")
    assert isinstance(proposer, PolicyProposer)
    X = np.random.default_rng(1).uniform(-2, 2, (50, 3))
    given = Problem(X, X[:, 0] * X[:, 1] + X[:, 2] * X[:, 2] - X[:, 0], OperatorSet.of("+", "-", "*"), Limits(15))
    settings = BasicSRConfig.reference(
        population_size=20,
        generations=200,
        max_evaluations=300,
        relative_loss=True,
        early_stop_loss=1e-10,
        extra_generations=0,
        proposal_share=1.0,
        levels=("child",),
        guard=GuardRules(max_overhead=1.0),
    )
    helped, alone = ([run_search(given, settings, each, seed) for seed in range(5)] for each in (proposer, None))
    helped_solved, alone_solved = (sum(each.best.loss < 1e-9 for each in found) for found in (helped, alone))
    assert helped_solved >= 3
    assert helped_solved > alone_solved
    assert all(each.counts.served > 0 for each in helped)


def test_it_is_a_proposer_of_basicsr_by_name_and_is_refused_in_pysr():
    X = np.random.default_rng(0).uniform(-2, 2, (50, 2))
    model = BasicSR(proposer="policy", generations=30, random_state=0).fit(X, X[:, 0] * X[:, 1] + X[:, 0])
    assert model.neural_report_ is not None
    assert model.score(X, X[:, 0] * X[:, 1] + X[:, 0]) > 0.9
    with pytest.raises(ConfigError, match="PySR makes its own decisions"):
        NeuralProposerPlugin("policy")
