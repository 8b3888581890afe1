"""Foresight: what is told of changes that nobody has made is what making them gives."""

import numpy as np
import pytest

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node, variable
from pysr_neural.expression.text import parse, to_string
from pysr_neural.operators import OPERATORS
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.proposer.policy import outlook
from pysr_neural.proposer.policy.foresight import _INVERSES, ROWS
from pysr_neural.proposer.policy.language import Language
from pysr_neural.proposer.policy.outlook import HIGHEST, LOWEST
from pysr_neural.proposer.policy.population import PopulationState
from pysr_neural.state import MemberView
from tests.strategies import make_problem

ARITHMETIC = ("+", "-", "*", "/")


def state(texts, operators=ARITHMETIC, target="x0 * x1 + x0"):
    wanted = parse(target)
    problem = make_problem(operators, rows=ROWS, target=lambda a, b: evaluate(wanted, np.stack([a, b], axis=1)))
    language = Language(problem)
    trees = [parse(text) for text in texts]
    losses = [loss(tree, language) for tree in trees]
    members = [MemberView(tree, at, tree.size, birth=i) for i, (tree, at) in enumerate(zip(trees, losses, strict=True))]
    return PopulationState(language, members, 15, 0.3)


def loss(tree, language):
    with np.errstate(all="ignore"):
        return float(np.mean(np.square(evaluate(tree, language.problem.X) - language.problem.y)))


def told(own, tree):
    """What should be told of a child, by making it."""
    found = loss(tree, own.language) / own.language.scale
    return (
        np.clip(own.losses.min() - np.log(max(found, 1e-12)), LOWEST, HIGHEST) / 5 if np.isfinite(found) else LOWEST / 5
    )


def test_a_part_in_place_of_a_node_that_the_whole_is_affine_in_has_the_loss_that_is_told():
    own = state(["x0 * (x1 - x0) + x1", "(x0 + 1.5) * x1", "x0 / x1"])
    numerators = {0: range(7), 1: range(5), 2: (0, 1)}
    for first, nodes in numerators.items():
        for node in nodes:
            for second, other in enumerate(own.members):
                for place in range(other.tree.size):
                    child = own.members[first].tree.replace(node, other.tree.at(place))
                    found = own.outlook.parted(
                        own.places[first, node : node + 1], own.places[second, place : place + 1]
                    )
                    assert found[0] == pytest.approx(told(own, child), abs=1e-6), to_string(child)


@pytest.mark.parametrize("name", sorted({*_INVERSES, "/", "+"}))
def test_below_every_operator_the_part_that_makes_the_whole_right_is_known(name):
    if OPERATORS[name].arity == 1:
        target, tree, node = f"{name}(0.3 * x1) + x0", f"{name}(x0) + x0", 2
        target = target if name != "neg" else "x0 - 0.3 * x1"
        tree = tree if name != "neg" else "-x0 + x0"
    else:
        target, tree, node = f"x0 {name} (0.3 * x1)", f"x0 {name} x0", 2
    own = state([tree, "0.3 * x1", "x1"], (*ARITHMETIC, *({name} - set(ARITHMETIC))), target)
    right = own.outlook.parted(own.places[0, node : node + 1], own.places[1, :1])[0]
    wrong = own.outlook.parted(own.places[0, node : node + 1], own.places[2, :1])[0]
    assert right > 3
    assert wrong < 1
    assert own.outlook.mated(own.places[:1, node : node + 1], own.outlook.tree_of[1:2])[0, 0] == right
    assert own.pair_prospects(np.array([0]))[0, 1] >= right


@pytest.mark.parametrize("name", [name for name, row in OPERATORS.items() if row.arity == 1])
def test_below_an_operator_of_one_operand_the_loss_told_is_exact(name):
    own = state(
        [f"{name}(x0 + x1) * x1" if name != "neg" else "(-(x0 + x1)) * x1", "0.2 * x1", "x1"], (*ARITHMETIC, name)
    )
    for second, place in ((1, 0), (1, 1), (2, 0)):
        child = own.members[0].tree.replace(2, own.members[second].tree.at(place))
        found = own.outlook.parted(own.places[0, 2:3], own.places[second, place : place + 1])
        assert found[0] == pytest.approx(told(own, child), abs=1e-6), to_string(child)


