"""The kinds of mutation: what they do, when they can apply, how a prior steers them."""

import numpy as np
import pytest

from pysr_neural.expression.constraints import check_tree
from pysr_neural.expression.edits import edited
from pysr_neural.expression.node import Node, variable
from pysr_neural.expression.text import parse
from pysr_neural.problem import Limits, OperatorSet
from pysr_neural.proposer.base import Prior
from pysr_neural.state import KINDS
from pysr_neural_baseline.config import BasicSRConfig, MutationWeights
from pysr_neural_baseline.mutation import MUTATIONS, Mutations, cross
from pysr_neural_baseline.symbols import Symbols, parent_of
from tests.strategies import make_problem

OPERATORS = ("+", "-", "*", "/", "sin", "exp")
TREE = parse("sin(x0 * 1.5) + x1 / (x0 - 2)")
NAMES = OperatorSet.of(*OPERATORS).names


def mutations(config=None, features=2, operators=OPERATORS, prior=None, constants=True):
    problem = make_problem(operators, features=features, limits=Limits(20))
    config = config or BasicSRConfig()
    return Mutations(config, Symbols(problem, constants, prior), 20, lambda tree: tree.with_constants([9.0] * 2))


def results(kind, tree=TREE, count=300, temperature=1.0, **kws):
    made, source = mutations(**kws), np.random.default_rng(0)
    return [made.apply(kind, tree, temperature, source) for _ in range(count)]


def weights(tree, **kws):
    return dict(zip(MUTATIONS, mutations(**kws).weights(parse(tree)), strict=True))


def test_every_kind_keeps_to_the_language():
    problem = make_problem(OPERATORS, limits=Limits(40))
    for kind in MUTATIONS:
        for tree in results(kind, count=100):
            assert check_tree(tree, problem) is None, kind


@pytest.mark.parametrize("kind", MUTATIONS)
@pytest.mark.parametrize("text", ["x0", "1.5", "sin(x0)"])
def test_kinds_survive_trees_that_they_cannot_change(kind, text):
    made = mutations(features=1)
    made.refine = lambda tree: tree
    assert isinstance(made.apply(kind, parse(text), 0.0, np.random.default_rng(1)), Node)


def test_constant_changes_one_constant_by_a_bounded_factor():
    config = BasicSRConfig(negation=0.5)
    for tree in results("constant", config=config):
        before, after = np.array(TREE.constants()), np.array(tree.constants())
        changed = before != after
        assert changed.sum() <= 1
        ratio = np.abs(after / before)
        assert np.all((ratio <= 1.229) & (ratio >= 1 / 1.229))
        assert tree.with_constants(TREE.constants()) == TREE
    signs = [np.sign(tree.constants()).sum() for tree in results("constant", config=config)]
    assert 0.3 < np.mean(np.array(signs) < 2) < 0.7


def test_operator_keeps_arities_and_operands():
    for tree in results("operator"):
        assert [len(node.children) for node in tree] == [len(node.children) for node in TREE]
        assert sum(a.operator != b.operator for a, b in zip(tree, TREE, strict=True)) <= 1


def test_feature_changes_one_variable_into_another():
    for tree in results("feature"):
        assert sum(a.index != b.index for a, b in zip(tree, TREE, strict=True)) == 1


def test_swap_exchanges_operands():
    assert set(results("swap")) == {
        parse("x1 / (x0 - 2) + sin(x0 * 1.5)"),
        parse("sin(1.5 * x0) + x1 / (x0 - 2)"),
        parse("sin(x0 * 1.5) + (x0 - 2) / x1"),
        parse("sin(x0 * 1.5) + x1 / (2 - x0)"),
    }


def test_rotate_raises_a_child():
    assert set(results("rotate", parse("x0 + x1 * 2"))) == {parse("(x0 + x1) * 2"), parse("x1 * (x0 + 2)")}
    assert set(results("rotate", parse("sin(x0 + x1)"))) == {parse("sin(x0) + x1"), parse("x0 + sin(x1)")}
    for tree in results("rotate"):
        assert tree.size == TREE.size


def test_add_and_insert_grow_by_one_operator():
    for kind in ("add", "insert"):
        assert {tree.size - TREE.size for tree in results(kind)} == {1, 2}
    assert all(TREE.children[0] in set(tree) or TREE in set(tree) for tree in results("insert", count=50)) is False
    assert any(tree.children and TREE in tree.children for tree in results("add"))


