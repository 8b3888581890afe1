"""`bench many`: both ways find the same; the shape of the answer."""

import json

import torch

from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural.proposer.neural.transformer import TransformerProposer
from pysr_neural_benchmarks.speed import many


def test_the_command_ends_with_one_json_object(monkeypatch, capsys):
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    model = ProposerModel(ProposerConfig(width=32, layers=2, heads=2, feedforward=32, latents=4)).eval()
    torch.random.set_rng_state(state)
    monkeypatch.setattr(
        many.TransformerProposer, "from_checkpoint", lambda name, device: TransformerProposer(model), raising=True
    )
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    assert many.main(["--json", "--searches", "3", "--generations", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    result = json.loads(lines[-1])
    assert result["same"] == 1.0
    assert result["ratio"] > 0
    assert result["searches_per_second"] > 0
    assert "one by one" in "\n".join(lines)


def test_problems_are_reproducible_and_differ():
    first, again = many.make_problems(2, 5), many.make_problems(2, 5)
    assert (first[0].y == again[0].y).all()
    assert (first[0].y != first[1].y).any()
    assert many.settings(3, 4).proposal_share * many.settings(3, 4).children == 4
