"""Our methods as a worker of srbf, the Symbolic Regression Benchmark Framework: ``worker: PATH/srbf_worker.py``.

Owns: srbf's worker contract (``load``, ``info``, ``fit``; as in srbf 0.21.0), for any method of `methods.registry`.
Does not own: the methods, the rule by which one formula is handed over.

srbf runs this file in this environment by its own runner, which needs nothing of srbf here.  A configuration says::

    model_adapter:
      type: subprocess
      config_provenance: author_blessed
      worker: benchmarks/pysr_neural_benchmarks/runner/srbf_worker.py
      python: .venv/bin/python
      options: {method: neuralsr, seconds: 2.0, seed: 0}

``method`` is a name as `bench run` takes it, ``seconds`` and ``evaluations`` its budget (null is no limit; with
evaluations alone a run repeats on every machine), ``max_size`` and ``operators`` what it may use.
The model's loading and a small search happen in ``load``, outside of every fit's time.
"""

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural.expression.choice import DescriptionLength
from pysr_neural.expression.node import Node
from pysr_neural.expression.text import INFIX, parse
from pysr_neural.operators import Array
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural_benchmarks.methods.base import Budget
from pysr_neural_benchmarks.methods.registry import make
from pysr_neural_benchmarks.runner.service import versions
from pysr_neural_benchmarks.suites.data import MAX_SIZE, OPERATORS

DEFAULTS: dict[str, Any] = {
    "method": "neuralsr",
    "seconds": 2.0,
    "evaluations": None,
    "seed": 0,
    "max_size": MAX_SIZE,
    "operators": OPERATORS,
}
WARM_UP_ROWS = 512
_NUMBERED = re.compile(r"x\d+")


def load(options: Mapping[str, Any]) -> dict[str, Any]:
    """Make the method and let it search once.

    Raises
    ------
    ConfigError
        If an option is unknown, or the method is, or the budget has no limit.
    """
    for name in options:
        if name not in DEFAULTS:
            raise ConfigError(f"An option must be known; got {name!r}." + did_you_mean(name, DEFAULTS))
    state = {**DEFAULTS, **options}
    _budget(state)
    state["made"] = make(str(state["method"]))
    X = np.random.default_rng(0).uniform(0.5, 2.0, (WARM_UP_ROWS, 2))
    state["made"].warm_up(_problem(X, np.sin(3 * X[:, 0]) / X[:, 1] + X[:, 0], state))
    return state


def info(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what runs: the options and the versions."""
    told = {name: state[name] for name in DEFAULTS}
    return {"worker": "pysr_neural", **told, "versions": versions()}


def fit(
    x: Sequence[Sequence[float]],
    y: Sequence[float],
    *,
    x_val: Any = (),
    variables: Sequence[str],
    meta: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    state: Mapping[str, Any],
) -> dict[str, Any]:
    """Search one problem, and hand one formula over.

    Parameters
    ----------
    x : sequence of rows
    y : sequence of float
    x_val, meta, options
        As srbf gives them; not looked at.
    variables : sequence of str
        Names of the columns, which the formula uses.
    state : mapping
        From `load`.

    Returns
    -------
    dict
        ``expression``, ``fit_time``, and as ``extra`` the front; or ``error`` if there is no formula, or if srbf would
        judge another one than it is given.
    """
    del x_val, meta, options
    if (mixed := _renamed_again(variables)) is not None:
        return {"error": f"srbf renames columns twice, and would take {mixed!r} for another one: call the columns "
                f"x1, x2, … or none of them so; got {', '.join(variables)}."}  # fmt: skip
    X, target = np.array(x, dtype=np.float64), np.array(y, dtype=np.float64).ravel()
    began = time.perf_counter()
    budget = _budget(state)
    outcome = state["made"].fit(_problem(X, target, state), budget, _seed(X, target, int(state["seed"])))
    steps = [step for step in outcome.steps if budget.holds(step.seconds, step.evaluations)]
    taken = time.perf_counter() - began
    if not steps or not steps[-1].front:
        return {"error": f"{state['method']} found nothing within {budget}.", "fit_time": taken}
    front = steps[-1].front
    trees = [parse(found.equation) for found in front]
    one = DescriptionLength(target).choose(trees, [found.loss for found in front])
    listed = [
        {"expression": written(tree, variables), "complexity": found.complexity, "loss": found.loss}
        for tree, found in zip(trees, front, strict=True)
    ]
    return {
        "expression": listed[one]["expression"],
        "constants": list(trees[one].constants()),
        "fit_time": taken,
        "extra": {"front": listed, "evaluations": outcome.evaluations, "seconds": outcome.seconds},
    }


def written(tree: Node, names: Sequence[str]) -> str:
    """Write an expression as srbf reads it: powers as ``**``, negative numbers in parentheses."""
    if tree.value is not None:
        return f"({tree.value!r})" if tree.value < 0 else repr(tree.value)
    if tree.index is not None:
        return names[tree.index]
    arguments = [written(child, names) for child in tree.children]
    if tree.operator in INFIX and len(arguments) == 2:
        return f"({arguments[0]} {'**' if tree.operator == '^' else tree.operator} {arguments[1]})"
    if tree.operator in ("square", "cube"):
        return f"({arguments[0]} ** {2 if tree.operator == 'square' else 3})"
    return f"{tree.operator}({', '.join(arguments)})"


def _renamed_again(variables: Sequence[str]) -> str | None:
    """Return a column that srbf (0.21.0) would mistake for another one; None if there is none.

    It renames columns by their places to x1, x2, …, unless all are called so, first in the text and once more in what
    it read from the text.
    """
    if all(_NUMBERED.fullmatch(name) for name in variables):
        return None
    places = {f"x{i + 1}": name for i, name in enumerate(variables)}
    return next((name for name in variables if places.get(name, name) != name), None)


def _budget(state: Mapping[str, Any]) -> Budget:
    seconds, evaluations = state["seconds"], state["evaluations"]
    return Budget(
        None if seconds is None else float(seconds),
        None if evaluations is None else int(evaluations),
    )


def _problem(X: Array, y: Array, state: Mapping[str, Any]) -> Problem:
    return Problem(X, y, OperatorSet.of(*state["operators"]), Limits(int(state["max_size"])), "srbf")


def _seed(X: Array, y: Array, seed: int) -> int:
    """Return a seed of the problem's own: other data, another seed."""
    digest = hashlib.sha256(np.ascontiguousarray(X).tobytes() + y.tobytes() + str(seed).encode()).digest()
    return int.from_bytes(digest[:4], "little") & 0x7FFFFFFF
