"""Write `native_v1.toml`, the vectors that tie the step that looks ahead in Julia to its twin in Python.

Run it after a deliberate change of the step only: ``python -m tests.golden.make_native``.
"""

from pathlib import Path

import numpy as np

from pysr_neural.expression.text import parse
from pysr_neural.operators import Array
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.proposer.policy.native import FORMS, ROWS, WEIGHTS, NativeForesight, drawn_rows
from pysr_neural.wire.codes import encode

GOLDEN = Path(__file__).parent / "native_v1.toml"
CASES = (
    (("+", "*"), "x0 * x0 + 0.5", 9),
    (("exp", "cos", "+", "-", "*", "/"), "exp(x0) / (x1 - cos(x1 * 0.3))", 15),
    (("log", "sqrt", "square", "+", "-", "/"), "sqrt(x0 + log(x1)) - square(x0)", 9),
    (("inv", "cube", "tanh", "abs", "sin", "neg", "+", "*"), "cube(tanh(x0)) + inv(abs(sin(-x1) * 2.0))", 30),
)
"""Operators, a tree, and the limit of nodes."""


def problem_of(names: tuple[str, ...], rows: int = 40) -> Problem:
    """Return data that both languages can write down."""
    X = 1.6 + np.sin(12.9898 * np.arange(1, rows + 1)[:, None] + 78.233 * np.arange(1, 3)[None])
    return Problem(X, X[:, 0] * X[:, 1] + np.cos(X[:, 1]), OperatorSet.of(*names), Limits(max_size=30))


def weights() -> Array:
    """Return weights of no meaning."""
    made: Array = np.sin(1.7 * np.arange(1, WEIGHTS + 1) ** 1.1)
    return made


def golden_text() -> str:
    """Return the file's content."""
    lines = [
        "# Written by make_native.py; read by the Python and the Julia tests.",
        f"weights = {_numbers(weights(), 12)}",
        f"rows = {[row + 1 for row in drawn_rows(40, ROWS, 0)]}",
    ]
    for names, text, limit in CASES:
        problem, tree = problem_of(names), parse(text)
        look = NativeForesight(problem).look(tree, limit)
        if look is None:
            raise AssertionError(f"Something must be told of {text}.")
        codes, constants = encode(tree, problem.operators, 2)
        lines += [
            "",
            "[[cases]]",
            f'text = "{text}"',
            f"operators = {_strings(problem.operators.names)}",
            f"arities = {list(problem.operators.arities)}",
            f"codes = {codes.tolist()}",
            f"constants = {[float(c) for c in constants]}",
            f"X = {_numbers(problem.X.T.ravel(), 12)}",
            f"y = {_numbers(problem.y, 12)}",
            f"limit = {limit}",
            f"present = {look.present!r}",
            f"nodes = {[place.node for place in look.places]}",
            f"forms = {[FORMS.index(place.form) for place in look.places]}",
            f"draw_scores = {_numbers(look.draw_scores(weights()))}",
            f"decreases = [{', '.join(map(_numbers, look.decreases))}]",
            f"scores = [{', '.join(map(_numbers, look.scores(weights())))}]",
        ]
    return "\n".join(lines) + "\n"


def _strings(names: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def _numbers(values: Array, digits: int = 4) -> str:
    return "[" + ", ".join(f"{value:.{digits}f}" if np.isfinite(value) else "-inf" for value in values) + "]"


if __name__ == "__main__":
    GOLDEN.write_text(golden_text())
