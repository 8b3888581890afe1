"""The bench of the policy: what it prints."""

import json

import torch

from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural_benchmarks.speed import policy


def test_the_command_ends_with_one_json_object(monkeypatch, capsys):
    torch.manual_seed(0)
    model = ProposerModel(ProposerConfig(width=32, heads=2, layers=2, feedforward=64, latents=4)).eval()
    monkeypatch.setattr(policy, "load", lambda name: model)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    assert policy.main(["--json", "--smoke"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (case,) = json.loads(lines[-1])["cases"]
    assert {"actions_per_second", "whole_children_per_second", "ratio", "generation_ms"} <= set(case)
    assert case["imitating_per_second"] > 0
    assert case["whole_children_per_second"] == max(case["default_per_second"], case["onestep_per_second"])
    assert case["actions_per_second"] > 0
    assert any("20 × 15" in line for line in lines)
