"""`pysr-neural fit` as a user runs it: what it prints and writes, going on, Ctrl-C, and what it refuses."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser

import numpy as np
import pytest

from pysr_neural.errors import ConfigError, DataError
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.text import parse
from pysr_neural.proposer.scripted import ScriptedProposer
from pysr_neural_baseline.fitting import command, conclusion, page
from pysr_neural_baseline.fitting.engines import BasicSREngine, Found
from pysr_neural_baseline.fitting.outcome import Member
from pysr_neural_baseline.fitting.tables import listed

ROWS = 40
A, B = np.random.default_rng(0).uniform(1, 3, (2, ROWS))
F = 2.5 * A / B + 1.5
LAW = parse("2.0 * x0 / x1 + 1.0")
KEYS = ["equation", "complexity", "loss", "r2", "held_out_r2", "engine", "seconds", "front"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "data.csv"
    rows = "\n".join(f"{a},{b},star,{f}" for a, b, f in zip(A, B, F, strict=True))
    path.write_text(f"a,T/K,name,f\n{rows}\n")
    return path


@pytest.fixture
def fit(monkeypatch, file):
    """Run the command on the file with BasicSR and a script for a proposer; it ends when the law is fitted."""

    def run(*options, answers=(LAW,), path=file):
        monkeypatch.setattr(command, "choose", lambda *_, **__: BasicSREngine(ScriptedProposer(answers)))
        given = [str(path), "--engine", "basicsr", "--operators", "+,-,*,/", "--seconds", "60", "--maxsize", "9"]
        given += map(str, options)
        return command.main(given if "--target" in options else [*given, "--target", "f"])

    return run


class Elements(HTMLParser):
    """Collects tags and attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_it_prints_the_front_and_one_law_with_its_uncertainty(fit, capsys):
    assert fit() == 0
    out = capsys.readouterr().out
    assert "data.csv: 40 rows; f out of a, T/K." in out
    assert "'name' holds texts such as 'star'" in out
    assert "8 rows are held out" in out
    assert re.search(r"^>\* +7 +\S+  .*`T/K`", out, re.MULTILINE)
    assert "f = " in out
    assert "on 8 rows held out:        R² 1 (95 %: 1 to 1)" in out


def test_units_that_the_engine_does_not_search_by_are_named(fit, capsys):
    assert fit("--units", "a=m,f=N") == 0
    assert "BasicSR does not search by units" in capsys.readouterr().out
    assert fit() == 0
    assert "units" not in capsys.readouterr().out


