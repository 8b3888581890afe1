"""How studies judge a model on held-out problems: by its loss, by its samples, by searches that it drives.

Owns: the three measurements, intervals of paired differences.  Does not own: ways of asking (`single`), problems and
what counts as recovered (`pysr_neural_training.learning.recovery`).
"""

from collections.abc import Sequence

import numpy as np
import torch

from pysr_neural.expression.node import Node
from pysr_neural.model.policy import ProposerModel
from pysr_neural.operators import Array
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Proposer
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.rng import generator
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.many import fit_many
from pysr_neural_baseline.search import SearchResult
from pysr_neural_benchmarks.judging.statistics import interval
from pysr_neural_benchmarks.studies.single import SingleLayout, hide
from pysr_neural_training.examples.build import IGNORED, Example, ExampleConfig, collate, make_example
from pysr_neural_training.improve.policy_searches import SOLVED_BELOW
from pysr_neural_training.problems.generate import GeneratedProblem, ProblemPrior

HeldOut = tuple[GeneratedProblem, Array, Array]
"""A problem with points to test on; see `recovery.held_out_problems`."""
POPULATION = 20
CHUNK = 32
TOGETHER = 128
"""Searches that ask the model in one pass."""
GENERATIONS = 10
"""Most generations of a search, for each that its evaluations would allow if no child were repeated."""


def token_loss(
    model: ProposerModel, problems: Sequence[HeldOut], layout: str, config: ExampleConfig, sees: str, seed: int
) -> float:
    """Return the mean negative log-likelihood per target token, told the tokens before, of held-out examples."""
    prior, total, count = ProblemPrior(), 0.0, 0
    made = [
        make_example(given, layout, prior, config, generator(seed, "loss", i))
        for i, (given, _, _) in enumerate(problems)
    ]
    examples = [each for each in made if isinstance(each, Example)]
    with torch.inference_mode():
        for start in range(0, len(examples), CHUNK):
            batch = hide(collate(examples[start : start + CHUNK]), sees)
            logits = model(**batch).logits.float().transpose(1, 2)
            total += float(torch.nn.functional.cross_entropy(logits, batch["labels"], reduction="sum"))
            count += int((batch["labels"] != IGNORED).sum())
    return total / max(count, 1)


def samples(
    proposer: SingleLayout, given: GeneratedProblem, draws: int, max_size: int, seed: int, rest: bool
) -> list[Node]:
    """Draw expressions for a problem's data; with ``rest``, half of them about what the best of the others leaves."""
    session, rng = proposer.open(given.problem), generator(seed, "samples")
    first = draws - draws // 2 if rest else draws
    trees = [tree for tree, _ in session.explain(given.problem.y, max_size, first, proposer.temperature, rng)]
    return trees + (session.about_the_rest(trees, draws - first, proposer.temperature, rng) if rest else [])


def search_settings(evaluations: int) -> BasicSRConfig:
    """Return a small search by the default preset, in which a proposer makes all children and seeds nothing."""
    return BasicSRConfig(
        populations=1,
        population_size=POPULATION,
        generations=GENERATIONS * evaluations // POPULATION,  # A repeated child costs no evaluation.
        max_evaluations=evaluations,
        optimize_probability=0.5,
        early_stop_loss=SOLVED_BELOW,
        extra_generations=0,
        proposal_share=1.0,
        levels=("child",),
        guard=GuardRules(max_overhead=1.0),
    )


def searched(
    problems: Sequence[Problem], config: BasicSRConfig, proposer: Proposer | None, seeds: Sequence[int]
) -> list[SearchResult]:
    """Search every problem with its seed, many in step."""
    parts = range(0, len(problems), TOGETHER)
    found = [fit_many(problems[i : i + TOGETHER], config, proposer, seeds[i : i + TOGETHER]) for i in parts]
    return [result for results in found for result in results]


def made_share(results: Sequence[SearchResult]) -> float:
    """Return the share of the children that the proposer made; ordinary variation made the others."""
    counts = [result.counts for result in results if result.counts is not None]
    served, missing = sum(each.served for each in counts), sum(each.fallbacks for each in counts)
    return served / max(served + missing, 1)


def difference(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of paired differences, first minus second, with a 95 % bootstrap interval over pairs."""
    paired = np.array(first, dtype=float) - np.array(second, dtype=float)
    return float(paired.mean()), *interval(paired)
