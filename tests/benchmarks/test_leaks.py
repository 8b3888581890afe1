"""The check that nothing held out is trained on."""

import json

import pytest

from pysr_neural_benchmarks import leaks
from pysr_neural_benchmarks.generator import draw
from pysr_neural_training import generate


def test_nothing_leaks(capsys):
    assert leaks.main(["--problems", "300", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["leaks"] == 0
    assert result["keys"] > 200


def test_a_split_that_is_broken_is_found(monkeypatch, capsys):
    monkeypatch.setattr(generate, "in_training", lambda key: True)
    assert leaks.main(["--problems", "300", "--json"]) == 1
    said = capsys.readouterr().out
    assert "leaked: " in said
    assert json.loads(said.splitlines()[-1])["leaks"] > 0


def test_a_stale_list_is_found(monkeypatch, tmp_path, capsys):
    stale = tmp_path / "suite_keys.txt"
    stale.write_text("")
    monkeypatch.setattr(leaks, "SUITE_KEYS", stale)
    assert leaks.main(["--problems", "1"]) == 1
    assert "lacks" in capsys.readouterr().out


def test_the_generator_is_measured_in_problems_with_the_points_asked_for():
    count, rejected, seconds = draw(0, 0, 200, 0.3)
    assert count > 10
    assert rejected > 0
    assert seconds == pytest.approx(0.3, abs=0.3)
