"""The twin of the step that looks ahead in Julia: what it tells is what making the change gives; its file."""

import numpy as np
import pytest

from pysr_neural.errors import CheckpointError
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import constant, variable
from pysr_neural.expression.text import parse, to_string
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.proposer.policy import native
from pysr_neural.proposer.policy.native import DRAWN_PLACES, MOST_PLANTS, NativeForesight, Place
from tests.golden.make_native import CASES, GOLDEN, golden_text, problem_of

ARITHMETIC = ("exp", "+", "-", "*", "/")


def look(text, limit=15, names=ARITHMETIC):
    foresight = NativeForesight(problem_of(names))
    return foresight.look(parse(text), limit)


def test_golden_file_is_what_the_code_writes():
    assert GOLDEN.read_text() == golden_text()


def test_where_the_way_up_is_affine_the_loss_told_is_the_childs():
    seen = look("(x0 * (x1 - x0) + 1.5) / x1")
    tried = 0
    for i, place in enumerate(seen.places):
        if place.form == "/" or place.node == 8:
            continue  # Not affine in what is divided by.
        for k in np.flatnonzero(seen.allowed[i] & np.isfinite(seen.losses[i])):
            child = seen.child(i, int(k))
            assert child.size == seen.tree.size + seen.foresight.needed[k] + (
                1 if place.form != "replace" else -seen.tree.at(place.node).size
            )
            assert seen.losses[i, k] == pytest.approx(seen.foresight.loss(child), rel=1e-6, abs=1e-9), to_string(child)
            tried += 1
    assert tried > 200


@pytest.mark.parametrize("operator", native.UNARY)
def test_below_every_operator_what_makes_the_whole_right_is_known(operator):
    problem = problem_of((operator, "+", "*"))
    inner = "(0.3 * x1)" if operator != "neg" else "0.3 * x1"
    wanted, tree = (parse(f"{'-' if operator == 'neg' else operator}{at} + x0") for at in (inner, "(x0)"))
    foresight = NativeForesight(Problem(problem.X, evaluate(wanted, problem.X), problem.operators))
    seen = foresight.look(tree, 9)
    at = seen.places.index(Place(2, "replace"))
    fitted = len(foresight.plants) + foresight.plants.index(variable(1))
    assert foresight.loss(seen.child(at, fitted)) < (1e-12 if operator not in ("sin", "cos") else 1.0)
    assert seen.decreases[at, fitted] == seen.decreases.max() or operator in ("sin", "cos")


def test_room_bounds_what_is_allowed():
    seen = look("x0 + x1", limit=4)
    assert {place.form for place in seen.places} == {"replace"}
    for i, place in enumerate(seen.places):
        for k in np.flatnonzero(seen.allowed[i]):
            assert seen.child(i, int(k)).size <= 4, place
    assert not seen.allowed[:, 0].any()  # A constant is always fitted.
    assert np.isneginf(seen.scores(np.zeros(native.WEIGHTS))[~seen.allowed]).all()


def test_without_weights_all_changes_are_alike_and_a_step_looks_at_some_places():
    foresight = NativeForesight(problem_of(ARITHMETIC))
    tree = parse("exp(x0) * x1 + exp(x1) * x0")
    seen = foresight.look(tree, 20, np.random.default_rng(0))
    assert len(seen.places) == DRAWN_PLACES < len(foresight.look(tree, 20).places)
    assert set(seen.scores(np.zeros(native.WEIGHTS)).ravel()) == {0.0, -np.inf}


def test_rows_differ_from_each_other_and_from_seed_to_seed():
    assert native.drawn_rows(5, 5, 3) == list(range(5))
    drawn = [tuple(native.drawn_rows(100, native.ROWS, seed)) for seed in range(50)]
    assert all(len(set(rows)) == native.ROWS and max(rows) < 100 for rows in drawn)
    assert len(set(drawn)) == 50


def test_how_likely_a_place_is_depends_on_form_size_depth_and_root():
    weights, seen = np.zeros(native.WEIGHTS), look("exp(x0) * x1")
    weights[-native.DRAW_FEATURES :] = [1, 2, 3, 4, 20, 80, 1000]
    told = dict(zip(seen.places, seen.draw_scores(weights), strict=True))
    assert told[Place(1, "+")] == pytest.approx(2 + 2 + 10)
    assert told[Place(0, "/")] == pytest.approx(4 + 4 + 1000)


def test_scores_are_those_of_the_network():
    rng = np.random.default_rng(0)
    weights, seen = rng.normal(size=native.WEIGHTS), look("exp(x0) * x1")
    features = seen.features(np.array([3]), np.array([2]))[0]
    units = weights[: native.HIDDEN * native.UNIT].reshape(native.HIDDEN, native.UNIT)
    hidden = [max(0.0, unit[0] + unit[1:] @ features) for unit in units]
    at = native.HIDDEN * native.UNIT
    expected = (
        hidden @ weights[at : at + native.HIDDEN] + features @ weights[at + native.HIDDEN : -native.DRAW_FEATURES]
    )
    assert seen.scores(weights)[3, 2] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("tree", "rows"),
    [(constant(np.nan), 40), (parse("x0 ^ x1"), 40), (parse(" + ".join(["x0"] * 40)), 40)],
    ids=["not finite", "unknown operator", "too large"],
)
def test_of_what_cannot_be_looked_at_nothing_is_told(tree, rows):
    assert NativeForesight(problem_of(("^", "+", "*"), rows)).look(tree, 100) is None


def test_data_without_spread_and_of_one_row_can_be_looked_at():
    for y in ([2.0], [1.0] * 5):
        X = np.arange(float(len(y)))[:, None] + 1
        seen = NativeForesight(Problem(X, np.array(y), OperatorSet.of("+", "*"), Limits(max_size=9))).look(
            parse("x0"), 9
        )
        assert np.isfinite(seen.decreases).all()


def test_many_variables_leave_plants_out():
    X = np.random.default_rng(0).uniform(size=(50, 100))
    assert len(NativeForesight(Problem(X, X[:, 0], OperatorSet.of("+", "*"))).plants) == MOST_PLANTS


def test_weights_survive_their_file_and_others_are_refused(tmp_path):
    path = tmp_path / "folder" / "model.safetensors"
    weights = np.arange(native.WEIGHTS, dtype=float)
    native.save(weights, path)
    np.testing.assert_array_equal(native.load(path), weights)
    native.save(weights[:-1], path)
    with pytest.raises(CheckpointError, match=f"{native.WEIGHTS} finite weights"):
        native.load(path)
    with pytest.raises(CheckpointError, match="safetensors"):
        native.load(tmp_path / "nothing")


def test_the_bundled_weights_like_what_lowers_the_loss():
    for names, text, limit in CASES:
        seen = NativeForesight(problem_of(names)).look(parse(text), limit)
        scores = seen.scores(native.load())[seen.allowed]
        decreases = seen.decreases[seen.allowed]
        chances = np.exp(scores - scores.max())
        assert chances @ decreases / chances.sum() > decreases.mean()
