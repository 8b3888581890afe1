"""What a policy of actions does differently: populations, measures, the page and its picture."""

import json

import numpy as np
import pytest

from pysr_neural.proposer.policy.network import PolicyConfig, PolicyNetwork
from pysr_neural.proposer.policy.population import MEMBER_FEATURES
from pysr_neural_training.interpret import command, decisions


@pytest.fixture(scope="module")
def states():
    return decisions.populations(2, 0)[:6]


@pytest.fixture(scope="module")
def uniform():
    return PolicyNetwork.initial(PolicyConfig(width=4, kinds=("randomize",)))


def changed(network, **direct):
    weights = {name: value.copy() for name, value in network.weights.items()}
    for name, values in direct.items():
        weights[name.replace("_", ".")][:] = values
    return PolicyNetwork(weights, network.config)


def test_populations_are_those_that_basicsr_met(states):
    assert {len(state) for state in states} == {decisions.POPULATION}
    assert states[0].progress < states[1].progress


def test_habits_tell_policies_apart(uniform, states):
    best = np.zeros(MEMBER_FEATURES)
    best[0] = 1000.0  # The first rank.
    plain, keen = (decisions.habits(each, states, 40, 0) for each in (uniform, changed(uniform, parent_a=best)))
    assert keen.rank.max() == 0 < plain.rank.mean()
    never = decisions.habits(changed(uniform, cross_a=[1000.0, -1000.0]), states, 40, 0)
    assert never.crossed.max() == 0 < plain.crossed.mean() < 1
    told = np.zeros(2)
    told[1] = 1000.0  # Where the best part promises most.
    greedy = decisions.habits(changed(uniform, node_p=told), states, 40, 0)
    assert greedy.told.mean() > plain.told.mean()


def test_the_command_writes_a_page_and_a_picture(uniform, tmp_path, capsys):
    one, two = tmp_path / "one" / "policy.safetensors", tmp_path / "two.safetensors"
    uniform.save(one)
    changed(uniform, cross_a=[1.0, -1.0]).save(two)
    given = [str(one), "--beside", str(two), "--problems", "1", "--children", "10", "--out", str(tmp_path / "out")]
    assert command.main([*given, "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["one"]["crossed"] > found["two"]["crossed"]
    page = (tmp_path / "out" / decisions.PAGE).read_text(encoding="utf-8")
    assert "| two |" in page
    assert (tmp_path / "out" / decisions.PICTURE).stat().st_size > 10_000
