"""What a run reports: evaluation on the way, the learning rate, TensorBoard's events."""

import json
import math
from pathlib import Path

import pytest
import torch

from pysr_neural.expression.canonical import fingerprint
from pysr_neural.model.checkpoint import load
from pysr_neural.rng import generator
from pysr_neural_training.learning import evaluate
from pysr_neural_training.learning.config import Evaluation, Schedule, TrainConfig, load_config
from pysr_neural_training.learning.evaluate import Evaluator
from pysr_neural_training.learning.train import initial_model, train
from pysr_neural_training.learning.trainer import learning_rate
from pysr_neural_training.problems.generate import ProblemPrior, Sampler

CONFIGS = Path(__file__).parents[2] / "training/pysr_neural_training/configs"
SMALL = [
    *("model.width=32", "model.heads=2", "model.layers=1", "model.feedforward=32", "model.latents=4"),
    *("examples.batch_size=8", "schedule.workers=0", "schedule.bf16=false", "schedule.minutes=inf"),
    *("evaluation.every=2", "evaluation.problems=3", "evaluation.draws=6", "evaluation.max_size=7"),
]
QUIET = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
FEW = Evaluation(problems=6, draws=8, max_size=7)
SHARES = ("first_token", "exact", "equivalent", "distinct", "recovered")


def config(*settings: str) -> TrainConfig:
    return load_config(CONFIGS / "tiny.toml", [*SMALL, *settings])


@QUIET
def test_evaluation_on_the_way_is_recorded_and_changes_no_weight(tmp_path: Path) -> None:
    measured = train(config("schedule.steps=5"), tmp_path / "measured")
    blind = train(config("schedule.steps=5", "evaluation.every=0"), tmp_path / "blind")
    one, other = load(str(measured)).state_dict(), load(str(blind)).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    records = [json.loads(line) for line in (tmp_path / "measured/metrics.jsonl").read_text().splitlines()]
    found = {record["step"]: record for record in records if "eval_loss" in record}
    assert sorted(found) == [2, 4, 5]
    assert all(0 <= record[f"eval_{name}"] <= 1 for record in found.values() for name in SHARES)
    assert not any("eval_loss" in line for line in (tmp_path / "blind/metrics.jsonl").read_text().splitlines())
    card = json.loads((measured / "card.json").read_text())
    assert card["metrics"]["loss"] == found[5]["eval_loss"]


def test_figures_are_the_same_every_time_and_leave_the_model_as_it_was() -> None:
    model, evaluator = load("default").train(), Evaluator(FEW)
    state = torch.random.get_rng_state()
    one, other = evaluator(model), Evaluator(FEW)(model)
    assert model.training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert all(math.isfinite(value) for value in one.values())


def test_a_trained_model_is_told_from_an_untrained_one() -> None:
    evaluator = Evaluator(FEW)
    trained, fresh = evaluator(load("default")), evaluator(initial_model(config()))
    assert trained["loss"] < fresh["loss"]
    assert trained["onestep_loss"] < fresh["onestep_loss"]
    assert trained["recovered"] > fresh["recovered"]
    assert trained["first_token"] > fresh["first_token"]


def test_a_model_that_answers_right_gets_full_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = Evaluator(FEW)
    answers = {id(given.problem): given.tree for given, _, _ in evaluator.problems}

    class Knowing:
        def __init__(self, model: object) -> None: ...

        def open(self, problem: object) -> "Knowing":
            self.tree, self.slots = answers[id(problem)], evaluate.TransformerProposer(None).open(problem).slots
            return self

        def explain(self, *given: object) -> list[tuple[object, float]]:
            return [(self.tree, 0.0)]

    real = evaluate.TransformerProposer
    monkeypatch.setattr(
        evaluate, "TransformerProposer", lambda model: real(load("default")) if model is None else Knowing(model)
    )
    found = evaluator(load("default"))
    assert (found["exact"], found["equivalent"], found["recovered"]) == (1, 1, 1)
    assert found["distinct"] == pytest.approx(1 / FEW.draws)


def test_held_out_problems_are_none_that_are_trained_on() -> None:
    held_out = {fingerprint(given.tree) for given, _, _ in Evaluator(Evaluation(problems=20)).problems}
    drawn = iter(Sampler(ProblemPrior(), generator(1, "train")))
    assert not held_out & {fingerprint(next(drawn).tree) for _ in range(200)}


@pytest.mark.parametrize(
    ("decay", "half", "end"), [("linear", 0.5, 0.05), ("cosine", 0.5, 0.05), ("constant", 1.0, 1.0)]
)
def test_learning_rate_warms_up_and_falls_as_asked(decay: str, half: float, end: float) -> None:
    schedule = Schedule(learning_rate=2.0, decay=decay, warmup=10)
    assert learning_rate(schedule, 0, 0.0) == pytest.approx(0.2)
    assert learning_rate(schedule, 50, 0.5) == pytest.approx(2 * half)
    assert learning_rate(schedule, 100, 1.0) == pytest.approx(2 * end)


def test_cosine_is_above_linear_first_and_below_it_later() -> None:
    cosine, linear = Schedule(decay="cosine", warmup=1), Schedule(warmup=1)
    assert learning_rate(cosine, 9, 0.25) > learning_rate(linear, 9, 0.25)
    assert learning_rate(cosine, 9, 0.75) < learning_rate(linear, 9, 0.75)


@QUIET
def test_tensorboard_gets_losses_and_evaluations(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="comes with the extra 'training'")
    train(config("schedule.steps=2", "schedule.log_every=1"), tmp_path)
    (events,) = (tmp_path / "tensorboard").iterdir()
    written = events.read_bytes()
    assert b"train/loss" in written
    assert b"eval/recovered" in written


@QUIET
def test_tensorboard_can_be_left_out(tmp_path: Path) -> None:
    train(config("schedule.steps=1", "track=[]"), tmp_path)
    assert not (tmp_path / "tensorboard").exists()
