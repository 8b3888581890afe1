"""The prompt builder: one layout, independent of the members' order, never a token outside the vocabulary."""

import numpy as np
import pytest

from pysr_neural.errors import WireError
from pysr_neural.expression.text import parse
from pysr_neural.problem import OperatorSet
from pysr_neural.state import KINDS, MemberView
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


def test_worst_members_make_room_and_are_counted() -> None:
    whole = p.build_prompt("onestep", OPERATORS, SLOTS, 15, MEMBERS)
    less = p.build_prompt("onestep", OPERATORS, SLOTS, 15, MEMBERS, room=len(whole.tokens) - 1)
    assert (whole.cut, less.cut) == (0, 1)
    assert names(whole)[: len(less.tokens)] == names(less)
    nothing = p.build_prompt("onestep", OPERATORS, SLOTS, 15, MEMBERS, room=0)
    assert nothing.cut == len(MEMBERS)
    assert nothing.tokens.tolist() == p.build_prompt("onestep", OPERATORS, SLOTS, 15).tokens.tolist()


def test_parents_of_an_edit_come_first_marked_by_the_kind_and_are_never_cut() -> None:
    _, sine, product = MEMBERS
    prompt = p.build_prompt("edit", OPERATORS, SLOTS, 15, MEMBERS, kind="crossover", parents=[product, sine], room=0)
    told = names(prompt)[7:]
    mark = f"kind:{KINDS.index('crossover')}"
    assert told[:4] == ["<member>", mark, "loss:10", "size:1"]
    second = told.index("<member>", 1)
    assert told[second:] == ["<member>", mark, mark, "loss:9", "size:1", "sin", "var:0"]
    assert prompt.cut == 1  # The sum; a parent is not shown a second time.
    assert prompt.positions.tolist()[7 + second :] == list(range(7))


@pytest.mark.parametrize(
    ("task", "kind", "parents", "message"),
    [
        ("edit", "add", 0, "one or two parents"),
        ("edit", "add", 3, "one or two parents"),
        ("onestep", "", 1, "no other task any"),
        ("edit", "adds", 1, "Did you mean 'add'"),
    ],
)
def test_edits_without_what_they_need_are_refused(task: str, kind: str, parents: int, message: str) -> None:
    with pytest.raises(WireError, match=message):
        p.build_prompt(task, OPERATORS, SLOTS, 15, kind=kind, parents=MEMBERS[:parents])


def test_parent_with_an_invisible_variable_is_refused() -> None:
    with pytest.raises(WireError, match="variables with a slot"):
        p.build_prompt("edit", OPERATORS, p.Slots((1,)), 15, kind="add", parents=MEMBERS[:1])


def test_a_population_is_written_best_first_and_its_positions_begin_anew() -> None:
    tokens = p.population_tokens(MEMBERS + MEMBERS[:1], SLOTS)
    assert tokens is not None
    assert [v.NAMES[token] for token in tokens] == [
        *["sin", "var:0", "<member>", "+", "var:0", "var:1", "<member>"],
        *["*", "var:1", *[v.NAMES[t] for t in v.constant_tokens(3.3)], "<end>"],
    ]
    inputs = [v.TARGET, *tokens[:-1]]
    assert p.target_positions(inputs) == [0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4]
    assert max(p.target_positions([v.TARGET] * 300)) == p.MAX_POSITION - 1
    assert p.population_tokens(MEMBERS, p.Slots((1,))) is None


def test_rows_shown_are_the_same_every_time_and_all_where_there_are_few() -> None:
    assert p.shown_rows(p.SHOWN_ROWS).tolist() == list(range(p.SHOWN_ROWS))
    many = p.shown_rows(1000)
    assert len(set(many.tolist())) == p.SHOWN_ROWS
    assert many.tolist() == sorted(p.shown_rows(1000).tolist())