def test_delete_splices_an_operator_out():
    assert set(results("delete", parse("sin(x0) + x1"))) == {parse("x0 + x1"), parse("sin(x0)"), parse("x1")}


def test_randomize_simplify_optimize_and_nothing():
    sizes = {tree.size for tree in results("randomize")}
    assert max(sizes) == 20
    assert min(sizes) == 1
    assert set(results("simplify", parse("x0 * 1 + 0"))) == {variable(0)}
    assert set(results("optimize")) == {TREE.with_constants([9.0, 9.0])}
    assert set(results("do_nothing")) == {TREE}


def test_cross_puts_a_subtree_into_a_tree():
    other = parse("exp(x1) - 3")
    for seed in range(50):
        child = edited("crossover", cross(TREE, other, np.random.default_rng(seed)), TREE, other)
        assert any(TREE.replace(i, part) == child for i in range(TREE.size) for part in set(other))


def test_weights_are_conditioned_as_the_engine_does():
    config = BasicSRConfig()
    full = weights("x0 * 1.5 + sin(x1)")
    assert full["constant"] == config.mutations.constant / 8
    assert full["feature"] == config.mutations.feature
    assert weights("x0 * x1")["constant"] == 0
    leaf = weights("x0")
    assert leaf["operator"] == leaf["swap"] == leaf["delete"] == leaf["simplify"] == leaf["constant"] == 0
    assert leaf["feature"] > 0
    assert weights("1.5")["feature"] == 0
    assert weights("sin(x0)")["swap"] == 0
    assert weights("x0 + x0", features=1)["feature"] == 0
    assert weights("x0 + x1", config=BasicSRConfig(simplify=False))["simplify"] == 0
    large = mutations().weights(Node("+", (mutations().symbols.tree(18, np.random.default_rng(0)), variable(0))))
    assert large[MUTATIONS.index("add")] == large[MUTATIONS.index("insert")] == 0
    many = " + ".join(f"{i}.5 * x0" for i in range(9))
    assert weights(many)["constant"] == config.mutations.constant


def test_there_is_always_something_to_do():
    only = MutationWeights(*[1.0 if kind == "feature" else 0.0 for kind in MUTATIONS])
    assert weights("1.5", config=BasicSRConfig(mutations=only))["do_nothing"] == 1.0


def test_a_proposer_s_multipliers_apply():
    multipliers = [0.0] * len(KINDS)
    multipliers[KINDS.index("delete")] = 3.0
    found = dict(zip(MUTATIONS, mutations().weights(TREE, multipliers), strict=True))
    assert found["delete"] == pytest.approx(3 * 0.87)
    assert sum(found.values()) == found["delete"]


def prior(operator="*", feature=1, constants=0.0):
    operators = np.array([1.0 if name == operator else 0.0 for name in NAMES])
    row = np.concatenate([[constants, 1.0 - constants], operators])
    return Prior(operators, np.eye(2)[feature], np.tile(row, (len(NAMES) + 1, 1)))


def test_a_prior_steers_the_kinds_that_draw_symbols():
    for kind in ("add", "insert", "randomize"):
        for tree in results(kind, variable(1), prior=prior(), count=60):
            assert {node.operator for node in tree} <= {"*", None}
            assert tree.variables() <= {1}
            assert not tree.constants()
    assert all(tree.operator == "*" for tree in results("operator", parse("x0 + x1"), prior=prior()))
    assert {tree.index for tree in results("feature", variable(0), prior=prior())} == {1}
    assert all(tree.constants() for tree in results("add", variable(0), prior=prior(constants=1.0), count=40))


def test_a_prior_without_weight_for_an_arity_leaves_the_tree():
    assert set(results("operator", parse("sin(x0)"), prior=prior())) == {parse("sin(x0)")}


def test_without_constants_leaves_are_variables():
    assert not any(tree.constants() for tree in results("randomize", constants=False))


def test_half_of_the_leaves_are_constants_from_the_normal_distribution():
    symbols, source = mutations().symbols, np.random.default_rng(3)
    leaves = [symbols.leaf(None, source) for _ in range(4000)]
    values = [leaf.value for leaf in leaves if leaf.value is not None]
    assert len(values) / 4000 == pytest.approx(0.5, abs=0.03)
    assert np.std(values) == pytest.approx(1.0, abs=0.06)


def test_parent_of():
    assert parent_of(TREE, 0) is None
    for position in range(1, TREE.size):
        assert TREE.at(position) in parent_of(TREE, position).children
