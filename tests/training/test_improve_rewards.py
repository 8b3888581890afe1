"""Rewards, against cases worked out by hand."""

import math

import numpy as np
import pytest

from pysr_neural_training.improve.rewards import (
    cleaned,
    commonest_share,
    credited,
    group_advantages,
    log_decrease,
    per_time,
    seconds_spent,
)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (1.0, math.exp(-2.0), 2.0),
        (0.5, 0.5, 0.0),
        (0.1, 0.2, 0.0),  # Worse is no better than nothing.
        (math.inf, 1.0, math.log(1e3)),  # Hopeless losses are all 1e3.
        (1e-9, 0.0, math.log(1e3)),  # Exact losses are all 1e-12.
        (1e-14, 1e-20, 0.0),
        (1.0, math.inf, 0.0),
    ],
)
def test_log_decrease(before: float, after: float, expected: float) -> None:
    assert log_decrease(before, after) == pytest.approx(expected)


def test_log_decrease_of_a_loss_that_is_no_number_is_none() -> None:
    assert math.isnan(log_decrease(math.nan, 1.0))
    assert math.isnan(log_decrease(1.0, math.nan))


def test_time_counts_model_and_evaluation() -> None:
    assert seconds_spent(tokens=10, evaluations=2, per_token=0.01, per_evaluation=0.5) == pytest.approx(1.1)


def test_gains_are_divided_by_time_in_units_of_the_mean() -> None:
    # Mean time 2: the same gain at 1, 2 and 3 seconds.
    np.testing.assert_allclose(per_time([6.0, 6.0, 6.0], [1.0, 2.0, 3.0]), [12.0, 6.0, 4.0])
    # A machine twice as slow changes nothing.
    np.testing.assert_allclose(per_time([6.0, 6.0, 6.0], [2.0, 4.0, 6.0]), [12.0, 6.0, 4.0])


def test_rewards_that_are_not_finite_count_as_nothing_and_are_counted() -> None:
    values = per_time([1.0, math.nan, 1.0, math.inf], [1.0, 1.0, 0.0, 1.0])
    rewards, bad = cleaned(values)
    np.testing.assert_allclose(rewards, [1.0, 0.0, 0.0, 0.0])
    assert bad == 3
    none_known, all_bad = cleaned(per_time([1.0, 2.0], [0.0, -1.0]))
    assert (none_known.tolist(), all_bad) == ([0.0, 0.0], 2)


def test_ancestors_share_the_gains_of_their_descendants() -> None:
    # 0 ─ 1 ─ 3
    #   ╲ 2 ╱      3 gained 8; 1 gained 2.
    parents = {1: (0,), 2: (0,), 3: (1, 2)}
    credit = credited({0: 0.0, 1: 2.0, 2: 0.0, 3: 8.0}, parents, discount=0.5)
    assert credit == {0: 8 / 4 + 2 / 2, 1: 2 + 8 / 2, 2: 8 / 2, 3: 8.0}


def test_credit_goes_the_shortest_way_and_no_further_than_the_horizon() -> None:
    # 3 comes from 0 directly and by way of 1 and 2: one birth counts.
    assert credited({3: 8.0}, {1: (0,), 2: (1,), 3: (2, 0)}, 0.5)[0] == 4.0
    assert credited({3: 8.0}, {1: (0,), 2: (1,), 3: (2,)}, 0.5, horizon=2) == {3: 8.0, 2: 4.0, 1: 2.0}


def test_advantages_are_taken_from_the_mean_of_all_draws() -> None:
    np.testing.assert_allclose(group_advantages([4.0, 0.0], [1, 3]), [3.0, -1.0])
    np.testing.assert_allclose(group_advantages([2.0, 2.0], [1, 5]), [0.0, 0.0])


def test_commonest_share() -> None:
    assert commonest_share(["a", "b", "a", "a"]) == 0.75
    assert commonest_share([]) == 0.0
