"""The controls of any claim about neural help: PySR at the same cost, helped by something that has learned nothing.

Owns: random restarts, guesses from the unconditioned prior, fixed parameters from a file.  Does not own: a single
search (`methods.pysr`).
"""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pysr_neural.config import NeuralProposer
from pysr_neural.errors import ConfigError
from pysr_neural.expression.simplify import simplify
from pysr_neural.interop.julia import load_package
from pysr_neural.problem import Problem
from pysr_neural.proposer.joins.once import combinations
from pysr_neural.rng import generator
from pysr_neural_benchmarks.methods.base import Budget, Front, Outcome, Step, pareto
from pysr_neural_benchmarks.methods.direct import refined
from pysr_neural_benchmarks.methods.pysr import PySR
from pysr_neural_training.problems.generate import ProblemPrior, sample_tree

RESTART_SECONDS = 2.0
SHORTEST_SEARCH = 0.1
SAMPLES = 256
BACKSOLVE_WEIGHT = 0.05
GUESSES = 32


class Restarts:
    """PySR started anew every few seconds, with another seed; the best of all searches counts.

    A start's length does not depend on the budget, so that a longer run contains the shorter ones.  The clock counts
    the searches, and not what PySR does between them.

    Parameters
    ----------
    seconds : float
        Of each search.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.pysr = PySR()

    def warm_up(self, problem: Problem) -> None:
        """See `PySR.warm_up`."""
        self.pysr.warm_up(problem)

    def fit(self, problem: Problem, budget: Budget, seed: int) -> Outcome:
        """See `methods.base.Method`."""
        steps: list[Step] = []
        seconds, evaluations, iterations = 0.0, 0, 0
        rng = generator(seed, "restarts")
        while True:
            share = self._share(budget, seconds, evaluations)
            first = not steps
            found = self.pysr.search(problem, share, seed if first else int(rng.integers(1 << 31)))
            standing = steps[-1].front if steps else ()
            for step in found.steps:
                front = pareto([*standing, *step.front])
                steps.append(
                    Step(seconds + step.seconds, evaluations + step.evaluations, front, iterations + step.iteration)
                )
            seconds, evaluations = seconds + max(found.seconds, 1e-3), evaluations + found.evaluations
            iterations += found.iterations
            stopped = share.seconds is not None and found.seconds < 0.9 * share.seconds and share.evaluations is None
            if stopped or budget.spent(seconds + SHORTEST_SEARCH, evaluations):
                return Outcome(tuple(steps), seconds, evaluations, iterations)

    def _share(self, budget: Budget, seconds: float, evaluations: int) -> Budget:
        left = self.seconds if budget.seconds is None else min(self.seconds, budget.seconds - seconds)
        return Budget(left, None if budget.evaluations is None else budget.evaluations - evaluations)


class PriorSamples(PySR):
    """PySR with guesses: samples of the training prior, refined on the data, the best of each size.

    The prior is told the operators and the number of variables, and nothing about the data.  Sampling and refining are
    inside the clock.  What they find counts from when the engine reports it, as the transformer's proposals do.

    Parameters
    ----------
    samples : int
    combine : bool
        Whether to combine parts of the samples as the transformer's proposer does, and refine those answers instead of
        the samples.
    """

    def __init__(self, samples: int, combine: bool = False) -> None:
        super().__init__()
        self.samples, self.combine = samples, combine

    def fit(self, problem: Problem, budget: Budget, seed: int) -> Outcome:
        """See `methods.base.Method`."""
        began = time.perf_counter()
        front = self._drawn(problem, budget, seed, began)
        spent = time.perf_counter() - began
        chosen = sorted(front.best.values(), key=lambda found: found.loss)[:GUESSES]
        rest = budget
        if budget.seconds is not None:
            rest = replace(budget, seconds=max(budget.seconds - spent, SHORTEST_SEARCH))
        guesses = {"guesses": [found.equation for found in chosen]} if chosen else {}
        outcome = self.search(problem, rest, seed, **guesses)
        steps = tuple(
            replace(step, seconds=spent + step.seconds, evaluations=self.samples + step.evaluations)
            for step in outcome.steps
        )
        return replace(
            outcome,
            steps=steps,
            seconds=spent + outcome.seconds,
            evaluations=self.samples + outcome.evaluations,
            counters={"samples": self.samples, "guesses": len(chosen), "model_seconds": spent},
        )

    def _drawn(self, problem: Problem, budget: Budget, seed: int, began: float) -> Front:
        rng, front = generator(seed, "prior samples"), Front(problem.limits.max_size)
        prior = ProblemPrior(max_size=problem.limits.max_size)
        features, most = problem.X.shape[1], problem.limits.max_size
        if self.combine:
            drawn = [simplify(sample_tree(prior, problem.operators, features, rng)) for _ in range(self.samples)]
            for tree in combinations(drawn, problem.X, problem.y, problem.operators, most):
                front.offer([refined(tree, problem)], time.perf_counter() - began, self.samples)
            return front
        for count in range(1, self.samples + 1):
            tree = simplify(sample_tree(prior, problem.operators, features, rng))
            known = {(node.operator, len(node.children)) for node in tree if node.operator}
            if tree.size <= most and known <= set(problem.operators.index):
                front.offer([refined(tree, problem)], time.perf_counter() - began, count)
            if budget.seconds is not None and time.perf_counter() - began > budget.seconds / 2:
                break
        return front


def restarts(argument: str, checkpoint: str) -> Restarts:
    """Make PySR with random restarts."""
    del checkpoint
    return Restarts(_number("pysr-restarts", argument, RESTART_SECONDS))


def prior_samples(argument: str, checkpoint: str) -> PriorSamples:
    """Make PySR with guesses from the prior."""
    del checkpoint
    return PriorSamples(int(_number("pysr-prior", argument, SAMPLES)))


def combined_samples(argument: str, checkpoint: str) -> PriorSamples:
    """Make PySR with guesses from combined parts of samples of the prior."""
    del checkpoint
    return PriorSamples(int(_number("pysr-combined", argument, SAMPLES)), combine=True)


def backsolve(argument: str, checkpoint: str) -> PySR:
    """Make PySR with its own ``BacksolveMutation``, given no weight by default, ``help`` for the transformer too.

    Raises
    ------
    ConfigError
        If the argument holds anything but ``weight=NUMBER`` and ``help``.
    """
    words = argument.split(",") if argument else []
    weights = [word.removeprefix("weight=") for word in words if word.startswith("weight=")]
    if len(weights) > 1 or len(weights) + words.count("help") < len(words):
        raise ConfigError(f"pysr-backsolve takes weight=NUMBER, such as weight=0.05, and help; got {argument!r}.")
    weight = _number("pysr-backsolve:weight", "".join(weights), BACKSOLVE_WEIGHT)
    load_package()
    from pysr import BacksolveMutation

    given: dict[str, Any] = {"mutations": {BacksolveMutation(): weight}}
    return PySR(given | {"neural_proposer": NeuralProposer(checkpoint=checkpoint)} if "help" in words else given)


def distilled(argument: str, checkpoint: str) -> PySR:
    """Make PySR with the parameters of a JSON file, such as ``interpret --export pysr`` writes.

    Raises
    ------
    ConfigError
        If there is no such file, or it holds no object.
    """
    del checkpoint
    try:
        parameters: Any = json.loads(Path(argument).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"pysr-distilled:FILE must name a JSON file of PySR's parameters; got {argument!r}: {error}."
        ) from error
    if not isinstance(parameters, dict):
        raise ConfigError(f"{argument} must hold one JSON object of PySR's parameters; got {parameters!r:.60}.")
    return PySR(parameters)


def _number(name: str, argument: str, default: float) -> float:
    try:
        value = float(argument) if argument else float(default)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise ConfigError(f"{name} takes a number above 0; got {argument!r}.")
    return value
