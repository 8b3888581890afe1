"""A distilled policy as ordinary parameters of plain PySR.

Owns: `EXPORTS`, PySR's names and what can be carried over.  Does not own: the distilled form (`distil`).

PySR has weights of mutations, a crossover probability, and operators that are there or not; it has no probabilities of
operators or pairs.  So the lifts of kinds become weights, rarely wanted operators are left out, and nestings that the
policy avoids become nested constraints.  What the policy says nothing about is left at PySR's default.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural.operators import OPERATORS
from pysr_neural_baseline.config import MutationWeights
from pysr_neural_training.interpret.distil import Distilled

WEIGHTS = {
    "constant": "weight_mutate_constant",
    "operator": "weight_mutate_operator",
    "feature": "weight_mutate_feature",
    "swap": "weight_swap_operands",
    "rotate": "weight_rotate_tree",
    "add": "weight_add_node",
    "insert": "weight_insert_node",
    "delete": "weight_delete_node",
    "simplify": "weight_simplify",
    "randomize": "weight_randomize",
    "do_nothing": "weight_do_nothing",
    "optimize": "weight_optimize",
}
"""PySR's parameter for each kind; crossover is a probability there, and whole proposals it has none."""
ARITHMETIC = ("+", "-", "*", "/")
"""Kept whatever the policy prefers: a search without one of them is another problem."""
KEPT = 0.5
"""An operator stays if it is wanted half as often as the average one of its arity."""
LEAST_STATES = 5
"""And if its search was seen in so many states."""
DIGITS = 4


def parameters(distilled: Distilled) -> dict[str, Any]:
    """Return the keyword arguments of ``PySRRegressor``; tuples in ``constraints``, as PySR wants them."""
    found: dict[str, Any] = {}
    if distilled.operators:
        found["binary_operators"] = [*ARITHMETIC, *[n for n in kept_operators(distilled, 2) if n not in ARITHMETIC]]
        found["unary_operators"] = kept_operators(distilled, 1)
    if "^" in found.get("binary_operators", ()):
        found["constraints"] = {"^": (-1, 1)}
    nested: dict[str, dict[str, int]] = {}
    for outer, inner in distilled.never_nested:
        if {outer, inner} <= set(found.get("unary_operators", ())):
            nested.setdefault(outer, {})[inner] = 0
    if nested:
        found["nested_constraints"] = nested
    if distilled.kinds is not None:
        found |= {WEIGHTS[kind]: weight for kind, weight in mutation_weights(distilled).items()}
    if distilled.crossover_probability is not None:
        found["crossover_probability"] = _rounded(distilled.crossover_probability)
    return found


def mutation_weights(distilled: Distilled) -> dict[str, float]:
    """Return PySR's default weight of each mutation times the policy's lift."""
    lifts = distilled.kinds or {}
    return {kind: _rounded(weight * lifts.get(kind, 1.0)) for kind, weight in asdict(MutationWeights()).items()}


def kept_operators(distilled: Distilled, arity: int) -> list[str]:
    """Return the operators of an arity that the policy wants often enough, the most wanted first."""
    lifts = {
        name: lift
        for name, lift in distilled.operators.items()
        if name in OPERATORS and OPERATORS[name].arity == arity and distilled.counts.get(name, 0) >= LEAST_STATES
    }
    average = sum(lifts.values()) / len(lifts) if lifts else 0.0
    return sorted((name for name, lift in lifts.items() if lift >= KEPT * average), key=lambda name: -lifts[name])


def call(distilled: Distilled) -> str:
    """Return a ``PySRRegressor(...)`` call; comments name what the policy says nothing about."""
    found = parameters(distilled)
    lines = [f"    {name}={value!r}," for name, value in found.items()]
    silent = [
        text
        for name, text in (
            ("weight_add_node", "kinds of mutation"),
            ("crossover_probability", "crossover"),
            ("binary_operators", "operators"),
        )
        if name not in found
    ]
    if silent:
        lines.append(f"    # The policy says nothing about {', '.join(silent)}: PySR's defaults hold.")
    if "binary_operators" in found:
        lines.append("    # Operators are those that it wants on average; name your own where you know them.")
    return "\n".join(["PySRRegressor(", *lines, ")"])


def to_json(distilled: Distilled) -> str:
    """Return the keyword arguments as one JSON object; `read_parameters` reads it."""
    return json.dumps(parameters(distilled))


def read_parameters(text: str) -> dict[str, Any]:
    """Read exported parameters, for ``PySRRegressor(**read_parameters(text))``.

    Raises
    ------
    ConfigError
        If it is no JSON object.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"Exported parameters must be JSON; got: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"Exported parameters must be a JSON object; got {text[:40]!r}.")
    # PySR checks pairs of sizes only if they are tuples, which JSON does not have.
    pairs = {name: tuple(sizes) for name, sizes in values.get("constraints", {}).items()}
    return {**values, "constraints": pairs} if pairs else values


def _pysr(distilled: Distilled) -> str:
    return f"{call(distilled)}\n\n{to_json(distilled)}"


EXPORTS: Mapping[str, Callable[[Distilled], str]] = {"pysr": _pysr}
"""Export targets by name."""


def export(target: str, distilled: Distilled) -> str:
    """Return a distilled policy in the form of a target.

    Raises
    ------
    ConfigError
        If the target is unknown.
    """
    check_target(target)
    return EXPORTS[target](distilled)


def check_target(target: str) -> None:
    """Refuse an unknown export target."""
    if target not in EXPORTS:
        raise ConfigError(
            f"A policy can be exported to {', '.join(EXPORTS)}; got {target!r}." + did_you_mean(target, EXPORTS)
        )


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
