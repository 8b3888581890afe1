"""What a proposal was worth: pure functions from losses, times and ancestry to rewards.

Owns: rewards, credit, baselines, the count of rewards that are not finite, and the measure of collapse.  Does not own:
where the numbers come from (`rollout`), what is done with them (`rl`, `expert_iteration`).

Losses are relative: mean squared error over the variance of y.  Rewards are natural logarithms of ratios of losses.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pysr_neural.operators import Array

EXACT, HOPELESS = 1e-12, 1e3
"""Losses below the first are all exact, above the second all hopeless: no reward for moving among them."""


def log_decrease(before: float, after: float) -> float:
    """Return by how much the logarithm of the loss fell, at least 0; NaN if a loss is NaN.

    Parameters
    ----------
    before, after : float
        Relative losses ≥ 0; infinite for an expression without a value.
    """
    if math.isnan(before) or math.isnan(after):
        return math.nan
    start, end = (min(max(loss, EXACT), HOPELESS) for loss in (before, after))
    return max(0.0, math.log(start) - math.log(end))


def seconds_spent(tokens: int, evaluations: float, per_token: float, per_evaluation: float) -> float:
    """Return the time that a proposal cost: that of the model for its tokens, and that of its evaluations."""
    return tokens * per_token + evaluations * per_evaluation


def per_time(gains: Sequence[float], seconds: Sequence[float]) -> Array:
    """Divide gains by the time that each cost, in units of the mean time; NaN where no time is given.

    A gain at the mean price keeps its value, so that the scale of rewards does not depend on the machine.
    """
    costs = np.asarray(seconds, dtype=np.float64)
    known = costs[np.isfinite(costs) & (costs > 0)]
    unit = float(known.mean()) if known.size else math.nan
    with np.errstate(all="ignore"):
        return np.where(costs > 0, np.asarray(gains, dtype=np.float64) * unit / costs, np.nan)


def cleaned(rewards: npt.ArrayLike) -> tuple[Array, int]:
    """Replace rewards that are not finite by 0; returns the rewards, and how many were replaced."""
    values = np.asarray(rewards, dtype=np.float64)
    bad = ~np.isfinite(values)
    return np.where(bad, 0.0, values), int(bad.sum())


def credited(
    gains: Mapping[int, float], parents: Mapping[int, Sequence[int]], discount: float, horizon: int = 20
) -> dict[int, float]:
    """Give every ancestor its share of what its descendants gained.

    Parameters
    ----------
    gains : mapping of int to float
        What each member gained when it was born, by ref.
    parents : mapping of int to sequence of int
        Refs of each member's parents; refs that the mapping lacks have none.
    discount : float
        Share that is left after one birth, 0 to 1: an ancestor k births away gets discount^k of the gain, counted
        along the shortest line.
    horizon : int
        Most births that credit goes back.

    Returns
    -------
    dict of int to float
        A member's own gain and its share of its descendants'.
    """
    credit = dict(gains)
    for ref, gain in gains.items():
        if gain == 0:
            continue
        seen, line, share = {ref}, [ref], 1.0
        for _ in range(horizon):
            share *= discount
            line = [up for up in dict.fromkeys(p for one in line for p in parents.get(one, ())) if up not in seen]
            seen.update(line)
            for up in line:
                credit[up] = credit.get(up, 0.0) + share * gain
    return credit


def group_advantages(rewards: npt.ArrayLike, counts: npt.ArrayLike) -> Array:
    """Return how much better each sample did than its group's mean; all 0 for a group of equals.

    Not divided by the group's standard deviation, which would make a group of near equals as loud as any other.

    Parameters
    ----------
    rewards : array, shape (samples,)
        Finite.
    counts : array, shape (samples,)
        How often each sample was drawn.
    """
    values, weights = np.asarray(rewards, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    return values - float((values * weights).sum() / max(weights.sum(), 1.0))


def commonest_share(proposals: Iterable[Hashable]) -> float:
    """Return the share of the commonest among proposals: 1 if all are the same, 0 if there are none."""
    counted = Counter(proposals)
    total = sum(counted.values())
    return max(counted.values()) / total if total else 0.0
