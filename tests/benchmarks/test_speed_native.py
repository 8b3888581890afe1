"""The bench of the step that looks ahead: its ratios and what it prints; the methods' arguments."""

import json

import pytest

from pysr_neural.errors import ConfigError
from pysr_neural_benchmarks.methods import pysr
from pysr_neural_benchmarks.speed import native


@pytest.fixture
def measured(monkeypatch):
    rates = {True: iter([1.0, 90.0, 110.0, 96.0]), False: iter([1.0, 100.0, 100.0, 100.0])}
    monkeypatch.setattr("pysr_neural.interop.julia.load_package", lambda: None)
    monkeypatch.setattr(native, "searched", lambda settings, seconds, plugins: (None, next(rates[bool(plugins)])))

    def steps(ratio):
        monkeypatch.setattr(native, "step_ratios", lambda settings: [(ratio, 5.0, 5.0 * ratio)] * 3)

    return steps


@pytest.mark.parametrize(("ratio", "status"), [(1.2, 0), (1.4, 1)])
def test_the_command_ends_with_one_json_object(measured, capsys, ratio, status):
    measured(ratio)
    assert native.main(["--repeats", "3", "--json"]) == status
    lines = capsys.readouterr().out.splitlines()
    found = json.loads(lines[-1])
    assert found["step_ratio"] == ratio
    assert found["evaluations_ratio"] == pytest.approx(0.96)  # Without the turn that compiles.
    assert found["evaluations_per_second"] == {"plain": 100.0, "foresight": 96.0}
    assert found["step_microseconds"] == {"plain": 5.0, "foresight": 5.0 * ratio}
    assert any("≤ 1.3" in line for line in lines)


def test_the_method_reads_its_argument(monkeypatch):
    monkeypatch.setattr("pysr_neural.interop.julia.load_package", lambda: None)
    (plugin,) = pysr.foresight("untrained,share=0.3,precision=64", "").parameters["plugins"]
    assert (plugin.levels, plugin.foresight, plugin.foresight_share) == (("foresight",), (), 0.3)
    assert pysr.foresight("", "").parameters["plugins"][0].foresight is None
    for wrong in ("trained", "share=much", "shares=0.1"):
        with pytest.raises(ConfigError, match="pysr-foresight takes"):
            pysr.foresight(wrong, "")
