"""The directory that all runs have in common: who may go on with it, its records, its checkpoint."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.model.checkpoint import load
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural_training.improve.config import DaggerConfig
from pysr_neural_training.improve.round_folders import RoundFolders
from pysr_neural_training.learning.config import TrainConfig
from pysr_neural_training.learning.run_dir import RunDirectory
from pysr_neural_training.learning.train import train
from tests.core.conftest import SMALL


@dataclass(frozen=True)
class Inner:
    steps: int = 5
    rate: float = 0.1


@dataclass(frozen=True)
class Outer:
    seed: int = 0
    names: tuple[str, ...] = ("a", "b")
    inner: Inner = field(default_factory=Inner)


RUN = Outer(seed=3)


def claimed(path: Path, config: Outer = RUN, command: str = "train", begun: bool = True) -> RunDirectory:
    run = RunDirectory(path, command, config, ("names", "inner.steps"))
    run.claim(begun)
    return run


def test_a_directory_says_whose_it_is(tmp_path: Path) -> None:
    run = claimed(tmp_path / "new" / "run")
    written = json.loads((run.path / "config.json").read_text())
    assert written == {"format": 1, "command": "train", "config": json.loads(json.dumps(asdict(RUN)))}
    claimed(run.path)
    claimed(run.path, replace(RUN, names=("c",), inner=Inner(steps=9)))
    assert json.loads((run.path / "config.json").read_text())["config"]["inner"]["steps"] == 9


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (Outer(seed=4), r"seed = 3, got 4\. Choose another --out, or the same"),
        (Outer(seed=3, inner=Inner(rate=0.2)), r"inner\.rate = 0\.1, got 0\.2"),
    ],
)
def test_a_run_that_has_begun_keeps_its_settings(tmp_path: Path, config: Outer, reason: str) -> None:
    claimed(tmp_path)
    claimed(tmp_path, config, begun=False)
    claimed(tmp_path, begun=False)
    with pytest.raises(ConfigError, match=reason):
        claimed(tmp_path, config)
    assert json.loads((tmp_path / "config.json").read_text())["config"]["seed"] == 3


def test_settings_that_came_or_went_since_are_told_apart(tmp_path: Path) -> None:
    run = claimed(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    del written["config"]["inner"]
    (tmp_path / "config.json").write_text(json.dumps(written))
    run.claim(begun=True)  # It had the default.
    with pytest.raises(ConfigError, match=r"inner\.rate = 0\.1, got 0\.7"):
        claimed(tmp_path, replace(RUN, inner=Inner(rate=0.7)))
    written["config"] |= {"tempo": 2}
    (tmp_path / "config.json").write_text(json.dumps(written))
    with pytest.raises(ConfigError, match="tempo = 2, which this version does not know"):
        run.claim(begun=True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (json.dumps({"format": 2, "command": "train", "config": {}}), "of format 1; got format 2"),
        (json.dumps(asdict(TrainConfig())), "got a run of an earlier version"),
        (json.dumps({"method": "dagger", **asdict(DaggerConfig())}), "got a run of an earlier version"),
        (json.dumps({"model_type": "pysr_neural_proposer"}), "a checkpoint's own"),
        ("[]", "got something else"),
        ("{", "must hold a run's configuration; got"),
    ],
)
@pytest.mark.parametrize("begun", [True, False])
def test_what_is_no_run_of_this_format_is_refused_and_left_alone(
    tmp_path: Path, text: str, reason: str, begun: bool
) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        claimed(tmp_path, begun=begun)
    (tmp_path / "model").mkdir()
    with pytest.raises(ConfigError, match=r'initial=".*model" to go on from these weights'):
        claimed(tmp_path, begun=begun)
    assert (tmp_path / "config.json").read_text() == text


def test_the_two_commands_refuse_each_other_s_directories(tmp_path: Path) -> None:
    RunDirectory(tmp_path / "trained", "train", TrainConfig()).claim(begun=False)
    with pytest.raises(ConfigError, match="a run of `pysr-neural train`, not of `pysr-neural improve dagger`"):
        RoundFolders(tmp_path / "trained", "dagger", DaggerConfig())
    RoundFolders(tmp_path / "improved", "dagger", DaggerConfig())
    with pytest.raises(ConfigError, match="a run of `pysr-neural improve dagger`, not of `pysr-neural train`"):
        train(TrainConfig(track=()), tmp_path / "improved")


def test_records_are_appended_and_replaced_and_a_torn_line_does_not_count(tmp_path: Path) -> None:
    run = claimed(tmp_path)
    assert run.records() == []
    run.add_record({"step": 1})
    run.add_record({"step": 2, "loss": 0.5})
    assert run.records() == [{"step": 1}, {"step": 2, "loss": 0.5}]
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    assert [record["step"] for record in run.records()] == [1, 2]
    run.replace_records(run.records()[:1])
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1}\n'
    (tmp_path / "metrics.jsonl").write_text("{\n{}\n")
    with pytest.raises(ConfigError, match="a record per line"):
        run.records()


def test_a_finished_model_has_a_card_and_stays_until_another_is_whole(tmp_path: Path) -> None:
    run, model = claimed(tmp_path, command="improve dagger"), ProposerModel(ProposerConfig(**SMALL))
    (tmp_path / "model.part").mkdir()
    (tmp_path / "model.part/leftover").touch()  # Of a process that was killed.
    final = run.finish(model, "first", {"steps": 7}, {"loss": 0.25})
    assert final == run.model == tmp_path / "model"
    card = json.loads((final / "card.json").read_text())
    told = {"name": "first", "command": "pysr-neural improve dagger", "seed": 3, "steps": 7, "metrics": {"loss": 0.25}}
    assert told.items() <= card.items()
    assert {"vocabulary_hash", "config", "torch"} <= set(card)
    assert not (final / "leftover").exists()
    assert load(str(final)).config.width == SMALL["width"]
    run.write_checkpoint(tmp_path / "round/model", model, "second", {}, {})
    run.keep(tmp_path / "round/model")
    assert json.loads((final / "card.json").read_text())["name"] == "second"
    assert (tmp_path / "round/model/card.json").exists()
    assert not (tmp_path / "model.part").exists()
    with pytest.raises(FileNotFoundError):
        run.keep(tmp_path / "nowhere")
    assert (final / "model.safetensors").exists()
