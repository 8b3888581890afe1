"""What a finished search says about the next one: `suggestions`.

Owns: the suggestions, each as code to be pasted and the evidence for it.  Does not own: the tests of dependence
(`proposer.joins.reductions`, `relevance`), what numbers can hold (`interop.precision`).

Nothing is changed for the user: an estimator's parameters stay as they were given.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pysr_neural.expression.text import to_string
from pysr_neural.operators import Array
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.joins.reductions import Reduction, reductions
from pysr_neural.proposer.joins.relevance import FEWEST_ROWS, relevant
from pysr_neural.rng import generator

ROWS = 1000
"""Most rows that the tests of dependence see."""
QUERIES, NEIGHBOURS_PER_VARIABLE = 200, 3
BEST = 5
"""Members of the front whose operators are looked at: those of the lowest losses."""
WORDS = {"+": r"\+", "-": r"-", "*": r"\*", "/": r"/", "^": r"\^"}
ARITHMETIC = OperatorSet.of("+", "-", "*", "/")
"""What the template may be written with; the search's own operators stay those of its expressions."""


@dataclass(frozen=True)
class Suggestion:
    """One change for the next fit.

    Parameters
    ----------
    code : str
        Python, to be pasted into the call of `PySRRegressor`.
    evidence : str
        Why.
    """

    code: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.code}  # {self.evidence}"


def suggestions(
    X: Array,
    y: Array,
    names: Sequence[str],
    front: Mapping[int, str],
    operators: Mapping[str, Sequence[str]],
    maxsize: int,
    notes: Sequence[str] = (),
) -> tuple[Suggestion, ...]:
    """Read out of data and front what could be asked better.

    Parameters
    ----------
    X : array, shape (rows, features)
    y : array, shape (rows,)
    names : sequence of str
        Of the features.
    front : mapping of int to str
        Complexity → equation, of falling loss.
    operators : mapping of str to sequence of str
        PySR's parameters ``unary_operators`` and ``binary_operators``.
    maxsize : int
    notes : sequence of str
        What the search's numbers could not hold.

    Returns
    -------
    tuple of Suggestion
        Structure, operators, size, precision; those for which there is evidence.
    """
    found = [*_structure(X, y, names), *_fewer(front, operators), *_larger(front, maxsize)]
    if notes:
        found.append(Suggestion("precision=64", notes[0]))
    return tuple(found)


def _structure(X: Array, y: Array, names: Sequence[str]) -> list[Suggestion]:
    """Suggest a template where y depends on fewer things than there are variables."""
    rows = generator(0, "suggestions").permutation(len(y))[:ROWS]
    X, y = np.asarray(X, float)[rows], np.asarray(y, float)[rows]
    with np.errstate(all="ignore"):
        if X.shape[1] < 2 or not (np.isfinite(X).all() and np.isfinite(np.var(y)) and np.ptp(y) > 0):
            return []
        needed = set(relevant(X, y)) if len(y) >= FEWEST_ROWS else set()
        found = (each for each in reductions(X, y, ARITHMETIC) if needed <= _used(each) and _holds(each, X))
        reduction = next(found, None)
    if reduction is None:
        return []
    inner = [to_string(node, names) for node in reduction.inner]
    combine = f"f({', '.join(inner)})"
    if reduction.outer is not None:
        combine = f"({to_string(reduction.outer, names)}) * {combine}"
    code = (
        f"expression_spec=TemplateExpressionSpec(expressions=['f'], variable_names={list(names)}, combine={combine!r})"
    )
    return [Suggestion(code, f"{_said(reduction, names)}, by regressions on {len(y)} rows")]


def _used(reduction: Reduction) -> set[int]:
    """Return the variables of the whole problem that y depends on, by a smaller one."""
    outer = () if reduction.outer is None else reduction.outer.variables()
    return {i for node in reduction.inner for i in node.variables()} | set(outer)


def _holds(reduction: Reduction, X: Array) -> bool:
    """Tell whether a smaller problem's variables say as much about its target as all variables do.

    The tests behind it are polynomials of second degree, and a wrong one costs the joins nothing.  Here somebody will
    believe it, so planes through nearest neighbours are asked too: fewer variables mean nearer neighbours, unless
    something is missing.
    """
    wide, narrow = (_local_error(columns, reduction.y) for columns in (X, reduction.X))
    return bool(narrow <= wide)


def _local_error(X: Array, y: Array) -> float:
    """Return the mean squared error of planes through the nearest neighbours of some rows."""
    deviation = X.std(axis=0)
    if not (np.isfinite(deviation).all() and (deviation > 0).all() and np.isfinite(np.var(y))):
        return float("nan")
    scaled = (X - X.mean(axis=0)) / deviation
    errors = []
    for row in range(0, len(y), max(len(y) // QUERIES, 1)):
        near = np.argsort(np.square(scaled - scaled[row]).sum(axis=1))[1 : NEIGHBOURS_PER_VARIABLE * X.shape[1] + 3]
        design = np.column_stack([np.ones(len(near)), scaled[near] - scaled[row]])
        errors.append(np.linalg.lstsq(design, y[near], rcond=None)[0][0] - y[row])
    return float(np.mean(np.square(errors)))


def _said(reduction: Reduction, names: Sequence[str]) -> str:
    """Say in words what a reduction found."""
    told = []
    merged = [to_string(node, names) for node in reduction.inner if node.index is None]
    used = _used(reduction)
    if merged:
        told.append(f"y depends on some variables through {', '.join(merged)} only")
    if reduction.outer is not None:
        told.append(f"y has the factor {to_string(reduction.outer, names)}")
    absent = [name for i, name in enumerate(names) if i not in used]
    if absent:
        told.append(f"y does not depend on {', '.join(absent)}")
    return "; ".join(told)


def _fewer(front: Mapping[int, str], operators: Mapping[str, Sequence[str]]) -> list[Suggestion]:
    """Suggest the operators that good members use, where others are in none of them."""
    best = [front[complexity] for complexity in sorted(front)[-BEST:]]
    if len(best) < BEST:
        return []
    found = []
    for parameter, given in operators.items():
        known = [name for name in given if name in WORDS or name.isidentifier()]
        used = [name for name in given if name not in known or any(_uses(text, name) for text in best)]
        unused = [name for name in given if name not in used]
        if unused and (used or parameter == "unary_operators"):
            evidence = f"{', '.join(unused)}: in none of the {BEST} best members"
            found.append(Suggestion(f"{parameter}={used}", evidence))
    return found


def _uses(equation: str, operator: str) -> bool:
    pattern = WORDS.get(operator, rf"\b{re.escape(operator)}\(")
    return re.search(pattern, equation) is not None


def _larger(front: Mapping[int, str], maxsize: int) -> list[Suggestion]:
    """Suggest a larger limit where the best member is at the present one."""
    if not front or max(front) < maxsize - 1:
        return []
    return [Suggestion(f"maxsize={3 * maxsize // 2}", f"the best member has size {max(front)} of at most {maxsize}")]
