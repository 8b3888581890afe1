"""Tokens: few, unambiguous, and faithful to what they stand for."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysr_neural.operators import OPERATORS
from pysr_neural.state import KINDS
from pysr_neural.wire import vocabulary as v


def test_fewer_than_128_distinct_tokens() -> None:
    assert len(set(v.NAMES)) == len(v.NAMES) < 128
    assert v.PAD == 0


def test_every_operator_of_the_table_has_a_token_of_its_arity() -> None:
    for name, row in OPERATORS.items():
        assert v.ARITY[v.operator_token(name, row.arity)] == row.arity
        assert v.NAMES[v.operator_token(name, row.arity)] == name


def test_unknown_operators_get_the_generic_token_of_their_arity() -> None:
    for arity in (1, 2, 3):
        assert v.ARITY[v.operator_token("bessel", arity)] == arity
    assert v.operator_token("sin", 2) == v.ID["<binary>"]


def test_every_kind_has_a_token() -> None:
    assert len(KINDS) == v.KIND_TOKENS


@given(st.floats(min_value=1e-4, max_value=9.9e4), st.booleans())
def test_constants_round_trip_within_a_bucket(size: float, negative: bool) -> None:
    value = -size if negative else size
    tokens = v.constant_tokens(value)
    back = v.VALUE[tokens[0]] if len(tokens) == 1 else v.constant_value(*tokens)
    assert math.copysign(1, back) == math.copysign(1, value)
    assert abs(math.log10(abs(back)) - math.log10(size)) <= 1 / v.MANTISSAS


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_every_float_has_tokens(value: float) -> None:
    tokens = v.constant_tokens(value)
    if len(tokens) == 2:
        assert v.IS_EXPONENT[tokens[0]]
        assert v.IS_MANTISSA[tokens[1]]
    else:
        assert not math.isnan(v.VALUE[tokens[0]])


@pytest.mark.parametrize(
    ("loss", "bucket"),
    [(0.0, 0), (1e-11, 0), (1e-7, 1), (0.7, 8), (1.0, 9), (50.0, 11), (math.inf, 11), (math.nan, 11)],
)
def test_loss_buckets(loss: float, bucket: int) -> None:
    assert v.loss_token(loss) == v.FIRST_LOSS + bucket


def test_complexity_buckets_ascend() -> None:
    buckets = [v.complexity_token(c) for c in range(1, 60)]
    assert buckets == sorted(buckets)
    assert set(buckets) == set(range(v.FIRST_COMPLEXITY, v.FIRST_COMPLEXITY + v.COMPLEXITY_BUCKETS))
