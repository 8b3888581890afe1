"""Answers requests for `bench request`, in a process of its own for each build.

Owns: the problems and populations, the processor's clock around one request, what its parts took.  It uses only what
both builds have, and finds what it times by name.

Lines of JSON: ``{"rows": 512, "features": 4, "kind": "seeds", "requests": 1, "seed": 0}`` in,
``{"seconds": …, "parts": {…}}`` out.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import torch

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.text import parse
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.proposer.base import ProposalRequest
from pysr_neural.proposer.transformer import TransformerProposer
from pysr_neural.state import MemberView

LAWS = (
    "x0 * sin(x1) / (1.0 + x2 * x2) + exp(0.0 - x3)",
    "sqrt(x0 * x0 + x1 * x1 + x2) * log(x2 + x3)",
    "(x0 - x1) / (x2 + sqrt(x3)) + cos(x0 * x2)",
    "exp(x0 - x1) / (exp(x2) + x3 * x0) + x1 * x3",
)
MEMBERS = (
    "x0", "x1", "x2 * x3", "sin(x1)", "x0 * x1", "x0 / x2", "exp(x3)", "x0 + x1", "x2 - 0.5", "sqrt(x2)",
    "x0 * sin(x1)", "cos(x0)", "log(x2)", "x1 * x3", "x0 * x0", "x3 / x1", "1.5 * x0", "x0 - x1", "x1 + 2.0", "x2",
)  # fmt: skip
COUNT = 64
PLACES = {
    "model": [
        ("pysr_neural.proposer.neural.transformer", "ask"),
        ("pysr_neural.proposer.transformer", "ask"),
    ],
    "join": [
        ("pysr_neural.proposer.joins.search", "Joiner.work"),
        ("pysr_neural.proposer.transformer", "combinations"),
    ],
    "refine": [
        ("pysr_neural.expression.refinement", "Refinement.refined"),
        ("pysr_neural.proposer.transformer", "refine"),
    ],
}
"""Part → where its function is in one build or the other."""
RUNNING: list[str] = []
"""The part whose clock runs, if one does."""


def timed() -> dict[str, float]:
    """Put a clock around each part's function; returns where the seconds are summed up."""
    spent = dict.fromkeys(PLACES, 0.0)
    for part, places in PLACES.items():
        for module, path in places:
            try:
                owner: Any = import_module(module)
                *above, name = path.split(".")
                for each in above:
                    owner = getattr(owner, each)
                function = getattr(owner, name)
            except (ImportError, AttributeError):
                continue
            setattr(owner, name, _clocked(function, part, spent))
            break
    return spent


def _clocked(function: Callable[..., Any], part: str, spent: dict[str, float]) -> Callable[..., Any]:
    def clocked(*arguments: Any, **named: Any) -> Any:
        if RUNNING:  # Joins recurse, and fit constants of their own.
            return function(*arguments, **named)
        RUNNING.append(part)
        begun = time.process_time()
        try:
            return function(*arguments, **named)
        finally:
            spent[part] += time.process_time() - begun
            RUNNING.clear()

    return clocked


def main() -> None:
    """Answer lines until the input ends."""
    torch.set_num_threads(1)
    proposer, spent = TransformerProposer.from_checkpoint("default"), timed()
    for line in sys.stdin:
        asked = json.loads(line)
        rng = np.random.default_rng(asked["seed"])
        X = rng.uniform(0.5, 3.0, (asked["rows"], asked["features"]))
        y = evaluate(parse(LAWS[asked["seed"] % len(LAWS)]), X)
        operators = OperatorSet.of("+", "-", "*", "/", "sin", "cos", "exp", "log", "sqrt")
        problem = Problem(X, y, operators, Limits(30))
        members: tuple[MemberView, ...] = ()
        if asked["kind"] == "children":
            trees = [parse(text) for text in MEMBERS]
            losses = [float(np.mean(np.square(evaluate(tree, X) - y))) for tree in trees]
            members = tuple([MemberView(t, loss, t.size) for t, loss in zip(trees, losses, strict=True)])
        levels = ("seed",) if not members else ("child",)
        request = ProposalRequest(members, COUNT, levels, asked["seed"])
        for part in spent:
            spent[part] = 0.0
        begun = time.process_time()
        session = proposer.open(problem)
        for number in range(asked["requests"]):
            batch = session.propose(replace(request, seed=asked["seed"] + number))
        seconds = (time.process_time() - begun) / asked["requests"]
        for part in spent:
            spent[part] /= asked["requests"]
        print(json.dumps({"seconds": seconds, "parts": spent, "children": len(batch.children)}), flush=True)


if __name__ == "__main__":
    main()
