"""The loop: rounds and their records, resuming after a kill, early stop, collapse, bad configurations, commands."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pysr_neural.errors import ConfigError
from pysr_neural.model.checkpoint import load
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural_training.improve import dagger, expert_iteration, report, rl
from pysr_neural_training.improve.config import (
    SMOKE,
    DaggerConfig,
    ExpertIterationConfig,
    ImproveConfig,
    RLConfig,
    read_config,
)
from pysr_neural_training.improve.episodes import Episode
from pysr_neural_training.improve.round_folders import RoundFolders
from pysr_neural_training.improve.rounds import (
    held_out_searches,
    problem_number,
    reason_to_stop,
    run,
    training_searches,
)
from tests.core.conftest import SMALL

TINY = {
    **SMOKE,
    "problems": 3,
    "pool": 4,
    "held_out": 3,
    "generations": 3,
    "population_size": 8,
    "steps": 2,
    "batch_size": 4,
}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small checkpoint with random weights."""
    path = tmp_path_factory.mktemp("start") / "model"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ProposerModel(ProposerConfig(**SMALL)).save_pretrained(path)
    return str(path)


@dataclass
class Still:
    """Learns nothing; counts its rounds."""

    config: ImproveConfig
    name: str = "still"
    rounds: int = 0

    def learn(self, model: ProposerModel, episodes: Sequence[Episode], number: int, part: Path) -> dict[str, Any]:
        self.rounds += 1
        return {"examples": 0}


@dataclass
class Narrow(Still):
    """Makes the policy propose one constant, whatever it is shown."""

    name: str = "narrow"

    def learn(self, model: ProposerModel, episodes: Sequence[Episode], number: int, part: Path) -> dict[str, Any]:
        with torch.no_grad():
            model.head.weight.zero_()
            model.head.bias.fill_(-50.0)
            model.head.bias[10] = 50.0
        return super().learn(model, episodes, number, part)


def config(start: str, **changes: Any) -> ImproveConfig:
    return ImproveConfig(**{**TINY, "initial": start, **changes})


