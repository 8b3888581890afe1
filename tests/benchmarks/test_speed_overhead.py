import json
import math
import sys
import types

import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.interop import julia as boot_module
from pysr_neural.interop.report import NeuralReport
from pysr_neural_benchmarks.speed import overhead
from pysr_neural_benchmarks.speed.overhead import Overhead, Settings, main, measure, table

RESULT = Overhead(
    {"none": (100.0, 200.0, 50.0), "record": (99.0, 202.0, 50.0), "neural": (90.0, 190.0, 44.0)},
    "PySR 2.7.2",
    12,
    0.08,
    60.0,
)


def test_ratios_are_of_mean_rates_and_lie_within_their_interval():
    assert RESULT.ratio("record") == pytest.approx(351 / 350)
    assert RESULT.ratio("neural") == pytest.approx(324 / 350)
    low, high = RESULT.interval("neural")
    assert low == pytest.approx(0.88, abs=1e-3)
    assert high == pytest.approx(0.95, abs=1e-3)


def test_the_json_has_the_agreed_keys():
    result = json.loads(json.dumps(RESULT.to_dict()))
    assert {"record_ratio", "neural_ratio", "engine"} <= set(result)
    assert "0.926" in table(RESULT)
    assert "PySR 2.7.2" in table(RESULT)


@pytest.fixture
def searches(monkeypatch):
    """Searches that take no time: rates by way, and the order in which they ran."""
    ran = []
    rates = {"none": 100.0, "record": 99.5, "neural": 91.0}

    def fit(way, settings):
        ran.append((way, settings.seconds))
        report = NeuralReport(served=3, model_seconds=0.5, search_seconds=10) if way == "neural" else None
        return rates[way] if seconds_needed[0] <= settings.seconds else math.nan, report

    seconds_needed = [0.0]
    monkeypatch.setattr(overhead, "_fit", fit)
    monkeypatch.setattr(boot_module, "boot", lambda: types.SimpleNamespace(__version__="9"))
    return types.SimpleNamespace(ran=ran, rates=rates, seconds_needed=seconds_needed)


def test_the_three_ways_are_interleaved_and_the_warm_up_is_not_counted(searches):
    result = measure(Settings(seconds=7.0, repeats=3))
    assert len(result.rates["none"]) == 3
    assert [way for way, _ in searches.ran[:3]] == ["none", "record", "neural"]
    assert [way for way, _ in searches.ran[3:6]] == ["record", "neural", "none"]
    assert {seconds for _, seconds in searches.ran} == {7.0}
    assert result.served == 9
    assert math.isclose(result.model_share, 0.05)


def test_searches_that_are_too_short_to_be_measured_become_longer(searches):
    searches.seconds_needed[0] = 25.0
    said = []
    result = measure(Settings(seconds=7.0, repeats=2), said.append)
    assert result.seconds == 28.0
    assert len(result.rates["none"]) == len(result.rates["neural"]) == 2
    assert [seconds for _, seconds in searches.ran[:3]] == [7.0, 14.0, 28.0]
    assert "28 s from now on" in said[1]
    searches.seconds_needed[0] = math.inf
    with pytest.raises(ConfigError, match="Raise --seconds"):
        measure(Settings(seconds=7.0, repeats=2))


@pytest.mark.parametrize(("option", "meant"), [("auto", "auto"), ("0.25", 0.25)])
def test_overhead_is_a_share_or_the_default(option, meant):
    assert overhead._parser().parse_args(["--max-overhead", option]).max_overhead == meant


def test_the_command_prints_json_last_and_fails_below_the_targets(searches, capsys):
    assert main(["--repeats", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["neural_ratio"] == pytest.approx(0.91)
    searches.rates["neural"] = 80.0
    assert main(["--repeats", "2"]) == 1


def test_the_command_needs_no_torch():
    import subprocess

    code = "import sys, pysr_neural_benchmarks.speed.overhead; assert not {'torch', 'pysr'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