@pytest.mark.parametrize("name", ["sin", "cos", "tan", "square", "exp", "cube"])
def test_two_levels_below_an_operator_that_has_inverses_the_right_part_is_known(name):
    own = state([f"{name}(0.3 * x0 + x1 * 0.15)", "x1 * 0.1"], (*ARITHMETIC, name), f"{name}(0.3 * x0 + 0.1 * x1)")
    assert own.outlook.parted(own.places[0, 5:6], own.places[1, :1])[0] > 3


def test_small_trees_are_tried_in_every_place():
    own = state(["x0 * x1 + x1", "x1"], ("+", "*", "sin"))
    plants = own.language.foresight.plants
    expected = {"x0": 4, "x1": 4}  # In place of the last node of the first, x0 makes it right.
    at = own.places[0, 4]
    planted = own.outlook.planted(own.places[0, 4:5])[0]
    for text in expected:
        child = own.members[0].tree.replace(4, parse(text))
        number = plants.table[0, own.language.tokens(parse(text))[0]]
        assert planted[number] == pytest.approx(told(own, child), abs=1e-6)
    for text in ("x0 + x1", "x1 * x0", "sin(x1)"):
        number = 0
        for token in own.language.tokens(parse(text)):
            before, number = number, plants.table[number, token]
            assert planted[before] >= planted[number]
        child = own.members[0].tree.replace(4, parse(text))
        assert planted[number] == pytest.approx(told(own, child), abs=1e-6)
    assert own.outlook.best_plant[at] == planted[0] == max(planted) > 3
    assert (plants.table[-1] == -1).all()
    assert planted[-1] == pytest.approx(LOWEST / 5)


def test_a_node_that_does_not_matter_can_be_anything():
    own = state(["(x0 - x0) * x1 + x0"])
    assert own.outlook.flat[own.places[0, 5]] == pytest.approx(0.0, abs=1e-6)
    assert own.outlook.flat[own.places[0, 6]] < 0


@pytest.mark.parametrize(
    ("tree", "known"),
    [(parse("log(x0 - 5.0) + x1"), True), (Node("+", (Node("foo", (variable(0),)), variable(1))), False)],
)
def test_what_has_no_value_may_be_mended_and_below_what_is_not_known_nothing_is_told(tree, known):
    X = np.random.default_rng(0).uniform(0.5, 3.0, (20, 2))
    operators = OperatorSet(("log", "foo", "+", "-"), (1, 1, 2, 2))
    language = Language(Problem(X, X[:, 0], operators, Limits(max_size=15)))
    own = PopulationState(language, [MemberView(tree, 1.0, tree.size)], 15, 0.1)
    assert (own.outlook.planted(own.places[0, 2:3]) > LOWEST / 5).any() == known
    assert np.isfinite(own.member_features).all()
    assert np.isfinite(own.node_features).all()


@pytest.mark.parametrize(("rows", "features"), [(1, 1), (1000, 3)])
def test_rows_are_bounded(rows, features):
    problem = make_problem(operators=ARITHMETIC, rows=rows, features=features)
    own = PopulationState(Language(problem), [MemberView(parse("x0"), 1.0, 1)], 7, 0.0)
    assert own.language.foresight.columns.shape == (features, min(rows, ROWS))
    assert np.isfinite(own.outlook.planted(own.places[0])).all()


def test_many_variables_leave_trees_of_two_leaves_out():
    problem = make_problem(operators=(*ARITHMETIC, "exp"), features=40)
    assert max(tree.size for tree in Language(problem).foresight.plants.trees) == 2


def looking(X, y, trees, operators=("+", "-", "*", "/", "sin", "square")):
    language = Language(Problem(X, y, OperatorSet.of(*operators), Limits(max_size=15)))
    trees = [parse(text) for text in trees]
    losses = [loss(tree, language) for tree in trees]
    members = [MemberView(tree, at, tree.size, birth=i) for i, (tree, at) in enumerate(zip(trees, losses, strict=True))]
    return PopulationState(language, members, 15, 0.3)


