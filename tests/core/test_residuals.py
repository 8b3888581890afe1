"""Lack of fit: noise is noise whatever its shape, near misses that searches found are not, and what they depend on."""

import numpy as np
import pytest

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.residuals import NEIGHBOURHOOD, PREDICTION, STRUCTURE, LackOfFit
from pysr_neural.expression.text import parse

ROWS = 512
LAWS = [
    ("sin(x0) + sin(x0 + x0 * x0)", [(-1, 1)], "2.1555236 * exp(x0 * cos(x0)) - 2.1290706"),
    ("(exp(x0) + exp(-1.0 * x0)) / 2", [(-1, 1)], "6.02554018 * sqrt(x0 / sin(x0)) - 5.02570469"),
    ("exp(-0.5 * x0 * x0)", [(-1, 1)], "3.67411019 * exp(sin(x0) / x0) - 2.3290439 * cos(x0) - 6.65822070"),
    (
        "2 * sin(x0) * cos(x1)",
        [(0, 1), (0, 1)],
        "1.81467528 * x0 * cos(x1) + 0.27665959 * sin(exp(x0)) - 0.23287153",
    ),
    (
        "x0 / sqrt(1 - x1 * x1 / (x2 * x2))",
        [(1, 5), (1, 2), (3, 10)],
        "x0 * (-1.27227146 * cos(x1 / x2) + 2.2667502)",
    ),
    (
        "x0 * x2 * x2 / sqrt(1 - x1 * x1 / (x2 * x2))",
        [(1, 5), (1, 2), (3, 10)],
        "0.99966057 * (x2 * x2 * x0 / cos(x1 / x2)) + 0.16181339",
    ),
    (
        "1 / (exp(x0 * x1 / (6.283185307 * x3 * x2)) - 1)",
        [(1, 5), (1, 5), (1, 5), (1, 5)],
        "6.2738437 * (x2 * x3 / (x0 * x1)) - 0.46648271",
    ),
]
"""Laws of Nguyen, Livermore and Feynman, their ranges, and near misses that joins found in data without noise."""
NAMES = [law for law, _, _ in LAWS]
SHAPES = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "heavy tails": lambda rng, size: rng.standard_t(2, size),
    "skewed": lambda rng, size: rng.exponential(size=size) - 1,
}


def drawn(ranges, rows=ROWS, seed=0):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(low, high, rows) for low, high in ranges])


def leftover(X, residuals, text):
    tree = parse(text)
    return LackOfFit(X).of(residuals, evaluate(tree, X), [node.index for node in tree if node.index is not None])


@pytest.mark.parametrize(("law", "ranges", "near"), LAWS, ids=NAMES)
def test_near_misses_of_exact_data_keep_structure(law, ranges, near):
    X = drawn(ranges)
    y = evaluate(parse(law), X)
    residuals = y - evaluate(parse(near), X)
    assert residuals.var() < 6e-3 * y.var()
    found = leftover(X, residuals, near)
    assert found.structure
    assert not found.is_noise


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(("law", "ranges", "near"), LAWS, ids=NAMES)
def test_what_a_law_leaves_is_noise_whatever_its_shape(law, ranges, near, shape):
    X, tree = drawn(ranges), parse(law)
    test, values = LackOfFit(X), evaluate(tree, X)
    used = [node.index for node in tree if node.index is not None]
    found = [test.of(shape(np.random.default_rng(seed), ROWS), values, used) for seed in range(20)]
    assert sum(each.is_noise for each in found) >= 16
    assert sum(bool(each.structure) for each in found) <= 2


def test_chances_are_what_they_say():
    X = drawn([(0, 1)] * 3, 150)
    test, rng = LackOfFit(X), np.random.default_rng(1)
    chances = [test.of(rng.standard_normal(150), X.sum(axis=1), (0, 1)).dependences[0].chance for _ in range(1000)]
    assert 0.025 < np.mean(np.array(chances) < 0.05) < 0.075
    assert np.mean(np.array(chances) < STRUCTURE) < 0.02


def test_noise_that_grows_with_a_variable_is_noise():
    X = drawn([(1, 5), (1, 5)])
    noise = np.random.default_rng(3).standard_normal(ROWS) * X[:, 0] ** 2
    assert leftover(X, noise, "x0 * x1").is_noise


