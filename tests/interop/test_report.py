import json
import pickle

from pysr_neural.interop.report import NeuralReport

ANSWER = {
    "calls": 12,
    "served": 200,
    "fallbacks": 34,
    "accepted": 50,
    "improved": 20,
    "invalid": {"decode: unknown_code": 3, "constraint": 9},
    "neural_hall_of_fame": 2,
    "hall_of_fame_complexities": [[1, 3, 5], [2]],
    "hall_of_fame_neural": [[False, True, True], [True]],
    "seeded": 4,
    "model_seconds": 0.5,
    "search_seconds": 10.0,
    "failures": ["no answer within 1.0 seconds"],
    "disabled": {"parents": "hook missing"},
    "something_new": 1,
}


def test_the_engine_s_answer_becomes_a_report():
    report = NeuralReport.from_engine(ANSWER, engine="PySR 2.7.2", checkpoint="default", levels=("seed", "child"))
    assert report.calls == 12
    assert report.time_share == 0.05
    assert report.disabled == ("parents: hook missing",)
    assert json.loads(json.dumps(report.to_dict()))["invalid"]["constraint"] == 9
    assert pickle.loads(pickle.dumps(report)) == report


def test_the_text_fits_one_screen_and_says_all():
    many = {
        **ANSWER,
        "invalid": {f"reason {i}": i for i in range(1, 40)},
        "hall_of_fame_complexities": [list(range(40))],
        "hall_of_fame_neural": [[True] * 40],
        "failures": [f"failure {i}" for i in range(40)],
    }
    text = str(NeuralReport.from_engine(many, engine="PySR 2.7.2", checkpoint="default", levels=("seed",)))
    assert len(text.splitlines()) <= 40
    for part in (
        "PySR 2.7.2",
        "default",
        "seed",
        "200",
        "25.0 %",
        "5.0 %",
        "39 × reason 39",
        "… and",
        "failure 39",
        "parents: hook missing",
        "40 member(s)",
    ):
        assert part in text


def test_an_empty_report_divides_by_nothing():
    text = str(NeuralReport.from_engine({}, engine="PySR", checkpoint="default", levels=()))
    assert "record only" in text
    assert "–" in text


def test_neural_members_are_named_by_the_final_front():
    fronts = [{1: "x0", 3: "x0 + x1", 4: "unflagged"}, {2: "cos(x0)"}]
    named = NeuralReport.from_engine(ANSWER, engine="PySR", checkpoint="default", levels=("seed",), fronts=fronts)
    assert named.neural_hall_of_fame == ("x0 + x1", "cos(x0)")
    bare = NeuralReport.from_engine(ANSWER, engine="PySR", checkpoint="default", levels=("seed",))
    assert bare.neural_hall_of_fame == ("complexity 3", "complexity 5", "complexity 2")
    assert bare.seeded == 4


def test_weights_that_did_not_reach_the_proposer_are_a_note_not_a_level():
    answer = {"disabled": {"weights": "the proposer sees all rows alike.", "child": "left out"}}
    report = NeuralReport.from_engine(answer, engine="PySR", checkpoint="default", levels=("seed",))
    assert report.notes == ("weights: the proposer sees all rows alike.",)
    assert report.disabled == ("child: left out",)
    assert "to be noted" in str(report)
