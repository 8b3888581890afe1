"""Statistics, verdicts, and the report as HTML and Markdown."""

import json
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import wilcoxon

from pysr_neural.errors import ConfigError
from pysr_neural_benchmarks.judging.statistics import band, compare_all, estimate, signed_rank_test
from pysr_neural_benchmarks.report import command, curve
from pysr_neural_benchmarks.report.compare import figures, scaling, story
from pysr_neural_benchmarks.report.page import html, markdown
from pysr_neural_benchmarks.report.tables import Results, comparisons, failures, one_formula, summary
from pysr_neural_benchmarks.runner import store
from pysr_neural_benchmarks.runner.plan import Limits, Plan

METHODS = ("pysr", "pysr-neural:seed,child", "same<&|", "worse")


def row(method, problem, seed, solves_at, status="ok", noise=0.0):
    solved = solves_at is not None
    figures_of_it = {
        "seconds": 10.0,
        "evaluations": 1000,
        "iterations": 10,
        "solved": solved,
        "fvu": 0.0 if solved else 0.5,
        "seconds_to_solution": solves_at,
        "evaluations_to_solution": 100 if solved else None,
        "curve_seconds": [0.1, solves_at or 9.0],
        "curve_evaluations": [1, 100],
        "curve_iterations": [1, 5],
        "curve_fvu": [None, 0.0 if solved else 0.5],
        "curve_hypervolume": [0.0, 0.7],
        "curve_one_fvu": [None, 0.0 if solved and seed == 0 else 0.5],
        "one_fvu": 0.0 if solved else 0.5,
        "one_complexity": 5,
        "one_formula": "x0",
        "front": [],
        "story": [[0.1, 1, 1, 2.0, "x0"], [2.0, 100, 5, 0.0, "x1"]],
        "recovered": solved,
        "recovered_one": None,
        "counters": {"served": 8, "accepted": 2, "calls": 1, "levels": ["seed"], "invalid": {"size": 2}},
        "versions": "numpy 2",
    }
    return {
        "method": method, "suite": "toy", "problem": problem, "draw": 0, "seed": seed, "noise": noise, "points": 512,
        "status": status, "message": "" if status == "ok" else "it <died>", **(figures_of_it if status == "ok" else {}),
    }  # fmt: skip


def results(problems=12):
    rows = []
    for i in range(problems):
        for seed in range(2):
            rows.append(row("pysr", f"p{i}", seed, 5.0 if i % 2 else None))
            rows.append(row("pysr-neural:seed,child", f"p{i}", seed, 1.5))
            rows.append(row("same<&|", f"p{i}", seed, 5.0 if i % 2 else None))
            rows.append(row("worse", f"p{i}", seed, None, status="crashed" if i == 0 else "ok"))
    return Results(rows, known())


def known():
    return {
        "limits": Plan(("toy",), METHODS, (0,), Limits(10.0, None)).to_dict()["limits"],
        "commands": [{"command": "pysr-neural bench run --x '<y>'", "at": "now", **store.machine()}],
        "plans": [Plan(("toy",), METHODS, (0,), Limits(10.0, None)).to_dict()],
    }


def test_problems_are_drawn_anew_and_draws_weigh_alike():
    rows = [row("pysr", "a", 0, 1.0), *[{**row("pysr", "a", seed, None), "draw": 1} for seed in range(3)]]
    found = estimate(rows, lambda r: float(r["solved"]))
    assert (found.mean, found.low, found.high, found.problems, found.runs) == (0.5, 0.5, 0.5, 1, 4)
    assert np.isnan(estimate([], lambda r: 1.0).mean)
    middle, low, high = band(rows, [lambda r: float(r["solved"])] * 2)
    assert middle.tolist() == low.tolist() == high.tolist() == [0.5, 0.5]


def test_verdicts_are_better_worse_or_undecided():
    found = {each.first: each for each in comparisons(results(24))}
    assert {name: each.verdict for name, each in found.items()} == {
        "pysr-neural:seed,child": "better",
        "same<&|": "undecided",
        "worse": "worse",
    }
    best = found["pysr-neural:seed,child"]
    assert (best.only_first, best.only_second, best.comparisons) == (24, 0, 3)
    assert best.difference.mean == 0.5
    assert best.p_wilcoxon < best.p_corrected < 0.05


@pytest.mark.parametrize("count", [6, 7, 8, 13, 14])
def test_the_signed_rank_test_is_scipy_s(count):
    rng = np.random.default_rng(count)
    tied = rng.integers(1, 4, count) * rng.choice([-1.0, 1.0, 1.0], count)
    for differences in (rng.normal(0.5, 1.0, count), *([tied, np.abs(tied)] if count != 13 else [])):
        assert signed_rank_test(differences) == pytest.approx(wilcoxon(differences).pvalue, rel=1e-12)


def test_few_problems_decide_nothing():
    assert {each.verdict for each in comparisons(results(4))} == {"undecided"}


def test_holm_s_correction():
    pairs = [(name, "pysr") for name in METHODS[1:]]
    found = compare_all(pairs, results(24).rows, lambda r: float(r.get("solved", False)))
    raw = sorted(each.p_wilcoxon for each in found)
    corrected = sorted(each.p_corrected for each in found)
    assert corrected[0] == pytest.approx(3 * raw[0])
    assert corrected == sorted(corrected)
    assert corrected[-1] <= 1.0


