"""The prior: draws that stay the same, named choices, and operator sets that cannot make problems."""

import itertools

import numpy as np
import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.expression.text import to_string
from pysr_neural.problem import OperatorSet
from pysr_neural.rng import generator
from pysr_neural_training.learning.recovery import held_out_problems
from pysr_neural_training.problems import generate
from pysr_neural_training.problems.generate import Sampler
from pysr_neural_training.problems.priors import PRIORS, ProblemPrior, sample_inputs, sample_tree

HELD_OUT = [
    "tanh((((tanh(x0) * (x3 + 1.0)) / x2) * -1.06))",
    "(-1.05 - (x1 ^ -1.0))",
    "(((x1 * x0) * (x0 - 0.5)) - cos(x0))",
    "((-1.0 / x0) + 2.0)",
    "exp(exp(exp(x0)))",
    "(x0 + square((-0.327 / x1)))",
]
TRAINING = [
    "((x4 * x7) / x1)",
    "cos(((1.0 + x0) * x0))",
    "(sin(x0) / (sqrt((x1 * x0)) * 10.0))",
    "((((-2.36 + x4) * x2) * x3) + 2.0)",
    "square((x1 * x1))",
    "sin(sin(sqrt(x0)))",
]


def test_held_out_problems_of_recovery_are_the_same_from_release_to_release() -> None:
    found = [to_string(given.tree) for given, _, _ in held_out_problems(6, 12345, 25)]
    assert found == HELD_OUT


def test_training_problems_are_the_same_from_release_to_release() -> None:
    drawn = itertools.islice(Sampler(ProblemPrior(), generator(1, "train", 0)), 6)
    assert [to_string(given.tree) for given in drawn] == TRAINING


@pytest.mark.parametrize("name", PRIORS)
def test_problems_of_a_named_prior_use_what_they_declare(name: str) -> None:
    prior = PRIORS[name]
    for given in itertools.islice(Sampler(prior, generator(3, name)), 30):
        assert given.tree.size <= prior.max_size
        assert given.tree.variables() <= set(range(given.problem.X.shape[1]))
        assert all((n.operator, len(n.children)) in given.problem.operators.index for n in given.tree if n.operator)


def test_counts_of_operators_by_variables_stay_within_their_bounds() -> None:
    operators, rng = OperatorSet.of("+", "*", "sin", "exp"), generator(1, "counts")
    binary, unary = set(), set()
    for _ in range(300):
        tree = sample_tree(ProblemPrior(sizes="by_variables"), operators, 2, rng)
        binary.add(sum(len(node.children) == 2 for node in tree))
        unary.add(sum(len(node.children) == 1 for node in tree))
    assert binary == set(range(6))
    assert unary == set(range(5))


def test_weights_of_ten_to_one_make_unary_operators_rare() -> None:
    operators, rng = OperatorSet.of("+", "*", "sin", "exp"), generator(1, "weights")
    prior = ProblemPrior(weights="ten_to_one", min_operators=10, max_operators=10)
    arities = [len(n.children) for _ in range(200) for n in sample_tree(prior, operators, 2, rng) if n.children]
    assert arities.count(1) / len(arities) == pytest.approx(2 / 22, abs=0.02)


def test_rounded_constants_are_half_small_integers() -> None:
    operators, rng = OperatorSet.of("+", "*"), generator(1, "constants")
    prior = ProblemPrior(constants="rounded", constant_share=0.5)
    values = [value for _ in range(500) for value in sample_tree(prior, operators, 2, rng).constants()]
    assert np.mean([value in range(1, 11) for value in values]) == pytest.approx(0.5, abs=0.05)


def test_inputs_from_clusters_are_finite_and_of_many_widths() -> None:
    rng = generator(1, "clusters")
    widths = [np.ptp(sample_inputs(100, 3, rng, "clusters"), axis=0) for _ in range(100)]
    assert np.isfinite(widths).all()
    assert np.quantile(widths, 0.95) > 10 * np.quantile(widths, 0.05)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"operators": ("+", "sinn")}, "Did you mean 'sin'"),
        ({"operators": ("sin", "exp")}, "joins two variables"),
        ({"operators": ("sin", "^")}, "joins two variables"),
        ({"operators": ("+", "+")}, "must not repeat"),
        ({"sizes": "by_variable"}, "Did you mean 'by_variables'"),
        ({"inputs": "cluster"}, "Did you mean 'clusters'"),
        ({"max_operators": 2, "min_operators": 3}, "min ≤ max"),
        ({"rows": (1,), "row_weights": (1.0,)}, "each at least 2"),
        ({"rows": (8, 16), "row_weights": (1.0,)}, "as many row_weights"),
        ({"feature_weights": ()}, "not all of them 0"),
        ({"noise_levels": ()}, "at least one number"),
        ({"noise_share": 1.5}, "between 0 and 1"),
        ({"constant_share": 0.9}, "at most 0.5"),
    ],
)
def test_an_impossible_prior_is_refused(changes: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ProblemPrior(**changes)


def test_a_prior_that_makes_no_problem_ends_with_the_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "PATIENCE", 50)
    with pytest.raises(ConfigError, match=r"got none in 50 draws in a row.*'size': 50"):
        next(iter(Sampler(ProblemPrior(max_size=1, min_operators=3), generator(1, "none"))))