@pytest.mark.parametrize(
    ("structure", "text", "on"),
    [
        (lambda X: np.sin(6 * X[:, 1]), "x0 + x1", (1,)),
        (lambda X: (X[:, 0] - 0.5) * (X[:, 2] - 0.5) * 4, "x0 + x1", (0, 2)),
        (lambda X: np.cos(8 * (X[:, 0] + X[:, 1] + X[:, 2])), "x0 + x1 + x2", PREDICTION),
        (lambda X: np.prod(X - 0.5, axis=1) * 30, "x0", NEIGHBOURHOOD),
    ],
    ids=["one variable", "a pair", "the formula's value", "three together"],
)
def test_it_says_what_residuals_depend_on(structure, text, on):
    X = drawn([(0, 1)] * 3)
    signal = structure(X)
    residuals = signal + 0.5 * signal.std() * np.random.default_rng(2).standard_normal(ROWS)
    assert leftover(X, residuals, text).structure[0].on == on


def test_a_small_share_of_structure_is_seen_and_a_tiny_one_is_not():
    X, noise = drawn([(0, 1), (0, 1)]), np.random.default_rng(5).standard_normal(ROWS)
    wave = np.sqrt(2) * np.cos(np.pi * X[:, 1])
    assert leftover(X, noise + 0.4 * wave, "x0").structure[0].on == (1,)
    assert leftover(X, noise + 0.02 * wave, "x0").is_noise


def test_columns_of_few_values_are_tested_for_as_many():
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.integers(0, 2, ROWS), np.full(ROWS, 3.0), rng.uniform(size=ROWS)]).astype(float)
    noise = rng.standard_normal(ROWS)
    assert leftover(X, noise, "x2").is_noise
    assert leftover(X, noise + X[:, 0], "x2").structure[0].on == (0,)


def test_few_rows_are_never_called_noise():
    for rows, features in ((30, 1), (140, 2), (240, 10)):
        X = drawn([(0, 1)] * features, rows)
        noise = np.random.default_rng(rows).standard_normal(rows)
        found = leftover(X, noise, "x0")
        assert not found.enough
        assert not found.is_noise
        assert leftover(X, 2 * X[:, 0] ** 2 + 0.1 * noise, "x0").structure
    assert leftover(drawn([(0, 1)] * 10, 260), np.random.default_rng(1).standard_normal(260), "x0").is_noise


def test_many_constants_need_more_rows():
    X, noise = drawn([(0, 1)], 200), np.random.default_rng(0).standard_normal(200)
    test = LackOfFit(X)
    assert test.of(noise, X[:, 0], (0,), 3).is_noise
    assert not test.of(noise, X[:, 0], (0,), 20).is_noise


@pytest.mark.parametrize(
    "residuals", [np.zeros(ROWS), np.full(ROWS, np.nan), np.r_[np.inf, np.zeros(ROWS - 1)]], ids=["0", "nan", "inf"]
)
def test_of_what_does_not_vary_or_is_not_finite_nothing_is_said(residuals):
    found = leftover(drawn([(0, 1)]), residuals, "x0")
    assert found.dependences == ()
    assert not found.is_noise


def test_one_and_two_rows_say_nothing():
    for rows in (1, 2):
        assert leftover(drawn([(0, 1)], rows), np.arange(1.0, rows + 1), "x0").dependences == ()


def test_the_shape_of_the_scale_does_not_matter():
    X, noise = drawn([(1, 9), (1, 9)]), np.random.default_rng(5).standard_normal(ROWS)
    one, other = leftover(X, noise, "x0"), LackOfFit(np.exp(X)).of(noise, evaluate(parse("x0"), X), (0,))
    assert [each.on for each in one.dependences] == [each.on for each in other.dependences]
    np.testing.assert_allclose(
        [each.chance for each in one.dependences], [each.chance for each in other.dependences], rtol=1e-6
    )


def test_of_many_rows_some_are_looked_at():
    X = drawn([(0, 1)] * 2, 30_000)
    noise = np.random.default_rng(0).standard_normal(30_000)
    assert leftover(X, noise + 0.01 * X[:, 0], "x1").is_noise
    assert leftover(X, noise + 2.0 * X[:, 0], "x1").structure
