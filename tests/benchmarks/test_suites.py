"""The benchmark suites: every formula reads, draws finite data, and is held out of training."""

from pathlib import Path

import numpy as np
import pytest
import sympy

from pysr_neural.errors import ConfigError
from pysr_neural.expression.canonical import canonical
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.simplify import simplify
from pysr_neural.expression.text import parse
from pysr_neural_benchmarks.runner.plan import Limits, Plan
from pysr_neural_benchmarks.suites.data import Case, draw
from pysr_neural_benchmarks.suites.reader import held_out_keys, load_suite, suite_names, suite_notes
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
    "erbench_choose": 151,
    "erbench_confirm": 144,
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


@pytest.mark.parametrize(("half", "parity"), [("choose", 0), ("confirm", 1)])
def test_erbench_is_split_by_what_training_is_split_by(half: str, parity: int) -> None:
    keys = {split_key(canonical(simplify(problem.tree))) for problem in load_suite(f"erbench_{half}")}
    assert {int(key, 16) % 2 for key in keys} == {parity}


@pytest.mark.parametrize("half", ["choose", "confirm"])
def test_formulas_of_erbench_are_read_as_sympy_reads_them(half: str) -> None:
    for problem in load_suite(f"erbench_{half}"):
        names = [variable.name for variable in problem.variables]
        X, y = problem.draw(50, np.random.default_rng(1))
        read = sympy.sympify(problem.formula.replace("^", "**"), locals={name: sympy.Symbol(name) for name in names})
        with np.errstate(over="ignore"):
            values = sympy.lambdify(names, read, "numpy")(*X.T)
        np.testing.assert_allclose(y, values, rtol=1e-9, err_msg=problem.name)


def test_a_y_whose_variance_overflows_is_refused_by_name(tmp_path: Path) -> None:
    steep = tmp_path / "steep.toml"
    steep.write_text('[[problems]]\nname = "up"\nformula = "exp(t)"\nvariables = [{ name = "t", low = 1, high = 600 }]')
    plan = Plan((str(steep),), ("basicsr",), (0,), Limits(1.0, None))
    with pytest.raises(ConfigError, match="steep/up must have a y of finite variance"):
        plan.jobs()
    measured = tmp_path / "measured.csv"
    measured.write_text("x,y\n1,1e200\n2,-1e200\n3,0\n")
    with pytest.raises(ConfigError, match="measured/measured must have a y of finite variance"):
        load_suite(str(measured))


def test_a_few_rows_whose_squares_overflow_are_drawn_again() -> None:
    source = next(problem for problem in load_suite("fastsrb") if problem.name == "III.14.14")
    drawn = [draw(source, Case("fastsrb", source.name, data_seed=seed)) for seed in range(4)]
    assert all(np.isfinite(np.var(each.problem.y)) and np.isfinite(np.var(each.y_test)) for each in drawn)


CATALOG = """
metadata: {name: mine, license: MIT, sources: [somebody 2026]}
expressions:
  first:
    raw: -2**a / b
    prepared: -2 ** v1 / v2 + neg(v10)
    accept: ["-(2 ** v1) / v2 - v10"]
    vars:
      v0: {name: y}
      v1: {name: a, sample_range: [1, 3], sample_type: [int, pos]}
      v10: {sample_range: [1.0e+0, 2.0], sample_type: [uni, neg]}
      v2: {sample_range: [1e-2, 1e2], sample_type: [log, pos_neg]}
"""


def test_catalogs_of_symbolic_data_are_suites(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(CATALOG)
    (problem,) = load_suite(str(path))
    X, y = problem.draw(200, np.random.default_rng(0))
    assert [variable.name for variable in problem.variables] == ["v1", "v2", "v10"]
    assert set(X[:, 0]) == {1.0, 2.0, 3.0}
    assert (np.abs(X[:, 1]).min() >= 1e-2, X[:, 1].min() < 0 < X[:, 1].max()) == (True, True)
    assert (X[:, 2] < 0).all()
    np.testing.assert_allclose(y, -(2.0 ** X[:, 0]) / X[:, 1] - X[:, 2])
    np.testing.assert_allclose(evaluate(problem.accept[0], X), y)
    notes = suite_notes(str(path))
    assert (notes.source, notes.licence, notes.problems) == ("somebody 2026", "MIT", 1)


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ("prepared", "formula", "first must have prepared and vars"),
        ("[int, pos]", "[integer, pos]", "first: v1 must be sampled in a known way; got 'integer'"),
        ("[1, 3]", "[3, 1]", "first: v1 must have a range from low to high"),
        ("[1, 3]", "[1, 3, x]", "first: v1 must have a range"),
        ("neg(v10)", "__import__('os')", "mine/first: Expected"),
        ("expressions", "rows", "must be a catalog of symbolic-data"),
        ("metadata: {", "metadata: [", "must follow the suite format"),
    ],
)
def test_what_is_wrong_with_a_catalog_is_told_by_name(tmp_path: Path, wrong: str, right: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(CATALOG.replace(wrong, right))
    with pytest.raises(ConfigError, match=said.replace("(", "\\(")):
        load_suite(str(path))


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
