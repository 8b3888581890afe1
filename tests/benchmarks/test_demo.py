"""The demo: facts, pictures and page; what it shares with `fit` is tested there."""

from dataclasses import replace
from html import escape
from xml.etree import ElementTree

import numpy as np
import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.text import parse
from pysr_neural_baseline.fitting.engines import Found, members_of
from pysr_neural_baseline.fitting.outcome import Outcome
from pysr_neural_benchmarks.demo import command
from pysr_neural_benchmarks.demo.cases import cases, lorentz
from pysr_neural_benchmarks.demo.page import page
from pysr_neural_benchmarks.demo.pictures import overview, svg

KEPLER, HUBBLE, LEAVITT, LORENTZ = cases()
LAWS = {
    "kepler": ("365.25 * a * sqrt(a)", 1e-4),
    "hubble": ("470 * distance", 0.3),
    "leavitt": ("15.55 - 0.88 * log(period)", 0.1),
    "lorentz": ("q * (Ef + B * v * sin(theta))", 2e-4),
}


class Scripted:
    """An engine that finds two laws at once."""

    sentence = "A script."

    def warm_up(self, settings, say):
        say("warm")

    def search(self, case, settings):
        return Found(members(case), "the report <1>")


def members(case):
    best, loss = LAWS[case.name]
    rows = [(1, 1.0, "1.5", False), (7, loss, best, True), (9, 0.9 * loss, f"{best} + 0.001", False)]
    return members_of([(a, b * np.var(case.y), parse(text, case.features), c) for a, b, text, c in rows], case)


def outcome(case):
    return Outcome(case, members(case), "the report <1>", 1.0)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_the_known_law_explains_the_data(case):
    law, bound = LAWS[case.name]
    assert fraction_unexplained(evaluate(parse(law, case.features), case.X), case.y) < bound
    assert case.X.shape == (len(case.y), len(case.features))
    assert case.provenance


def test_generated_data_repeat():
    np.testing.assert_array_equal(lorentz().y, LORENTZ.y)


def test_the_law_takes_the_fewest_bits_and_losses_are_relative():
    found = outcome(KEPLER)
    assert found.law.complexity == 7
    assert found.law.neural
    assert found.law.loss == pytest.approx(1e-4)
    np.testing.assert_allclose(found.predicted(np.array([[4.0]])), [2922.0])


def test_leavitt_s_stars_get_a_slope_of_their_own():
    texts = ["13.9", "15.8 - log(period)", "15.55 - 0.88 * log(period)"]
    rows = [
        (
            parse(text, ["period"]).size,
            fraction_unexplained(evaluate(parse(text, ["period"]), LEAVITT.X), LEAVITT.y),
            text,
        )
        for text in texts
    ]
    trees = [(size, loss * np.var(LEAVITT.y), parse(text, ["period"]), False) for size, loss, text in rows]
    found = Outcome(LEAVITT, members_of(trees, LEAVITT), "", 0.0)
    assert found.shown(found.law) == "15.55 - 0.88 * log(period)"


def test_the_command_prints_and_writes(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "choose", lambda name, checkpoint, say: Scripted())
    assert command.main(["--engine", "basicsr", "--output", str(tmp_path / "new"), "--cases", "kepler,lorentz"]) == 0
    text = capsys.readouterr().out
    assert "[2/2]" in text
    assert "Law found: period = " in text
    assert "6 rows are too few to tell" in text
    assert "Law found: F = " in text
    assert ">*" in text
    assert "the report <1>" in text
    assert (tmp_path / "new" / "laws.png").read_bytes().startswith(b"\x89PNG")
    assert "Lorentz" in (tmp_path / "new" / "index.html").read_text(encoding="utf-8")


def test_ctrl_c_leaves_a_page_about_what_was_found(monkeypatch, tmp_path):
    class Interrupted(Scripted):
        def search(self, case, settings):
            return replace(super().search(case, settings), interrupted=case.name == "hubble")

    monkeypatch.setattr(command, "choose", lambda name, checkpoint, say: Interrupted())
    with pytest.raises(KeyboardInterrupt):
        command.main(["--engine", "basicsr", "--output", str(tmp_path)])
    shown = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert [f"<h2>{escape(case.title)}" in shown for case in cases()] == [True, True, False, False]


@pytest.mark.parametrize("engine", ["auto", "pysr"])
def test_a_demo_in_which_julia_may_start_is_attended_to(monkeypatch, engine):
    begun = []
    monkeypatch.setattr(command, "attend", lambda given: begun.append(given) or 3)
    assert command.main(["--engine", engine]) == 3
    assert begun.pop()[1:] == ["-P", "-m", command.__name__, "--engine", engine]


def test_what_leaves_structure_is_a_formula_not_a_law():
    text = "q * (1.2 * Ef + B * v * sin(theta))"
    loss = float(np.mean(np.square(evaluate(parse(text, LORENTZ.features), LORENTZ.X) - LORENTZ.y)))
    found = Outcome(LORENTZ, members_of([(9, loss, parse(text, LORENTZ.features), False)], LORENTZ), "", 1.0)
    told = command.describe(LORENTZ, found)
    assert "Formula found: F = " in told
    assert "The residuals still depend on Ef" in told
    assert "The residuals still depend on Ef" in page([LORENTZ], [found], "An engine.")
    assert "Law found" not in told
    assert "Formula found" not in command.describe(LORENTZ, outcome(LORENTZ))


def test_an_unknown_case_gets_a_suggestion():
    with pytest.raises(ConfigError, match="Did you mean 'hubble'"):
        command.main(["--cases", "huble"])


def test_the_page_is_one_file_and_escapes_what_it_shows():
    text = page(cases(), [outcome(case) for case in cases()], "An engine & more.")
    assert "An engine &amp; more." in text
    assert "the report &lt;1&gt;" in text
    assert "src=" not in text
    assert text.count("<section>") == text.count("<svg ") == 4
    assert text.count('class="chosen"') == 4


def test_pictures_are_drawn(tmp_path):
    found = outcome(HUBBLE)
    assert ElementTree.fromstring(svg(found)).tag.endswith("svg")
    overview(["one"], [found], tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 10_000
