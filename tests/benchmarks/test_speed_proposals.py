"""`bench proposals`: the independent check of well-formedness, and the shape of the answer."""

import json

import pytest
import torch

from pysr_neural.errors import CheckpointError
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural.wire import vocabulary as v
from pysr_neural_benchmarks.speed import proposals

X0, PLUS, SIN, TWO = v.FIRST_VARIABLE, v.ID["+"], v.ID["sin"], v.ID["int:2"]
EXPONENT, MANTISSA = v.FIRST_EXPONENT, v.FIRST_MANTISSA


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ProposerModel(ProposerConfig(width=32, layers=2, heads=2, feedforward=32, latents=4)).eval()


@pytest.mark.parametrize(
    "tokens",
    [
        [X0],
        [TWO],
        [PLUS, X0, TWO],
        [SIN, PLUS, X0, EXPONENT, MANTISSA],
        [EXPONENT, MANTISSA],
    ],
)
def test_whole_expressions_are_well_formed(tokens):
    assert proposals.is_well_formed(tokens)


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        [PLUS, X0],
        [X0, X0],
        [EXPONENT],
        [MANTISSA],
        [PLUS, MANTISSA, X0],
        [PLUS, EXPONENT, X0],
        [X0, MANTISSA],
        [SIN] * 15 + [X0],
    ],
)
def test_anything_else_is_not(tokens):
    assert not proposals.is_well_formed(tokens)


def test_every_proposal_is_well_formed_and_seeds_matter(model):
    state = proposals.make_state(0)
    first, again, other = (proposals.propose(model, state, 40, seed) for seed in (1, 1, 2))
    assert len(state.members) == 20
    assert len(first) == 40
    assert all(map(proposals.is_well_formed, first))
    assert first == again != other


def test_the_command_ends_with_one_json_object(model, monkeypatch, capsys):
    monkeypatch.setattr(proposals, "load", lambda name: model)
    monkeypatch.setattr(proposals, "text_model", lambda: None)
    monkeypatch.setattr(proposals, "generate_text", lambda text, count, seed: count)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    assert proposals.main(["--json", "--smoke", "--samples", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    result = json.loads(lines[-1])
    assert set(result) == {
        "proposals_per_second",
        "hf_generate_per_second",
        "ratio",
        "well_formed",
        "distinct",
        "parameters",
    }
    assert result["well_formed"] == 1.0
    assert 0 < result["distinct"] <= 1
    assert result["parameters"] == sum(weight.numel() for weight in model.parameters())


def test_a_missing_checkpoint_names_the_way_round():
    with pytest.raises(CheckpointError, match="--random-weights"):
        proposals.main(["--checkpoint", "/nowhere/at/all"])


@pytest.mark.slow
def test_the_text_model_generates():
    assert proposals.generate_text(proposals.text_model(), 2, 0) == 2
