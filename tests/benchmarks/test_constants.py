"""`bench constants`: methods side by side on true forms whose constants are 1."""

import json

import numpy as np
import pytest

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.text import parse
from pysr_neural_benchmarks.speed.before import least_squares, refine_before, refine_by_scipy
from pysr_neural_benchmarks.speed.constants import Result, cases, main, measure, summary, table

X = np.random.default_rng(0).uniform(0.2, 2.0, (40, 2))


@pytest.mark.parametrize("refine", [refine_before, refine_by_scipy])
def test_the_methods_compared_fit_what_is_easy_and_give_up_on_what_is_not_finite(refine):
    y = evaluate(parse("2.5 * sin(1.3 * x0) + 0.7"), X)
    tree, loss = refine(parse("1 * sin(1 * x0) + 1"), X, y)
    assert loss < 1e-15
    assert np.abs(tree.constants()) == pytest.approx([2.5, 1.3, 0.7], rel=1e-4)
    hopeless = parse("log(0 - x0) + 1")
    assert refine(hopeless, X, y) == (hopeless, float("inf"))
    assert refine(parse("x0"), X, y)[0] == parse("x0")


def test_the_descent_before_survives_a_gain_far_beyond_what_was_expected():
    def residuals(points):  # As where a prediction is not finite until a step has been made.
        return np.concatenate([np.where(points[..., :1] < 1.5, 1e150, 0.0), points[..., :1] - 2.0], axis=-1)

    assert least_squares(residuals, np.array([1.0]), 50) == pytest.approx([2.0])


def test_cases_have_the_constant_one_only_and_are_drawn_again_alike():
    first, second = cases(("livermore",), 6, 3), cases(("livermore",), 6, 3)
    assert len(first) == 5
    for one, other in zip(first, second, strict=True):
        assert set(one.tree.constants()) <= {1.0}
        np.testing.assert_array_equal(one.X, other.X)
    assert not np.array_equal(first[0].X, cases(("livermore",), 6, 4)[0].X)


def test_shares_count_all_formulas_and_speed_those_with_constants():
    results = [
        Result("a", "one", "refine", 2, 1e-9, 0.001),
        Result("a", "two", "refine", 0, 0.0, 5.0),
        Result("b", "three", "refine", 1, 0.5, 0.003),
        Result("a", "one", "before", 2, 1e-9, 0.010),
        Result("a", "two", "before", 0, 0.0, 5.0),
        Result("b", "three", "before", 1, 1e-9, 0.010),
    ]
    figures = summary(results)
    assert figures["share"] == pytest.approx(2 / 3)
    assert figures["fits_per_second"] == pytest.approx(500)
    assert figures["ratio_to_before"] == pytest.approx(5)
    assert figures["methods"]["before"]["share"] == 1
    assert figures["methods"]["refine"]["suites"]["a"]["share"] == 1
    assert figures["missed"] == {"refine": ["b/three"], "before": []}
    assert "b/three" in table(figures)


def test_methods_are_measured_on_the_same_data_and_reported(capsys):
    assert {each.method for each in measure(cases(("livermore",), 9, 0), 2, ("refine", "scipy"))} == {"refine", "scipy"}
    main(["--suite", "livermore", "--every", "9", "--rounds", "1", "--json"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"share", "fits_per_second", "ratio_to_before", "methods", "missed"} <= set(figures)
    assert set(figures["methods"]) == {"refine", "before", "scipy"}
    assert figures["methods"]["refine"]["reached"] >= figures["methods"]["before"]["reached"]
