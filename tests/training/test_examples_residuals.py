"""Residual targets: the data less a part of the answer, whose answer is the rest; nothing held out gets in this way."""

import itertools

import numpy as np
import pytest

from pysr_neural.expression.canonical import canonical
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.text import parse, to_string
from pysr_neural.rng import generator
from pysr_neural_training.examples import residuals
from pysr_neural_training.examples.build import ExampleConfig, Layouts, make_batch
from pysr_neural_training.examples.residuals import missing_part
from pysr_neural_training.problems.generate import GeneratedProblem, ProblemPrior, Sampler, in_training, split_key
from tests.strategies import make_problem

PRIOR = ProblemPrior(noise_share=0.0)


def problem(text: str, operators: tuple[str, ...] = ("+", "-", "*", "/", "sin")) -> GeneratedProblem:
    tree = parse(text)
    return GeneratedProblem(make_problem(operators, target=lambda *X: evaluate(tree, np.stack(X, axis=1))), tree)


def rests(given: GeneratedProblem, count: int = 40) -> set[str]:
    rng = generator(1, "rests")
    found = (missing_part(given, rng) for _ in range(count))
    return {to_string(each.tree) for each in found if each is not None}


def test_the_rest_explains_what_is_left() -> None:
    found = 0
    rng = generator(3, "residuals")
    for given in itertools.islice(Sampler(PRIOR, generator(3, "problems")), 300):
        rest = missing_part(given, rng)
        if rest is None:
            continue
        found += 1
        assert fraction_unexplained(rest.problem.y, evaluate(rest.tree, rest.problem.X)) < 1e-6
        assert not np.array_equal(rest.problem.y, given.problem.y)
        assert rest.problem.operators == given.problem.operators
        assert in_training(split_key(canonical(rest.tree)))
    assert found > 60


def test_sums_and_products_are_taken_apart_in_every_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residuals, "in_training", lambda key: True)
    assert rests(problem("x0 + sin(x1)")) == {"x0", "sin(x1)"}
    assert {"(x0 * x1)", "(x0 / sin(x1))", "(1.0 / sin(x1))", "x1"} <= rests(problem("x0 * x1 / sin(x1)"))
    assert rests(problem("sin(x0) - x1")) == {"sin(x0)", "(-1.0 * x1)"}


def test_a_rest_that_the_operators_cannot_write_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residuals, "in_training", lambda key: True)
    assert rests(problem("sin(x0) - x1", ("-", "sin"))) == set()
    assert rests(problem("sin(x0 + x1)")) == set()
    assert rests(problem("x0 + 2.0")) == {"x0"}  # A rest without variables has nothing to be found in it.


def test_noise_stays_in_the_rest() -> None:
    given = problem("x0 + sin(x1)")
    noise = generator(5, "noise").normal(size=len(given.problem.y))
    noisy = GeneratedProblem(make_problem(target=lambda *X: given.problem.y + noise), given.tree, 0.1)
    rest = missing_part(noisy, generator(1, "rests"))
    if rest is not None:
        np.testing.assert_allclose(rest.problem.y - evaluate(rest.tree, rest.problem.X), noise, atol=1e-12)


def test_nothing_held_out_is_learned_as_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(Sampler(PRIOR, generator(2, "held out"), held_out=True))
    held_out = next(g for g in drawn if g.tree.operator not in ("+", "-") and ("+", 2) in g.problem.operators.index)
    whole = GeneratedProblem(held_out.problem, parse(f"({to_string(held_out.tree)}) + x0"))
    assert canonical(held_out.tree) not in {canonical(parse(text)) for text in rests(whole)}
    monkeypatch.setattr(residuals, "in_training", lambda key: True)
    assert canonical(held_out.tree) in {canonical(parse(text)) for text in rests(whole)}


def test_the_share_of_residual_targets() -> None:
    config = ExampleConfig(batch_size=256, layouts=Layouts(direct=1.0))
    plain, mixed = (
        make_batch(PRIOR, ExampleConfig(batch_size=256, layouts=config.layouts, residual_share=share), 1, 0)
        for share in (0.0, 1.0)
    )
    assert not np.array_equal(plain["labels"].numpy(), mixed["labels"].numpy())
    lengths = [(batch["labels"] >= 0).sum().item() for batch in (plain, mixed)]
    assert lengths[1] < lengths[0]