def test_json_is_all_that_is_printed_and_has_the_agreed_keys(fit, capsys):
    assert fit("--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == KEYS
    assert told["engine"] == "basicsr"
    assert told["held_out_r2"] == pytest.approx(1.0)
    assert told["r2"] == pytest.approx(1.0)
    assert told["loss"] < 1e-20
    assert told["equation"] in [member["equation"] for member in told["front"]]
    assert {"equation", "complexity", "loss", "neural"} == set(told["front"][0])
    found = evaluate(parse(told["equation"], ["a", "T/K"]), np.stack([A, B], axis=1))
    np.testing.assert_allclose(found, F, rtol=1e-9)


def test_few_rows_have_no_held_out_score(fit, file, capsys):
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:9]))
    assert fit("--json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["held_out_r2"] is None
    assert "8 rows are few" in told.err


def test_the_page_is_one_file_that_needs_no_network(fit, tmp_path, capsys):
    out = tmp_path / "new" / "page.html"
    assert fit("--out", out, "--units", "a=m,f=N") == 0
    text = out.read_text(encoding="utf-8")
    tags = Elements(text).found
    assert not {tag for tag, _ in tags} & {"link", "script", "iframe", "object", "embed"}
    links = [value for _, given in tags for name, value in given.items() if name in ("src", "href", "xlink:href")]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert not re.search(r"@import|url\((?!#)", text)
    assert sum(tag == "svg" for tag, _ in tags) == 2
    assert r"\frac" in text
    assert "def law(a, T_K):" in text
    assert "sympy.symbols" in text
    assert "f / N by the law" in text
    assert "Neural report: BasicSR" in text
    assert "neural ancestor" in text
    assert "&#x27;name&#x27; holds texts" in text
    assert "pysr-neural fit" in text
    assert str(out) in capsys.readouterr().out
    assert [path.name for path in out.parent.iterdir()] == ["page.html"]


def test_what_a_file_says_is_escaped(fit, tmp_path):
    path = tmp_path / "odd.csv"
    rows = "\n".join(f"{a},{b},{f}" for a, b, f in zip(A, B, F, strict=True))
    path.write_text(f'<b>a</b>,"T & ""K""",f\n{rows}\n')
    assert fit("--out", tmp_path / "page.html", path=path) == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b>a" not in text
    assert "&lt;b&gt;a&lt;/b&gt;" in text


def test_a_second_command_goes_on(fit, tmp_path, capsys):
    state = tmp_path / "state"
    assert fit("--state", state) == 0
    first = json.loads((state / "state.json").read_text())
    assert first["target"] == "f"
    assert [path.name for path in state.iterdir()] == ["state.json"]
    capsys.readouterr()
    assert fit("--state", state, "--json", answers=()) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["loss"] < 1e-20
    assert any(member["neural"] for member in told["front"] if member["equation"] == told["equation"])
    second = json.loads((state / "state.json").read_text())
    assert second["seconds"] > first["seconds"]


def test_what_was_proposed_stays_so_however_an_engine_writes_it_down(fit, tmp_path, monkeypatch, capsys):
    """Another engine hands the formula over with its factors exchanged, and with constants that it has fitted anew."""
    state = tmp_path / "state"
    assert fit("--state", state) == 0
    assert any(member["neural"] for member in json.loads((state / "state.json").read_text())["front"])
    capsys.readouterr()
    for text in ("1.5 - (x0 * -2.5) / x1", "((2.51 / x1) * x0) + 1.49"):
        again = Found((Member(parse(text), 6, 1e-9, False),), "No proposer took part.")
        monkeypatch.setattr(BasicSREngine, "search", lambda *_, again=again: again)
        out = tmp_path / "page.html"
        assert fit("--state", state, "--out", out, "--json", "--neural-proposer", "none") == 0
        told = json.loads(capsys.readouterr().out)
        assert [member["neural"] for member in told["front"] if member["complexity"] == 6] == [True]
        written = out.read_text(encoding="utf-8")
        assert "of them with a neural ancestor: " in written
        assert ", 0 by the proposer" not in written
        front = json.loads((state / "state.json").read_text())["front"]
        assert any(member["neural"] for member in front if member["complexity"] == 6)


def test_a_state_of_other_rows_is_used_and_told_of_other_columns_refused(fit, file, tmp_path, capsys):
    state = tmp_path / "state"
    fit("--state", state)
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    assert fit("--state", state, answers=()) == 0
    assert "state is of other rows" in capsys.readouterr().out
    before = (state / "state.json").read_text()
    with pytest.raises(DataError, match=r"goes on with the columns that it began with, a, T/K for f; got a for f"):
        fit("--state", state, "--columns", "a")
    assert (state / "state.json").read_text() == before


def test_formulas_beyond_the_operators_are_not_begun_with(fit, tmp_path, capsys):
    fit("--state", tmp_path / "state")
    capsys.readouterr()
    assert fit("--state", tmp_path / "state", "--operators", "+,-", "--seconds", "1", "--json", answers=()) == 0
    told = capsys.readouterr()
    assert all("/" not in member["equation"].replace("T/K", "") for member in json.loads(told.out)["front"])
    assert "of the state go beyond these operators" in told.err


@pytest.mark.parametrize("content", ["", "{}", '{"format": "pysr-neural fit", "version": 9}', "[1]", "\0"])
def test_a_damaged_state_is_refused_and_left_as_it_is(fit, tmp_path, content):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.json").write_text(content)
    with pytest.raises(DataError, match="must hold the state of a fit"):
        fit("--state", tmp_path / "state")
    assert (tmp_path / "state" / "state.json").read_text() == content


def test_a_folder_of_something_else_is_no_state(fit, file):
    with pytest.raises(DataError, match=r"a new folder or one with a state.json"):
        fit("--state", file.parent)


def test_ctrl_c_writes_everything_and_exits_with_130(fit, tmp_path, capsys):
    options = ["--out", tmp_path / "page.html", "--state", tmp_path / "state", "--json"]
    assert fit(*options, answers=(LAW, KeyboardInterrupt())) == 130
    told = capsys.readouterr()
    assert json.loads(told.out)["r2"] > 0.99
    assert "Interrupted" in told.err
    assert "ended by Ctrl-C" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "state" / "state.json").read_text())["front"]


