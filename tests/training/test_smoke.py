"""`make train-smoke`: its steps exist, a step that fails ends it, and the uses of a checkpoint are uses."""

import importlib.util
from dataclasses import astuple
from pathlib import Path

import pytest
import torch

from pysr_neural.errors import TrainingError
from pysr_neural.interop.report import NeuralReport
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural_training import smoke
from pysr_neural_training.learning.config import load_config

CONFIGS = Path(__file__).parents[2] / "training/pysr_neural_training/configs"


def test_every_step_is_a_module_and_its_settings_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for julia in (True, False):
        monkeypatch.setattr(smoke, "julia_available", lambda julia=julia: julia)
        steps = smoke.steps(tmp_path)
        assert ("use in PySR" in steps) == julia
        assert all(importlib.util.find_spec(arguments[0]) for arguments in steps.values())
    settings = [text.removeprefix("--set=") for text in steps["training"] if text.startswith("--set=")]
    config = load_config(CONFIGS / "tiny.toml", settings)
    assert config.model.pair_rank == 4
    # What the traces' step writes is what is trained on, in every layout, and generated problems beside it.
    assert list(config.examples.traces) == [steps["what the traces hold"][1]] == [str(tmp_path / "traces")]
    assert 0 < config.examples.trace_share < 1
    assert all(astuple(config.examples.layouts))


def test_a_step_that_fails_ends_it() -> None:
    with pytest.raises(TrainingError, match="'broken' ended with status"):
        smoke.run("broken", ["json.tool", "/nowhere"])


def test_a_checkpoint_is_used_in_basic(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = torch.random.get_rng_state()
    ProposerModel(ProposerConfig(**smoke.MODEL, encoder_layers=1)).save_pretrained(tmp_path)
    torch.random.set_rng_state(state)
    assert smoke.main(["--use", "basic", "--checkpoint", str(tmp_path)]) == 0
    assert "Neural report: BasicSR" in capsys.readouterr().out


@pytest.mark.parametrize("report", [NeuralReport(), NeuralReport(calls=3, fallbacks=7)])
def test_a_use_without_proposals_is_none(report: NeuralReport) -> None:
    with pytest.raises(TrainingError, match="must take proposals"):
        smoke._checked(report)
