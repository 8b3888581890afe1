"""Policies in BasicSR's place: what is compared with what, resumption, the report."""

import json

import numpy as np
import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.proposer.policy.network import PolicyConfig, PolicyNetwork
from pysr_neural_benchmarks.studies import policies
from pysr_neural_training.policy.problems import held_out_of


def row(solved, evaluations, seconds):
    return {"solved": solved, "evaluations": evaluations, "seconds": seconds, "made": [1.0]}


def test_an_arm_is_compared_at_its_evaluations_and_at_its_longest_seconds():
    own = [row([True, False, True], [50, 100, 70], [0.1, 0.4, 0.2])]
    basic = [row([True, True, False], [90, 500, 9000], [0.05, 0.3, 0.35])]
    found = policies.compared(own, basic, 100)
    assert found["solved"] == pytest.approx(2 / 3)
    assert found["basicsr"] == pytest.approx(1 / 3)  # The second took 500 evaluations,
    assert found["basicsr_in_longest"] == pytest.approx(2 / 3)  # and .3 of .4 seconds.
    assert found["basicsr_ended"] == pytest.approx(1 / 3)  # The third ended before, unsolved.
    assert found["difference"] == pytest.approx(1 / 3)
    assert found["difference_in_seconds"] == pytest.approx(0.0)
    assert found["evaluations_basicsr"] == pytest.approx((90 + 100 + 100) / 3)


def test_curves_rise_to_the_share_solved():
    (x, y) = policies.curves({"a": [row([True, False], [10, 100], [0.1, 0.2])]}, "evaluations")["a"]
    assert (y[0], y[-1]) == (0.0, 0.5)
    assert list(y) == sorted(y)
    assert x[-1] == pytest.approx(100)


def test_held_out_problems_differ_in_more_than_their_data():
    stream = held_out_of("roots", 3)
    first = [next(stream) for _ in range(8)]
    assert len({round(float(np.corrcoef(each.X[:, 0], each.y)[0, 1]), 12) for each in first}) == 8


def test_another_seed_of_problems_gives_other_problems():
    first, again, other = (policies.problems_of("roots", 3, 10, seed) for seed in (3, 3, 4))
    assert first is again
    assert not any(np.array_equal(a.y, b.y) for a in first for b in other)


def test_the_command_goes_on_and_tells_files_apart(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(policies, "PRIORS", {"arithmetic": policies.PRIORS["arithmetic"]})
    suites = policies.load_suite
    monkeypatch.setattr(policies, "load_suite", lambda name: suites(name)[:2])
    policies.problems_of.cache_clear()
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    PolicyNetwork.initial(PolicyConfig(width=4, kinds=("randomize",)), 0).save(one)
    PolicyNetwork.initial(PolicyConfig(width=4, kinds=("randomize",)), 1).save(two)
    given = [
        "--problems",
        "2",
        "--seeds",
        "1",
        "--seconds",
        "0.1",
        "--evaluations",
        "60",
        "--out",
        str(tmp_path / "out"),
    ]
    assert policies.main([f"mine={one}", *given, "--json"]) == 0
    lines = (tmp_path / "out" / "results.jsonl").read_text(encoding="utf-8").splitlines()
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(found["mine"]) == {"arithmetic", "suites", "all held out"}
    assert found["mine"]["suites"]["made"] == 1.0
    assert policies.main([f"mine={one}", *given]) == 0
    assert (tmp_path / "out" / "results.jsonl").read_text(encoding="utf-8").splitlines() == lines
    assert policies.main([f"mine={two}", *given]) == 0  # Another file of the same name is another policy.
    assert len((tmp_path / "out" / "results.jsonl").read_text(encoding="utf-8").splitlines()) == len(lines) + 2
    assert (tmp_path / "out" / "policies.png").exists()
    policies.problems_of.cache_clear()
    with pytest.raises(ConfigError, match="given as NAME=FILE"):
        policies.main(["mine"])
