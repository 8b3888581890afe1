"""Direct prediction: expressions sampled from the data alone, refined; no search.

Owns: sampling in batches until the budget is spent.  Does not own: the model, refinement.

An evaluation is a distinct sample that was refined.  The curve's resolution is a batch.
"""

import time

from pysr_neural.expression.fit import mean_squared_error, refine
from pysr_neural.expression.node import Node
from pysr_neural.expression.text import to_string
from pysr_neural.problem import Problem
from pysr_neural.rng import generator
from pysr_neural_benchmarks.methods.base import Budget, Found, Front, Outcome, solved_loss

BATCH = 64
REFINE_ROWS = 200
REFINE_EVALUATIONS = 80


class DirectPrediction:
    """The transformer's samples for the data.

    Parameters
    ----------
    argument : str
        Samples per batch; default 64.
    checkpoint : str
    """

    def __init__(self, argument: str, checkpoint: str) -> None:
        import torch

        from pysr_neural.errors import ConfigError
        from pysr_neural.proposer.neural.transformer import TransformerProposer

        if argument and not (argument.isdecimal() and int(argument) > 0):
            raise ConfigError(f"direct takes a number of samples per batch above 0; got {argument!r}.")
        torch.set_num_threads(1)
        self.batch = int(argument) if argument else BATCH
        self.proposer = TransformerProposer.from_checkpoint(checkpoint)

    def warm_up(self, problem: Problem) -> None:
        """Sample a batch."""
        self.fit(problem, Budget(evaluations=1), 0)

    def fit(self, problem: Problem, budget: Budget, seed: int) -> Outcome:
        """See `methods.base.Method`."""
        began = time.perf_counter()
        session, rng = self.proposer.open(problem), generator(seed, "direct")
        front, known, enough = Front(problem.limits.max_size), dict[Node, None](), solved_loss(problem.y)
        batches = samples = 0
        while True:
            batches, samples = batches + 1, samples + self.batch
            for tree, _ in session.explain(problem.y, problem.limits.max_size, self.batch, 1.0, rng):
                if tree in known:
                    continue
                known[tree] = None
                front.offer([refined(tree, problem)], time.perf_counter() - began, len(known), batches)
                if budget.spent(time.perf_counter() - began, len(known)):
                    break
            if front.lowest_loss <= enough or budget.spent(time.perf_counter() - began, samples):
                break
        return Outcome(tuple(front.steps), time.perf_counter() - began, len(known), batches, {"samples": samples})


def refined(tree: Node, problem: Problem) -> Found:
    """Fit a tree's constants on some rows; its loss is on all."""
    tree, loss = refine(tree, problem.X[:REFINE_ROWS], problem.y[:REFINE_ROWS], REFINE_EVALUATIONS)
    if len(problem.y) > REFINE_ROWS:
        loss = mean_squared_error(tree, problem.X, problem.y)
    return Found(tree.size, loss, to_string(tree))
