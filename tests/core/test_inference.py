"""Which edit made a child, told by the trees alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysr_neural.expression.edits import KEPT, NOTHING, Edit, edited
from pysr_neural.expression.inference import edits_between
from pysr_neural.expression.node import Node, constant, variable
from pysr_neural.expression.text import parse
from pysr_neural_baseline import variation
from pysr_neural_baseline.config import BasicSRConfig, MutationWeights
from pysr_neural_baseline.search import run_search
from tests.strategies import make_problem, tame_floats, trees

TREE = parse("sin(x0 * 1.5) + x1")


@pytest.mark.parametrize(
    ("kind", "child", "wanted"),
    [
        ("constant", "sin(x0 * 3.0) + x1", [Edit(4, 0, constant(3.0))]),
        ("constant", "sin(x0 * 0.5) + x1", [Edit(4, 1, constant(0.5))]),
        ("constant", "sin(x0 * -3.0) + x1", [Edit(4, 2, constant(-3.0))]),
        ("constant", "sin(x0 * -0.5) + x1", [Edit(4, 3, constant(-0.5))]),
        ("operator", "sin(x0 / 1.5) + x1", [Edit(2, -1, Node("/", (KEPT, KEPT)))]),
        ("feature", "sin(x0 * 1.5) + x0", [Edit(5, -1, variable(0))]),
        ("swap", "x1 + sin(x0 * 1.5)", [Edit(0, 0)]),
        ("rotate", "sin(x0 * 1.5 + x1)", [Edit(0, 0)]),
        ("add", "2 - (sin(x0 * 1.5) + x1)", [Edit(0, -1, Node("-", (constant(2.0), KEPT)))]),
        ("add", "sin(x0 * 1.5) + (x0 + x0)", [Edit(5, -1, parse("x0 + x0"))]),
        ("insert", "sin(2 - x0 * 1.5) + x1", [Edit(2, -1, Node("-", (constant(2.0), KEPT)))]),
        ("delete", "x0 * 1.5 + x1", [Edit(1, 0)]),
        ("randomize", "sin(x0 * 1.5) + x0", [Edit(0, -1, parse("sin(x0 * 1.5) + x0"))]),
        ("do_nothing", "sin(x0 * 1.5) + x1", [NOTHING]),
        ("optimize", "sin(x0 * 1.7) + x1", [NOTHING]),
        ("simplify", "x1", [NOTHING]),
        ("feature", "sin(x0 * 1.5) + 2.0", []),
        ("delete", "x0", []),
        ("add", "sin(x0 * 1.5) + sin(x0 * x1)", []),
        ("crossover", "x1", []),
        ("neural", "x1", []),
    ],
)
def test_what_is_told_by_the_trees(kind, child, wanted):
    assert edits_between(kind, parse(child), TREE) == wanted


def test_several_edits_may_make_the_same_child():
    twice = parse("exp(exp(x0)) + x1")
    assert edits_between("insert", twice, parse("exp(x0) + x1")) == [
        Edit(1, -1, Node("exp", (KEPT,))),
        Edit(2, -1, Node("exp", (KEPT,))),
    ]
    assert len(edits_between("operator", TREE, TREE)) == 3  # Drawn anew, and the same.
    assert edits_between("swap", parse("x0 + x0"), parse("x0 + x0")) == [Edit(0, 0)]


def test_a_constant_that_is_there_as_before_was_kept():
    kept = Edit(0, -1, Node("+", (KEPT, variable(0))))
    assert edits_between("add", parse("1.5 + x0"), parse("1.5")) == [kept]
    assert edits_between("add", parse("x0 + x0"), variable(0))[0] == Edit(0, -1, parse("x0 + x0"))


def test_a_kind_that_found_nothing_to_change():
    assert edits_between("rotate", parse("x0"), parse("x0")) == [NOTHING]
    assert edits_between("feature", parse("1 + 2"), parse("1 + 2")) == [NOTHING]
    assert edits_between("constant", parse("0 * x0"), parse("0 * x0")) == [Edit(1, 0, constant(0.0))]


@given(trees(constants=tame_floats), trees(constants=tame_floats), st.data())
def test_a_crossover_is_found_again(first, second, data):
    at = data.draw(st.integers(0, first.size - 1))
    place = data.draw(st.integers(0, second.size - 1))
    child = first.replace(at, second.at(place))
    found = edits_between("crossover", child, first, second)
    assert Edit(at, place) in found
    assert all(edited("crossover", edit, first, second) == child for edit in found)


def test_what_basicsr_did_is_among_what_the_trees_tell(monkeypatch):
    """The engine's own actions, hidden and inferred; of none of the kinds one is missing."""
    children, real = [], variation.Variation.child

    def watched(self, members, temperature, rng):
        child, fits = real(self, members, temperature, rng)
        children.append((child, [members[i].tree for i in child.parents]))
        return child, fits

    monkeypatch.setattr(variation.Variation, "child", watched)
    kinds = MutationWeights(**dict.fromkeys(MutationWeights.__dataclass_fields__, 1.0))
    config = BasicSRConfig(populations=1, population_size=20, generations=40, mutations=kinds)
    run_search(make_problem(("+", "-", "*", "/", "sin", "exp"), target=lambda a, b: a / b + 1.5 * a), config, None, 3)
    among = []
    for child, parents in children:
        found = edits_between(child.kind, child.tree, *parents)
        assert child.edit in found
        among.append(len(found))
        if child.kind not in ("simplify", "optimize"):
            assert all(edited(child.kind, edit, *parents) == child.tree for edit in found)
    assert {child.kind for child, _ in children} >= {*variation.MUTATIONS, "crossover"}
    assert np.mean(np.array(among) == 1) > 0.5
