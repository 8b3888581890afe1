"""`bench training`: rates are those of the runs, efficiency is what they say."""

import json

import pytest

from pysr_neural.errors import TrainingError
from pysr_neural_benchmarks.speed import training

SMALL = [
    *("model.width=32", "model.heads=2", "model.layers=1", "model.feedforward=32", "model.latents=4"),
    *("examples.batch_size=8", "schedule.workers=0", "schedule.bf16=false"),
]


def test_a_run_tells_its_examples_per_second():
    assert training.rate("tiny", 1, 2, SMALL) > 0


def test_a_run_that_fails_is_an_error_with_its_reason():
    with pytest.raises(TrainingError, match="Did you mean 'width'"):
        training.rate("tiny", 1, 2, ["model.wdth=32"])


def test_efficiency_compares_with_as_many_single_processes(monkeypatch, capsys):
    monkeypatch.setattr(training, "rate", lambda config, processes, steps, settings: {1: 100.0, 4: 320.0}[processes])
    assert training.main(["--processes", "4", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["efficiency"] == 0.8
    assert result["examples_per_second"] == 320


def test_several_processes_go_through_the_launcher():
    from accelerate.commands.launch import launch_command_parser

    options = launch_command_parser().parse_args([*training.command(3)[3:], "tiny"])
    assert (options.num_processes, options.training_script) == (3, training.MODULE)
