"""The generator and the examples: real answers, a split without leaks, streams of their own."""

import itertools

import numpy as np
import pytest

from pysr_neural.expression.canonical import canonical, fingerprint
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.text import parse
from pysr_neural.rng import generator
from pysr_neural.wire import vocabulary as v
from pysr_neural.wire.prompt import best_members, build_prompt, choose_slots
from pysr_neural_training.examples import IGNORED, ExampleConfig, batches, collate, damaged_members, make_example
from pysr_neural_training.generate import GeneratedProblem, ProblemPrior, Sampler, is_reducible, is_redundant, split_key

PRIOR = ProblemPrior(noise_share=0.0)


def draw(count: int, seed: int = 0, held_out: bool = False) -> list[GeneratedProblem]:
    return list(itertools.islice(Sampler(PRIOR, generator(seed, "test"), held_out), count))


def test_data_are_those_of_the_expression() -> None:
    for given in draw(50):
        assert np.array_equal(evaluate(given.tree, given.problem.X), given.problem.y)
        assert given.tree.size <= PRIOR.max_size
        assert np.std(given.problem.y) > 0


def test_noise_is_of_the_stated_size() -> None:
    noisy = ProblemPrior(noise_share=1.0, rows=(2000,), row_weights=(1.0,))
    for given in itertools.islice(Sampler(noisy, generator(1, "noise")), 10):
        clean = evaluate(given.tree, given.problem.X)
        assert fraction_unexplained(given.problem.y, clean) == pytest.approx(given.noise**2, rel=0.3)


def test_splits_share_no_expression() -> None:
    train = {fingerprint(given.tree) for given in draw(300)}
    held_out = {fingerprint(given.tree) for given in draw(60, held_out=True)}
    assert not train & held_out


@pytest.mark.parametrize(
    "text", ["x0 + x1 ^ 2.0", "sin(x0 - x1) * x2", "(2 * x0 + 3 * x1) / (x0 - x2)", "exp(x1 - x0 * x2)"]
)
def test_split_does_not_depend_on_names_of_variables(text: str) -> None:
    sides = set()
    for names in itertools.permutations(["x0", "x1", "x2"]):
        sides.add(split_key(canonical(parse(text, names))))
    assert len(sides) == 1


def test_batches_depend_on_seed_and_number_alone() -> None:
    config = ExampleConfig(batch_size=8)

    def first(seed: int, start: int, stride: int = 1) -> np.ndarray:
        return next(batches(PRIOR, config, seed, start, stride))["labels"].numpy()

    turns = batches(PRIOR, config, 1, 1, 2)
    one, three = next(turns)["labels"].numpy(), next(turns)["labels"].numpy()
    assert np.array_equal(one, first(1, 1))
    assert np.array_equal(three, first(1, 3, 5))

    assert np.array_equal(first(1, 0), first(1, 0))
    assert not np.array_equal(first(1, 0), first(1, 1))
    assert not np.array_equal(first(1, 0), first(2, 0))


def test_prompt_of_an_example_is_the_prompt_of_the_live_state() -> None:
    for given in draw(20):
        example = make_example(given, PRIOR, ExampleConfig(), generator(4, "example"))
        if example is None:
            continue
        rng = generator(4, "example")
        limit = min(given.tree.size + int(rng.integers(0, 12)), given.problem.limits.max_size)
        members, _ = damaged_members(given, PRIOR, ExampleConfig().max_members, rng)
        live = build_prompt(
            "onestep",
            given.problem.operators,
            choose_slots(given.problem.X, given.problem.y),
            limit,
            members,
            float(np.var(given.problem.y)),
        )
        assert live.tokens.tolist() == example.prompt.tokens.tolist()
        assert best_members(members, 1)[0].loss == min(m.loss for m in members)


def test_labels_are_the_whole_target_and_nothing_else() -> None:
    examples = [e for g in draw(30) if (e := make_example(g, PRIOR, None, generator(0, "e"))) is not None]
    batch = collate(examples)
    for row, example in enumerate(examples):
        labels = batch["labels"][row]
        assert labels[labels != IGNORED].tolist() == example.target
        assert batch["target_tokens"][row, 0] == v.TARGET
        assert batch["target_tokens"][row, 1 : len(example.target)].tolist() == example.target[:-1]
        assert batch["presence"][row].nonzero()[:, 0].tolist() == sorted(set(example.target))


@pytest.mark.parametrize(
    ("text", "redundant"),
    [
        ("x0 + (x1 - x0)", True),
        ("(x0 + 2.0) * 3.0 + 1.5", True),
        ("x0 * (x1 / (3.0 * x0))", True),
        ("x0 * x0 * x0 + x1", False),
        ("square(x0 + 1.5) / x1", False),
        ("x0 ^ 0.5 + 2.0 * x1", False),
    ],
)
def test_expressions_that_say_things_twice_are_told_apart(text: str, redundant: bool) -> None:
    assert is_redundant(parse(text), canonical(parse(text))) == redundant


@pytest.mark.parametrize(
    ("text", "reducible"),
    [
        ("x0 * (x1 / x1) + 2.0", True),
        ("tanh(x0 + 40.0) * x1", True),
        ("abs(square(x0)) + x1", True),
        ("x0 * x1 + 2.0", False),
        ("sin(x0) / (x1 + 3.0)", False),
    ],
)
def test_problems_with_invisible_parts_are_told_apart(text: str, reducible: bool) -> None:
    tree, X = parse(text), generator(1, "inputs").uniform(-2, 2, (40, 2))
    assert is_reducible(tree, X, evaluate(tree, X)) == reducible
