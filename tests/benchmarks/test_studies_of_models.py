"""The studies of models: what is hidden is hidden, what is asked is asked, and small runs end in reports."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pysr_neural.errors import ConfigError
from pysr_neural.expression.text import parse
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural.proposer.base import ProposalRequest
from pysr_neural.proposer.neural.questions import Question
from pysr_neural.proposer.policy.network import PolicyNetwork
from pysr_neural.rng import generator
from pysr_neural.state import MemberView
from pysr_neural.wire import vocabulary as v
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.search import Search
from pysr_neural_benchmarks.studies import conditioning, imitation, judging, questions
from pysr_neural_benchmarks.studies.single import SEES, SingleLayout, hide
from pysr_neural_training.examples.build import BatchSource, ExampleConfig
from pysr_neural_training.examples.layouts import Scene, collate
from pysr_neural_training.problems.generate import ProblemPrior
from pysr_neural_training.problems.sources import SourceProblem
from pysr_neural_training.traces.generate import generate
from pysr_neural_training.traces.jobs import Settings
from pysr_neural_training.workers import Workers
from tests.core.conftest import SMALL as TINY_MODEL
from tests.strategies import make_problem

PROBLEM = make_problem()
MEMBERS = tuple(MemberView(parse(text), loss, parse(text).size) for text, loss in [("x0", 1.0), ("x0 * sin(x1)", 0.5)])
SMALL = ["model.width=32", "model.heads=2", "model.layers=1", "model.feedforward=32", "examples.batch_size=8"]


@pytest.fixture(scope="module")
def small_model() -> ProposerModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ProposerModel(ProposerConfig(**TINY_MODEL)).eval()


@pytest.fixture(autouse=True)
def _same_random_state() -> Iterator[None]:
    with torch.random.fork_rng():
        yield


def batch_of(seed: int) -> dict[str, torch.Tensor]:
    return BatchSource(ProblemPrior(), ExampleConfig(batch_size=6, onestep_share=0.0), seed).batch(0)


def planned(model: ProposerModel, layout: str, sees: str = "data") -> list[Question]:
    session = SingleLayout(model, layout, sees).open(PROBLEM)
    return session.plan(ProposalRequest(MEMBERS, 6, ("child",), 1), generator(0, "plan"))


@pytest.mark.parametrize("sees", SEES)
def test_answers_depend_on_what_is_seen_alone(small_model: ProposerModel, sees: str) -> None:
    batch, other = batch_of(1), dict(batch_of(1))
    other["data"] = other["data"] * 3.0 + 1.0
    with torch.inference_mode():
        same = torch.equal(*(small_model(**hide(each, sees)).logits for each in (batch, other)))
    assert same == (sees != "data")


def test_nothing_leaves_the_task_and_the_size_limit() -> None:
    batch = batch_of(1)
    tokens = hide(batch, "nothing")["tokens"]
    for row, full in zip(tokens.tolist(), batch["tokens"].tolist(), strict=True):
        left = [token for token in row if token != v.PAD]
        assert [v.NAMES[token] for token in left] == [v.NAMES[full[0]], v.NAMES[left[-1]]]
        assert v.NAMES[left[-1]] == v.NAMES[v.complexity_token(1)] or left[-1] > v.complexity_token(1)
    assert torch.equal(hide(batch, "header")["tokens"], batch["tokens"])


@pytest.mark.parametrize("sees", SEES)
def test_a_model_is_asked_as_it_was_trained(small_model: ProposerModel, sees: str) -> None:
    session = SingleLayout(small_model, "direct", sees).open(PROBLEM)
    scene = Scene(PROBLEM, session.slots)
    question = planned(small_model, "direct", sees)[0]
    made = scene.direct(parse("x0"), question.grammar.max_size)
    assert not isinstance(made, str)
    batch = hide(collate([made]), sees)
    tokens = batch["tokens"][0]
    assert question.prompt.tokens.tolist() == tokens[tokens != v.PAD].tolist()
    np.testing.assert_array_equal(question.data, batch["data"][0].numpy())


@pytest.mark.parametrize("layout", ["direct", "onestep", "edit"])
def test_one_layout_makes_all_children_as_they_are_drawn(small_model: ProposerModel, layout: str) -> None:
    assert {v.NAMES[int(each.prompt.tokens[0])] for each in planned(small_model, layout)} == {f"<{layout}>"}
    proposer = SingleLayout(small_model, layout, temperature=0.2)
    request = ProposalRequest(MEMBERS, 60, ("child",), 3)
    children = proposer.open(PROBLEM).propose(request).children
    trees = [child.tree for child in children]
    assert len(trees) == 60
    assert len(set(trees)) < 60  # A repeated draw is a child as well.
    together = proposer.propose_many([proposer.open(PROBLEM)] * 2, [request, request])
    assert [child.tree for child in together[1].children] == trees
    assert len(proposer.open(PROBLEM).propose(ProposalRequest((), 5, ("seed",), 3)).children) == 5


def test_no_more_members_are_shown_than_in_training(small_model: ProposerModel) -> None:
    prompts = []
    for shown in (1, 2):
        session = SingleLayout(small_model, "onestep", shown=shown).open(PROBLEM)
        request = ProposalRequest(MEMBERS, 3, ("child",), 1)
        prompts.append(session.plan(request, generator(0, "plan"))[0].prompt.tokens.tolist())
    assert [prompt.count(v.MEMBER) for prompt in prompts] == [1, 2]


def test_children_about_the_rest_hold_the_best(small_model: ProposerModel) -> None:
    session = SingleLayout(small_model).open(make_problem(target=lambda a, b: a * b + np.sin(a)))
    best = parse("x0 * x1")
    children = session.about_the_rest([parse("x1"), best], 16, 1.0, generator(0, "rest"))
    assert {tree.operator for tree in children} == {"+", "*"}
    assert all(tree.children[0] == best for tree in children)
    assert session.about_the_rest([], 16, 1.0, generator(0, "rest")) == []


def test_unknown_ways_of_asking_are_refused(small_model: ProposerModel) -> None:
    with pytest.raises(ConfigError, match="layout must be one of"):
        SingleLayout(small_model, "population")
    with pytest.raises(ConfigError, match="sees must be one of"):
        SingleLayout(small_model, sees="all")


def test_paired_differences_have_an_interval() -> None:
    assert judging.difference([True] * 8, [False] * 8) == (1.0, 1.0, 1.0)
    mean, low, high = judging.difference([1, 0, 1, 0, 1], [0, 0, 0, 0, 1])
    assert mean == pytest.approx(0.4)
    assert low < mean < high


def test_arms_differ_in_what_they_say() -> None:
    configs = {name: conditioning.config_of(arm, 1, 5, SMALL) for name, arm in conditioning.ARMS.items()}
    assert len({(str(c.examples), conditioning.ARMS[name].sees) for name, c in configs.items()}) == len(configs)
    assert {str(c.model) for c in configs.values()} == {str(configs["encoder"].model)}
    assert configs["encoder"].model.width == 32


def test_steps_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(config: object, out: Path) -> None:
        out.mkdir(parents=True)
        (out / "metrics.jsonl").write_text('{"examples_per_second": 8.0}\n{"examples_per_second": 16.0}\n{}\n')

    monkeypatch.setattr(conditioning, "train", train)
    assert conditioning.steps_within(2.0, SMALL, tmp_path) == 240
    assert conditioning.steps_within(5.0, SMALL, tmp_path) == 240


def test_the_conditioning_study_ends_in_a_report_and_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--steps", "2", "--problems", "2", "--draws", "6", "--evaluations", "25", "--out", str(tmp_path), "--json"]
    given += ["--arms", "nothing", "edit", conditioning.CONTROL, *[part for each in SMALL for part in ("--set", each)]]
    assert conditioning.main(given) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(result["loss"]) == {"nothing", "edit"}
    assert set(result["searched"]) == {"nothing", "edit", conditioning.CONTROL}
    assert result["sampled"]["edit"] is None
    assert "| edit |" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "arms.png").exists()
    rows = (tmp_path / "results.jsonl").read_text()
    assert len(rows.splitlines()) == 3
    assert conditioning.main(given) == 0
    assert (tmp_path / "results.jsonl").read_text() == rows


def test_the_imitation_study_ends_in_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--trace-problems", "4", "--held-out-traces", "1", "--steps", "5", "--problems", "2", "--seeds", "2"]
    given += ["--evaluations", "60", "--out", str(tmp_path), "--json"]
    assert imitation.main(given) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    for preset in ("reference", "default"):
        found = result[preset]
        assert {"basicsr", "policy", "difference", "low", "high"} <= set(found)
        assert found["difference"] == pytest.approx(found["policy"] - found["basicsr"])
        assert found["low"] <= found["difference"] <= found["high"]
        assert found["made"] == 1.0
        assert found["card"]["impossible"] == 0
        assert 0 < found["variation"]["kinds"] <= 1
        assert {len(losses) for losses in found["decisions"].values()} == {2 if preset == "reference" else 1}
        tasks = [json.loads(line)["task"] for line in (tmp_path / preset / "results.jsonl").read_text().splitlines()]
        assert {(task[1], task[2]) for task in tasks} == {
            (arm, seed) for arm in imitation.ARMS[preset] for seed in (imitation.FRESH, imitation.FRESH + 1)
        }
    own = result["default"]["others"]["simultaneous"]
    assert own["difference"] == pytest.approx(own["policy"] - own["simultaneous"])
    report = (tmp_path / "report.md").read_text()
    assert "| default | " in report
    assert "asked likewise (`simultaneous`)" in report
    assert (tmp_path / "solve_rates.png").exists()


def test_the_imitation_study_takes_traces_that_are_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = [SourceProblem(make_problem(target=lambda a, b: np.sin(7 * a) / b), "")] * 3
    settings = Settings("basic", "default", {"populations": 1, "generations": 30}, "", 0.1)
    generate(tmp_path / "traces", sources, [5], settings, 3, Workers(0), quiet=True, apart=True)
    given = ["--traces", str(tmp_path / "traces"), "--held-out-traces", "1", "--actions", "1000", "--steps", "40"]
    given += ["--out", str(tmp_path / "out"), "--json"]
    assert imitation.main(given) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["runs"], result["held_out"], result["impossible"]) == (2, 1, 0)
    assert 700 < result["actions"] < 1300
    assert all(proposals == known == told for proposals, known, told in result["told"].values())
    assert all(result["variation"][aspect] < 0.6 * result["untrained"][aspect] for aspect in ("kinds", "ranks"))
    assert "| crossover | " in (tmp_path / "out" / "report.md").read_text()
    assert PolicyNetwork.load(tmp_path / "out" / "policy.safetensors").config.foresight is False
    with pytest.raises(ConfigError, match="must leave problems to learn from; got 3 of 3"):
        imitation.main([*given, "--held-out-traces", "3"])


def test_parity_needs_a_small_difference_and_a_narrow_interval() -> None:
    assert imitation.is_parity({"difference": -0.02, "low": -0.05, "high": 0.01})
    assert not imitation.is_parity({"difference": -0.031, "low": -0.04, "high": 0.01})
    assert not imitation.is_parity({"difference": 0.0, "low": -0.06, "high": 0.06})


def test_the_control_gets_the_time_that_the_model_took(
    small_model: ProposerModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(questions.time, "process_time", lambda: now[0])
    session, clock = SingleLayout(small_model).open(PROBLEM), questions.PausedClock()
    monkeypatch.setattr(session, "about_the_rest", lambda *given: now.__setitem__(0, now[0] + 1.0) or [parse("x0")])
    search = Search(PROBLEM, BasicSRConfig(populations=1, population_size=5), None, 0, clock)
    pause = questions.Interlude(session, clock, 2.0, 8, 0)
    assert not any((next(search.steps(), None), pause(search)))
    now[0] = 2.0
    assert not pause(search)
    assert pause.took == len(pause.children) > 0
    assert clock() == 2.0
    now[0] += pause.took - 0.5
    assert not pause(search)
    now[0] += 0.5
    assert pause(search)


def test_the_questions_study_ends_in_a_report_and_resumes(
    small_model: ProposerModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_model.save_pretrained(tmp_path / "model")
    given = ["--checkpoint", str(tmp_path / "model"), "--problems", "4", "--draws", "8", "--seconds", "0.02"]
    given += ["--out", str(tmp_path / "out"), "--json"]
    assert questions.main(given) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    total = result["recovered"]["all"]
    assert total["search"] <= min(total["rest"], total["longer"], total["either"])
    assert 0 < result["prior"]["operators"]["uniform"] < 1
    rows = (tmp_path / "out" / "results.jsonl").read_text()
    assert len(rows.splitlines()) == 4
    assert questions.main(given) == 0
    assert (tmp_path / "out" / "results.jsonl").read_text() == rows
    assert all((tmp_path / "out" / name).exists() for name in ("recovered.png", "priors.png"))


def test_bad_counts_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--minutes-per-arm must be above 0"):
        conditioning.main(["--minutes-per-arm", "0"])
    with pytest.raises(ConfigError, match="--seeds must be a whole number at least 1"):
        imitation.main(["--seeds", "0"])
    with pytest.raises(ConfigError, match="--seconds above 0"):
        questions.main(["--seconds", "0"])
