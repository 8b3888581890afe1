"""Products and sums of two curves with a free constant inside each."""

from dataclasses import dataclass

import numpy as np
import pytest

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.node import Node
from pysr_neural.expression.text import parse
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.curve_pairs import CurvePairs
from pysr_neural.proposer.joins.curves import QUANTA
from pysr_neural.proposer.joins.pair_fits import PairFits
from pysr_neural.proposer.joins.pair_grid import FAMILIES, Curve, PairGrid, Places
from pysr_neural.proposer.joins.search import Joiner
from pysr_neural.proposer.joins.splits import targets_of

ALL = OperatorSet.of("+", "-", "*", "/", "sin", "cos", "exp", "log", "sqrt")
ROWS = slice(0, 120)


def pairs(text: str, X: np.ndarray, noise: float = 0.0, operators: OperatorSet = ALL) -> list[Node]:
    y = evaluate(parse(text), X)
    y = y + noise * np.std(y) * np.random.default_rng(1).standard_normal(len(y))
    with np.errstate(all="ignore"):
        tried = CurvePairs(X, operators, range(X.shape[1]), ROWS, 0.08)
        return list(tried.found(targets_of(y, operators)[0], True, lambda left, size: size <= 40))


def uniform(*ranges: tuple[float, float], rows: int = 200) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.column_stack([rng.uniform(low, high, rows) for low, high in ranges])


def least(trees: list[Node], text: str, X: np.ndarray) -> float:
    return min(fraction_unexplained(evaluate(tree, X), evaluate(parse(text), X)) for tree in trees)


@dataclass(frozen=True)
class Law:
    """A formula, and the ranges of its variables."""

    text: str
    ranges: tuple[tuple[float, float], ...]


LAWS = {
    "damped wave": Law("1.7 * exp(-0.89 * x0) * cos(3.64 * x0 + 0.4) + 0.37", ((0.0, 5.0),)),
    "long damped wave": Law("2.5 * exp(-0.089 * x0) * sin(6.19 * x0 - 1.8)", ((0.0, 10.0),)),
    "wave packet": Law("2.1 * exp(-0.24 * x0 * x0) * cos(5.17 * x0) + 0.6", ((-3.0, 3.0),)),
    "damped in another variable": Law("2.0 * exp(-1.49 * x0) * sin(1.88 * x1 + 3.0) + 1.3", ((0.0, 3.0), (0.0, 4.0))),
    "power times exponential": Law("5.5 * exp(2.82 * log(x0)) * exp(-1.97 * x0) - 0.09", ((0.1, 6.0),)),
    "Arrhenius": Law("1.6 * x0 * sqrt(x0) * exp(-5.6 / x0) + 0.2", ((1.0, 6.0),)),
    "two waves": Law("1.8 * sin(1.73 * x0 + 2.0) + 0.96 * sin(5.74 * x0 + 3.2) + 0.3", ((0.0, 6.0),)),
    "two waves of two variables": Law("1.7 * sin(2.66 * x0 - 1.4) + 0.86 * cos(2.2 * x1)", ((0.0, 5.0), (0.0, 5.0))),
    "beats": Law("1.7 * sin(0.92 * x0) * sin(5.97 * x0)", ((0.0, 6.0),)),
    "two exponentials": Law("2.7 * exp(-0.54 * x0) + 2.65 * exp(-3.6 * x0) + 1.0", ((0.0, 5.0),)),
    "radiation by wavelength": Law("11.0 / (x0 * x0 * x0 * x0 * x0 * (exp(3.3 / x0) - 1.0))", ((0.5, 5.0),)),
    "radiation": Law("14.5 * x0 * x0 * x0 / (exp(1.95 * x0 / x1) - 1.0)", ((0.2, 5.0), (1.0, 3.0))),
    "occupation": Law("3.2 * sqrt(x0) / (exp(1.32 * x0 / x1) + 1.0)", ((0.2, 5.0), (1.0, 3.0))),
    "many periods": Law("1.6 * sin(9.16 * x0 + 2.7) + 0.5", ((0.0, 10.0),)),
}


@pytest.mark.parametrize("name", LAWS)
def test_laws_of_two_curves_are_found(name: str) -> None:
    X = uniform(*LAWS[name].ranges)
    assert least(pairs(LAWS[name].text, X), LAWS[name].text, X) < 1e-20


@pytest.mark.parametrize("name", ["damped wave", "power times exponential", "two waves", "radiation"])
def test_noise_costs_no_more_than_it_must(name: str) -> None:
    text, noise = LAWS[name].text, 0.01
    X = uniform(*LAWS[name].ranges)
    # Six constants fitted to 200 rows take in some six two hundredths of the noise's variance.
    assert least(pairs(text, X, noise), text, X) < 3 * 6 / 200 * noise**2


def test_the_joiner_finds_a_damped_wave() -> None:
    X = uniform((0.0, 5.0))
    y = evaluate(parse(LAWS["damped wave"].text), X)
    joiner = Joiner(X, y, ALL, 30)
    joiner.work(25)
    assert joiner.solved
    best = joiner.answers.best()[0]
    assert sorted(abs(value) for value in best.constants() if value is not None)[:2] == pytest.approx([0.37, 0.89])


def test_a_product_is_found_beside_variables() -> None:
    """Of parts that are too long together to be one part: light of two sources that interfere."""
    X = uniform((1.0, 5.0), (1.0, 5.0), (1.0, 5.0))
    y = evaluate(parse("x0 + x1 + 2.0 * sqrt(x0 * x1) * cos(x2)"), X)
    joiner = Joiner(X, y, ALL, 30)
    joiner.work(25)
    assert joiner.solved


