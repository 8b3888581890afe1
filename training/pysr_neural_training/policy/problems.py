"""The problems on which policies learn and are judged: small ones that BasicSR's reference preset can solve.

Owns: priors of three operator sets, their problems in turn.  Does not own: drawing from a prior, what is held out
(`pysr_neural_training.problems.generate`).
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice

import numpy as np

from pysr_neural.expression.text import to_string
from pysr_neural.problem import Problem
from pysr_neural.rng import generator
from pysr_neural_training.problems.generate import GeneratedProblem, ProblemPrior, Sampler

PRIOR = ProblemPrior(
    operators=("+", "-", "*", "/"),
    min_operators=2,
    max_operators=5,
    max_size=15,
    constant_share=0.0,
    feature_weights=(0.35, 0.4, 0.25),
    noise_share=0.0,
    rows=(50,),
    row_weights=(1.0,),
    distractor_share=0.0,
)
"""The only constant is 1, as that of the preset."""
PRIORS = {
    "arithmetic": PRIOR,
    "transcendental": replace(PRIOR, operators=("sin", "cos", "exp", "log", "+", "-", "*", "/")),
    "roots": replace(PRIOR, operators=("sqrt", "square", "inv", "+", "-", "*")),
}
"""Three operator sets."""


def distinct(prior: ProblemPrior, rng: np.random.Generator) -> Iterator[GeneratedProblem]:
    """Yield a prior's problems whose expressions no training sees, no expression twice."""
    met = set[str]()
    for each in Sampler(prior, rng, held_out=True):
        if (text := to_string(each.tree)) not in met:
            met.add(text)
            yield each


def held_out_of(kind: str, seed: int, rows: int = 50) -> Iterator[Problem]:
    """Yield problems of one operator set; see `distinct`."""
    for each in distinct(replace(PRIORS[kind], rows=(rows,)), generator(seed, "policies", kind)):
        yield each.problem


def mixed(seed: int, name: str, held_out: bool = False) -> Iterator[Problem]:
    """Yield problems of the three operator sets in turn, without end.

    Parameters
    ----------
    seed : int
    name : str
        Of the stream.
    held_out : bool
        Whether the expressions are those that no training sees, or the others.
    """
    streams = [iter(Sampler(prior, generator(seed, name, kind), held_out)) for kind, prior in PRIORS.items()]
    for stream in cycle(streams):
        yield next(stream).problem


def held_out_problems(count: int, seed: int = 7) -> list[Problem]:
    """Return problems that judge; no training sees their expressions."""
    return list(islice(mixed(seed, "self-play held out", held_out=True), count))
