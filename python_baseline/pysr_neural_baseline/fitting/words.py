"""Figures of a fit in words, for terminal and page alike.

Owns: digits of scores and of constants with errors, the front as a plain table, what the
residuals say.  Does not own: the figures.
"""

import math
from collections.abc import Sequence

from pysr_neural.expression.residuals import NEIGHBOURHOOD, Dependence
from pysr_neural_baseline.fitting.judging import FEW
from pysr_neural_baseline.fitting.outcome import Outcome
from pysr_neural_baseline.fitting.uncertainty import Score, Verdict

MOST_ROWS, MOST_COLUMNS = 24, 100
"""Of the front on a screen."""
SAME = 1e-12
"""An R² is not told apart from 1 beyond this."""


def front_in_words(outcome: Outcome) -> str:
    """Return the front as a table for a terminal."""
    members = list(outcome.front)
    left_out = len(members) - MOST_ROWS
    if left_out > 0:
        members = [member for member in members[-MOST_ROWS:] if member is not outcome.law]
        members = sorted([*members, outcome.law], key=lambda member: member.complexity)
    lines = ["  complexity  loss/variance  expression   (* neural ancestor, > handed over)"]
    for member in members:
        marks = (">" if member is outcome.law else " ") + ("*" if member.neural else " ")
        text = outcome.shown(member)
        text = text if len(text) <= MOST_COLUMNS or member is outcome.law else text[: MOST_COLUMNS - 1] + "…"
        lines.append(f"{marks}{member.complexity:>10}{member.loss:>15.2e}  {text}")
    return "\n".join(lines + ([f"  … and {left_out} smaller ones"] if left_out > 0 else []))


def verdict_in_words(verdict: Verdict) -> str:
    """Return how sure a law is, in a few lines."""
    lines = [f"  on the {verdict.seen.rows} rows of the search: {_score(verdict.seen)}"]
    if verdict.held_out is not None:
        lines.append(f"  on {verdict.held_out.rows} rows held out:        {_score(verdict.held_out)}")
    constants = constants_in_words(verdict)
    return "\n".join([*lines, *([f"  {constants}"] if constants else [])])


def leftover_in_words(outcome: Outcome) -> str:
    """Return in a sentence whether what the one formula leaves looks like noise."""
    left, rows = outcome.leftover, len(outcome.data.y)
    if outcome.is_exact:
        return "Nothing is left but rounding."
    if left.structure:
        return (
            f"The residuals still depend on {_dependence(left.structure, outcome)}: this formula is not the whole law, "
            "and the errors of its constants are larger than told."
        )
    if left.is_noise:
        return f"The residuals look like noise: on {rows} rows they depend on no column, nor on the formula's values."
    if not left.dependences or rows < FEW:
        return f"{rows} rows are too few to tell whether the residuals are noise."
    if left.enough:
        first = left.dependences[0]
        what = _dependence((first,), outcome)
        return f"The residuals may depend on {what}, or seem to by chance, in {first.chance:.0%} of cases."
    return f"The residuals were not seen to depend on anything, but {rows} rows show strong dependence only."


def _dependence(found: Sequence[Dependence], outcome: Outcome) -> str:
    """Name what residuals depend on most; single columns all of them."""
    features, first = outcome.data.features, found[0].on
    if first == NEIGHBOURHOOD:
        return "the columns in some way"
    if isinstance(first, str):
        return f"the value of {outcome.data.target}"
    if len(first) == 2:
        return f"{features[first[0]]} and {features[first[1]]} together"
    return " and ".join(features[each.on[0]] for each in found if isinstance(each.on, tuple) and len(each.on) == 1)


def constants_in_words(verdict: Verdict) -> str:
    """Return the constants that were fitted, each with its standard error; empty if there are none."""
    fitted = [with_error(value, error) for value, error in verdict.constants if error]
    return f"constants, with standard errors: {'; '.join(fitted)}" if fitted else ""


def with_error(value: float, error: float) -> str:
    """Return a value and its standard error to two digits of the error, both to the same place."""
    if not math.isfinite(error):
        return f"{value:.5g} (not determined by the data)"
    place = math.floor(math.log10(error)) - 1 if error > 0 else -16
    size = math.floor(math.log10(max(abs(value), error)))
    if -4 <= size < 7:
        digits = max(-place, 0)
        return f"{value:.{digits}f} ± {error:.{digits}f}"
    digits = max(size - place, 0)
    return f"({value / 10.0**size:.{digits}f} ± {error / 10.0**size:.{digits}f})e{size:+d}"


def r2_in_words(value: float) -> str:
    """Return an R² with as many digits as tell it apart from 1."""
    if math.isnan(value):
        return "unknown"
    rest = 1.0 - value
    if value > 0.9 and rest > SAME:
        return f"{value:.{max(2, 1 - math.floor(math.log10(rest)))}f}"
    return f"{value:.3g}"


def plain_number(value: float) -> str:
    """Return a number in three digits."""
    return f"{value:.3g}"


def _score(score: Score) -> str:
    r2, rmse = score.r2_interval, score.rmse_interval
    known = not math.isnan(rmse[0])
    of_r2 = f" (95 %: {r2_in_words(r2[0])} to {r2_in_words(r2[1])})" if known else ""
    of_rmse = f" ({plain_number(rmse[0])} to {plain_number(rmse[1])})" if known else ""
    return f"R² {r2_in_words(score.r2)}{of_r2}, mean error {plain_number(score.rmse)}{of_rmse}"