def test_values_that_no_sine_has_are_not_taken_for_right_ones():
    X = np.random.default_rng(0).uniform(0.5, 3.0, (ROWS, 2))
    own = looking(X, 5 * X[:, 0] + 3, ["sin(x0 + x1)", "x1"])
    assert own.outlook.parted(own.places[0, 2:3], own.places[1, :1])[0] < 0.1
    assert own.outlook.planted(own.places[0, 2:3]).max() < 0.1


def test_a_few_rows_that_cannot_be_right_keep_their_error():
    X = np.random.default_rng(0).uniform(0.5, 3.0, (ROWS, 2))
    y = np.square(X[:, 0] + X[:, 1])
    y[:2] = -50.0
    own = looking(X, y, ["square(x0 + x0)", "x1"])
    told_of_it = own.outlook.parted(own.places[0, 3:4], own.places[1, :1])[0]
    assert told_of_it == pytest.approx(told(own, parse("square(x0 + x1)")), abs=0.3)


@pytest.mark.parametrize("offset", [1e4, 1e5, 1e6, 1e7])
def test_rounding_is_no_prospect(offset):
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 3.0, (ROWS, 2))
    y = offset + X[:, 0] + 0.1 * rng.standard_normal(ROWS)
    own = looking(X, y, [f"x0 + {offset}"])
    assert own.outlook.parted(own.places[0, :1], own.places[0, :1])[0] <= 0.01


def test_the_rows_of_a_grid_keep_its_variables_apart():
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 32), np.linspace(0, 1, 32)), axis=-1).reshape(-1, 2)
    columns = looking(grid, grid[:, 0], ["x0"]).language.foresight.columns
    assert abs(np.corrcoef(columns)[0, 1]) < 0.5


def test_a_population_of_many_nodes_is_looked_at_in_part(monkeypatch):
    monkeypatch.setattr(outlook, "PAIRS", 10)
    own = state(["x0 * x1 + x1", "x1 + x0"])
    assert own.outlook.crowded
    assert (own.outlook.mated(own.places, own.outlook.tree_of) == LOWEST / 5).all()
    assert own.outlook.parted(own.places[0, :2], own.places[1, :2]).shape == (2,)
    assert own.outlook.planted(own.places[0, 4:5]).max() > 3
    assert np.isfinite(own.member_features).all()


def test_an_operator_of_another_arity_is_not_known():
    X = np.random.default_rng(0).uniform(0.5, 3.0, (20, 1))
    language = Language(Problem(X, X[:, 0], OperatorSet(("-", "+"), (1, 2)), Limits(max_size=15)))
    assert np.isfinite(PopulationState(language, [MemberView(parse("x0 + x0"), 1.0, 3)], 9, 0.0).member_features).all()


@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_single_precision_tells_what_double_precision_does(offset):
    rng = np.random.default_rng(2)
    candidates = rng.standard_normal((40, ROWS)) * 10.0 ** rng.uniform(-3, 3, (40, 1))
    candidates[:5] = rng.standard_normal((5, ROWS))
    weights, aims = rng.uniform(0, 1, (60, ROWS)) / ROWS, offset + rng.standard_normal((60, ROWS))
    aims[:5] = candidates[:5] + 1e-5  # Nearly right, which single precision does not tell from right.
    forms, rest = np.hstack([weights, -2 * weights * aims]), (weights * aims**2).sum(axis=1)
    rest[50:] = np.inf
    usable = np.arange(40) != 7
    exact = outlook._exact_losses(forms, rest, candidates, usable)
    found = outlook._losses(forms, rest, candidates, usable)
    assert np.log(np.minimum(found, outlook.MOST)) == pytest.approx(np.log(exact), abs=2e-3)
    assert np.diag(found)[:5] == pytest.approx([1e-10 * own.sum() for own in weights[:5]], rel=1e-3)
    assert (exact[:, 7] == outlook.MOST).all()
    assert (exact[50:] == outlook.MOST).all()
