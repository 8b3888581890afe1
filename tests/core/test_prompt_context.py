"""Statistics in a prompt: told by tokens that exist, the same for the same data, absent unless asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysr_neural.errors import ConfigError
from pysr_neural.problem import OperatorSet
from pysr_neural.wire import prompt as p
from pysr_neural.wire import vocabulary as v
from pysr_neural.wire.context import CONTEXTS, FIRST_PLOT, FIRST_RELATION, NOTHING, PLOT_COLUMNS, Context, context_of

X = np.linspace(1.0, 2.0, 48)[:, None] * np.array([1.0, -3.0])
Y = X[:, 0] ** 2


def parts(context: Context) -> list[dict[int, str]]:
    """Names by position, a part for y and for each variable."""
    found: list[dict[int, str]] = []
    for token, position in zip(context.tokens, context.positions, strict=True):
        if position == 0:
            found.append({})
        found[-1][position] = v.NAMES[token]
    return found


def test_vocabulary_is_the_one_that_checkpoints_carry() -> None:
    assert v.VOCABULARY_HASH == "b1419d8f4b2f1276"
    assert len(v.NAMES) < 128


def test_basic_says_nothing() -> None:
    assert context_of("basic", X, Y, (0, 1)) == NOTHING


def test_rich_tells_ranges_and_relations() -> None:
    y, first, second = parts(context_of("rich", X, Y, (0, 1)))
    assert (y[0], first[0], second[0]) == ("<target>", "var:0", "var:1")
    assert (first[5], first[7]) == ("int:1", "int:2")  # Least and greatest.
    assert [first[FIRST_RELATION + i] for i in range(3)] == ["man:7"] * 3  # Correlated, in rank too, and rising.
    assert [second[FIRST_RELATION + i] for i in range(3)] == ["man:0"] * 3
    assert max(first) < FIRST_PLOT


def test_superrich_draws_y_over_each_variable() -> None:
    _, first, second = parts(context_of("superrich", X, Y, (0, 1)))
    plot = [first[FIRST_PLOT + i] for i in range(PLOT_COLUMNS)]
    assert (plot[0], plot[-1]) == ("man:0", "man:7")
    assert plot == sorted(plot)
    assert [second[FIRST_PLOT + i] for i in range(PLOT_COLUMNS)] == plot[::-1]


def test_variables_without_a_slot_are_not_described() -> None:
    _, only = parts(context_of("rich", X, Y, (1,)))
    assert only[0] == "var:0"
    assert only[5] != "int:1"


@settings(max_examples=60)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30),
    st.sampled_from(CONTEXTS),
)
def test_any_finite_data_can_be_described(values: list[float], level: str) -> None:
    column = np.array(values)
    found = context_of(level, column[:, None], column[::-1], (0,))
    assert len(found.tokens) == len(found.positions)
    assert all(0 <= token < len(v.NAMES) for token in found.tokens)
    assert all(0 <= position < p.MAX_POSITION for position in found.positions)


def test_context_goes_to_the_header_and_changes_nothing_else() -> None:
    operators, slots = OperatorSet.of("+", "sin"), p.Slots((0, 1))
    plain = p.build_prompt("direct", operators, slots, 9)
    told = p.build_prompt("direct", operators, slots, 9, context=context_of("rich", X, Y, slots.features))
    assert told.tokens[: len(plain.tokens)].tolist() == plain.tokens.tolist()
    assert set(told.segments.tolist()) == {p.HEADER_SEGMENT}
    assert len(told.tokens) > len(plain.tokens)


def test_unknown_context_is_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'rich'"):
        context_of("ritch", X, Y, (0,))
