"""What numbers of a precision cannot hold of the data is found, and what they can hold is left in peace."""

import numpy as np
import pandas as pd
import pytest

from pysr_neural.interop.precision import lost_in

x = np.linspace(-1, 1, 60)
X = x[:, None]


@pytest.mark.parametrize(
    ("precision", "X", "y"),
    [
        (32, X, np.full(60, 0.1)),  # a deviation of 4.2e-17 that is rounding
        (32, X, x),
        (32, X, 0 * x),
        (32, X, 0 * x + 3),
        (32, X, 1e10 * x),
        (32, X, 100 + x),
        (32, 2000 + 10 * X, x),
        (32, (10_000_000 + np.arange(60))[:, None], np.arange(60)),  # whole numbers, held exactly
        (32, (1e9 + 3 * X).astype(np.float32), x),  # already rounded by the user
        (32, np.c_[X, 0 * X], x),
        (64, X, 1e9 + 3 * x),
        (64, 1e40 * X, 1e40 * x),
        (64, 1e-20 * X, 1e-20 * x),
        (16, X, x),
        (128, X, 1e300 * x),  # not one of PySR's: it refuses it itself
        (32, [["a"]] * 60, x),
        (32, X + 0j, x + 0j),
        (32, X.astype(object), x),
        (32, [[1.0], [2.0, 3.0]], [1.0, 2.0]),
        (32, np.empty((0, 2)), np.empty(0)),
        (32, np.where(X > 0.9, np.nan, X), x),
    ],
)
def test_what_numbers_can_hold_is_left_in_peace(precision, X, y):
    with np.errstate(all="raise"):
        assert lost_in(precision, X, y) == ()


@pytest.mark.parametrize(
    ("precision", "X", "y", "said"),
    [
        (32, X, 1e9 + 3 * x, r"y varies by 1\.8e\+00 about 1\.0e\+09, where 32-bit numbers are 6\.4e\+01 apart.*shift"),
        (32, 1.7e9 + X, x, r"X\[:, 0\] varies by .* 1\.3e\+02 apart"),
        (32, X, 5 + 1e-26 * x + 1e-10 * x, r"y varies by .* about 5\.0e\+00"),
        (
            32,
            1e40 * X,
            x,
            r"X\[:, 0\] holds values up to 1\.0e\+40, which 32-bit numbers turn into infinity\. Set preci",
        ),
        (32, X, 1e200 * x, "turn into infinity"),
        (32, 1e-20 * X, x, r"X\[:, 0\] is of the size 5\.9e-21: products of it vanish in 32-bit numbers"),
        (32, 1e20 * X, x, "products of it overflow"),
        (32, X, 1e-26 * x, r"y is of the size 5\.9e-27: squared errors of it vanish.*Set precision=64, or scale it"),
        (32, X, 1e20 * x, "squared errors of it overflow in 32-bit"),
        (32, X, np.full(60, 1e30), "overflow"),
        (32, X, np.full(60, 1e-30), "vanish"),
        (64, X, 1e200 * x, r"overflow in 64-bit numbers\. Scale it"),
        (64, X, 1e-170 * x, r"vanish in 64-bit numbers\. Scale it"),
        (16, X, 300 * x, "overflow in 16-bit"),
        (32, X, np.c_[x, 1e9 + x], r"^y\[:, 1\] varies"),
        (32, pd.DataFrame({"t": 1.7e9 + x}), pd.Series(x), r"^X\[:, 0\] varies"),
        (32, 10**9 + np.arange(60)[:, None], x, r"X\[:, 0\] varies"),
    ],
)
def test_what_they_cannot_hold_is_told_with_its_cure(precision, X, y, said):
    with np.errstate(all="raise"):
        (told,) = lost_in(precision, X, y)
    import re

    assert re.search(said, told), told
    assert told.endswith("it.")


def test_every_column_is_told():
    told = lost_in(32, np.c_[1e40 * x, x, 1e-20 * x], 1e20 * x)
    assert [text.split()[0] for text in told] == ["X[:,", "X[:,", "y"]


def test_a_search_cannot_find_what_rounding_took():
    """The bound is the share of the variance that counts as solved."""
    for offset, expected in ((100.0, ()), (1e4, 1)):
        y = offset + x
        rounded = y.astype(np.float32).astype(float)
        unexplained = np.mean((rounded - y) ** 2) / np.var(y)
        assert (unexplained > 2**-23) == bool(expected)
        assert bool(lost_in(32, X, y)) == bool(expected)