def test_shorter_budgets_are_read_off_the_curves():
    table = summary(results())
    assert table.header[1:-2] == ("solved by 1 s", "solved by 2 s", "solved by 3 s", "solved by 5 s", "solved by 10 s")
    cells = {line[0]: line for line in table.rows}
    assert cells["pysr-neural:seed,child"][1].startswith("0 %")
    assert cells["pysr-neural:seed,child"][2].startswith("100 %")
    assert cells["pysr"][3].startswith("0 %")
    assert cells["pysr"][5].startswith("50 %")
    (crashed,) = failures(results()).rows
    assert crashed[:4] == ("worse", "crashed", "2", "toy/p0")


def test_both_shares_are_shown_and_old_results_have_only_one():
    table = one_formula(results())
    cells = {line[0]: line for line in table.rows}
    assert cells["pysr-neural:seed,child"][1].startswith("0 %")
    assert cells["pysr-neural:seed,child"][5].startswith("50 %")
    assert "Problems solved by the one formula" in markdown(results(), "t")
    former = [{k: v for k, v in each.items() if k != "curve_one_fvu"} for each in results().rows]
    assert one_formula(Results(former, known())) is None
    assert "by the one formula" not in markdown(Results(former, known()), "t")


class Tags(HTMLParser):
    """Counts tags, and refuses what would be fetched from elsewhere."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        assert tag not in ("script", "img", "iframe")
        for name, value in attrs:
            assert name != "src"
            assert not (name.endswith("href") and not value.startswith("#"))


def test_the_page_is_one_file_and_escapes_what_it_shows():
    text = html(results(24), "A <title>")
    tags = Tags()
    tags.feed(text)
    assert "A &lt;title&gt;" in text
    assert "same&lt;&amp;|" in text
    assert "it &lt;died&gt;" in text
    assert "&#x27;&lt;y&gt;&#x27;" in text
    assert 'class="better"' in text
    assert tags.found.count("svg") == 1
    assert "@media print" in text
    assert text.count("<i ") == 24 * len(METHODS)


def test_noise_is_kept_apart_and_shown():
    noisy = [{**each, "noise": 0.1} for each in results().rows]
    both = Results([*results().rows, *noisy], known())
    assert summary(both).rows == summary(results()).rows
    assert "noise 0.1, 512 points" in markdown(both, "t")


def written(folder, count):
    """Write results as `bench run` leaves them."""
    folder.mkdir()
    (folder / "plan.json").write_text(json.dumps(known()))
    writer = store.Writer(folder)
    for each in results(count).rows:
        writer.add((each["method"], each["problem"], each["seed"]), each)
    writer.close()
    return folder


def test_the_command_writes_both_forms_from_a_folder_or_a_table(tmp_path, capsys):
    folder = written(tmp_path / "out", 24)
    assert command.main([str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["summary"][0]["method"] == "pysr"
    first = (folder / "report.md").read_text()
    assert r"same<&\|" in first
    assert "pysr-neural:seed,child is better" in first
    assert command.main([str(folder / "results.parquet"), "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "report.md").read_text() == first
    assert (tmp_path / "again" / "report.html").read_text() == (folder / "report.html").read_text()


def test_one_picture_of_few_methods(tmp_path, capsys):
    folder = written(tmp_path / "out", 6)
    picture = tmp_path / "curve.png"
    arms = ["--arms", "pysr=PySR", "pysr-neural:seed,child", "--bands", "pysr"]
    assert command.main([str(folder), "--picture", str(picture), *arms]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert not (folder / "report.html").exists()
    with pytest.raises(ConfigError, match="'pysr-neural:seed,child'"):
        command.main([str(folder), "--picture", str(picture), "--arms", "pysr-neural:seed,chld"])
    with pytest.raises(ConfigError, match="one to 4 arms; got 0"):
        curve.draw(results(6), {}, (), "", picture)


def test_labels_do_not_cover_each_other():
    places = curve.spread({"a": 0.50, "b": 0.51, "c": 0.9})
    assert places["c"] == 0.9
    assert places["b"] - places["a"] == pytest.approx(curve.APART)
    assert (places["a"] + places["b"]) / 2 == pytest.approx(0.505)


def test_a_report_needs_runs(tmp_path):
    with pytest.raises(ConfigError, match="Run `bench run` first"):
        command.main([str(tmp_path)])
    for name in ("nowhere", "nowhere.parquet"):
        with pytest.raises(ConfigError, match=f"there is nothing at .*{name}.*--out"):
            command.main([str(tmp_path / name)])
    (tmp_path / "other.parquet").write_text("no table")
    with pytest.raises(ConfigError, match=r"must be the results\.parquet of `bench run`"):
        command.main([str(tmp_path / "other.parquet")])
    pq.write_table(pa.table({"a": [1]}), tmp_path / "plain.parquet")
    with pytest.raises(ConfigError, match="holds no plan"):
        command.main([str(tmp_path / "plain.parquet")])


def test_comparisons_of_two_methods():
    rows = results().rows
    mine = [each for each in rows if each["method"] == "pysr"]
    cells = figures(mine)
    assert cells[:5] == ["24", "0.25", "0.25", "0.25", "12 (50 %)"]
    assert cells[5:7] == ["100", "5"]
    assert cells[8:] == ["80.0 %", "25.0 %"]
    assert figures([each for each in rows if each["status"] != "ok"])[1:] == ["–"] * 9
    assert scaling(rows, ["pysr"], "seconds")[-1] == ["9", "50 %, 0.25"]
    told = story(mine[2])
    assert "| 5 | 100 | 2.00 | 0 | `x1` |" in told
    assert "solved" in told
