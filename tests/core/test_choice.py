"""The one formula of a front: by description length."""

import math

import numpy as np
import pytest

from pysr_neural.expression.choice import FLOOR, NODE_BITS, DescriptionLength, formula_bits
from pysr_neural.expression.fit import mean_squared_error, refine
from pysr_neural.expression.text import parse

RNG = np.random.default_rng(3)
X = RNG.uniform(0.5, 3.0, (200, 2))


def handed_over(texts, X, y):
    """Refine each formula on the data, and return the text of the one that is handed over."""
    trees = [refine(parse(text), X, y)[0] for text in texts]
    chosen = DescriptionLength(y).choose(trees, [mean_squared_error(tree, X, y) for tree in trees])
    return texts[chosen]


LADDER = ["1.5", "1.1 * x0", "1.1 * x0 + 0.3", "1.1 * x0 * x1 + 0.3", "1.1 * x0 * x1 + 0.3 + 0.1 * sin(3.0 * x1)"]


@pytest.mark.parametrize("noise", [0.0, 0.001, 0.01, 0.1])
def test_the_law_is_handed_over_at_any_noise(noise):
    y = 2.5 * X[:, 0] * X[:, 1] + 0.7
    y = y + noise * y.std() * RNG.standard_normal(len(y))
    assert handed_over(LADDER, X, y) == LADDER[3]


def test_of_exact_formulas_the_simplest_is_handed_over_whatever_rounding_left():
    trees = [parse("x0"), parse("x0 * x1"), parse("x1 * x0 + 0.0")]
    y = X[:, 0] * X[:, 1]
    scale = float(np.var(y))
    assert DescriptionLength(y).choose(trees, [0.5, 0.9 * FLOOR * scale, 0.0]) == 1


def test_what_is_not_finite_is_handed_over_last():
    trees = [parse("log(x0)"), parse("x0 + x1 * 3.3"), parse("x1")]
    lengths = DescriptionLength(X[:, 0])
    assert lengths.choose(trees, [math.inf, 0.1, math.nan]) == 1
    assert lengths.choose(trees[:1], [math.inf]) == 0


def test_constant_targets_have_a_length():
    assert math.isfinite(DescriptionLength(np.zeros(5)).of(parse("x0"), 1.0))
    assert math.isfinite(DescriptionLength(np.full(1, 3.0)).of(parse("3.0"), 0.0))


def test_bits_of_a_formula():
    for text, nodes, constants in [
        ("x0", 1, 0),
        ("x0 * x1", 3, 0),
        ("0.123 * x0", 1, 1),
        ("15.56 - 0.87 * log(x0)", 2, 2),
        ("1e300 * x0", 1, 1),
        ("2.5 * 3.5", 3, 2),
    ]:
        assert formula_bits(parse(text), 7.0) == nodes * NODE_BITS + 7.0 * constants
    assert formula_bits(parse("x0 ^ 2.0"), 7.0) == 3 * NODE_BITS + 1 + math.log2(3)
    assert formula_bits(parse("3.0 * x0"), 2.5) == NODE_BITS + 2.5


def test_a_constant_is_dear_where_the_rest_is_small():
    lengths = DescriptionLength(X[:, 0])
    scale = lengths.scale

    def price(fvu):
        return lengths.of(parse("0.77 * x0"), fvu * scale) - lengths.of(parse("x0"), fvu * scale)

    assert price(1e-4) == pytest.approx(price(1e-2) + math.log2(10))
