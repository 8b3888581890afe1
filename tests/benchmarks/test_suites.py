"""The benchmark suites: every formula reads, draws finite data, and is held out of training."""

from pathlib import Path

import numpy as np
import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.expression.canonical import canonical
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.text import parse
from pysr_neural_benchmarks.suites.reader import held_out_keys, load_suite, suite_names
from pysr_neural_training.problems.generate import SUITE_KEYS, in_training, is_held_out, split_key

SIZES = {
    "nguyen": 12,
    "feynman": 100,
    "fastsrb": 120,
    "feynman_bonus": 20,
    "livermore": 25,
    "jin": 6,
    "toy": 21,
    "pysr_tuning": 10,
    "measured": 11,
}


@pytest.mark.parametrize("name", suite_names())
def test_every_problem_draws_finite_data(name: str) -> None:
    problems = load_suite(name)
    assert len(problems) == SIZES.get(name, len(problems)) > 0
    for problem in problems:
        X, y = problem.draw(30, np.random.default_rng(0))
        assert X.shape == (len(y), len(problem.variables))
        assert np.isfinite(y).all()
        if problem.rows is None:
            assert len(y) == 30
            assert np.array_equal(y, evaluate(problem.tree, X))
        for other in problem.accept:
            np.testing.assert_allclose(evaluate(other, X), y, rtol=1e-6)
    assert len({problem.name for problem in problems}) == len(problems)


def test_no_formula_of_a_suite_is_trained_on_whatever_its_variables_are_called() -> None:
    assert SUITE_KEYS.read_text().split() == held_out_keys()
    for text in ("x0 * x1 * x2", "x2 * x5 * x1", "x3^3 + x3 + x3^2"):  # Feynman I.12.1-like products, Nguyen-1
        key = split_key(canonical(parse(text)))
        assert not in_training(key)
        assert not is_held_out(key)


def test_own_suites_are_read_from_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[[problems]]\nname = "line"\nformula = "2*t + 1"\nvariables = [{ name = "t", low = 0, high = 1 }]\n'
    )
    assert load_suite(str(path))[0].suite == "mine"
    path.write_text("problems = 3")
    with pytest.raises(ConfigError, match="must follow the suite format"):
        load_suite(str(path))
    with pytest.raises(ConfigError, match="Did you mean 'nguyen'"):
        load_suite("nguyn")
