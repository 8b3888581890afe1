"""The prompt builder: one layout, independent of the members' order, never a token outside the vocabulary."""

import numpy as np
import pytest

from pysr_neural.errors import WireError
from pysr_neural.expression.text import parse
from pysr_neural.problem import OperatorSet
from pysr_neural.state import MemberView
from pysr_neural.wire import prompt as p
from pysr_neural.wire import vocabulary as v

OPERATORS = OperatorSet.of("+", "*", "sin")
SLOTS = p.Slots((0, 1))
MEMBERS = tuple(
    MemberView(parse(text), loss, parse(text).size)
    for text, loss in [("x0 + x1", 2.0), ("sin(x0)", 1.0), ("x1 * 3.3", 4.0)]
)


def names(prompt: p.Prompt) -> list[str]:
    return [v.NAMES[token] for token in prompt.tokens]


def test_layout_is_the_documented_one() -> None:
    prompt = p.build_prompt("onestep", OPERATORS, SLOTS, 15, MEMBERS[:1], variance=2.0)
    assert names(prompt) == [
        "<onestep>",
        "sin",
        "+",
        "*",
        "var:0",
        "var:1",
        "size:4",
        "<member>",
        "loss:9",
        "size:1",
        "+",
        "var:0",
        "var:1",
    ]
    assert prompt.positions.tolist() == [0] * 7 + [0, 1, 2, 3, 4, 5]
    assert prompt.segments.tolist() == [p.HEADER_SEGMENT] * 7 + [p.MEMBER_SEGMENT] * 6


def test_order_and_repetition_of_members_mean_nothing() -> None:
    first = p.build_prompt("onestep", OPERATORS, SLOTS, 15, MEMBERS)
    second = p.build_prompt("onestep", OPERATORS, SLOTS, 15, MEMBERS[::-1] + MEMBERS)
    assert first.tokens.tolist() == second.tokens.tolist()


def test_best_members_are_kept_and_the_worst_cut() -> None:
    prompt = p.build_prompt("onestep", OPERATORS, SLOTS, 15, MEMBERS, max_members=2)
    assert names(prompt).count("<member>") == 2
    assert "exp:+0" not in names(prompt)


def test_member_with_an_invisible_variable_is_left_out() -> None:
    prompt = p.build_prompt("onestep", OPERATORS, p.Slots((1,)), 15, MEMBERS)
    assert names(prompt).count("<member>") == 1


def test_unknown_operator_is_shown_as_generic() -> None:
    operators = OperatorSet(("airy", "+"), (1, 2))
    assert "<unary>" in names(p.build_prompt("direct", operators, SLOTS, 15))


def test_unknown_task_is_refused() -> None:
    with pytest.raises(WireError, match="'guess'"):
        p.build_prompt("guess", OPERATORS, SLOTS, 15)


def test_sixty_features_keep_the_informative_ones() -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(200, 60))
    slots = p.choose_slots(X, np.exp(X[:, 41]) + 2 * X[:, 7])
    assert len(slots.features) == v.VARIABLE_SLOTS
    assert {7, 41} <= set(slots.features)


def test_data_columns_mark_absent_ones_and_stay_in_single_precision() -> None:
    columns = p.data_columns(np.array([[1e300, 2.0]]), np.array([3.0]), SLOTS)
    assert columns.dtype == np.float32
    assert np.isfinite(columns[0, :2]).all()
    assert np.isnan(columns[0, 2:-2]).all()
    assert columns[0, -2] == 3.0
    assert np.isnan(columns[0, -1])
