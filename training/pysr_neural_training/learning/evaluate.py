"""What a model can do while it is being trained, measured on held-out problems that stay the same.

Owns: `Evaluator` and the meaning of its figures.  Does not own: when it is called (`trainer`), the comparison of
finished checkpoints with controls (`recovery`), searches with an engine.
"""

import time
from functools import cached_property

import torch
from torch import Tensor

from pysr_neural.expression.canonical import canonical
from pysr_neural.model.policy import ProposerModel
from pysr_neural.operators import Array
from pysr_neural.proposer.neural.questions import place
from pysr_neural.proposer.neural.transformer import TransformerProposer
from pysr_neural.rng import generator
from pysr_neural.wire.prompt import tree_tokens
from pysr_neural_training.examples.build import IGNORED, Example, ExampleConfig, collate, make_example
from pysr_neural_training.learning.config import Evaluation
from pysr_neural_training.learning.recovery import held_out_problems, recovers
from pysr_neural_training.problems.generate import GeneratedProblem, ProblemPrior


class Evaluator:
    """Measures a model; the same problems and the same random numbers every time.

    Parameters
    ----------
    settings : Evaluation
    context : str, optional
        What the model's prompts say about the data.
    """

    def __init__(self, settings: Evaluation, context: str = "basic") -> None:
        self.settings = settings
        self.context = context

    def __call__(self, model: ProposerModel) -> dict[str, float]:
        """Measure a model, which is left in the mode in which it was.

        Returns
        -------
        dict of str to float
            ``loss`` and ``first_token``: per target token and the share of right first tokens, told the tokens before,
            asked from the data alone; ``onestep_loss``: the same loss with a population in the prompt.
            ``exact``, ``equivalent`` and ``recovered``: share of problems of which some draw is the true expression
            token for token, has its canonical form, or fits new points once its constants are refined.  ``distinct``:
            distinct expressions per draw.  ``seconds``: of this call.
        """
        began, training = time.perf_counter(), model.training
        model.eval()
        try:
            with torch.inference_mode():
                losses = self._teacher_forced(model)
                found = [self._sampled(model, i) for i in range(len(self.problems))]
        finally:
            model.train(training)
        shares = {name: sum(each[name] for each in found) / len(found) for name in found[0]}
        return {**losses, **shares, "seconds": time.perf_counter() - began}

    @cached_property
    def problems(self) -> list[tuple[GeneratedProblem, Array, Array]]:
        """The held-out problems, noiseless, each with points to test on."""
        return held_out_problems(self.settings.problems, self.settings.seed, self.settings.max_size)

    @cached_property
    def batches(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The problems as examples of the layouts ``direct`` and ``onestep``."""
        return self._batch("direct"), self._batch("onestep")

    def _batch(self, layout: str) -> dict[str, Tensor]:
        prior, config = ProblemPrior(), ExampleConfig(context=self.context)
        made = [
            make_example(given, layout, prior, config, generator(self.settings.seed, "evaluation", i))
            for i, (given, _, _) in enumerate(self.problems)
        ]
        return collate([example for example in made if isinstance(example, Example)])

    def _teacher_forced(self, model: ProposerModel) -> dict[str, float]:
        direct, onestep = (
            model(**{name: tensor.to(model.device) for name, tensor in batch.items()}) for batch in self.batches
        )
        first = self.batches[0]["labels"][:, 0]
        right = (direct.logits[:, 0].argmax(dim=-1).cpu() == first)[first != IGNORED]
        return {
            "loss": float(direct.token_loss),
            "first_token": float(right.float().mean()),
            "onestep_loss": float(onestep.token_loss),
        }

    def _sampled(self, model: ProposerModel, number: int) -> dict[str, float]:
        given, X_test, y_test = self.problems[number]
        session = TransformerProposer(model).open(given.problem)
        rng = generator(self.settings.seed, "draws", number)
        with place(model):
            drawn = session.explain(given.problem.y, self.settings.max_size, self.settings.draws, 1.0, rng)
        trees, slots = [tree for tree, _ in drawn], session.slots
        tokens, form = tree_tokens(given.tree, slots), canonical(given.tree)
        return {
            "exact": float(any(tree_tokens(tree, slots) == tokens for tree in trees)),
            "equivalent": float(any(canonical(tree) == form for tree in trees)),
            "distinct": len(trees) / self.settings.draws,
            "recovered": float(recovers(trees, given, X_test, y_test)),
        }