@pytest.mark.parametrize("ways", [{"pairs"}, set()], ids=["with", "without"])
def test_pairs_can_be_left_out(ways: set[str]) -> None:
    X = uniform((0.0, 5.0))
    joiner = Joiner(X, evaluate(parse(LAWS["damped wave"].text), X), ALL, 30, ways=ways)
    joiner.work(16)
    assert joiner.solved == bool(ways)


def test_only_operators_of_the_search_are_written() -> None:
    X = uniform((0.0, 5.0))
    few = OperatorSet.of("+", "*", "cos", "exp")
    found = pairs("1.7 * exp(-0.89 * x0) * cos(3.64 * x0 + 0.4)", X, operators=few)
    assert found
    assert {node.operator for tree in found for node in tree if node.operator} <= {"+", "*", "cos", "exp"}
    assert pairs("1.7 * x0", X, operators=OperatorSet.of("+", "*")) == []


@pytest.mark.parametrize("position", range(len(QUANTA)))
def test_slopes_of_occupations_are_derivatives(position: int) -> None:
    family, u = QUANTA[position], np.linspace(0.2, 1.2, 7)[None]
    for start in family.starts:
        at = np.full((1, 1), start)
        numerical = (family.values(u, at + 1e-6) - family.values(u, at - 1e-6)) / 2e-6
        np.testing.assert_allclose(family.slopes(u, at), numerical, rtol=1e-4, atol=1e-8)


def test_fits_leave_what_least_squares_leaves() -> None:
    """Beside a constant and the first curve, and with both columns of a wave."""
    x = uniform((0.5, 3.0), rows=100)[:, 0]
    places = Places.of([parse("x0")], x[None])
    factors = np.stack([np.ones_like(x), x / x.max()])
    v = np.random.default_rng(2).standard_normal(len(x))
    v = (v - v.mean()) / np.linalg.norm(v - v.mean())
    with np.errstate(all="ignore"):
        grid = PairGrid(places, factors, np.array([0, 2]), ALL, 0.0, single=True)
        chosen = grid.products(v, (3, 3, 3, 3))
        one, two = np.array(chosen).T
        yes = np.ones(len(chosen), dtype=bool)
        fits = PairFits(places, factors, v, grid.first.some(one), grid.second.some(two), yes, yes)
    assert {int(family) for family in fits.two.family} == {0, 1, 2, 3}
    for k in range(len(chosen)):
        design = np.vstack([fits.columns()[k], np.ones_like(x)]).T
        rest = v - design @ np.linalg.lstsq(design, v, rcond=1e-12)[0]
        assert fits.now.left[k] == pytest.approx(rest @ rest, abs=1e-8)


def test_fits_descend_to_the_constants() -> None:
    x = uniform((0.0, 4.0))[:, 0]
    places = Places.of([parse("x0")], x[None])
    y = np.exp(-0.7 * x) * np.cos(2.9 * x + 0.3)
    v = (y - y.mean()) / np.linalg.norm(y - y.mean())
    reach = float(places.reach[0])
    one, two = Curve.of([(0, 0, 0, -0.5 * reach)]), Curve.of([(1, 0, 0, 3.1 * reach)])
    yes = np.ones(1, dtype=bool)
    fits = PairFits(places, np.ones((1, len(x))), v, one, two, yes, yes)
    before = fits.now.left[0]
    fits.descend(12)
    assert fits.now.left[0] < 1e-20 < 1e-3 < before
    assert fits.one.theta[0] / reach == pytest.approx(-0.7)
    assert fits.two.theta[0] / reach == pytest.approx(2.9)
    assert FAMILIES[fits.two.family[0]].size == 4


def test_a_minute_of_unix_time_leaves_nothing_to_place_and_harms_nothing():
    X = 1.7e9 + 60 * np.random.default_rng(0).uniform(0, 1, (200, 1))
    y = np.sin(9 * (X[:, 0] - 1.7e9) / 60) + 0.01 * np.random.default_rng(1).standard_normal(200)
    with np.errstate(all="ignore"):
        tried = CurvePairs(X, ALL, range(1), ROWS, 0.08)
        assert list(tried.found(targets_of(y, ALL)[0], True, lambda left, size: True)) == []
    joiner = Joiner(X, y, ALL, 30)
    joiner.work(12)
    assert joiner.answers.best()


@pytest.mark.parametrize("unit", [1e-104, 1e-150, 1e200])
def test_units_beyond_all_powers_give_answers_that_can_be_written_or_none(unit):
    x = np.random.default_rng(0).uniform(1, 6, (200, 1))
    y = x[:, 0] ** 3 * np.exp(-1.3 * x[:, 0]) + 0.2
    with np.errstate(all="ignore"):
        tried = CurvePairs(x * unit, ALL, range(1), ROWS, 0.08)
        for tree in tried.found(targets_of(y, ALL)[0], True, lambda left, size: True):
            assert tree.size > 1
            assert np.isfinite(list(tree.constants())).all()


def test_short_answers_are_written_first():
    truth = "2.5 * x0 * x0 * sin(4.1 * x0)"
    trees = pairs(truth, uniform((0.5, 4.0)))
    found = [tree for tree in trees if least([tree], truth, uniform((0.5, 4.0))) < 1e-12]
    assert min(tree.size for tree in found) <= parse(truth).size + 4
    assert trees[0].size == min(tree.size for tree in found)
