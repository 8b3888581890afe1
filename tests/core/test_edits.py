"""Edits as data: what each does, what does not suit a tree, codes for traces."""

import math

import pytest

from pysr_neural.errors import ExpressionError
from pysr_neural.expression.edits import KEPT, NOTHING, UNDRAWN, Edit, around, drawn, edited, pairs_of, rotations
from pysr_neural.expression.node import Node, constant, variable
from pysr_neural.expression.text import parse
from pysr_neural.problem import OperatorSet
from pysr_neural.wire.codes import KEPT_CODE, decode_planted, encode_planted

TREE = parse("sin(x0 * 1.5) + x1")
OVER = Node("-", (constant(2.0), KEPT))


@pytest.mark.parametrize(
    ("kind", "edit", "wanted"),
    [
        ("constant", Edit(4, 0, constant(3.0)), "sin(x0 * 3.0) + x1"),
        ("operator", Edit(2, -1, Node("/", (KEPT, KEPT))), "sin(x0 / 1.5) + x1"),
        ("feature", Edit(5, -1, variable(0)), "sin(x0 * 1.5) + x0"),
        ("swap", Edit(0, 0), "x1 + sin(x0 * 1.5)"),
        ("rotate", Edit(0, 0), "sin(x0 * 1.5 + x1)"),
        ("add", Edit(0, -1, OVER), "2.0 - (sin(x0 * 1.5) + x1)"),
        ("add", Edit(5, -1, parse("x0 + x0")), "sin(x0 * 1.5) + (x0 + x0)"),
        ("insert", Edit(2, -1, OVER), "sin(2.0 - x0 * 1.5) + x1"),
        ("delete", Edit(0, 1), "x1"),
        ("randomize", Edit(1, -1, parse("x1")), "x1 + x1"),
        ("do_nothing", NOTHING, "sin(x0 * 1.5) + x1"),
        ("rotate", NOTHING, "sin(x0 * 1.5) + x1"),
    ],
)
def test_what_edits_do(kind, edit, wanted):
    assert edited(kind, edit, TREE) == parse(wanted)


def test_crossover_takes_a_subtree_of_the_other():
    other = parse("exp(x1) - 3")
    assert edited("crossover", Edit(1, 1), TREE, other) == parse("exp(x1) + x1")
    with pytest.raises(ExpressionError, match="come from a second parent"):
        edited("crossover", Edit(1, 1), TREE)


@pytest.mark.parametrize(
    ("kind", "edit", "message"),
    [
        ("swap", Edit(1, 0), "place must be among"),
        ("rotate", Edit(0, 3), "place must be among"),
        ("delete", Edit(0, 2), "keeps one of 2"),
        ("operator", Edit(1, -1, Node("+", (KEPT, KEPT))), "arity of the node"),
        ("insert", Edit(1), "must say what goes there"),
        ("delete", Edit(9, 0), "position must lie"),
    ],
)
def test_edits_that_do_not_suit_a_tree_are_refused(kind, edit, message):
    with pytest.raises(ExpressionError, match=message):
        edited(kind, edit, TREE)


def test_places_of_a_node():
    assert list(rotations(TREE)) == [0]
    assert list(rotations(parse("(x0 + x1) * sin(x0)"))) == [0, 1, 3]
    assert (pairs_of(1), pairs_of(2), pairs_of(3)) == ([], [0], [0, 1, 2])


def test_what_is_left_open_is_drawn_in_order():
    values = iter([1.0, 2.0])
    planted = Node("+", (UNDRAWN, Node("*", (constant(5.0), UNDRAWN))))
    assert drawn(planted, lambda: constant(next(values))) == parse("1 + 5.0 * 2.0")
    assert math.isnan(UNDRAWN.value)
    assert around(Node("+", (KEPT, variable(1))), TREE) == Node("+", (TREE, variable(1)))


@pytest.mark.parametrize("planted", [KEPT, OVER, parse("x1 * 2.5 - sin(x0)"), Node("sin", (KEPT,)), variable(1)])
def test_codes_of_what_is_planted(planted):
    language = (OperatorSet.of("sin", "-", "*"), 2)
    codes, constants = encode_planted(planted, *language)
    assert (KEPT_CODE in codes) == (KEPT in list(planted))
    assert decode_planted(codes, constants, *language) == planted