def test_ctrl_c_before_anything_was_found_says_so(fit, tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        fit("--out", tmp_path / "page.html", answers=(KeyboardInterrupt(),))
    assert "Interrupted before anything was found" in capsys.readouterr().out
    assert not (tmp_path / "page.html").exists()


def test_ctrl_c_before_the_search_says_that_nothing_was_found(fit, monkeypatch, capsys):
    monkeypatch.setattr(BasicSREngine, "warm_up", lambda *_: press())
    with pytest.raises(KeyboardInterrupt):
        fit()
    assert "Interrupted before the search, with nothing found yet; nothing was written" in capsys.readouterr().out


def press(*_):
    raise KeyboardInterrupt


def ended_by_the_system(*_):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


@pytest.mark.parametrize("end", [press, ended_by_the_system])
@pytest.mark.parametrize("during", ["polished", "verdict", "front_in_words"])
def test_an_end_after_the_search_loses_nothing_but_what_takes_time(fit, tmp_path, monkeypatch, capsys, during, end):
    whole, ends = getattr(conclusion, during), [end]
    monkeypatch.setattr(conclusion, during, lambda *given: ends.pop()() if ends else whole(*given))
    assert fit("--out", tmp_path / "page.html", "--state", tmp_path / "state") == 130
    said = capsys.readouterr().out
    assert "Interrupted; this is what was found so far." in said or during == "front_in_words"
    assert re.search(r"^>\* +7 +\S+  .*`T/K`", said, re.MULTILINE)
    assert "the same command goes on from here" in said
    assert json.loads((tmp_path / "state" / "state.json").read_text())["front"][-1]["loss"] < 1e-9
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "def law(a, T_K):" in page
    assert ("no interval" in page) == (during != "front_in_words")
    assert ("95 %" not in said) == (during != "front_in_words")


def test_an_end_while_the_page_is_drawn_draws_it_once_more(fit, tmp_path, monkeypatch, capsys):
    ends, whole = [press], page.page
    monkeypatch.setattr(page, "page", lambda *given: ends.pop()() if ends else whole(*given))
    assert fit("--out", tmp_path / "page.html") == 130
    assert (tmp_path / "page.html").exists()


def test_an_end_without_a_state_tells_how_to_have_one(fit, monkeypatch, capsys):
    whole, ends = conclusion.verdict, [press]
    monkeypatch.setattr(conclusion, "verdict", lambda *given: ends.pop()() if ends else whole(*given))
    assert fit() == 130
    assert "with --state FOLDER, a further one goes on from its end" in capsys.readouterr().out


def test_a_page_that_cannot_be_written_loses_nothing_else(fit, tmp_path, monkeypatch, capsys):
    def full(path, text):
        raise OSError("No space left on device")

    monkeypatch.setattr(command, "_check_page", lambda *_: None)
    monkeypatch.setattr(conclusion, "replace_text", full)
    assert fit("--out", tmp_path / "page.html", "--json") == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["r2"] > 0.99
    assert "No space left" in told.err


@pytest.mark.parametrize("name", ["data.csv", "page.txt", "."])
def test_a_page_never_overwrites_data(fit, file, name):
    before = file.read_bytes()
    with pytest.raises(ConfigError, match="--out must be the name of a page"):
        fit("--out", file.parent / name)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target", "g"], "--target must name a column"),
        (["--columns", "a,b"], "--columns must name a column"),
        (["--operators", "+,nosuch"], "operator table"),
        (["--operators", ","], "at least one operator"),
        (["--seconds", "0"], "--seconds must be"),
        (["--maxsize", "0"], "--maxsize must be"),
        (["--seed", "-1"], "--seed must be"),
        (["--units", "a"], "--units must be pairs"),
    ],
)
def test_options_that_cannot_be_are_refused_before_the_search(fit, options, words):
    with pytest.raises(ConfigError, match=words):
        fit(*options)


def test_names_with_commas_stand_in_quotes():
    assert listed('a, "b, c" ,d,') == ["a", "b, c", "d"]


def test_the_module_is_a_program_and_imports_nothing_heavy_for_its_help():
    code = (
        "import sys; from pysr_neural_baseline.fitting import command\n"
        "try:\n    command.main(['--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'pysr', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--target" in done.stdout
