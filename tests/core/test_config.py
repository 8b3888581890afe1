import copy
import pickle

import pytest

from pysr_neural.config import LEVELS_IN_PYSR, NeuralProposer, neural_proposer_of
from pysr_neural.errors import ConfigError
from pysr_neural.proposer.scripted import RandomProposer
from pysr_neural.state import LEVELS


def test_the_settings_are_plain_frozen_data():
    config = NeuralProposer(levels=["child", "seed"], temperature=0.5)
    assert config.levels == ("seed", "child")
    assert pickle.loads(pickle.dumps(config)) == config
    assert copy.deepcopy(config) == config
    assert hash(config) == hash(NeuralProposer(levels=("seed", "child"), temperature=0.5))
    with pytest.raises(AttributeError):
        config.seed = 3


def test_levels_have_short_forms():
    assert NeuralProposer(levels="all").levels == LEVELS
    assert NeuralProposer(levels="seed").levels == ("seed",)
    assert NeuralProposer(levels=()).levels == ()
    assert set(LEVELS_IN_PYSR) <= set(LEVELS)
    assert NeuralProposer().levels is None  # The engine's own choice.


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"levls": ("seed",)}, "Did you mean 'levels'"),
        ({"levels": ("sede",)}, "Did you mean 'seed'"),
        ({"levels": 3}, "levels must be names"),
        ({"levels": (1,)}, "levels must be names"),
        ({"max_overhead": 0}, "max_overhead"),
        ({"max_overhead": 1.5}, "at most 1"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 1.5}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"weight": 0}, "weight"),
        ({"weight": 1}, "below 1"),
        ({"transport": "udp"}, "transport"),
        ({"transport": "unx"}, "Did you mean 'unix'"),
        ({"checkpoint": ""}, "checkpoint"),
        ({"checkpoint": None}, "checkpoint"),
        ({"trace": ""}, "trace must be a text"),
        ({"trace_rate": 0.0}, "trace_rate"),
        ({"trace_rate": 1.5}, "at most 1"),
        ({"proposer": "no colon"}, "module:attribute"),
        ({"proposer": 3}, "open"),
        ({"proposer": RandomProposer}, "instance"),
    ],
)
def test_what_is_wrong_is_said(given, part):
    with pytest.raises(ConfigError, match=part):
        NeuralProposer(**given)


def test_the_estimator_s_parameter_has_short_forms(tmp_path):
    assert neural_proposer_of(None) is None
    assert neural_proposer_of("default") == NeuralProposer()
    assert neural_proposer_of(tmp_path).checkpoint == str(tmp_path)
    proposer = RandomProposer()
    assert neural_proposer_of(proposer).proposer is proposer
    config = NeuralProposer(seed=4)
    assert neural_proposer_of(config) is config
    for wrong in (3, True, RandomProposer, ["default"]):
        with pytest.raises(ConfigError, match="neural_proposer must be"):
            neural_proposer_of(wrong)


def test_lazy_names_resolve_and_unknown_ones_fail():
    import pysr_neural

    assert pysr_neural.NeuralProposer is NeuralProposer
    assert "PySRRegressor" in dir(pysr_neural)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        pysr_neural.Nothing  # noqa: B018
