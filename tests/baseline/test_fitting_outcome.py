"""Fronts out of members, expressions for people, and how sure a law is."""

import re

import numpy as np
import pytest
from hypothesis import given, settings

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.simplify import simplify
from pysr_neural.expression.text import parse
from pysr_neural.problem import OperatorSet
from pysr_neural_baseline.fitting.measurements import Measurements
from pysr_neural_baseline.fitting.outcome import Member, Outcome, pareto, polished, rounded, shown
from pysr_neural_baseline.fitting.uncertainty import parted, score, verdict
from pysr_neural_baseline.fitting.words import (
    constants_in_words,
    front_in_words,
    leftover_in_words,
    r2_in_words,
    verdict_in_words,
    with_error,
)
from tests.strategies import tame_floats, trees

POINTS = np.random.default_rng(3).uniform(0.2, 0.9, (8, 3))
TAME = OperatorSet.of("sin", "exp", "neg", "square", "+", "-", "*", "/", "^")


def data_of(rows=60, noise=0.01):
    rng = np.random.default_rng(0)
    X = rng.uniform(1, 3, (rows, 2))
    y = 2.5 * X[:, 0] / X[:, 1] + 1.5 + noise * rng.standard_normal(rows)
    return Measurements(X=X, y=y, features=("a", "b"), labels=("a / m", "b"), target="f", target_label="f / N")


LAW = parse("2.4 * x0 / x1 + 1.4")


@pytest.mark.parametrize(
    ("equation", "text"),
    [
        ("((x0 * 2.718281828) + 100.0)", "x0 * 2.718 + 100"),
        ("(x0 + 1.0) * (x0 - 0.5)", "(x0 + 1) * (x0 - 0.5)"),
        ("(2.0 * 3.0) + x0", "6 + x0"),
        ("(-1.8 * sqrt(x0)) + 16.94", "16.94 - 1.8 * sqrt(x0)"),
        ("x0 - (x1 - 1.5)", "x0 - (x1 - 1.5)"),
        ("16.5 + ((-0.8 / x0) - x1)", "16.5 - 0.8 / x0 - x1"),
        ("16.5 - ((-0.8 / x0) - x1)", "16.5 - (-0.8 / x0 - x1)"),
        ("x0 / (x1 / 2.5)", "x0 / (x1 / 2.5)"),
        ("(x0 ^ 2.5) ^ x1", "(x0 ^ 2.5) ^ x1"),
        ("x0 ^ (-1.5)", "x0 ^ (-1.5)"),
        ("x0 - (2.5 * (x1 * x2))", "x0 - 2.5 * x1 * x2"),
        ("neg(x0 + x1) * x2", "-(x0 + x1) * x2"),
    ],
)
def test_expressions_are_shown_short(equation, text):
    assert shown(parse(equation), None) == text


@settings(max_examples=40)
@given(trees(TAME, constants=tame_floats, max_leaves=8))
def test_what_is_shown_means_the_same(tree):
    simple = rounded(simplify(tree), 4)
    expected, found = evaluate(simple, POINTS), evaluate(parse(shown(tree, None)), POINTS)
    tame = np.abs(expected) < 1e6
    np.testing.assert_allclose(found[tame], expected[tame], rtol=1e-6, atol=1e-6)


def test_a_front_has_no_member_that_a_smaller_one_equals():
    members = [Member(LAW, size, loss, False) for size, loss in ((5, 0.1), (3, 0.5), (4, 0.5), (7, np.inf), (3, 0.6))]
    assert [(member.complexity, member.loss) for member in pareto(members)] == [(3, 0.5), (5, 0.1)]


def test_members_are_fitted_again_in_double_precision():
    data = data_of()
    (member,) = polished([Member(LAW, LAW.size, 0.5, True)], data)
    assert member.loss < 1e-3
    assert member.neural
    np.testing.assert_allclose([node.value for node in member.tree if node.value is not None], [2.5, 1.5], atol=0.02)


def test_a_fifth_is_held_out_whatever_the_order_of_rows():
    data = data_of()
    seen, held_out = parted(data)
    assert (len(seen.y), len(held_out.y)) == (48, 12)
    assert not set(seen.y) & set(held_out.y)
    shuffled = parted(data.rows(np.random.default_rng(1).permutation(60)))[1]
    assert set(shuffled.y) == set(held_out.y)


def test_few_rows_are_all_needed_and_many_are_not():
    assert parted(data_of(19))[1] is None
    seen, held_out = parted(data_of(30_000))
    assert (len(seen.y), len(held_out.y)) == (10_000, 10_000)


def test_a_score_s_interval_holds_the_truth_mostly():
    hits = []
    for seed in range(10):
        data = data_of(noise=0.0)
        residual = np.random.default_rng(seed).standard_normal(60) * 0.1
        found = score(parse("2.5 * x0 / x1 + 1.5"), data.rows(np.arange(60)))
        assert found.r2 == pytest.approx(1.0)
        noisy = Measurements(**{**vars(data), "y": data.y + residual})
        low, high = score(parse("2.5 * x0 / x1 + 1.5"), noisy).rmse_interval
        hits.append(low < 0.1 < high)
    assert sum(hits) >= 7


