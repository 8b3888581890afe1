import json
import pickle

from pysr_neural.interop.report import NeuralReport

ANSWER = {
    "calls": 12, "served": 200, "fallbacks": 34, "accepted": 50, "improved": 20,
    "invalid": {"decode: unknown_code": 3, "constraint": 9}, "neural_hall_of_fame": ["x0 + x1", "cos(x0)"],
    "model_seconds": 0.5, "search_seconds": 10.0, "failures": ["no answer within 1.0 seconds"],
    "disabled": {"parents": "hook missing"}, "something_new": 1,
}


def test_the_engine_s_answer_becomes_a_report():
    report = NeuralReport.from_engine(ANSWER, engine="PySR 2.7.2", checkpoint="default", levels=("seed", "child"))
    assert report.calls == 12
    assert report.time_share == 0.05
    assert report.disabled == ("parents: hook missing",)
    assert json.loads(json.dumps(report.to_dict()))["invalid"]["constraint"] == 9
    assert pickle.loads(pickle.dumps(report)) == report


def test_the_text_fits_one_screen_and_says_all():
    many = {**ANSWER, "invalid": {f"reason {i}": i for i in range(1, 40)}, "neural_hall_of_fame": ["x0"] * 40,
            "failures": [f"failure {i}" for i in range(40)]}
    text = str(NeuralReport.from_engine(many, engine="PySR 2.7.2", checkpoint="default", levels=("seed",)))
    assert len(text.splitlines()) <= 40
    for part in ("PySR 2.7.2", "default", "seed", "200", "25.0 %", "5.0 %", "39 × reason 39", "… and", "failure 39",
                 "parents: hook missing", "40 member(s)"):
        assert part in text


def test_an_empty_report_divides_by_nothing():
    text = str(NeuralReport.from_engine({}, engine="PySR", checkpoint="default", levels=()))
    assert "record only" in text
    assert "–" in text