@pytest.fixture(autouse=True)
def plain(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave pictures out: they take longer than the rounds of these tests."""
    if "pictured" not in request.fixturenames:
        monkeypatch.setattr(report, "draw", lambda records, path: path.touch())


@pytest.fixture
def pictured() -> None:
    """Let pictures be drawn."""


def test_a_run_leaves_what_it_promises(start: str, tmp_path: Path, pictured: None) -> None:
    method = Still(config(start, patience=5, rounds=1))
    records = run(method, tmp_path)
    assert [record["round"] for record in records] == [0, 1]
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == records
    for record in records:
        card = json.loads((tmp_path / f"round-00{record['round']}/model/card.json").read_text())
        assert card["metrics"] == record
    assert sum(weight.numel() for weight in load(str(tmp_path / "model")).parameters()) > 0
    assert (tmp_path / "rounds.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "README.md").read_text()
    assert "| 1 |" in page
    assert "all 1 round(s) are done" in page
    assert len(page.splitlines()) < 40
    assert records[0]["held_out"]["solved"] == records[1]["held_out"]["solved"]  # Nothing was learned.


def test_a_finished_run_makes_no_round_again_and_more_rounds_go_on(start: str, tmp_path: Path) -> None:
    run(Still(config(start, patience=9, rounds=1)), tmp_path)
    again = Still(config(start, patience=9, rounds=1))
    run(again, tmp_path)
    assert again.rounds == 0
    more = Still(config(start, patience=9, rounds=2))
    assert len(run(more, tmp_path)) == 3
    assert more.rounds == 1


def test_a_run_of_other_settings_is_refused(start: str, tmp_path: Path) -> None:
    RoundFolders(tmp_path, "still", config(start, generations=2))
    RoundFolders(tmp_path, "still", config(start))  # No round has been made: nothing depends on the settings.
    (tmp_path / "round-000").mkdir()
    (tmp_path / "round-000/record.json").write_text('{"round": 0}')
    RoundFolders(tmp_path, "still", config(start, rounds=7))
    with pytest.raises(ConfigError, match="generations = 3, got 4"):
        RoundFolders(tmp_path, "still", config(start, generations=4))
    with pytest.raises(ConfigError, match="`pysr-neural improve still`, not of `pysr-neural improve narrow`"):
        RoundFolders(tmp_path, "narrow", config(start))


def test_unfinished_rounds_do_not_count(start: str, tmp_path: Path) -> None:
    for name, text in (("round-000", '{"round": 0}'), ("round-001.part", "{")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text(text)
    directory = RoundFolders(tmp_path, "still", config(start))
    assert directory.records() == [{"round": 0}]
    assert not list(tmp_path.glob("*.part"))


def test_a_collapsed_policy_is_told_and_ends_the_run(start: str, tmp_path: Path) -> None:
    method = Narrow(config(start, rounds=5, generations=8, patience=9))
    records = run(method, tmp_path)
    assert method.rounds == 1
    assert records[-1]["collapsed"]
    assert records[-1]["commonest"] > 0.8
    assert not records[0]["collapsed"]
    assert "has collapsed" in (tmp_path / "README.md").read_text()


def test_a_run_stops_when_rounds_get_no_better() -> None:
    def record(number: int, solved: int, evaluations: float = 10.0) -> dict[str, Any]:
        return {"round": number, "collapsed": False, "held_out": {"solved": solved, "evaluations": evaluations}}

    settings = ImproveConfig(rounds=9, patience=2)
    assert reason_to_stop([record(0, 3), record(1, 2)], settings) == ""
    assert "no round after 0" in reason_to_stop([record(0, 3), record(1, 2), record(2, 3)], settings)
    assert reason_to_stop([record(0, 3), record(1, 2), record(2, 3, 9.0)], settings) == ""


def test_problems_are_of_the_right_side_and_drawn_by_number() -> None:
    settings = ImproveConfig(**{**TINY, "temperatures": (0.8, 1.2)})
    chosen = training_searches(settings, 1)
    assert len(chosen) == 6
    assert {search.temperature for search in chosen} == {0.8, 1.2}
    assert chosen[0].given.tree == problem_number(settings, chosen[0].number).tree
    assert [s.seed for s in chosen] == [s.seed for s in training_searches(settings, 1)]
    assert [s.seed for s in chosen] != [s.seed for s in training_searches(settings, 2)]
    judged = [search.given.tree for search in held_out_searches(settings)]
    assert judged == [search.given.tree for search in held_out_searches(replace(settings, seed=9))]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load(str(path)).state_dict()


def test_a_run_killed_in_the_middle_of_a_round_ends_the_same(start: str, tmp_path: Path) -> None:
    settings = {**TINY, "expert": '"reverse"', "patience": 9, "held_out": 1}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    given = [f"--set={key}={value}" for key, value in settings.items()]
    assert dagger.main(["--initial", start, "--out", str(whole), *given]) == 0
    command = [sys.executable, "-m", "pysr_neural_training.improve.dagger", "--initial", start, "--out", str(killed)]
    with subprocess.Popen(
        [*command, *given], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            deadline = time.monotonic() + 300
            while not (killed / "round-001.part").exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert (killed / "round-001.part").exists()
    assert not (killed / "round-001").exists()
    assert dagger.main(["--initial", start, "--out", str(killed), *given]) == 0
    one, other = (weights(out / "round-002/model") for out in (whole, killed))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("module", [expert_iteration, rl])
def test_commands_run_and_print_where_the_result_lies(
    module: Any, start: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"--set={key}={value}" for key, value in {**TINY, "rounds": 1}.items()]
    assert module.main(["--initial", start, "--out", str(tmp_path), *given]) == 0
    assert str(tmp_path / "model") in capsys.readouterr().out
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[1])["learned"]["examples"] >= 0


def test_a_collapse_is_told_by_the_exit_status(
    start: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rl.PolicyGradient, "learn", lambda self, *given: Narrow(self.config).learn(*given))
    given = [f"--set={key}={value}" for key, value in {**TINY, "generations": 8}.items()]
    assert rl.main(["--initial", start, "--out", str(tmp_path), *given]) == 1
    assert "has collapsed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("default", "setting", "reason"),
    [
        (DaggerConfig(), "expert='lookahed'", "Did you mean 'lookahead'"),
        (DaggerConfig(), "tries=0", "tries must be a whole number at least 1"),
        (DaggerConfig(), "margin=1.0", "margin is a share"),
        (DaggerConfig(), "expretes=1", "configuration key must be known"),
        (RLConfig(), "entropy_flor=0.1", "Did you mean 'entropy_floor'"),
        (RLConfig(), "kl=-1.0", "kl must be at least 0"),
        (ExpertIterationConfig(), "temperatures=[0.0]", "above 0"),
        (ExpertIterationConfig(), "buffer=0", "buffer must be at least 1"),
        (ImproveConfig(), "problems=500", "pool must be at least problems"),
        (ImproveConfig(), "rounds='three'", "same type as its default 3"),
        (ImproveConfig(), "rounds=true", "same type"),
        (ImproveConfig(), "rounds=", "readable TOML"),
        (ImproveConfig(), "rehearsal=1.5", "rehearsal is a share"),
    ],
)
def test_bad_settings_are_refused(default: ImproveConfig, setting: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        read_config(default, None, [setting])


def test_settings_override_the_file_and_the_file_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "some.toml"
    file.write_text("rounds = 7\nlearning_rate = 1\ntemperatures = [0.5, 2.0]\n")
    found = read_config(ExpertIterationConfig(), file, ["rounds=8"])
    assert (found.rounds, found.learning_rate, found.temperatures) == (8, 1, (0.5, 2.0))
    assert asdict(found)["pool"] == ExpertIterationConfig().pool
    with pytest.raises(ConfigError, match="readable TOML"):
        read_config(ExpertIterationConfig(), tmp_path / "none.toml", [])