def test_a_verdict_tells_scores_and_constants():
    data = data_of()
    seen, held_out = parted(data)
    (member,) = polished([Member(LAW, LAW.size, 0.5, False)], seen)
    found = verdict(member.tree, seen, held_out)
    assert found.held_out.rows == 12
    assert found.held_out.r2 > 0.999
    for (value, error), true in zip(found.constants, (2.5, 1.5), strict=True):
        assert 0 < error < 0.01
        assert abs(value - true) < 4 * error
    words = verdict_in_words(found)
    assert "held out" in words
    assert "±" in words


def test_a_law_that_is_not_finite_everywhere_has_no_score():
    data = data_of()
    found = score(parse("log(x0 - 2)"), data)
    assert found.rmse == np.inf
    assert found.r2 == -np.inf


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (365.2512, 0.0381, "365.251 ± 0.038"),
        (-0.8801, 0.0312, "-0.880 ± 0.031"),
        (6.674e-11, 1.2e-14, "(6.6740 ± 0.0012)e-11"),
        (2.5e9, 3e7, "(2.500 ± 0.030)e+9"),
        (1234.0, 56.0, "1234 ± 56"),
        (1.5, np.inf, "1.5 (not determined by the data)"),
    ],
)
def test_values_and_errors_have_the_same_digits(value, error, text):
    assert with_error(value, error) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.5"), (0.98765, "0.988"), (0.99999712, "0.9999971"), (1.0, "1"), (np.nan, "unknown")]
)
def test_r2_has_the_digits_that_tell_it_from_1(value, text):
    assert r2_in_words(value) == text


def test_the_front_fits_a_screen():
    data = data_of()
    members = tuple(Member(LAW, size, 1.0 / size, size % 2 == 0) for size in range(1, 60))
    lines = front_in_words(Outcome(data, members, "", 1.0)).splitlines()
    assert len(lines) <= 26
    assert sum(line.startswith(">") for line in lines) == 1
    assert constants_in_words(verdict(parse("x0"), data, None)) == ""


def outcome_of(data, text):
    tree = parse(text)
    loss = float(np.mean(np.square(data.y - evaluate(tree, data.X))) / np.var(data.y))
    return Outcome(data, (Member(tree, tree.size, loss, False),), "", 1.0)


def test_residuals_of_the_law_look_like_noise():
    words = leftover_in_words(outcome_of(data_of(400), "2.5 * x0 / x1 + 1.5"))
    assert words == "The residuals look like noise: on 400 rows they depend on no column, nor on the formula's values."


@pytest.mark.parametrize("rows", [60, 400])
@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("2.5 * x0 / x1 + 1.5 + 0.2 * x1", "b"),
        ("2.5 * x0 / x1 + 1.5 + 0.2 * x1 - 0.3 * sin(3.0 * x0)", "a and b"),
    ],
)
def test_residuals_that_keep_structure_are_told_with_the_columns(rows, text, what):
    words = leftover_in_words(outcome_of(data_of(rows), text))
    assert words.startswith(f"The residuals still depend on {what}: this formula is not the whole law")


@pytest.mark.parametrize(
    ("left", "formula", "what"),
    [
        (lambda X: (X[:, 0] - 0.5) * (X[:, 2] - 0.5), "x0 + x1", "a and c together"),
        (lambda X: 30 * np.prod(X - 0.5, axis=1), "x0", "the columns in some way"),
        (lambda X: np.cos(8 * X.sum(axis=1)), "x0 + x1 + x2", "the value of f"),
    ],
)
def test_residuals_of_many_columns_together_or_of_the_formula_s_value(left, formula, what):
    rng = np.random.default_rng(0)
    X, names = rng.uniform(0, 1, (512, 3)), ("a", "b", "c")
    rest = left(X)
    y = evaluate(parse(formula), X) + rest + 0.5 * rest.std() * np.random.default_rng(2).standard_normal(512)
    data = Measurements(X=X, y=y, features=names, labels=names, target="f", target_label="f")
    assert leftover_in_words(outcome_of(data, formula)).startswith(f"The residuals still depend on {what}:")


def test_few_rows_say_little():
    assert leftover_in_words(outcome_of(data_of(12), "2.5 * x0 / x1 + 1.5")).startswith("12 rows are too few to tell")
    words = leftover_in_words(outcome_of(data_of(60), "2.5 * x0 / x1 + 1.5"))
    assert words == "The residuals were not seen to depend on anything, but 60 rows show strong dependence only."


def test_a_weak_sign_is_called_one():
    data = data_of(400)
    signs = []
    for slope in np.linspace(0, 8e-3, 81):
        signs.append(leftover_in_words(outcome_of(data, f"2.5 * x0 / x1 + 1.5 + {slope} * x0")))
    weak = [words for words in signs if "may depend" in words]
    assert re.fullmatch(r"The residuals may depend on a, or seem to by chance, in [1-5]% of cases\.", weak[0])
    assert "noise" in signs[0]
    assert "still depend on a" in signs[-1]


def test_rounding_is_not_taken_for_structure():
    data = data_of(400, noise=0.0)
    assert leftover_in_words(outcome_of(data, "2.5 * x0 / x1 + 1.5")) == "Nothing is left but rounding."
    far = Measurements(**{**vars(data), "y": 1e9 + np.round(data.y)})
    shifted = Measurements(**{**vars(data), "y": 1e9 + data.y})
    assert leftover_in_words(outcome_of(shifted, "2.5 * x0 / x1 + 1000000001.5")) == "Nothing is left but rounding."
    assert "still depend" in leftover_in_words(outcome_of(far, "2.5 * x0 / x1 + 1000000001.0"))
